// Proof of staked work: a miner with enough stakes mines some of the blocks of a window at less difficulty.
#pragma once

#include "services/quarkchain/chain/config.hpp"

#include <cstdint>
#include <optional>

namespace trunkline::quarkchain {

struct PoswMiner {
  std::uint64_t height = 0;
  std::uint64_t create_time = 0;
  BigUint difficulty;
  BigUint stakes;                     // after the parent
  std::uint64_t mined_in_window = 0; // before this block
  BigUint stake_per_block;
};

struct PoswResult {
  BigUint difficulty; // what the seal has to meet
  std::uint64_t mineable = 0;
  std::uint64_t mined = 0; // with this block
};

bool posw_enabled(const PoswConfig& config, std::uint64_t create_time) noexcept;
/// By how much the difficulty is divided.
BigUint posw_divider(const PoswConfig& config, std::uint64_t create_time);
/// Nothing while it is not on, and for the first block.
std::optional<PoswResult> posw(const PoswConfig& config, const PoswMiner& miner);

} // namespace trunkline::quarkchain
