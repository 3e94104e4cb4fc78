// The part of a node that makes trunks, runs their connections, and hears what happens on them.
#include "async/clock.hpp"
#include "circuit/native/machine.hpp"
#include "peer/node_core.hpp"
#include "fragment/quote.hpp"
#include "peer/session.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <exception>
#include <functional>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

using namespace asio::experimental::awaitable_operators;

/// How an attempt to connect came out: a transport, or why there is none.
struct Attempt {
  std::unique_ptr<Transport> transport;
  std::string failure;
};

awaitable<Attempt> attempt(std::shared_ptr<Medium> medium, std::string address) {
  Attempt outcome;
  try {
    outcome.transport = co_await medium->dial(std::move(address));
  } catch (const std::exception& failure) {
    outcome.failure = text_of(failure);
  }
  co_return outcome;
}

awaitable<void> abandoned(std::shared_ptr<Link> trunk) {
  while (!trunk->abandoned) co_await trunk->abandon.wait();
}

awaitable<Attempt> connect(std::shared_ptr<Medium> medium, std::shared_ptr<Link> trunk,
                           std::chrono::milliseconds deadline) {
  auto outcome =
      co_await (attempt(std::move(medium), trunk->dialled_address) || (sleep_for(deadline) || abandoned(trunk)));
  if (outcome.index() == 0) co_return std::get<0>(std::move(outcome));
  Attempt given_up;
  given_up.failure =
      fmt::format("no answer from {} within connect_deadline {} ms", trunk->dialled_address, deadline.count());
  co_return given_up;
}

} // namespace

std::shared_ptr<Medium> NodeCore::medium_for(std::string_view address) const {
  const std::string_view scheme = scheme_of(address);
  const auto found = options_.media.find(std::string(scheme));
  if (found != options_.media.end()) return found->second;
  std::string known;
  for (const auto& [name, medium] : options_.media) known += (known.empty() ? "" : ", ") + name;
  throw_error(error::unknown_scheme, fmt::format("address {} has no scheme of {}", quote(address), known));
}

// Makes the machine before there is a connection: what is opened and sent meanwhile waits in it, bounded by the windows
// that are assumed, and leaves in the first packet.
NodeCore::TrunkPointer NodeCore::make_trunk(std::string dialled_address, std::string remote) {
  NativeMachineOptions options;
  options.limits = options_.limits;
  options.dialled = !dialled_address.empty();
  options.node_id = id_;
  options.node_name = options_.name;
  options.addresses = addresses_;
  options.addresses.insert(options.addresses.end(), options_.advertise.begin(), options_.advertise.end());
  options.far_end = remote;
  const TimePoint now = Clock::of(executor_).now();

  auto trunk = std::make_shared<Link>();
  trunk->core = weak_from_this();
  trunk->live = std::make_shared<Trunk>(executor_, std::make_unique<NativeMachine>(std::move(options), now), trunk);
  trunk->live->set_remote_base(url_base(dialled_address));
  trunk->dialled = !dialled_address.empty();
  trunk->remote = std::move(remote);
  trunk->dialled_address = std::move(dialled_address);
  trunks_.add(trunk);
  return trunk;
}

NodeCore::TrunkPointer NodeCore::trunk_to(const std::string& address, bool& dialled) {
  if (TrunkPointer trunk = trunks_.find(address)) return trunk;
  dialled = true;
  TrunkPointer trunk = make_trunk(address, address);
  tasks_.spawn(run_dialled(shared_from_this(), trunk));
  return trunk;
}

Circuit NodeCore::open(const std::string& address, OpenRequest request, std::optional<Fragment> first,
                       const LocalPeer* peer) {
  check_running();
  bool dialled = false;
  const TrunkPointer trunk = trunk_to(address, dialled);
  if (peer) introduce(*trunk, *peer);
  return trunk->live->with([&](Machine& machine) {
    TrunkCircuit* const state = machine.open(std::move(request), std::move(first), trunk->live->now());
    state->dialled = dialled;
    return Circuit(trunk->live, *state);
  });
}

awaitable<void> NodeCore::run_dialled(std::shared_ptr<NodeCore> core, TrunkPointer trunk) {
  Attempt outcome;
  try {
    if (trunk->dialled_address.starts_with("node://"))
      throw_error(error::connect_failed, "no trunk to " + quote(trunk->dialled_address) +
                                             ": a node that listens nowhere is reached only while it is connected");
    if (core->trunks_.size() > core->options_.trunks_max)
      throw_error(error::connect_failed, fmt::format("a trunk to {} would exceed trunks_max {}", trunk->dialled_address,
                                                     core->options_.trunks_max));
    const std::shared_ptr<Medium> medium = core->medium_for(trunk->dialled_address);
    ++core->counters_.dials;
    outcome = co_await connect(medium, trunk, core->options_.connect_deadline);
  } catch (const boost::system::system_error& failure) {
    outcome.failure = text_of(failure);
  }
  if (outcome.transport && trunk->phase == Link::Phase::connecting) {
    core->set_connected(*trunk, *outcome.transport);
    co_await run_connected(core, trunk, std::move(outcome.transport));
    co_return;
  }
  trunk->live->disconnected(End(error::connect_failed, outcome.failure));
  core->forget(trunk);
}

void NodeCore::accepted(std::unique_ptr<Transport> transport) {
  if (phase_ != Phase::running) return;
  const bool too_many_handshakes = handshakes_count_ >= options_.handshakes_max;
  if (too_many_handshakes || trunks_.size() >= options_.trunks_max) {
    ++counters_.connections_turned_away;
    log(LogLevel::warning, fmt::format("connection from {} turned away: {} reached", transport->remote(),
                                       too_many_handshakes ? fmt::format("handshakes_max {}", options_.handshakes_max)
                                                           : fmt::format("trunks_max {}", options_.trunks_max)));
    return;
  }
  ++handshakes_count_;
  TrunkPointer trunk = make_trunk({}, transport->remote());
  set_connected(*trunk, *transport);
  tasks_.spawn(run_connected(shared_from_this(), std::move(trunk), std::move(transport)));
}

void NodeCore::set_connected(Link& trunk, const Transport& transport) {
  trunk.phase = Link::Phase::handshaking;
  trunk.remote_host = transport.remote_host();
}

awaitable<void> NodeCore::run_connected(std::shared_ptr<NodeCore> core, TrunkPointer trunk,
                                        std::unique_ptr<Transport> transport) {
  Session session(trunk->live, std::move(transport), core->options_.limits.goodbye_deadline);
  co_await session.run();
  core->forget(trunk);
}

void NodeCore::forget(const TrunkPointer& trunk) {
  trunks_.erase(trunk);
  const auto held = [](const std::weak_ptr<Trunk>& weak) {
    const auto live = weak.lock();
    return live && live->machine().counters().circuits_held > 0;
  };
  std::erase_if(lost_trunks_, std::not_fn(held));
  if (held(trunk->live)) lost_trunks_.push_back(trunk->live);
  trunk_gone_.notify_all();
}

/// For a trunk that has no connection yet.
void NodeCore::abandon(const TrunkPointer& trunk, End reason) {
  trunk->live->with([&](Machine& machine) { machine.close(reason); }); // names the reason to the circuits
  trunk->live->disconnected(std::move(reason));
  trunk->abandoned = true;
  trunk->abandon.notify_all();
}

// What happens on trunks. Called in the middle of a trunk's settling: nothing here waits, and the trunk takes calls.

void Link::on_event(TrunkEvent& event) {
  if (const auto node = core.lock()) node->on_event(shared_from_this(), event);
}

void Link::on_opened_here(TrunkCircuit& circuit) {
  if (const auto node = core.lock()) node->on_opened_here(*this, circuit);
}

void NodeCore::on_event(const TrunkPointer& trunk, TrunkEvent& event) {
  using Kind = TrunkEvent::Kind;
  switch (event.kind) {
    case Kind::hello: return on_hello(trunk);
    case Kind::opened: return answer(trunk, *event.circuit, *event.open);
    case Kind::draining:
      log(LogLevel::debug, fmt::format("{} takes no new circuits", trunk->remote));
      return set_draining(trunk);
    case Kind::closed: return on_closed(trunk, event.end ? std::move(*event.end) : End());
    default: return; // circuits tell their handles
  }
}

/// A handle opened another circuit to where it leads: the trunk may be new to its peer, or the peer be gone.
void NodeCore::on_opened_here(Link& trunk, TrunkCircuit& circuit) {
  const auto peer = registry_.find_peer(circuit.names->local->id);
  if (peer) introduce(trunk, *peer);
  else trunk.live->with([&](Machine& machine) { machine.reset(circuit, End(error::peer_ended)); });
}

void NodeCore::on_hello(const TrunkPointer& trunk) {
  const RemoteNode& remote = *trunk->live->machine().remote();
  if (trunk->phase != Link::Phase::handshaking) return;
  if (!trunk->dialled) --handshakes_count_;
  ++counters_.trunks_opened;
  const auto superfluous = trunks_.identify(trunk, remote, addresses_);
  if (trunk->live->remote_base().empty())
    trunk->live->set_remote_base(trunk->addresses.empty() ? "node://" + remote.id.to_string()
                                                          : url_base(trunk->addresses.front()));
  log(LogLevel::info, fmt::format("trunk with {} is open, node {}", trunk->remote,
                                  remote.name.empty() ? remote.id.to_string() : quote(remote.name)));

  const auto preferred = trunks_.find(remote.id);
  for (const auto& other : trunks_.all())
    if (other->node_id == remote.id && other != preferred) other->live->set_successor(preferred->live);
  preferred->live->set_successor({});

  tell(LinkChange::opened, *trunk);

  // Its circuits go on; what the far side opened before it heard of this is served.
  for (const auto& other : superfluous) {
    log(LogLevel::debug, fmt::format("trunk with {} drains: there is another one to its node", other->remote));
    set_draining(other);
    other->live->with([](Machine& machine) { machine.drain(Instant::max(), true); });
  }
  trunk->changed.notify_all();
}

void NodeCore::on_closed(const TrunkPointer& trunk, End reason) {
  const Link::Phase before = trunk->phase;
  if (before == Link::Phase::handshaking && !trunk->dialled) --handshakes_count_;
  trunk->end = std::move(reason);
  trunks_.set_over(trunk);
  const bool orderly =
      trunk->end.clean() || trunk->end.code == error::node_closed || trunk->end.code == error::draining;
  if (trunk->end.code == error::not_trunkline) ++counters_.connections_unrecognised;
  if (before == Link::Phase::open && !orderly) ++counters_.trunks_lost;
  log(orderly ? LogLevel::info : LogLevel::warning,
      fmt::format("trunk with {} is over: {}", trunk->remote, trunk->end.to_string()));
  if (before == Link::Phase::open) tell(LinkChange::over, *trunk);
  trunk->changed.notify_all();
}

// For those who count, show or end connections.

LinkInfo NodeCore::view_of(const Link& trunk) {
  LinkInfo view;
  view.node = trunk.node_id;
  if (const RemoteNode* const remote = trunk.live->machine().remote()) view.name = remote->name;
  view.remote = trunk.remote;
  view.addresses = trunk.addresses;
  view.dialled = trunk.dialled;
  view.draining = trunk.draining;
  view.ended_here = trunk.ended_here;
  view.end = trunk.end;
  view.counters = trunk.live->machine().counters();
  view.trunk = trunk.live;
  return view;
}

void NodeCore::tell(LinkChange change, const Link& trunk) const {
  if (options_.on_link) options_.on_link(change, view_of(trunk));
}

void NodeCore::set_draining(const TrunkPointer& trunk) {
  const bool told = std::exchange(trunk->draining, true);
  trunks_.set_draining(trunk);
  if (!told && trunk->phase == Link::Phase::open) tell(LinkChange::draining, *trunk);
}

std::vector<LinkInfo> NodeCore::links() const {
  std::vector<LinkInfo> views;
  for (const auto& trunk : trunks_.all())
    if (trunk->phase == Link::Phase::open) views.push_back(view_of(*trunk));
  return views;
}

std::optional<LinkInfo> NodeCore::link_with(const NodeId& node) const {
  const TrunkPointer trunk = trunks_.find(node);
  std::optional<LinkInfo> view;
  if (trunk) view.emplace(view_of(*trunk));
  return view;
}

void NodeCore::end_link(const std::shared_ptr<Trunk>& trunk, Duration deadline, End reason) {
  for (const auto& known : std::vector(trunks_.all())) {
    if (known->live != trunk || known->phase != Link::Phase::open) continue;
    known->ended_here = true;
    set_draining(known);
    trunk->with([&](Machine& machine) {
      if (deadline > Duration::zero()) machine.drain(trunk->now() + deadline, true);
      else machine.close(std::move(reason));
    });
    return;
  }
}

} // namespace trunkline
