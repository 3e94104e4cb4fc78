#include "services/quarkchain/cluster/cluster_connection.hpp"

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "async/within.hpp"
#include "fragment/deadline.hpp"
#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/newcomers.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace trunkline::quarkchain {

struct ClusterConnections::State final : std::enable_shared_from_this<State>, Links::Owner {
  State(Executor executor, ClusterConnectionsOptions with)
      : options(std::move(with)), arriving(options.handshakes_max, options.handshakes_per_host_max),
        links(std::move(executor), links_options(options), *this) {
    options.limits.check();
  }

  static LinksOptions links_options(const ClusterConnectionsOptions& of) {
    LinksOptions options;
    options.media = with_default_media(of.media);
    options.connect_deadline = of.connect_deadline;
    options.goodbye_deadline = of.limits.goodbye_deadline;
    options.log = of.log;
    options.newcomers_max = of.newcomers_max;
    options.newcomers_per_host_max = of.newcomers_per_host_max;
    return options;
  }
  std::shared_ptr<void> keep() override { return shared_from_this(); }
  std::string limit_reached(const Transport& transport) const override;
  void on_gone(const std::shared_ptr<Link>& link) override { std::erase(connections, link); }

  // Coroutines keep the state alive, so they are static and take it by value.
  static awaitable<std::shared_ptr<ClusterConnection>> dial(std::shared_ptr<State> self, std::string address,
                                                            Framing framing, std::shared_ptr<RpcServer> server);
  static awaitable<void> gone(std::shared_ptr<State> self);
  using Accepted = std::function<void(std::unique_ptr<Transport>)>;
  static awaitable<void> secure(std::shared_ptr<State> self, std::unique_ptr<Transport> transport, Accepted accepted);
  static awaitable<std::string> prove(std::shared_ptr<State> self, Transport* transport);
  void make_room(const Transport& transport);
  void start(const std::shared_ptr<ClusterConnection>& connection, std::unique_ptr<Transport> transport,
             std::shared_ptr<RpcServer> server, bool identified);
  void close(End reason);

  ClusterConnectionsOptions options;
  std::vector<std::shared_ptr<ClusterConnection>> connections; // until their transport is closed
  bool closed = false;
  Newcomers arriving; // transports with a handshake to do: they are no connections yet
  Links links;
};

// One connection.

ClusterConnection::ClusterConnection(const Connections& connections, Framing framing, std::string dialled_address)
    : Link(std::move(dialled_address)), connections_(connections), framing_(framing) {}

ClusterConnection::ClusterConnection(const Connections& connections, Framing framing)
    : Link({}, {}), connections_(connections), framing_(framing) {}

std::string ClusterConnection::kind() const { return fmt::format("{} connection", to_string(framing_)); }

void ClusterConnection::on_event(TrunkEvent& event) {
  const auto connections = connections_.lock();
  if (!connections) return;
  switch (event.kind) {
    case TrunkEvent::Kind::opened: {
      Circuit circuit(trunk(), *event.circuit);
      if (on_opened) on_opened(ClusterMachine::route_of(*event.circuit), std::move(circuit));
      return;
    }
    case TrunkEvent::Kind::ended:
      if (event.circuit->end && event.circuit->end->code == error::stalled &&
          !ClusterMachine::route_of(*event.circuit).is_control())
        connections->links.log("stalled", LogLevel::warning,
                               fmt::format("a virtual peer was closed: {}", event.circuit->end->text));
      return;
    case TrunkEvent::Kind::closed:
      set_over(event.end ? std::move(*event.end) : End());
      connections->links.note_over(*this);
      return;
    default: return;
  }
}

// All of them.

ClusterConnections::ClusterConnections(Executor executor, ClusterConnectionsOptions options)
    : state_(std::make_shared<State>(std::move(executor), std::move(options))) {}

ClusterConnections::~ClusterConnections() {
  state_->close(End(error::node_closed));
  state_->links.cancel();
}

std::string ClusterConnections::State::limit_reached(const Transport& transport) const {
  if (connections.size() < options.connections_max) return {};
  if (options.always_welcome && options.always_welcome(transport)) return {};
  return fmt::format("connections_max {}", options.connections_max);
}

std::string ClusterConnections::listen(std::string_view address,
                                       std::function<void(std::unique_ptr<Transport>)> accepted) {
  if (state_->closed) throw_error(error::node_closed, fmt::format("cannot listen on {}", quote(address)));
  return state_->links.listen(address, [weak = std::weak_ptr(state_), accepted = std::move(accepted)](
                                           std::unique_ptr<Transport> transport) {
    const auto state = weak.lock();
    if (!state) return;
    if (!transport->needs_handshake()) return accepted(std::move(transport));
    state->links.spawn(State::secure(state, std::move(transport), accepted));
  });
}

/// Who is there is known before anything is decided about it.
awaitable<void> ClusterConnections::State::secure(std::shared_ptr<State> self, std::unique_ptr<Transport> transport,
                                                  Accepted accepted) {
  const std::string from = transport->remote();
  std::string why;
  try {
    why = co_await prove(self, transport.get());
    if (self->closed) co_return;
    const std::string limit = why.empty() ? self->limit_reached(*transport) : std::string();
    if (!limit.empty()) why = limit + " reached";
    if (why.empty()) accepted(std::move(transport));
  } catch (const std::exception&) {
    why = words_of(std::current_exception());
  }
  if (!why.empty())
    self->links.log("not secured", LogLevel::warning, fmt::format("connection from {} turned away: {}", from, why));
}

/// Does the handshake of an accepted transport. Returns why it has proven nothing.
awaitable<std::string> ClusterConnections::State::prove(std::shared_ptr<State> self, Transport* transport) {
  std::string why;
  self->make_room(*transport);
  self->arriving.add(transport, transport->remote_host(), Clock::of(self->links.executor()).now());
  try {
    co_await within(in_nanoseconds(self->options.handshake_deadline), transport->handshake());
  } catch (const boost::system::system_error& thrown) {
    if (thrown.code() == error::timed_out)
      why = fmt::format("no TLS handshake within handshake_deadline {} ms", self->options.handshake_deadline.count());
    else if (thrown.code() == asio::error::operation_aborted)
      why = fmt::format("it was silent, and handshakes_max is {}, {} of one host", self->options.handshakes_max,
                        self->options.handshakes_per_host_max);
    else
      why = text_of(thrown);
  } catch (const std::exception& thrown) {
    why = text_of(thrown);
  }
  self->arriving.erase(transport);
  co_return why;
}

/// Silent connections cost their far side nothing, so they keep out none that speaks.
void ClusterConnections::State::make_room(const Transport& transport) {
  const Newcomers::Who oldest = arriving.who_goes(transport.remote_host(), Clock::of(links.executor()).now());
  if (!oldest) return;
  arriving.erase(oldest);
  static_cast<Transport*>(const_cast<void*>(oldest))->close();
}

void ClusterConnections::close_listeners() { state_->links.close_listeners(); }

std::shared_ptr<ClusterConnection> ClusterConnections::adopt(std::unique_ptr<Transport> transport, Framing framing,
                                                             std::shared_ptr<RpcServer> server, bool identified) {
  const std::shared_ptr<ClusterConnection> connection(new ClusterConnection(state_, framing));
  state_->start(connection, std::move(transport), std::move(server), identified);
  return connection;
}

void ClusterConnections::State::start(const std::shared_ptr<ClusterConnection>& connection,
                                      std::unique_ptr<Transport> transport, std::shared_ptr<RpcServer> server,
                                      bool identified) {
  connection->set_remote(transport->remote(), transport->remote_host());
  ClusterMachineOptions with;
  with.framing = connection->framing();
  with.limits = options.limits;
  with.branches = with.framing == Framing::slave ? nullptr : options.branches;
  with.identified = identified;
  with.far_end = connection->remote();
  with.on_first_pause = [weak = weak_from_this()](const std::string& why) {
    if (const auto state = weak.lock()) state->links.log("pause", LogLevel::warning, why);
  };
  with.remote = std::make_shared<const PeerName>(PeerName{{}, server->kind(), connection->remote()});

  auto machine = std::make_unique<ClusterMachine>(std::move(with));
  connection->machine_ = machine.get();
  links.make_trunk(connection, std::move(machine));
  const std::shared_ptr<Trunk>& trunk = connection->trunk();
  trunk->set_remote_base(connection->remote());
  connection->control_ = RpcCircuit::start(Circuit(trunk, connection->machine_->control()), std::move(server));
  if (closed) return connection->close(End(error::node_closed));
  connections.push_back(connection);
  links.run(connection, std::move(transport), identified);
}

void ClusterConnection::identify() {
  machine_->identify();
  if (const auto connections = connections_.lock()) connections->links.identified(*this);
}

awaitable<std::shared_ptr<ClusterConnection>> ClusterConnections::dial(std::string address, Framing framing,
                                                                       std::shared_ptr<RpcServer> server) {
  return State::dial(state_, std::move(address), framing, std::move(server));
}

awaitable<std::shared_ptr<ClusterConnection>> ClusterConnections::State::dial(std::shared_ptr<State> self,
                                                                              std::string address, Framing framing,
                                                                              std::shared_ptr<RpcServer> server) {
  if (self->closed) throw_error(error::node_closed, "cannot dial " + address);
  const std::shared_ptr<ClusterConnection> connection(new ClusterConnection(self, framing, std::move(address)));
  std::unique_ptr<Transport> transport = co_await self->links.connect(connection);
  self->start(connection, std::move(transport), std::move(server), true);
  co_return connection;
}

void ClusterConnections::State::close(End reason) {
  closed = true;
  links.close_listeners();
  for (const auto& connection : std::vector(connections)) connection->close(reason);
}

void ClusterConnections::close_now(End reason) { state_->close(std::move(reason)); }

awaitable<void> ClusterConnections::State::gone(std::shared_ptr<State> self) {
  co_await self->links.gone();
  self->links.cancel();
  co_await self->links.join();
}

awaitable<void> ClusterConnections::close() {
  state_->close(End());
  return State::gone(state_);
}

void ClusterConnections::spawn(awaitable<void> task) { state_->links.spawn(std::move(task)); }
void ClusterConnections::log(LogLevel level, std::string_view text) const noexcept { state_->links.log(level, text); }
void ClusterConnections::log(const char* kind, LogLevel level, std::string_view text) const noexcept {
  state_->links.log(kind, level, text);
}
std::shared_ptr<ClusterConnection> ClusterConnections::find(const RpcCircuit& control) const {
  const auto found = std::ranges::find_if(
      state_->connections, [&](const auto& connection) { return connection->control_.get() == &control; });
  return found == state_->connections.end() ? nullptr : *found;
}
std::size_t ClusterConnections::size() const noexcept { return state_->connections.size(); }
const Executor& ClusterConnections::executor() const noexcept { return state_->links.executor(); }
const ClusterConnectionsOptions& ClusterConnections::options() const noexcept { return state_->options; }

void ClusterConnections::set_limits(const ClusterLimits& limits) {
  limits.check();
  state_->options.limits = limits;
}
const LinksCounters& ClusterConnections::counters() const noexcept { return state_->links.counters(); }

} // namespace trunkline::quarkchain
