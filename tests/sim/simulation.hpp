// One run: a world drawn from a seed, nodes in it that use each other in every way, faults, and checkers. Then calm,
// the end of everything, and what the checkers found.
#pragma once

#include "tests/sim/planted.hpp"
#include "transport/sim/world.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace trunkline::sim {

struct RunOptions {
  std::uint64_t seed = 1;
  Duration time = std::chrono::minutes(1); // with faults; how long the end takes depends
  Bug bug = Bug::none;
  std::function<void(const std::string&)> log; // lines about nodes and faults
};

struct RunReport {
  std::uint64_t trace_hash = 0;
  std::vector<std::string> violations;  // the first few, in words
  std::uint64_t violations_count = 0;
  std::string world;                    // what it was like, in words
  std::uint64_t streams = 0;
  std::uint64_t fragments = 0;
  std::uint64_t bytes = 0;
  std::uint64_t acknowledgements = 0;
  std::uint64_t refusals = 0;
  std::uint64_t answers = 0;            // with a time limit
  std::uint64_t faults = 0;
  std::uint64_t memory_peak = 0;        // of one trunk, per cent of its limit
  std::uint64_t delay_peak = 0;         // of one answer, per cent of its limit
  std::uint64_t seconds = 0;            // of virtual time

  /// Adds up what can be added.
  void add(const RunReport& other);
};

RunReport simulate(const RunOptions& options);

} // namespace trunkline::sim
