// A shard's database as one JSON object: what is needed to find out where two states part.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"
#include "services/quarkchain/store/store.hpp"

#include <functional>
#include <string_view>

namespace trunkline::quarkchain {

/// Writes the block of this hash, the accounts of its state in the order of the trie, its receipts, the deposits that
/// it took, and the canonical blocks and transactions of the whole index. Of a shard with an execution layer the
/// accounts are there: instead of them it writes the hash of that layer's block. Errors: StoreFailure when there is no
/// such block or state.
void dump_state(Store& store, const Hash256& minor, const std::function<void(std::string_view)>& write);

} // namespace trunkline::quarkchain
