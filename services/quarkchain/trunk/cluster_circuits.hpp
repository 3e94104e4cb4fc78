// The circuits of a cluster machine: which routes there are, and which of them the far side may open by a frame.
#pragma once

#include "circuit/circuit_table.hpp"
#include "services/quarkchain/protocol/frame.hpp"
#include "services/quarkchain/trunk/cluster_circuit.hpp"
#include "services/quarkchain/trunk/cluster_whole.hpp"

#include <boost/unordered/unordered_flat_set.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trunkline::quarkchain {

class ClusterCircuits {
 public:
  /// Opens the control circuit.
  explicit ClusterCircuits(ClusterWhole& whole);

  /// Null again when it is buried; the connection is not running any more then.
  ClusterCircuit* control() const noexcept { return control_; }
  bool empty() const noexcept { return table_.empty(); }
  std::size_t size() const noexcept { return table_.size(); }
  template <class Act> void for_each(Act act) { table_.for_each_on_wire(act); }
  CircuitTable<ClusterCircuit, Route>::All& all() noexcept { return table_.all(); }
  void of_peer(const PeerId& local, std::vector<TrunkCircuit*>& into) { table_.of_peer(local, into); }

  void allow_peer(std::uint64_t cluster_peer_id) { allowed_peers_.insert(cluster_peer_id); }
  void forget_peer(std::uint64_t cluster_peer_id) { allowed_peers_.erase(cluster_peer_id); }

  /// Clean, or why the request, whose name says `route`, opens nothing here; `route` is set when it is clean.
  End why_not_open(const OpenRequest& request, Route& route) const;
  ClusterCircuit& open_here(const Route& route, const OpenRequest& request) { return add(route, true, &request); }
  /// One that is on no wire.
  ClusterCircuit& open_nowhere(const OpenRequest& request);
  /// The circuit that a frame is for; it may open it. Null: the frame is dropped, or has broken the connection.
  ClusterCircuit* find_for(const FrameHeader& header, bool draining);

  /// The circuit is now one of the peer that it names as ours.
  void join_local(ClusterCircuit& circuit) { table_.join_peer(circuit); }
  void forget_local(const PeerId& local) { table_.forget_peer(local); }
  void leave(ClusterCircuit& circuit) { table_.leave(circuit.route, circuit); }
  void retire(ClusterCircuit& circuit) {
    if (table_.retire(circuit)) bury(circuit);
  }
  void let_go(ClusterCircuit& circuit) {
    table_.let_go();
    bury(circuit);
  }
  void free_buried() {
    table_.free_buried([](const ClusterCircuit&) {});
  }

  /// Virtual peers on the wire <= circuits_max, and the table's own.
  void check(bool full) const;

 private:
  ClusterCircuit& add(const Route& route, bool opened_here, const OpenRequest* request);
  void bury(ClusterCircuit& circuit);
  /// One more virtual peer would be too many.
  bool is_full() const noexcept;

  ClusterWhole& whole_;
  CircuitTable<ClusterCircuit, Route> table_;
  CircuitId id_last_ = 0;
  ClusterCircuit* control_;
  boost::unordered_flat_set<std::uint64_t> allowed_peers_;
};

} // namespace trunkline::quarkchain
