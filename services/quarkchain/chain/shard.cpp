#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {

std::string shard_text(std::uint32_t id) { return fmt::format("0x{:08x}", id); }

std::string shards_text(const std::vector<std::uint32_t>& ids) {
  std::string text;
  for (const std::uint32_t id : ids) text += (text.empty() ? "" : ", ") + shard_text(id);
  return text.empty() ? "none" : text;
}

} // namespace trunkline::quarkchain
