// RainTree's arithmetic: how many levels a book of members has, and who is a member's target at which level. Integers
// only: with floating point the list lengths fall just below where they belong (64 becomes 63), and whole branches go.
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

/// How far behind oneself in the ring both targets of a level stand; 0 is oneself, who gets nothing.
std::array<std::uint32_t, 2> target_offsets(std::uint32_t size, std::uint32_t level) noexcept;

} // namespace trunkline::gossip
