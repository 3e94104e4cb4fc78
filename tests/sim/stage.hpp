// What every service and every driver of the simulated workload shares.
#pragma once

#include "peer/url.hpp"
#include "tests/sim/delay_checker.hpp"
#include "tests/sim/ending_checker.hpp"
#include "tests/sim/memory_checker.hpp"
#include "tests/sim/stream_checker.hpp"
#include "tests/sim/violations.hpp"
#include "transport/sim/world.hpp"

#include <boost/system/system_error.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace trunkline::sim {

/// Stands outside of the world and outlives it.
struct Stage {
  World& world;
  Violations& violations;
  StreamChecker& streams;
  MemoryChecker& memory;
  DelayChecker& delays;
  EndingChecker& endings;
  std::vector<std::string> hosts;
  std::size_t fragment_bytes_max = 0;
  bool calm = false;          // a world without faults: then nothing may fail, and answers have a time limit
  bool stopping = false;      // drivers begin nothing new
  std::vector<PeerUrl> known; // peers that ran once, to be found again or not

  /// A failure that a circuit may have: one of trunkline's own, or a cancellation. In a calm world only refusals.
  void note_failure(const std::string& stream, const boost::system::system_error& failure);
  void remember(const std::string& url, Random& random);
};

/// Whether a circuit that ends with this was refused.
bool is_refusal(const boost::system::error_code& code);

} // namespace trunkline::sim
