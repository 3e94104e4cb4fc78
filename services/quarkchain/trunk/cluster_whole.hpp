// What every part of the cluster machine sees, and what a part asks of the whole because it reaches across parts.
#pragma once

#include "circuit/machine.hpp"
#include "services/quarkchain/protocol/frame.hpp"
#include "services/quarkchain/trunk/cluster_circuit.hpp"
#include "services/quarkchain/trunk/cluster_limits.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// The full shard ids of a whole cluster, sorted.
using Branches = std::vector<std::uint32_t>;

struct ClusterMachineOptions {
  Framing framing = Framing::cluster;
  ClusterLimits limits;
  /// A frame of a virtual peer for any other branch breaks the connection. Null: nothing is checked.
  std::shared_ptr<const Branches> branches;
  bool identified = true; // otherwise unidentified_command_bytes_max holds until `identify`
  std::string far_end; // who it is with, for the texts of errors
  std::function<void(const std::string& why)> on_first_pause; // of reading, for control_inbox_bytes_max; may be null
  std::shared_ptr<const PeerName> local; // who the circuits of both sides belong to, as their handles show it
  std::shared_ptr<const PeerName> remote;

  ClusterMachineOptions() = default;

  bool has_branch(std::uint32_t branch) const { return !branches || std::ranges::binary_search(*branches, branch); }
};

struct ClusterTrunkCounters {
  std::uint64_t frames_for_unknown_peers = 0; // dropped; also in TrunkCounters, as frames for forgotten circuits
  std::uint64_t frames_too_large = 0; // command_bytes_max, or the one for the unidentified; each broke the connection
  std::uint64_t frames_for_unknown_branches = 0; // each broke the connection
  std::uint64_t peers_overflowed = 0; // closed for peer_inbox_bytes_max or peers_inbox_bytes_max
  std::uint64_t pauses = 0; // times that the connection was not read, for control_inbox_bytes_max
};

class ClusterWhole {
 public:
  ClusterMachineOptions options;
  Instant now{}; // of the last input
  TrunkCounters counters;
  ClusterTrunkCounters cluster_counters;
  std::vector<TrunkEvent> events; // not yet collected

  TrunkEvent& emit(TrunkEvent::Kind kind, ClusterCircuit* circuit = nullptr) {
    return events.emplace_back(kind, circuit);
  }
  /// For the end of an error text: ", from tcp://10.0.0.7:38291".
  std::string from() const { return options.far_end.empty() ? std::string() : ", from " + options.far_end; }

  /// The far side broke the protocol, or what keeps it: the connection ends.
  virtual void violate(error reason, std::string text) = 0;
  /// Nothing more crosses on the circuit.
  virtual void end_circuit(ClusterCircuit& circuit, End reason) = 0;

 protected:
  explicit ClusterWhole(ClusterMachineOptions with) : options(std::move(with)) {}
  ClusterWhole(const ClusterWhole&) = delete;
  ClusterWhole& operator=(const ClusterWhole&) = delete;
  ~ClusterWhole() = default;
};

} // namespace trunkline::quarkchain
