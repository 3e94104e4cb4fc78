// The first blocks, which every node makes for itself from the configuration.
#pragma once

#include "services/quarkchain/chain/config.hpp"

namespace trunkline::quarkchain {

RootBlock genesis_root_block(const RootGenesis& genesis);

/// The first block of a shard, on top of the root block of its ROOT_HEIGHT. Errors: ConfigFailure for accounts of
/// another shard and for tokens without a number.
MinorBlock genesis_minor_block(const QuarkChainConfig& config, const ShardConfig& shard, const RootBlockHeader& root);

/// The state's root when these are all accounts. The same errors.
Hash256 genesis_state_root(const ShardConfig& shard);

/// Python's defaults, which it sends where there is nothing to say.
MinorBlock filler_minor_block();

} // namespace trunkline::quarkchain
