// A slave as a whole: its connections, the services on them, a backend. What an executable starts.
//
//   SlaveNodeOptions options = SlaveNodeOptions::of(config, "S0");
//   SlaveNode slave(executor, std::move(options), make_ledger(config, "S0", std::move(store)));
//   slave.listen();
//   const End end = co_await slave.stopped();       // the master is gone, or somebody called stop
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/cluster/cluster_slave.hpp"
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/rpc/client.hpp"
#include "services/quarkchain/slave/peer_shard_service.hpp"
#include "services/quarkchain/rpc/service.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

struct SlaveNodeOptions {
  SlaveIdentity own;
  std::string address;                      // to listen on
  std::vector<SlaveIdentity> slaves;        // of the cluster: who must get a shard's cross-shard lists; own included
  ClusterConnectionsOptions connections;    // `branches` and `log` too
  std::vector<std::string> master_hosts;    // see ClusterSlaveOptions
  bool waits_for_new_master = false;
  bool strict_parity = false;               // see XshardRoutes
  SlavePoolOptions pool;                    // deadlines and delays; what names us or our functions is set here
  RpcLimits rpc;
  PeerShardLimits peer_shards;
  std::size_t peers_max = 65536;
  std::chrono::milliseconds report_deadline{60000}; // of 145 and 187; zero: none
  std::chrono::milliseconds xshard_deadline{60000}; // of 147 and 161
  std::chrono::milliseconds peer_deadline{30000};   // of what is asked of a peer
  /// The address of a slave that CONNECT_TO_SLAVES lists. Default: as cluster_address says.
  std::function<std::string(const SlaveInfo&)> address_of;

  SlaveNodeOptions() = default;
  /// What the configuration says of one slave: it listens on all interfaces. Errors: ConfigFailure.
  static SlaveNodeOptions of(const ClusterConfig& config, std::string_view id);
};

/// One executor; not thread safe. Dropping it closes everything.
class SlaveNode {
 public:
  SlaveNode(Executor executor, SlaveNodeOptions options, std::shared_ptr<Backend> backend);
  ~SlaveNode();
  SlaveNode(const SlaveNode&) = delete;
  SlaveNode& operator=(const SlaveNode&) = delete;

  /// Takes connections from now on; returns the real address. Errors: that of the address.
  std::string listen();
  /// Waits until the end was decided (by `stop`, or by the loss of the master) and says why.
  awaitable<End> stopped();
  /// In two phases: serves nothing new, lets what runs end until the deadline, then closes all. Idempotent.
  awaitable<void> stop(Duration deadline, End reason = {});

  /// The way to the master. Its calls fail while there is none.
  MasterClient master() const;
  /// The connections, for whoever brings a master or a slave over another trunk; the circuit is to be started with the
  /// server of its service.
  ClusterSlave& connections() noexcept;
  const std::shared_ptr<Backend>& backend() const noexcept;
  BackendHost& host() noexcept;

  const std::shared_ptr<RpcServer>& serves_master() const noexcept;
  const std::shared_ptr<RpcServer>& serves_slaves() const noexcept;
  const std::shared_ptr<RpcServer>& serves_peers() const noexcept;
  const ServiceCounters& master_counters() const noexcept;
  const ServiceCounters& slave_counters() const noexcept;
  const ServiceCounters& peer_counters() const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::quarkchain
