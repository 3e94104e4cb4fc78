#include "services/quarkchain/shard/difficulty.hpp"

#include <algorithm>
#include <stdexcept>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint64_t steps_down_max = 99;

} // namespace

BigUint DifficultyRule::next(const BigUint& parent, std::uint64_t parent_time, std::uint64_t time) const {
  if (time <= parent_time)
    throw std::domain_error("difficulty: time " + std::to_string(time) + " is not after the parent's " +
                            std::to_string(parent_time));
  const std::uint64_t cutoffs = (time - parent_time) / cutoff;
  const BigUint step = parent / factor;
  if (cutoffs == 0) return std::max(parent + step, minimum);
  const BigUint down = step * std::min(cutoffs - 1, steps_down_max);
  return down > parent ? minimum : std::max(parent - down, minimum);
}

} // namespace trunkline::quarkchain
