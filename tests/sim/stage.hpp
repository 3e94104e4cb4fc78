// What every service and every driver of the simulated workload shares.
#pragma once

#include "circuit/circuit.hpp"
#include "peer/url.hpp"
#include "tests/sim/delay_checker.hpp"
#include "tests/sim/ending_checker.hpp"
#include "tests/sim/memory_checker.hpp"
#include "tests/sim/stream_checker.hpp"
#include "tests/sim/violations.hpp"
#include "transport/sim/world.hpp"

#include <boost/system/system_error.hpp>

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace trunkline::sim {

/// With what the workload closes circuits whose data is to arrive before the reason.
inline constexpr const char* close_reason = "the workload says so";

/// Stands outside of the world and outlives it.
struct Stage {
  Stage(World& in, Violations& found, StreamChecker& of_streams, MemoryChecker& of_memory, DelayChecker& of_delays,
        EndingChecker& of_endings)
      : world(in), violations(found), streams(of_streams), memory(of_memory), delays(of_delays), endings(of_endings) {}

  World& world;
  Violations& violations;
  StreamChecker& streams;
  MemoryChecker& memory;
  DelayChecker& delays;
  EndingChecker& endings;
  std::vector<std::string> hosts;
  std::size_t fragment_bytes_max = 0;
  bool calm = false;          // a world without faults: then nothing may fail, and answers have a time limit
  bool floods = false;        // readers that stand still may use up the memory of a whole trunk
  bool stopping = false;      // drivers begin nothing new
  std::vector<PeerUrl> known; // peers that ran once, to be found again or not
  std::map<std::string, std::weak_ptr<Circuit>> circuits; // of drivers, by name
  std::set<std::string> to_self; // circuits to the node that opened them, whose dial is refused

  /// A failure that a circuit may have: one of trunkline's own, or a cancellation. In a calm world no connection
  /// breaks, except one that a node made to itself.
  void note_failure(const std::string& stream, const boost::system::system_error& failure);
  void remember(const std::string& url, Random& random);
  /// What a driver's circuit waits for, in the words of its flags; empty when it is gone.
  std::string describe(const std::string& stream) const;
};

/// Whether a circuit that ends with this was refused.
bool is_refusal(const boost::system::error_code& code);

} // namespace trunkline::sim
