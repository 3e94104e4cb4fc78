#include "services/quarkchain/cluster/cluster_connection.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "fragment/quote.hpp"
#include "peer/session.hpp"
#include "async/log_rate.hpp"
#include "transport/tcp.hpp"
#include "transport/unix.hpp"

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace trunkline::quarkchain {

struct ClusterConnections::State : std::enable_shared_from_this<State> {
  State(Executor on, ClusterConnectionsOptions with)
      : executor(std::move(on)), options(std::move(with)), tasks(executor) {
    options.limits.check();
    if (!options.media.contains("tcp")) options.media.emplace("tcp", make_tcp_medium());
    if (!options.media.contains("unix")) options.media.emplace("unix", make_unix_medium());
  }

  void log(LogLevel level, std::string_view text) const {
    if (options.log) options.log(level, escape(text, 4096));
  }
  std::shared_ptr<Medium> medium_for(const std::string& address) const;
  void log(LogRate& rate, LogLevel level, std::string text) {
    if (const auto line = rate.pass(std::move(text), Clock::of(executor).now())) log(level, *line);
  }
  void on_event(const std::shared_ptr<ClusterConnection>& connection, TrunkEvent& event);
  // Coroutines keep the state alive, so they are static and take it by value.
  static awaitable<void> accept_all(std::shared_ptr<State> self, std::shared_ptr<Listener> listener,
                                    std::function<void(std::unique_ptr<Transport>)> accepted);
  static awaitable<void> run(std::shared_ptr<State> self, std::shared_ptr<ClusterConnection> connection,
                             std::shared_ptr<Trunk> trunk, std::unique_ptr<Transport> transport);
  static awaitable<std::shared_ptr<ClusterConnection>> dial(std::shared_ptr<State> self, std::string address,
                                                            Framing framing, std::shared_ptr<RpcServer> server);
  static awaitable<void> gone(std::shared_ptr<State> self);
  std::shared_ptr<ClusterConnection> adopt(std::unique_ptr<Transport> transport, Framing framing,
                                           std::shared_ptr<RpcServer> server, bool identified);
  void close(End reason);

  Executor executor;
  ClusterConnectionsOptions options;
  ClusterConnectionsCounters counters;
  std::vector<std::shared_ptr<Listener>> listeners;
  std::vector<std::shared_ptr<ClusterConnection>> connections; // until their transport is closed
  bool closed = false;
  LogRate turned_away_lines, over_lines, stalled_lines, pause_lines;
  Signal connection_gone;
  Tasks tasks;
};

namespace {

/// Hears for the connections. Weak: a circuit's handle may keep the trunk when the connection is gone.
template <class State> struct ConnectionOwner final : Trunk::Owner {
  ConnectionOwner(std::weak_ptr<State> of, std::weak_ptr<ClusterConnection> one)
      : state(std::move(of)), connection(std::move(one)) {}

  void on_event(TrunkEvent& event) override {
    const auto hears = state.lock();
    const auto of = connection.lock();
    if (hears && of) hears->on_event(of, event);
  }

  std::weak_ptr<State> state;
  std::weak_ptr<ClusterConnection> connection;
};

} // namespace

ClusterConnections::ClusterConnections(Executor executor, ClusterConnectionsOptions options)
    : state_(std::make_shared<State>(std::move(executor), std::move(options))) {}

ClusterConnections::~ClusterConnections() {
  state_->close(End(error::node_closed));
  state_->tasks.cancel();
}

std::shared_ptr<Medium> ClusterConnections::State::medium_for(const std::string& address) const {
  const auto found = options.media.find(address.substr(0, address.find(':')));
  if (found != options.media.end()) return found->second;
  std::string known;
  for (const auto& [name, medium] : options.media) known += (known.empty() ? "" : ", ") + name;
  throw_error(error::unknown_scheme, fmt::format("address {} has no scheme of {}", quote(address), known));
}

std::string ClusterConnections::listen(std::string_view address,
                                       std::function<void(std::unique_ptr<Transport>)> accepted) {
  if (state_->closed) throw_error(error::node_closed, fmt::format("cannot listen on {}", quote(address)));
  std::shared_ptr<Listener> listener = state_->medium_for(std::string(address))->listen(state_->executor, address);
  std::string real_address = listener->address();
  state_->listeners.push_back(listener);
  state_->tasks.spawn(State::accept_all(state_, std::move(listener), std::move(accepted)));
  state_->log(LogLevel::info, "listening on " + real_address);
  return real_address;
}

awaitable<void> ClusterConnections::State::accept_all(std::shared_ptr<State> self, std::shared_ptr<Listener> listener,
                                                      std::function<void(std::unique_ptr<Transport>)> accepted) {
  try {
    for (;;) {
      std::unique_ptr<Transport> transport = co_await listener->accept();
      const bool full = self->connections.size() >= self->options.connections_max;
      if (full && !(self->options.always_welcome && self->options.always_welcome(*transport))) {
        ++self->counters.turned_away;
        self->log(self->turned_away_lines, LogLevel::warning,
                  fmt::format("connection from {} turned away: connections_max {} reached", transport->remote(),
                              self->options.connections_max));
        continue;
      }
      ++self->counters.accepted;
      accepted(std::move(transport));
    }
  } catch (const std::exception& failure) {
    const bool ours = std::ranges::find(self->listeners, listener) == self->listeners.end();
    if (!ours)
      self->log(LogLevel::error, fmt::format("no longer listening on {}: {}", listener->address(), failure.what()));
  }
}

void ClusterConnections::close_listeners() {
  for (const auto& listener : std::exchange(state_->listeners, {})) listener->close();
}

std::shared_ptr<ClusterConnection> ClusterConnections::adopt(std::unique_ptr<Transport> transport, Framing framing,
                                                             std::shared_ptr<RpcServer> server, bool identified) {
  return state_->adopt(std::move(transport), framing, std::move(server), identified);
}

std::shared_ptr<ClusterConnection> ClusterConnections::State::adopt(std::unique_ptr<Transport> transport,
                                                                    Framing framing, std::shared_ptr<RpcServer> server,
                                                                    bool identified) {
  ClusterMachineOptions with;
  with.framing = framing;
  with.limits = options.limits;
  with.branches = framing == Framing::slave ? nullptr : options.branches;
  with.identified = identified;
  with.far_end = transport->remote();
  with.on_first_pause = [weak = weak_from_this()](const std::string& why) {
    if (const auto state = weak.lock()) state->log(state->pause_lines, LogLevel::warning, why);
  };
  with.remote = std::make_shared<const PeerName>(PeerName{{}, server->kind(), transport->remote()});

  const std::shared_ptr<ClusterConnection> connection(new ClusterConnection);
  connection->remote_ = transport->remote();
  connection->remote_host_ = transport->remote_host();
  connection->owner_ = std::make_shared<ConnectionOwner<State>>(weak_from_this(), connection);
  auto machine = std::make_unique<ClusterMachine>(std::move(with));
  connection->machine_ = machine.get();
  auto trunk = std::make_shared<Trunk>(executor, std::move(machine), connection->owner_);
  connection->trunk_ = trunk;
  trunk->set_remote_base(connection->remote_);
  connection->control_ = RpcCircuit::start(Circuit(trunk, connection->machine().control()), std::move(server));
  if (closed) {
    connection->close(End(error::node_closed));
    return connection;
  }
  connections.push_back(connection);
  tasks.spawn(run(shared_from_this(), connection, std::move(trunk), std::move(transport)));
  return connection;
}

awaitable<void> ClusterConnections::State::run(std::shared_ptr<State> self,
                                               std::shared_ptr<ClusterConnection> connection,
                                               std::shared_ptr<Trunk> trunk, std::unique_ptr<Transport> transport) {
  Session session(std::move(trunk), std::move(transport), self->options.limits.goodbye_deadline);
  co_await session.run();
  std::erase(self->connections, connection);
  self->connection_gone.notify_all();
}

void ClusterConnections::State::on_event(const std::shared_ptr<ClusterConnection>& connection, TrunkEvent& event) {
  switch (event.kind) {
    case TrunkEvent::Kind::opened: {
      Circuit circuit(connection->trunk_, *event.circuit);
      if (connection->on_opened) connection->on_opened(ClusterMachine::route_of(*event.circuit), std::move(circuit));
      return;
    }
    case TrunkEvent::Kind::ended:
      if (event.circuit->end && event.circuit->end->code == error::stalled &&
          !ClusterMachine::route_of(*event.circuit).is_control())
        log(stalled_lines, LogLevel::warning, fmt::format("a virtual peer was closed: {}", event.circuit->end->text));
      return;
    case TrunkEvent::Kind::closed: {
      const End end = event.end ? std::move(*event.end) : End();
      const bool orderly = end.clean() || end.code == error::node_closed || end.code == error::draining;
      const LogLevel level = orderly ? LogLevel::info : LogLevel::warning;
      std::string text = fmt::format("{} connection with {} is over: {}", to_string(connection->framing()),
                                     connection->remote_, end.to_string());
      if (connection->framing() == Framing::cluster) return log(level, text); // of these there are few
      return log(over_lines, level, std::move(text));
    }
    default: return;
  }
}

awaitable<std::shared_ptr<ClusterConnection>> ClusterConnections::dial(std::string address, Framing framing,
                                                                       std::shared_ptr<RpcServer> server) {
  return State::dial(state_, std::move(address), framing, std::move(server));
}

awaitable<std::shared_ptr<ClusterConnection>> ClusterConnections::State::dial(std::shared_ptr<State> self,
                                                                              std::string address, Framing framing,
                                                                              std::shared_ptr<RpcServer> server) {
  if (self->closed) throw_error(error::node_closed, "cannot dial " + address);
  const std::shared_ptr<Medium> medium = self->medium_for(address);
  ++self->counters.dials;
  std::unique_ptr<Transport> transport;
  std::string failure;
  try {
    transport = co_await within(self->options.connect_deadline, medium->dial(address));
  } catch (const boost::system::system_error& thrown) {
    failure = thrown.code() == error::timed_out ? fmt::format("no answer from {} within connect_deadline {} ms",
                                                              address, self->options.connect_deadline.count())
                                                : text_of(thrown);
  }
  co_await throw_if_cancelled();
  if (!transport) throw_error(error::connect_failed, failure);
  co_return self->adopt(std::move(transport), framing, std::move(server), true);
}

void ClusterConnections::State::close(End reason) {
  closed = true;
  for (const auto& listener : std::exchange(listeners, {})) listener->close();
  for (const auto& connection : std::vector(connections)) connection->close(reason);
}

void ClusterConnections::close_now(End reason) { state_->close(std::move(reason)); }

awaitable<void> ClusterConnections::State::gone(std::shared_ptr<State> self) {
  while (!self->connections.empty()) co_await self->connection_gone.wait();
  self->tasks.cancel();
  co_await self->tasks.join();
}

awaitable<void> ClusterConnections::close() {
  state_->close(End());
  return State::gone(state_);
}

void ClusterConnections::spawn(awaitable<void> task) { state_->tasks.spawn(std::move(task)); }
void ClusterConnections::log(LogLevel level, std::string_view text) const { state_->log(level, text); }
std::shared_ptr<ClusterConnection> ClusterConnections::find(const RpcCircuit& control) const {
  const auto found = std::ranges::find_if(
      state_->connections, [&](const auto& connection) { return connection->control_.get() == &control; });
  return found == state_->connections.end() ? nullptr : *found;
}
std::size_t ClusterConnections::size() const noexcept { return state_->connections.size(); }
const Executor& ClusterConnections::executor() const noexcept { return state_->executor; }
const ClusterConnectionsOptions& ClusterConnections::options() const noexcept { return state_->options; }
const ClusterConnectionsCounters& ClusterConnections::counters() const noexcept { return state_->counters; }

} // namespace trunkline::quarkchain
