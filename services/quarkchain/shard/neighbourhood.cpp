#include "services/quarkchain/shard/neighbourhood.hpp"

#include "services/quarkchain/chain/shard.hpp"

#include <algorithm>

namespace trunkline::quarkchain {

bool Neighbourhood::is_neighbour(std::uint32_t branch, std::uint32_t root_height) const {
  const auto count = std::count_if(config_.shards.begin(), config_.shards.end(),
                                   [&](const ShardConfig& shard) { return shard.genesis.root_height < root_height; });
  return are_neighbours(own_, branch, static_cast<std::size_t>(count));
}

std::vector<std::uint32_t> Neighbourhood::neighbours(std::uint32_t root_height) const {
  std::vector<std::uint32_t> others = config_.shards_initialized_before(root_height);
  const std::size_t count = others.size();
  std::erase_if(others, [&](std::uint32_t id) { return id == own_ || !are_neighbours(own_, id, count); });
  return others;
}

Reach Neighbourhood::reach(std::uint32_t root_height) const {
  return {root_height, config_.shards_initialized_before(root_height)};
}

} // namespace trunkline::quarkchain
