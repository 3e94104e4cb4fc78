// What fragments of the simulated workload hold: made from (stream, direction, position) on one side, and made again
// and compared on the other.
#pragma once

#include "fragment/fragment.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace trunkline::sim {

/// The fragment at a position of a stream; its payload has so many bytes.
Fragment make_fragment(const std::string& stream, int way, std::uint64_t position, std::size_t bytes);

/// What differs from the fragment that belongs there; empty when nothing does.
std::string difference(const Fragment& received, const std::string& stream, int way, std::uint64_t position);

inline constexpr std::size_t contents_bytes_max = 4 << 20;

} // namespace trunkline::sim
