// Connections that speak the cluster framing: made by dialling or accepting, run until they end, all owned in one
// place.
#pragma once

#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "peer/links.hpp"
#include "services/quarkchain/rpc/rpc.hpp"
#include "services/quarkchain/trunk/cluster_machine.hpp"
#include "transport/transport.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

class ClusterConnection;

struct ClusterConnectionsOptions {
  ClusterLimits limits;
  /// See ClusterMachineOptions; for connections of the cluster and the p2p framing. Null: not checked.
  std::shared_ptr<const Branches> branches;
  std::size_t connections_max = 1024; // further ones that are accepted are turned away,
  std::function<bool(const Transport&)> always_welcome; // except these; null: no exception
  std::size_t newcomers_max = 256; // accepted and not identified; beyond it the oldest is closed
  std::size_t newcomers_per_host_max = 64; // of those, the ones of one host
  std::size_t handshakes_max = 256; // in progress, of accepted connections (TLS); beyond it the oldest is closed
  std::size_t handshakes_per_host_max = 64; // of those, the ones of one host
  std::chrono::milliseconds handshake_deadline{5000}; // for all of one of those
  std::chrono::milliseconds connect_deadline{10000};
  Media media; // in addition to those of default_media() or instead of them
  LogSink log;

  ClusterConnectionsOptions() = default;
};

/// The connections of one process. Destroying it closes them. One executor; not thread safe.
class ClusterConnections {
 public:
  ClusterConnections(Executor executor, ClusterConnectionsOptions options);
  ~ClusterConnections();
  ClusterConnections(const ClusterConnections&) = delete;
  ClusterConnections& operator=(const ClusterConnections&) = delete;

  /// As Links::listen: `accepted` adopts a connection or drops it. Where a transport proves who is there, it hears of
  /// those alone that have done so.
  std::string listen(std::string_view address, std::function<void(std::unique_ptr<Transport>)> accepted);
  /// Stops accepting; the addresses are free at once.
  void close_listeners();
  /// Runs a connection; `server` answers on its control circuit. After `close` the connection has ended at once. For
  /// `identified` see ClusterMachineOptions.
  std::shared_ptr<ClusterConnection> adopt(std::unique_ptr<Transport> transport, Framing framing,
                                           std::shared_ptr<RpcServer> server, bool identified = true);
  /// Errors: as Links::connect.
  awaitable<std::shared_ptr<ClusterConnection>> dial(std::string address, Framing framing,
                                                     std::shared_ptr<RpcServer> server);
  /// Closes listeners and connections, and accepts no more. Frames that were sent are still written. Idempotent.
  void close_now(End reason = {});
  /// The same, and waits until all of them are gone. Do not call it in a task that was spawned here.
  awaitable<void> close();

  /// A task that is cancelled and joined by `close`.
  void spawn(awaitable<void> task);
  /// As those of Links.
  void log(LogLevel level, std::string_view text) const noexcept;
  void log(const char* kind, LogLevel level, std::string_view text) const noexcept;
  /// The connection with this control circuit; null when there is none, or it is gone.
  std::shared_ptr<ClusterConnection> find(const RpcCircuit& control) const;
  std::size_t size() const noexcept;
  const Executor& executor() const noexcept;
  const ClusterConnectionsOptions& options() const noexcept;
  /// Of connections that are made from now on. Errors: as ClusterLimits::check; then nothing has changed.
  void set_limits(const ClusterLimits& limits);
  const LinksCounters& counters() const noexcept;

 private:
  friend class ClusterConnection;
  struct State;
  std::shared_ptr<State> state_;
};

/// One connection of the cluster framing in operation. It lives until its control circuit ends.
class ClusterConnection final : public Link {
 public:
  /// Requests, replies and commands between the two processes themselves. Other circuits come from its `new_circuit`.
  const std::shared_ptr<RpcCircuit>& control() const noexcept { return control_; }
  /// Hears of circuits that the far side's frames have opened (see ClusterMachine::allow_peer), before their first
  /// frame is read. A circuit that is not taken is closed.
  std::function<void(const Route&, Circuit)> on_opened;
  void allow_peer(std::uint64_t cluster_peer_id) { machine_->allow_peer(cluster_peer_id); }
  void forget_peer(std::uint64_t cluster_peer_id) { machine_->forget_peer(cluster_peer_id); }

  /// The far side has said who it is; see ClusterMachineOptions.
  void identify();

  void close(End reason = {}) { control_->close(std::move(reason)); }
  bool is_open() const noexcept { return control_->is_open(); }
  Framing framing() const noexcept { return framing_; }
  const ClusterMachine& machine() const noexcept { return *machine_; }
  const ClusterTrunkCounters& counters() const noexcept { return machine_->cluster_counters(); }

 private:
  friend class ClusterConnections;
  using Connections = std::shared_ptr<ClusterConnections::State>;

  ClusterConnection(const Connections& connections, Framing framing, std::string dialled_address);
  ClusterConnection(const Connections& connections, Framing framing);

  void on_event(TrunkEvent& event) override;
  std::string kind() const override;

  std::weak_ptr<ClusterConnections::State>
      connections_; // weak: a circuit's handle may keep the trunk when they are gone
  Framing framing_;
  ClusterMachine* machine_ = nullptr; // of the trunk
  std::shared_ptr<RpcCircuit> control_;
};

} // namespace trunkline::quarkchain
