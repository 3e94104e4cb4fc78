// The random faults of a simulated world, and how often they happen.
#pragma once

#include "async/types.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace trunkline::sim {

/// Rates are per virtual minute for the whole world; each fault strikes two hosts (or one) drawn from those that exist
/// at that moment. Times are drawn evenly between zero and the given one.
struct Faults {
  std::uint32_t partitions_per_minute = 0; // nothing passes between two hosts, either way; then it heals
  std::uint32_t stalls_per_minute = 0;     // one direction between two hosts stands still
  std::uint32_t resets_per_minute = 0;     // all connections between two hosts break
  std::uint32_t losses_per_minute = 0;     // one direction of the connections between two hosts goes silent for ever
  std::uint32_t crashes_per_minute = 0;    // one of `crashing` goes down, reset or silent, and comes back
  Duration partition_time = std::chrono::seconds(10);
  Duration stall_time = std::chrono::seconds(3);
  Duration crash_time = std::chrono::seconds(10);
  std::vector<std::string> crashing; // hosts whose owner has set World::on_crash

  Faults() = default;
};

} // namespace trunkline::sim
