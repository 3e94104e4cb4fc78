// The virtual peers of a slave: for every peer of the cluster and every shard that exists here one circuit that speaks
// rpc.
#pragma once

#include "services/quarkchain/protocol/route.hpp"
#include "services/quarkchain/rpc/rpc.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace trunkline::quarkchain {

struct VirtualPeersCounters {
  std::uint64_t created = 0; // circuits
  std::uint64_t refused = 0; // peers_max, or the reserved id 0
};

/// The handlers of CREATE and DESTROY call `create` and `destroy` with the id in the payload; call `add_branch` when a
/// shard appears. All of these are idempotent. A virtual peer that has ended by itself stays ended until its peer is
/// destroyed.
class VirtualPeers {
 public:
  /// `server` answers on every virtual peer. `peers_max` ids are remembered at most.
  explicit VirtualPeers(std::shared_ptr<RpcServer> server, std::size_t peers_max = 65536);
  ~VirtualPeers();
  VirtualPeers(const VirtualPeers&) = delete;
  VirtualPeers& operator=(const VirtualPeers&) = delete;

  /// Sets the connection that carries the circuits, by its control circuit. The circuits and peers of an earlier
  /// connection are closed and forgotten.
  void set_master(std::shared_ptr<RpcCircuit> control);
  /// Creates the circuits of a peer that are missing. False for id 0 and beyond peers_max; the peer is then not
  /// remembered.
  bool create(std::uint64_t cluster_peer_id);
  void destroy(std::uint64_t cluster_peer_id);
  /// The shard exists from now on: every remembered peer gets a circuit for it.
  void add_branch(std::uint32_t branch);
  /// Closes and forgets everything but the branches.
  void clear(End reason);

  /// Null when there is none, or it has ended.
  std::shared_ptr<RpcCircuit> find(std::uint32_t branch, std::uint64_t cluster_peer_id) const;
  /// The open ones of a branch, by ascending id.
  std::vector<std::shared_ptr<RpcCircuit>> on_branch(std::uint32_t branch) const;
  std::vector<std::shared_ptr<RpcCircuit>> all() const;
  const std::set<std::uint64_t>& peers() const noexcept { return peers_; }
  std::size_t size() const noexcept { return circuits_.size(); }
  const VirtualPeersCounters& counters() const noexcept { return counters_; }

 private:
  void add(const Route& route);

  std::shared_ptr<RpcServer> server_;
  std::size_t peers_max_;
  std::shared_ptr<RpcCircuit> master_;
  std::set<std::uint64_t> peers_;
  std::set<std::uint32_t> branches_; // shards that exist
  std::map<Route, std::shared_ptr<RpcCircuit>> circuits_; // also those that have ended
  VirtualPeersCounters counters_;
};

} // namespace trunkline::quarkchain
