// What a block pays its miner beside the fees.
#pragma once

#include "services/quarkchain/chain/config.hpp"

#include <cstdint>

namespace trunkline::quarkchain {

/// Less with each epoch, in one division.
BigUint decayed(const BigUint& value, std::uint64_t height, std::uint64_t epoch_interval, const Fraction& decay);

/// Decayed first, taxed then. Of the genesis token.
BigUint block_reward(const QuarkChainConfig& config, const ChainConfig& chain, std::uint64_t height);

} // namespace trunkline::quarkchain
