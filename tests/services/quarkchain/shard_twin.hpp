// A shard that nothing ever happened to: told once more, in order, what is canonical in the database of another one.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::quarkchain::test {

/// In what the twin differs at the end, in words; empty when it has come to the same tip. `root_tip`: where the root
/// chain of both ends.
std::string twin_differs(const QuarkChainConfig& config, std::uint32_t full_shard_id, const Store& kept,
                         const Hash256& root_tip);

/// A list of deposits that this database holds; nothing when it does not.
std::optional<std::size_t> deposits_kept(const Store& kept, const Hash256& source);
/// Whether a key is that of a list.
bool is_list(std::string_view key);

} // namespace trunkline::quarkchain::test
