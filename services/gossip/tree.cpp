#include "services/gossip/tree.hpp"

#include <boost/assert.hpp>

namespace trunkline::gossip {

std::uint32_t levels_of(std::uint32_t size) noexcept {
  std::uint32_t levels = 0;
  for (std::uint64_t reached = 1; reached < size; reached *= 3) ++levels;
  return levels;
}

// 2^16 for the deepest level of the largest book, times 2^24 members: 2^40.
std::uint32_t list_length(std::uint32_t size, std::uint32_t level) noexcept {
  BOOST_ASSERT(size <= book_members_max && level >= 1 && level <= levels_of(size));
  std::uint64_t numerator = size;
  std::uint64_t denominator = 1;
  for (std::uint32_t below = levels_of(size) - level; below > 0; --below) {
    numerator *= 2;
    denominator *= 3;
  }
  return static_cast<std::uint32_t>(numerator / denominator);
}

std::array<std::uint32_t, 2> target_offsets(std::uint32_t size, std::uint32_t level) noexcept {
  const std::uint32_t length = list_length(size, level);
  if (length < 2) return {0, 0};
  return {length / 3, static_cast<std::uint32_t>(std::uint64_t{2} * length / 3)};
}

} // namespace trunkline::gossip
