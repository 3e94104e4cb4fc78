// What the services and the acts of the honest program share.
#pragma once

#include "peer/node.hpp"
#include "tests/sim/ledger.hpp"
#include "tests/sim/stage.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace trunkline::sim {

/// Stands outside of the world and outlives it.
struct HonestStage : Stage {
  HonestStage(World& in, Violations& found, StreamChecker& of_streams, MemoryChecker& of_memory,
              DelayChecker& of_delays, EndingChecker& of_endings, Ledger& of_ends)
      : Stage(in, found, of_streams, of_memory, of_delays, of_endings), ledger(of_ends) {}

  Ledger& ledger;
  std::uint64_t opens_left = 0;      // of bursts, so that no world costs more than others
  std::size_t large_bytes_max = 0;   // of one fragment
  Duration pause_max{};              // of a reader
  std::map<std::pair<std::string, std::string>, std::uint64_t> rates; // bytes per second between two hosts, by name
  std::uint64_t guests = 0;

  /// So fast that nothing but a fault of ours keeps a small answer waiting.
  bool is_fast(const std::string& one, const std::string& other) const {
    const auto found = rates.find(std::minmax(one, other));
    return found == rates.end() || found->second >= 2'000'000;
  }
};

/// Waits without reading, which the ledger knows.
awaitable<void> pause(HonestStage& stage, std::string circuit, Duration time);

/// "kind-12: the program gave up".
inline End given_up(const std::string& circuit) { return End(error::circuit_reset, circuit + ": the program gave up"); }

} // namespace trunkline::sim
