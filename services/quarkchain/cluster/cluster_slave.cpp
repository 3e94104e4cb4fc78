#include "services/quarkchain/cluster/cluster_slave.hpp"

#include "async/clock.hpp"
#include "async/first_of.hpp"
#include "fragment/quote.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace trunkline::quarkchain {

struct ClusterSlave::State : std::enable_shared_from_this<State> {
  State(Executor executor, ClusterSlaveOptions with)
      : options(std::move(with)), connections(executor, for_slave(options.connections, welcome)),
        peers(options.peer_server, options.peers_max) {}

  /// The master is accepted also beyond connections_max.
  static ClusterConnectionsOptions for_slave(ClusterConnectionsOptions of,
                                             const std::shared_ptr<std::function<bool(const Transport&)>>& welcome) {
    of.newcomers_max = of.newcomers_per_host_max = std::numeric_limits<std::size_t>::max(); // the pool bounds them
    of.always_welcome = [welcome](const Transport& transport) { return *welcome && (*welcome)(transport); };
    return of;
  }
  bool is_master(const Transport& transport) const {
    return phase == Phase::running && !master && (!had_master || options.waits_for_new_master) &&
           (options.master_hosts.empty() ||
            std::ranges::find(options.master_hosts, transport.remote_host()) != options.master_hosts.end());
  }

  void start(const Executor& executor);
  static awaitable<std::shared_ptr<RpcCircuit>> dial_slave(std::shared_ptr<State> self, std::string address);
  void accepted(std::unique_ptr<Transport> transport);
  void set_master(std::shared_ptr<RpcCircuit> control);
  void on_master_ended(const RpcCircuit& circuit, const End& end);
  void close(End reason);
  /// All circuits that serve.
  std::vector<std::shared_ptr<RpcCircuit>> circuits() const;
  static awaitable<void> all_idle(std::shared_ptr<State> self);
  static awaitable<void> stop(std::shared_ptr<State> self, Duration deadline, End reason);
  static awaitable<std::shared_ptr<RpcCircuit>> wait_for_master(std::shared_ptr<State> self);
  static awaitable<End> stopped(std::shared_ptr<State> self);

  /// Each is entered once, in this order; stopping may be left out.
  enum class Phase : std::uint8_t { running, stopping, stopped };

  ClusterSlaveOptions options;
  std::shared_ptr<std::function<bool(const Transport&)>> welcome =
      std::make_shared<std::function<bool(const Transport&)>>();
  ClusterConnections connections;
  VirtualPeers peers;
  std::unique_ptr<SlavePool> slaves;
  std::shared_ptr<RpcCircuit> master;
  bool had_master = false;
  std::optional<End> master_end;
  Phase phase = Phase::running;
  End end; // once it has stopped
  Signal changed; // the master, the phase
};

namespace {

/// Puts a listener before the one that is there.
void hear_first(RpcServer& server, std::function<void(RpcCircuit&, const End&)> first) {
  server.on_ended = [first = std::move(first), then = std::move(server.on_ended)](RpcCircuit& circuit, const End& end) {
    first(circuit, end);
    if (then) then(circuit, end);
  };
}

} // namespace

ClusterSlave::ClusterSlave(Executor executor, ClusterSlaveOptions options)
    : state_(std::make_shared<State>(executor, std::move(options))) {
  state_->start(executor);
}

ClusterSlave::~ClusterSlave() { state_->close(End(error::node_closed)); }

void ClusterSlave::State::start(const Executor& executor) {
  // Weak: a circuit may end when all of this is gone.
  if (!options.slaves.dial)
    options.slaves.dial = [weak = weak_from_this()](std::string address) -> awaitable<std::shared_ptr<RpcCircuit>> {
      return dial_slave(weak.lock(), std::move(address));
    };
  *welcome = [weak = weak_from_this()](const Transport& transport) {
    const auto self = weak.lock();
    return self && self->is_master(transport);
  };
  options.slaves.on_identified = [weak = weak_from_this(), then = options.slaves.on_identified](RpcCircuit& circuit) {
    const auto self = weak.lock();
    if (const auto connection = self ? self->connections.find(circuit) : nullptr) connection->identify();
    if (then) then(circuit);
  };
  slaves = std::make_unique<SlavePool>(executor, options.slaves);
  hear_first(*options.master_server, [weak = weak_from_this()](RpcCircuit& circuit, const End& reason) {
    if (const auto self = weak.lock()) self->on_master_ended(circuit, reason);
  });
  hear_first(*options.slave_server, [weak = weak_from_this()](RpcCircuit& circuit, const End&) {
    if (const auto self = weak.lock()) self->slaves->ended(circuit);
  });
}

awaitable<std::shared_ptr<RpcCircuit>> ClusterSlave::State::dial_slave(std::shared_ptr<State> self,
                                                                       std::string address) {
  if (!self) throw_error(error::node_closed, "cannot dial " + address);
  const auto connection =
      co_await self->connections.dial(std::move(address), Framing::slave, self->options.slave_server);
  co_return connection->control();
}

// Who is who.

std::string ClusterSlave::listen(std::string_view address) {
  return state_->connections.listen(address, [weak = std::weak_ptr(state_)](std::unique_ptr<Transport> transport) {
    if (const auto self = weak.lock()) self->accepted(std::move(transport));
  });
}

void ClusterSlave::State::accepted(std::unique_ptr<Transport> transport) {
  if (phase != Phase::running) return;
  if (is_master(*transport)) {
    set_master(connections.adopt(std::move(transport), Framing::cluster, options.master_server)->control());
  } else {
    slaves->accept(connections.adopt(std::move(transport), Framing::slave, options.slave_server, false)->control());
  }
}

void ClusterSlave::State::set_master(std::shared_ptr<RpcCircuit> control) {
  if (phase == Phase::stopped) return control->close(End(error::node_closed));
  if (master) master->close(End(error::duplicate_trunk, "another master has come"));
  connections.log("master", LogLevel::info, "the master is " + control->remote());
  had_master = true;
  master = control;
  peers.set_master(std::move(control));
  changed.notify_all();
  if (!master->is_open()) on_master_ended(*master, *master->end());
}

void ClusterSlave::State::on_master_ended(const RpcCircuit& circuit, const End& end_of_it) {
  if (master.get() != &circuit) return;
  const std::shared_ptr<RpcCircuit> lost = std::exchange(master, nullptr);
  master_end = end_of_it;
  peers.clear(End(error::trunk_lost, "the master is gone"));
  changed.notify_all();
  if (phase == Phase::stopped) return;
  const End reason(error::trunk_lost, "the master is gone: " + end_of_it.to_string());
  if (options.waits_for_new_master) {
    connections.log("master lost", LogLevel::warning, reason.text + "; waiting for a new one");
  } else {
    close(reason);
  }
}

void ClusterSlave::set_master(std::shared_ptr<RpcCircuit> control) { state_->set_master(std::move(control)); }

awaitable<std::shared_ptr<RpcCircuit>> ClusterSlave::State::wait_for_master(std::shared_ptr<State> self) {
  while (!self->master && self->phase != Phase::stopped) co_await self->changed.wait();
  co_return self->master;
}

awaitable<std::shared_ptr<RpcCircuit>> ClusterSlave::wait_for_master() { return State::wait_for_master(state_); }

// The end.

std::vector<std::shared_ptr<RpcCircuit>> ClusterSlave::State::circuits() const {
  std::vector<std::shared_ptr<RpcCircuit>> all = slaves->circuits();
  for (const auto& circuit : peers.all()) all.push_back(circuit);
  if (master) all.push_back(master);
  return all;
}

awaitable<void> ClusterSlave::State::all_idle(std::shared_ptr<State> self) {
  const auto all = self->circuits();
  for (const auto& circuit : all) co_await circuit->idle();
}

awaitable<void> ClusterSlave::State::stop(std::shared_ptr<State> self, Duration deadline, End reason) {
  if (self->phase == Phase::running) {
    self->phase = Phase::stopping;
    self->connections.close_listeners();
    self->changed.notify_all();
    for (const auto& circuit : self->circuits()) circuit->stop_serving();
    co_await first_of(all_idle(self), sleep_for(deadline));
  } else if (self->phase == Phase::stopping) {
    co_await first_of(stopped(self), sleep_for(deadline)); // the first deadline counts
  }
  self->close(std::move(reason));
  co_await self->slaves->closed();
  co_await self->connections.close();
}

/// In this order: the listener, the slaves, the virtual peers, the master.
void ClusterSlave::State::close(End reason) {
  if (std::exchange(phase, Phase::stopped) == Phase::stopped) return;
  end = reason;
  connections.close_listeners();
  slaves->close(reason);
  peers.clear(reason);
  if (const auto lost = std::exchange(master, nullptr)) lost->close(reason);
  connections.close_now(std::move(reason));
  changed.notify_all();
}

awaitable<End> ClusterSlave::State::stopped(std::shared_ptr<State> self) {
  while (self->phase != Phase::stopped) co_await self->changed.wait();
  End end = self->end;
  co_return end;
}

awaitable<void> ClusterSlave::stop(Duration deadline, End reason) {
  return State::stop(state_, deadline, std::move(reason));
}
void ClusterSlave::stop_now(End reason) { state_->close(std::move(reason)); }
awaitable<End> ClusterSlave::stopped() { return State::stopped(state_); }
const std::shared_ptr<RpcCircuit>& ClusterSlave::master() const noexcept { return state_->master; }
const std::optional<End>& ClusterSlave::master_end() const noexcept { return state_->master_end; }
SlavePool& ClusterSlave::slaves() noexcept { return *state_->slaves; }
VirtualPeers& ClusterSlave::peers() noexcept { return state_->peers; }
ClusterConnections& ClusterSlave::connections() noexcept { return state_->connections; }

} // namespace trunkline::quarkchain
