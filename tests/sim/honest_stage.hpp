// What the services and the acts of the honest program share.
#pragma once

#include "peer/node.hpp"
#include "tests/sim/ledger.hpp"
#include "tests/sim/stage.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sim {

/// Stands outside of the world and outlives it.
struct HonestStage : Stage {
  HonestStage(World& in, Violations& found, StreamChecker& of_streams, MemoryChecker& of_memory,
              DelayChecker& of_delays, EndingChecker& of_endings, Ledger& of_ends)
      : Stage(in, found, of_streams, of_memory, of_delays, of_endings), ledger(of_ends) {}

  Ledger& ledger;
  std::uint64_t opens_left = 0;      // of bursts, so that no world costs more than others
  Duration pause_max{};              // of a reader
  std::map<std::pair<std::string, std::string>, std::uint64_t> rates; // bytes per second between two hosts, by name
  std::uint64_t guests = 0;
  bool ends_links = false;           // the program ends connections while they are in use
  std::set<std::string> old_hosts;   // which know nothing of the optional features
  std::map<std::string, NodeId> node_ids; // of the nodes that run, by host

  /// An instance of a service that the program started on a node of its own.
  struct Instance {
    std::string host;
    std::string url;
    std::vector<std::string> circuits; // that were opened to it
  };
  std::vector<std::shared_ptr<Instance>> instances; // those that run

  /// So fast that nothing but a fault of ours keeps a small answer waiting.
  bool is_fast(const std::string& one, const std::string& other) const {
    const auto found = rates.find(std::minmax(one, other));
    return found == rates.end() || found->second >= 2'000'000;
  }
  /// Shares of the trunk's credit keep its circuits apart; not with a far side that is old.
  bool shares(const std::string& one, const std::string& other) const {
    return !old_hosts.contains(one) && !old_hosts.contains(other);
  }
  std::size_t fragment_bytes_between(const std::string& one, const std::string& other) const {
    return std::min(ledger.limits_of(one).fragment_bytes_max, ledger.limits_of(other).fragment_bytes_max);
  }
  /// A trunk as a host has it.
  void watch(const std::shared_ptr<Trunk>& trunk, const std::string& host) {
    const Limits& limits = ledger.limits_of(host);
    memory.watch(trunk, std::max(limits.trunk_memory_bytes_max, 4 * limits.fragment_bytes_max));
  }
};

/// Waits without reading, which the ledger knows.
awaitable<void> pause(HonestStage& stage, std::string circuit, Duration time);

/// Behind the name of a circuit: the reason with which one is closed when all has been said.
inline constexpr const char* last_words = ": the program has said all";

/// "kind-12: the program gave up".
inline End given_up(const std::string& circuit) { return End(error::circuit_reset, circuit + ": the program gave up"); }

} // namespace trunkline::sim
