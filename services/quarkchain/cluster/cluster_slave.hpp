// The connections of one slave process: its master, the other slaves, the virtual peers; who is who, and in which order
// they end.
#pragma once

#include "services/quarkchain/cluster/cluster_connection.hpp"
#include "services/quarkchain/cluster/slave_pool.hpp"
#include "services/quarkchain/cluster/virtual_peers.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

struct ClusterSlaveOptions {
  ClusterConnectionsOptions connections;
  SlavePoolOptions slaves; // `dial` is set here where it is empty
  std::shared_ptr<RpcServer> master_server; // serves the master; each of the three has its own opcodes
  std::shared_ptr<RpcServer> slave_server;
  std::shared_ptr<RpcServer> peer_server;
  /// Hosts from which the master comes. Empty means what pyquarkchain does: the first connection is the master, over
  /// plain TCP also when it is a port scanner. Over TLS it is the first that has shown a trusted key.
  std::vector<std::string> master_hosts;
  /// After its loss the next connection (from one of master_hosts) is the master; otherwise the loss ends everything.
  bool waits_for_new_master = false;
  std::size_t peers_max = 65536;

  ClusterSlaveOptions() = default;
};

/// One executor; not thread safe. Destroying it closes everything.
class ClusterSlave {
 public:
  ClusterSlave(Executor executor, ClusterSlaveOptions options);
  ~ClusterSlave();
  ClusterSlave(const ClusterSlave&) = delete;
  ClusterSlave& operator=(const ClusterSlave&) = delete;

  /// Binds and accepts connections from now on; returns the real address.
  std::string listen(std::string_view address);
  /// Takes a master that came another way, for example over a native trunk. Its circuit must have been started with
  /// `master_server`. `add_slave` does the same for a slave.
  void set_master(std::shared_ptr<RpcCircuit> control);
  bool add_slave(std::shared_ptr<RpcCircuit> circuit) { return slaves().accept(std::move(circuit)); }

  /// The control circuit of the master; null before it came and after it was lost.
  const std::shared_ptr<RpcCircuit>& master() const noexcept;
  /// How the connection of the last master ended; nothing before the first was lost. Clean: the master has closed it
  /// between two frames, which is how masters end their slaves.
  const std::optional<End>& master_end() const noexcept;
  /// Waits for the first or the next master; null when everything has ended instead.
  awaitable<std::shared_ptr<RpcCircuit>> wait_for_master();
  SlavePool& slaves() noexcept;
  VirtualPeers& peers() noexcept;
  ClusterConnections& connections() noexcept;

  /// Ends in two phases. Until the deadline it takes no new connections and no new requests, and lets running requests
  /// end; then it closes slaves, virtual peers and the master, and waits until all of them are gone. Idempotent.
  awaitable<void> stop(Duration deadline, End reason = {});
  /// The second phase alone, without waiting.
  void stop_now(End reason);
  /// Waits until the end is decided (by `stop` or by the loss of the master) and says why.
  awaitable<End> stopped();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::quarkchain
