#include "services/quarkchain/cluster/cluster_master.hpp"

#include "async/clock.hpp"
#include "async/first_of.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace trunkline::quarkchain {

namespace {

struct Slave {
  std::shared_ptr<ClusterConnection> connection;
  std::string address;
};

/// A connection to another cluster, admitted or not.
struct P2pConnection {
  std::shared_ptr<ClusterConnection> connection;
  std::uint64_t cluster_peer_id = 0; // 0: not admitted
  std::vector<std::pair<std::uint32_t, Circuit>> opened; // branches that wait for that
};

} // namespace

struct ClusterMaster::State : std::enable_shared_from_this<State> {
  State(Executor executor, ClusterMasterOptions with)
      : options(std::move(with)), slave_options(unchecked(options.connections)),
        connections(executor, for_peers(options)), slave_connections(executor, slave_options),
        forwarding(executor, options.connections.log) {}

  static ClusterConnectionsOptions for_peers(const ClusterMasterOptions& of) {
    ClusterConnectionsOptions with = of.connections;
    if (of.peer_command_bytes_max != 0) with.limits.command_bytes_max = of.peer_command_bytes_max;
    return with;
  }

  /// What slaves write is not checked, as in pyquarkchain: they know the branches themselves.
  static ClusterConnectionsOptions unchecked(ClusterConnectionsOptions of) {
    of.branches.reset();
    return of;
  }
  void start();
  static awaitable<std::shared_ptr<RpcCircuit>> connect_slave(std::shared_ptr<State> self, std::string address,
                                                              std::vector<std::uint32_t> shards);
  static awaitable<std::shared_ptr<ClusterConnection>> connect_peer(std::shared_ptr<State> self, std::string address);
  void add_p2p(const std::shared_ptr<ClusterConnection>& connection);
  void on_peer_opened(const RpcCircuit& root, std::uint32_t branch, Circuit circuit);
  void dismiss(std::uint64_t cluster_peer_id, End reason);
  void on_slave_ended(const RpcCircuit& circuit, const End& end);
  void on_root_ended(const RpcCircuit& circuit, const End& end);
  void close(End reason);
  static awaitable<void> all_idle(std::shared_ptr<State> self);
  static awaitable<void> stop(std::shared_ptr<State> self, Duration deadline, End reason);
  static awaitable<End> stopped(std::shared_ptr<State> self);

  /// Each is entered once, in this order; stopping may be left out.
  enum class Phase : std::uint8_t { running, stopping, stopped };

  ClusterMasterOptions options;
  ClusterConnectionsOptions slave_options;
  ClusterConnections connections;
  ClusterConnections slave_connections;
  Forwarding forwarding;
  std::vector<Slave> slaves;
  std::map<const RpcCircuit*, P2pConnection> p2p; // by root circuit
  std::map<std::uint64_t, const RpcCircuit*> admitted;
  std::function<void(std::uint64_t, const End&)> on_peer_gone;
  Phase phase = Phase::running;
  End end;
  Signal changed;
};

ClusterMaster::ClusterMaster(Executor executor, ClusterMasterOptions options)
    : state_(std::make_shared<State>(std::move(executor), std::move(options))) {
  state_->start();
}

ClusterMaster::~ClusterMaster() { state_->close(End(error::node_closed)); }

void ClusterMaster::State::start() {
  // Weak: a circuit may end when all of this is gone.
  const auto hear_first = [](RpcServer& server, std::function<void(RpcCircuit&, const End&)> first) {
    server.on_ended = [first = std::move(first), then = std::move(server.on_ended)](RpcCircuit& circuit,
                                                                                    const End& reason) {
      first(circuit, reason);
      if (then) then(circuit, reason);
    };
  };
  hear_first(*options.slave_server, [weak = weak_from_this()](RpcCircuit& circuit, const End& reason) {
    if (const auto self = weak.lock()) self->on_slave_ended(circuit, reason);
  });
  hear_first(*options.root_server, [weak = weak_from_this()](RpcCircuit& circuit, const End& reason) {
    if (const auto self = weak.lock()) self->on_root_ended(circuit, reason);
  });
  forwarding.set_on_peer_failed([weak = weak_from_this()](std::uint64_t peer, const End& reason) {
    const auto self = weak.lock();
    if (!self) return;
    const auto found = self->admitted.find(peer);
    if (found != self->admitted.end()) self->p2p.at(found->second).connection->close(reason); // its end dismisses it
  });
}

// Slaves.

awaitable<std::shared_ptr<RpcCircuit>> ClusterMaster::connect_slave(std::string address,
                                                                    std::vector<std::uint32_t> full_shard_ids) {
  return State::connect_slave(state_, std::move(address), std::move(full_shard_ids));
}

awaitable<std::shared_ptr<RpcCircuit>> ClusterMaster::State::connect_slave(std::shared_ptr<State> self,
                                                                           std::string address,
                                                                           std::vector<std::uint32_t> shards) {
  std::shared_ptr<ClusterConnection> connection;
  std::string said;
  while (!connection) {
    if (self->phase != Phase::running) throw_error(error::node_closed, "no slave is connected any more, " + address);
    try {
      connection = co_await self->slave_connections.dial(address, Framing::cluster, self->options.slave_server);
    } catch (const boost::system::system_error& failure) {
      if (failure.code() != error::connect_failed) throw;
      const std::string why = text_of(failure);
      if (std::exchange(said, why) != why)
        self->connections.log(LogLevel::info,
                              fmt::format("{}; again every {} ms", why, self->options.connect_retry_delay.count()));
    }
    if (!connection) co_await sleep_for(in_nanoseconds(self->options.connect_retry_delay));
  }
  const std::shared_ptr<RpcCircuit> control = connection->control();
  if (!control->is_open()) throw_error(error::connect_failed, "the connection to " + address + " ended at once");
  connection->on_opened = [weak = std::weak_ptr(self), slave = control.get()](const Route& route, Circuit circuit) {
    if (const auto state = weak.lock()) state->forwarding.slave_opened(*slave, route, std::move(circuit));
  };
  for (const auto& [id, root] : self->admitted) connection->allow_peer(id);
  self->slaves.push_back(Slave{connection, std::move(address)});
  self->forwarding.add_slave(control, std::move(shards));
  co_return control;
}

std::vector<std::shared_ptr<RpcCircuit>> ClusterMaster::slaves() const {
  std::vector<std::shared_ptr<RpcCircuit>> open;
  for (const Slave& slave : state_->slaves) open.push_back(slave.connection->control());
  return open;
}

void ClusterMaster::State::on_slave_ended(const RpcCircuit& circuit, const End& end_of_it) {
  const auto found =
      std::ranges::find_if(slaves, [&](const Slave& slave) { return slave.connection->control().get() == &circuit; });
  if (found == slaves.end()) return;
  const std::string address = found->address;
  slaves.erase(found);
  forwarding.erase_slave(circuit);
  if (phase == Phase::stopped) return;
  const End reason(error::trunk_lost, fmt::format("the slave at {} is gone: {}", address, end_of_it.to_string()));
  connections.log(LogLevel::warning, reason.text);
  if (options.ends_with_slave) close(reason);
}

// Peers.

std::string ClusterMaster::listen(std::string_view address,
                                  std::function<void(std::shared_ptr<ClusterConnection>)> accepted) {
  const auto adopt = [weak = std::weak_ptr(state_),
                      accepted = std::move(accepted)](std::unique_ptr<Transport> transport) {
    const auto self = weak.lock();
    if (!self || self->phase != State::Phase::running) return;
    const auto connection =
        self->connections.adopt(std::move(transport), Framing::p2p, self->options.root_server, false);
    self->add_p2p(connection);
    accepted(connection);
  };
  return state_->connections.listen(address, adopt);
}

awaitable<std::shared_ptr<ClusterConnection>> ClusterMaster::connect_peer(std::string address) {
  return State::connect_peer(state_, std::move(address));
}

awaitable<std::shared_ptr<ClusterConnection>> ClusterMaster::State::connect_peer(std::shared_ptr<State> self,
                                                                                 std::string address) {
  const auto connection = co_await self->connections.dial(std::move(address), Framing::p2p, self->options.root_server);
  self->add_p2p(connection);
  co_return connection;
}

void ClusterMaster::State::add_p2p(const std::shared_ptr<ClusterConnection>& connection) {
  const RpcCircuit* const root = connection->control().get();
  if (!root->is_open()) return;
  P2pConnection& entry = p2p[root];
  entry.connection = connection;
  connection->on_opened = [weak = weak_from_this(), root](const Route& route, Circuit circuit) {
    if (const auto self = weak.lock()) self->on_peer_opened(*root, route.branch, std::move(circuit));
  };
}

void ClusterMaster::State::on_peer_opened(const RpcCircuit& root, std::uint32_t branch, Circuit circuit) {
  const auto found = p2p.find(&root);
  if (found == p2p.end()) return;
  P2pConnection& entry = found->second;
  if (entry.cluster_peer_id != 0) {
    forwarding.peer_opened(entry.cluster_peer_id, branch, std::move(circuit));
  } else {
    entry.opened.emplace_back(branch, std::move(circuit)); // at most the configured branches; each inbox has its limit
  }
}

void ClusterMaster::admit_peer(std::uint64_t cluster_peer_id, std::shared_ptr<ClusterConnection> connection) {
  State& state = *state_;
  const auto found = state.p2p.find(connection->control().get());
  if (found == state.p2p.end() || cluster_peer_id == 0 || state.admitted.contains(cluster_peer_id)) return;
  P2pConnection& entry = found->second;
  entry.cluster_peer_id = cluster_peer_id;
  entry.connection->identify();
  state.admitted.emplace(cluster_peer_id, found->first);
  state.forwarding.add_peer(cluster_peer_id, connection->control());
  for (const Slave& slave : state.slaves) slave.connection->allow_peer(cluster_peer_id);
  for (auto& [branch, circuit] : std::exchange(entry.opened, {}))
    state.forwarding.peer_opened(cluster_peer_id, branch, std::move(circuit));
}

void ClusterMaster::State::dismiss(std::uint64_t cluster_peer_id, End reason) {
  const auto found = admitted.find(cluster_peer_id);
  if (found == admitted.end()) return;
  const RpcCircuit* const root = found->second;
  admitted.erase(found);
  for (const Slave& slave : slaves) slave.connection->forget_peer(cluster_peer_id);
  forwarding.erase_peer(cluster_peer_id);
  const auto entry = p2p.find(root);
  if (entry == p2p.end()) return;
  entry->second.cluster_peer_id = 0;
  entry->second.connection->close(std::move(reason));
}

void ClusterMaster::dismiss_peer(std::uint64_t cluster_peer_id, End reason) {
  state_->dismiss(cluster_peer_id, std::move(reason));
}

void ClusterMaster::State::on_root_ended(const RpcCircuit& circuit, const End& end_of_it) {
  const auto found = p2p.find(&circuit);
  if (found == p2p.end()) return;
  const std::uint64_t id = found->second.cluster_peer_id;
  const P2pConnection ended = std::move(found->second);
  p2p.erase(found);
  if (id == 0) return;
  dismiss(id, End());
  if (on_peer_gone && phase != Phase::stopped) on_peer_gone(id, end_of_it);
}

// The end.

awaitable<void> ClusterMaster::State::all_idle(std::shared_ptr<State> self) {
  std::vector<std::shared_ptr<RpcCircuit>> all;
  for (const auto& [root, entry] : self->p2p) all.push_back(entry.connection->control());
  for (const Slave& slave : self->slaves) all.push_back(slave.connection->control());
  for (const auto& circuit : all) circuit->stop_serving();
  for (const auto& circuit : all) co_await circuit->idle();
}

awaitable<void> ClusterMaster::State::stop(std::shared_ptr<State> self, Duration deadline, End reason) {
  if (self->phase == Phase::running) {
    self->phase = Phase::stopping;
    self->connections.close_listeners();
    co_await first_of(all_idle(self), sleep_for(deadline));
  } else if (self->phase == Phase::stopping) {
    co_await first_of(stopped(self), sleep_for(deadline)); // the first deadline counts
  }
  self->close(std::move(reason));
  co_await self->connections.close();
  co_await self->slave_connections.close();
}

/// In this order: the listener, the peers, the slaves.
void ClusterMaster::State::close(End reason) {
  if (std::exchange(phase, Phase::stopped) == Phase::stopped) return;
  end = reason;
  connections.close_now(reason);
  slave_connections.close_now(std::move(reason));
  changed.notify_all();
}

awaitable<End> ClusterMaster::State::stopped(std::shared_ptr<State> self) {
  while (self->phase != Phase::stopped) co_await self->changed.wait();
  End end = self->end;
  co_return end;
}

void ClusterMaster::set_on_peer_gone(std::function<void(std::uint64_t, const End&)> callback) {
  state_->on_peer_gone = std::move(callback);
}
Forwarding& ClusterMaster::forwarding() noexcept { return state_->forwarding; }
ClusterConnections& ClusterMaster::connections() noexcept { return state_->connections; }

ClusterConnections& ClusterMaster::slave_connections() noexcept { return state_->slave_connections; }
awaitable<void> ClusterMaster::stop(Duration deadline, End reason) {
  return State::stop(state_, deadline, std::move(reason));
}
void ClusterMaster::stop_now(End reason) { state_->close(std::move(reason)); }
awaitable<End> ClusterMaster::stopped() { return State::stopped(state_); }

} // namespace trunkline::quarkchain
