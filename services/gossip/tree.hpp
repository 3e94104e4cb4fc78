// RainTree's arithmetic: the levels of a book, and each member's targets at each level. Integers only: with
// floating point some list lengths come out one too small (64 becomes 63), and whole branches are lost.
#pragma once

#include <array>
#include <cstdint>

namespace trunkline::gossip {

/// The place of a member in the book, in the order of addresses, from 0.
using Position = std::uint32_t;

/// Books are no larger, so that all arithmetic stays within 64 bits.
inline constexpr std::uint32_t book_members_max = 1u << 24;

/// ceil(log3 size): 0 for one member, 1 for 2 and 3, 2 for 4 to 9.
std::uint32_t levels_of(std::uint32_t size) noexcept;

/// How much of its list, itself first, a member looks at on a level: floor(size * 2^k / 3^k), k levels below the top.
/// `level` is at least 1 and at most levels_of(size).
std::uint32_t list_length(std::uint32_t size, std::uint32_t level) noexcept;

/// The distances in the ring from a member to both its targets of a level; 0 is the member itself, which gets nothing.
std::array<std::uint32_t, 2> target_offsets(std::uint32_t size, std::uint32_t level) noexcept;

} // namespace trunkline::gossip
