// How hard the next block is to mine.
#pragma once

#include "services/quarkchain/chain/number.hpp"

#include <cstdint>

namespace trunkline::quarkchain {

struct DifficultyRule {
  std::uint64_t cutoff; // seconds
  std::uint64_t factor;
  BigUint minimum;

  /// Of a block at `time`, which is after `parent_time`. Errors: std::domain_error when it is not.
  BigUint next(const BigUint& parent, std::uint64_t parent_time, std::uint64_t time) const;
};

} // namespace trunkline::quarkchain
