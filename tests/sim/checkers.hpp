// All that watches one run of whole nodes, whatever its nodes do.
#pragma once

#include "tests/sim/delay_checker.hpp"
#include "tests/sim/ending_checker.hpp"
#include "tests/sim/memory_checker.hpp"
#include "tests/sim/simulation.hpp"
#include "tests/sim/stream_checker.hpp"
#include "tests/sim/violations.hpp"
#include "transport/sim/world.hpp"

#include <exception>
#include <functional>
#include <string>

namespace trunkline::sim {

/// Outlives the world, in which coroutines tell it things to the last moment. Of the world it asks only the time, until
/// then.
struct Checkers {
  explicit Checkers(std::function<TimePoint()> now) : violations(std::move(now)) {}
  Checkers(const Checkers&) = delete;
  Checkers& operator=(const Checkers&) = delete;

  /// One step of the world; false when nothing can happen any more.
  bool step(World& world);
  /// For the owner of tasks: one that fails is a violation, in words that begin with `what`.
  std::function<void(std::exception_ptr)> note_failure(std::string what);
  /// Steps until nothing can happen any more, which has to leave nothing behind. The nodes are shutting down by then.
  void run_to_the_end(World& world);
  /// What they have seen. What the world was, and its faults, are for the caller to say.
  RunReport report(const World& world) const;

  Violations violations;
  StreamChecker streams{violations};
  MemoryChecker memory{violations};
  DelayChecker delays{violations};
  EndingChecker endings{violations};
};

} // namespace trunkline::sim
