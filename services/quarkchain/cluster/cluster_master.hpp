// The connections of one master process: its slaves, the peers of the cluster, and the forwarding between them.
#pragma once

#include "services/quarkchain/cluster/cluster_connection.hpp"
#include "services/quarkchain/cluster/forward.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

struct ClusterMasterOptions {
  ClusterConnectionsOptions connections; // `branches` is for p2p connections; frames of slaves are not checked
  std::size_t peer_command_bytes_max = 0; // command_bytes_max of p2p connections; 0: as for the others
  std::shared_ptr<RpcServer> slave_server; // serves the slaves
  std::shared_ptr<RpcServer> root_server;  // serves peers on the root chain
  std::chrono::milliseconds connect_retry_delay{1000};
  /// The loss of one slave ends everything, as in pyquarkchain; otherwise the master goes on without it, and may dial
  /// it again.
  bool ends_with_slave = true;

  ClusterMasterOptions() = default;
};

/// One executor; not thread safe. Destroying it closes everything.
class ClusterMaster {
 public:
  ClusterMaster(Executor executor, ClusterMasterOptions options);
  ~ClusterMaster();
  ClusterMaster(const ClusterMaster&) = delete;
  ClusterMaster& operator=(const ClusterMaster&) = delete;

  /// Dials a slave, again every connect_retry_delay without a limit. Forwarding sends it the frames of
  /// `full_shard_ids`. Errors: error::node_closed when everything has ended meanwhile; error::connect_failed when the
  /// connection ended at once.
  awaitable<std::shared_ptr<RpcCircuit>> connect_slave(std::string address, std::vector<std::uint32_t> full_shard_ids);
  /// The open ones, in the order in which they were connected.
  std::vector<std::shared_ptr<RpcCircuit>> slaves() const;

  /// Listens for peers; `accepted` gets each connection with its root circuit. Frames of a peer to a shard wait until
  /// `admit_peer`.
  std::string listen(std::string_view address, std::function<void(std::shared_ptr<ClusterConnection>)> accepted);
  awaitable<std::shared_ptr<ClusterConnection>> connect_peer(std::string address);
  /// Begins to forward for a peer. Call it when all slaves have answered CREATE.
  void admit_peer(std::uint64_t cluster_peer_id, std::shared_ptr<ClusterConnection> connection);
  /// Ends forwarding for a peer and closes its connection. Call it before DESTROY.
  void dismiss_peer(std::uint64_t cluster_peer_id, End reason = {});
  /// Called when an admitted peer is gone and forwarding for it has ended: DESTROY is due.
  void set_on_peer_gone(std::function<void(std::uint64_t cluster_peer_id, const End& reason)> callback);

  Forwarding& forwarding() noexcept;
  /// The connections with peers.
  ClusterConnections& connections() noexcept;
  /// Those with slaves.
  ClusterConnections& slave_connections() noexcept;

  /// As ClusterSlave::stop; in the second phase it closes peers, then slaves.
  awaitable<void> stop(Duration deadline, End reason = {});
  void stop_now(End reason);
  awaitable<End> stopped();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::quarkchain
