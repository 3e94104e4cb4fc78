#include "peer/node_core.hpp"

#include "async/clock.hpp"
#include "async/first_of.hpp"
#include "circuit/native/machine.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "transport/tls.hpp"
#include "transport/web_socket.hpp"

#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <random>
#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

std::unique_ptr<Machine> make_native_machine(MachineSetup setup, Instant now) {
  NativeMachineOptions options;
  options.limits = setup.limits;
  options.dialled = setup.dialled;
  options.node_id = setup.node_id;
  options.node_name = std::move(setup.node_name);
  options.addresses = std::move(setup.addresses);
  options.far_end = std::move(setup.far_end);
  options.proof_to_come = setup.proof_to_come;
  return std::make_unique<NativeMachine>(std::move(options), now);
}

/// What such a port turns away never becomes a link, which would be logged.
WebSocketOptions web_options(const LogSink& log) {
  WebSocketOptions web;
  if (!log) return web;
  web.on_refused = [log](const std::string& remote, const std::string& why) {
    log(LogLevel::warning, remote + " was refused: " + why);
  };
  return web;
}

NodeOptions complete(NodeOptions options) {
  options.limits.check();
  const auto demand = [](bool good, const char* name, std::int64_t value, const char* expected) {
    if (!good) throw std::invalid_argument(fmt::format("{} is {}, expected {}", name, value, expected));
  };
  const auto demand_one = [&](std::size_t value, const char* name) { demand(value >= 1, name, 0, "at least 1"); };
  options.redial.check("redial");
  demand_one(options.trunks_max, "trunks_max");
  demand_one(options.peers_max, "peers_max");
  demand_one(options.peers_per_trunk_max, "peers_per_trunk_max");
  demand_one(options.handshakes_max, "handshakes_max");
  demand_one(options.handshakes_per_host_max, "handshakes_per_host_max");
  demand(options.connect_deadline.count() >= 1 &&
             (options.connect_deadline <= std::chrono::days(365) || is_never(options.connect_deadline)),
         "connect_deadline", options.connect_deadline.count(), "1 millisecond to 365 days, or the longest for none");
  if (!options.random) {
    const auto device = std::make_shared<std::random_device>();
    options.random = [device] { return std::uint64_t{(*device)()} << 32 | (*device)(); };
  }
  if (!options.dialect) options.dialect = make_native_machine;
  if (options.identity) {
    const NodeId key = options.identity->id();
    if (!options.id.empty() && options.id != key)
      throw std::invalid_argument(
          fmt::format("the id of the node is {}, expected that of its key {}", options.id.to_string(), key.to_string()));
    options.id = key;
    for (const std::shared_ptr<Medium>& medium :
         {make_tls_medium(options.identity), make_web_socket_tls_medium(options.identity, web_options(options.log))})
      options.media.emplace(medium->scheme(), medium); // a program may have its own
  }
  options.media = with_default_media(std::move(options.media));
  return options;
}

/// What counts on for the node when the trunk is gone.
void add(NodeCounters& counters, const TrunkCounters& trunk) {
  counters.opens_cancelled += trunk.opens_cancelled;
  counters.opens_delayed += trunk.opens_delayed;
  counters.reading_pauses += trunk.reading_pauses;
  counters.circuits_lost += trunk.circuits_lost;
}

LinksOptions links_options(const NodeOptions& options) {
  LinksOptions links;
  links.media = options.media;
  links.connect_deadline = options.connect_deadline;
  links.goodbye_deadline = options.limits.goodbye_deadline;
  links.handshake_deadline = options.limits.handshake_deadline;
  links.log = options.log;
  links.newcomers_max = options.handshakes_max;
  links.newcomers_per_host_max = options.handshakes_per_host_max;
  return links;
}

} // namespace

NodeCore::NodeCore(Executor executor, NodeOptions options)
    : options_(complete(std::move(options))), id_(options_.id.empty() ? NodeId::draw(options_.random) : options_.id),
      name_(options_.name.empty() ? id_.to_string() : escape(options_.name)), peers_(*this),
      trunks_(id_, options_.media), links_(std::move(executor), links_options(options_), *this), home_(HomeThread::of(links_.executor())) {
  if (options_.context_has_one_thread) return;
  if (const std::string why = why_many_threads(links_.executor()); !why.empty())
    throw std::invalid_argument(fmt::format(
        "node {} got the executor of {}, which several threads may run; a node runs on one: give it an io_context(1) "
        "of its own, see docs/threads.md",
        name_, why));
}

NodeCounters NodeCore::counters() const {
  NodeCounters counters = counters_;
  counters.dials = links_.counters().dials;
  counters.dials_held_back = redialler_.dials_held_back();
  counters.reconnects = redialler_.reconnects();
  counters.connections_turned_away = links_.counters().turned_away;
  counters.circuits_refused = peers_.circuits_refused();
  counters.callers_left = peers_.callers_left();
  counters.services_failed = peers_.services_failed();
  for (const auto& link : trunks_.all()) {
    counters.trunks_open += link->phase() == Link::Phase::open;
    const TrunkCounters& trunk = link->trunk()->machine().counters();
    counters.circuits_held += trunk.circuits_held;
    add(counters, trunk);
  }
  for (const auto& weak : lost_trunks_)
    if (const auto trunk = weak.lock()) counters.circuits_held += trunk->machine().counters().circuits_held;
  counters.peers_ending = peers_.ending_count();
  return counters;
}

void NodeCore::check_running() const {
  if (phase_ == Phase::closing) throw_error(error::node_closed, "node " + name_ + " is closed");
  if (phase_ == Phase::draining) throw_error(error::draining, "node " + name_ + " takes no new circuits");
}

// Names.

std::string NodeCore::base_address() const {
  for (const auto* list : {&links_.addresses(), &options_.advertise})
    for (const std::string& address : *list)
      if (!is_unspecified(address)) return address;
  return links_.addresses().empty() ? "node://" + id_.to_string() : links_.addresses().front();
}

std::shared_ptr<const PeerName> NodeCore::make_name(std::string service, PeerId id) const {
  auto name = std::make_shared<PeerName>();
  name->url = PeerUrl(base_address(), service, id).to_string();
  name->service = std::move(service);
  name->id = id;
  return name;
}

// Links.

std::unique_ptr<Machine> NodeCore::make_machine(const NodeLink& link) const {
  MachineSetup setup;
  setup.limits = options_.limits;
  setup.dialled = link.dialled();
  setup.node_id = id_;
  setup.node_name = options_.name;
  setup.addresses = links_.addresses();
  setup.addresses.insert(setup.addresses.end(), options_.advertise.begin(), options_.advertise.end());
  setup.far_end = link.remote();
  const Medium* const medium = find_medium(options_.media, link.remote());
  setup.proof_to_come = medium && medium->proves_identity();
  return options_.dialect(std::move(setup), Clock::of(executor()).now());
}

std::string NodeCore::listen(std::string_view address) {
  check_running();
  check_exposed(address, "listen on");
  // The Links keep this as long as they may call.
  std::string real_address =
      links_.listen(address, [this](std::unique_ptr<Transport> transport) { accepted(std::move(transport)); });
  peers_.rename();
  return real_address;
}

std::string NodeCore::limit_reached(const Transport&) const {
  if (trunks_.size() >= options_.trunks_max) return fmt::format("trunks_max {}", options_.trunks_max);
  return {};
}

void NodeCore::accepted(std::unique_ptr<Transport> transport) {
  if (phase_ != Phase::running) return;
  const auto link = std::make_shared<NodeLink>(weak_from_this(), transport->remote(), transport->remote_host());
  links_.make_trunk(link, make_machine(*link));
  trunks_.add(link);
  links_.run(link, std::move(transport));
}

std::shared_ptr<NodeLink> NodeCore::link_to(const std::string& address, bool& dialled) {
  if (std::shared_ptr<NodeLink> known = trunks_.find(address)) return known;
  dialled = true;
  const auto link = std::make_shared<NodeLink>(weak_from_this(), address);
  links_.make_trunk(link, make_machine(*link));
  link->trunk()->set_remote_base(url_base(address));
  trunks_.add(link);
  links_.dial(link);
  return link;
}

void NodeCore::check_dial(const Link& link) {
  const std::string& address = link.dialled_address();
  check_exposed(address, "dial");
  if (address.starts_with("node://"))
    throw_error(error::connect_failed, "no trunk to " + quote(address) +
                                           ": a node that listens nowhere is reached only while it is connected");
  if (trunks_.size() > options_.trunks_max)
    throw_error(error::connect_failed,
                fmt::format("a trunk to {} would exceed trunks_max {}", address, options_.trunks_max));
}

TimePoint NodeCore::dial_at(const Link& link) {
  const TimePoint at = redialler_.next_attempt(link.dialled_address());
  if (at > now()) redialler_.note_held_back();
  return at;
}

/// Plain text beyond this machine is used by those who ask for it, and leaves a line.
void NodeCore::check_exposed(std::string_view address, const char* verb) {
  if (!is_exposed(options_.media, address)) return;
  if (!options_.allow_plaintext)
    throw_error(error::plaintext_refused,
                fmt::format("cannot {} {}: other machines can reach it, and nothing encrypts it or proves who is there; "
                            "NodeOptions::allow_plaintext allows it",
                            verb, quote(address)));
  log("plaintext", LogLevel::warning,
      fmt::format("{} is not encrypted, and nobody there proves who they are", quote(address)));
}

void NodeCore::reload_identity() {
  if (!options_.identity) throw std::logic_error("node " + name_ + " has no identity to read again");
  options_.identity->reload();
  id_ = options_.identity->id();
  trunks_.set_own(id_);
  links_.refresh_addresses();
  peers_.rename();
}

awaitable<bool> NodeCore::dial(std::shared_ptr<NodeCore> core, std::string address) {
  core->home().check("Node::dial");
  core->check_running();
  bool dialled = false;
  const std::shared_ptr<NodeLink> link = core->link_to(address, dialled);
  while (link->node_id.empty() && link->phase() != Link::Phase::over) co_await link->changed();
  if (link->node_id.empty()) throw boost::system::system_error(link->end().code, link->end().words());
  co_return dialled;
}

void NodeCore::on_gone(const std::shared_ptr<Link>& link) {
  trunks_.erase(link);
  add(counters_, link->trunk()->machine().counters());
  const auto held = [](const std::weak_ptr<Trunk>& weak) {
    const auto trunk = weak.lock();
    return trunk && trunk->machine().counters().circuits_held > 0;
  };
  std::erase_if(lost_trunks_, std::not_fn(held));
  if (held(link->trunk())) lost_trunks_.push_back(link->trunk());
}

// Circuits.

Circuit NodeCore::open(const std::string& address, OpenRequest request, std::optional<Fragment> first,
                       const LocalPeer* peer) {
  check_running();
  bool dialled = false;
  const std::shared_ptr<NodeLink> link = link_to(address, dialled);
  if (peer) Peers::introduce(*link, *peer);
  const std::shared_ptr<Trunk>& trunk = link->trunk();
  return trunk->with([&](Machine& machine) {
    TrunkCircuit* const state = machine.open(std::move(request), std::move(first), trunk->now());
    state->dialled = dialled;
    Circuit circuit(trunk, *state);
    if (state->deadline != Instant::max()) trunk->watch_deadlines();
    return circuit;
  });
}

std::shared_ptr<Trunk> NodeCore::trunk_without_room(const std::string& address) const {
  const std::shared_ptr<NodeLink> link = trunks_.find(address);
  const auto has_room = [](Machine& machine) {
    return machine.may_open() && (machine.remote() || machine.circuits_count() == 0);
  };
  return !link || link->trunk()->with(has_room) ? nullptr : link->trunk();
}

// What happens on links.

void NodeCore::on_event(const std::shared_ptr<NodeLink>& link, TrunkEvent& event) {
  using Kind = TrunkEvent::Kind;
  switch (event.kind) {
    case Kind::hello: return on_hello(link);
    case Kind::opened: return peers_.answer(link, *event.circuit, *event.open);
    case Kind::draining:
      log("draining", LogLevel::debug, fmt::format("{} takes no new circuits", link->remote()));
      return set_draining(link);
    case Kind::lost: return on_lost(*link, *event.circuit);
    case Kind::closed: return on_closed(link, event.end ? std::move(*event.end) : End());
    default: return; // circuits tell their handles
  }
}

/// Nobody holds it any more, so the log hears of it.
void NodeCore::on_lost(const NodeLink& link, const TrunkCircuit& circuit) {
  links_.log("lost", LogLevel::warning,
             fmt::format("what was sent on circuit {} to {} of {} may not have arrived, and its handle is gone: {}",
                         circuit.id, quote(circuit.names->remote->service, 64), link.remote(),
                         circuit.end ? circuit.end->to_string() : "it has ended"));
}

/// A handle has opened another circuit to its far peer: this trunk may be new to the local peer, or that peer may be
/// gone.
void NodeCore::on_opened_here(NodeLink& link, TrunkCircuit& circuit) {
  const auto peer = peers_.registry().find_peer(circuit.names->local->id);
  if (peer) Peers::introduce(link, *peer);
  else
    link.trunk()->with([&](Machine& machine) {
      machine.reset(circuit, End(error::peer_ended));
      machine.end_peer(*circuit.names->local, End(error::peer_ended));
    });
}

void NodeCore::on_hello(const std::shared_ptr<NodeLink>& link) {
  if (link->phase() != Link::Phase::handshaking) return;
  RemoteNode remote = *link->trunk()->machine().remote();
  if (!believe(*link, remote)) return;
  links_.identified(*link);
  ++counters_.trunks_opened;
  const auto superfluous = trunks_.identify(link, remote, links_.addresses());
  redialler_.note_open(*link);
  if (link->trunk()->remote_base().empty())
    link->trunk()->set_remote_base(link->addresses.empty() ? "node://" + remote.id.to_string()
                                                           : url_base(link->addresses.front()));
  log("open", LogLevel::info,
      fmt::format("trunk with {} is open, node {}", link->remote(),
                  remote.name.empty() ? remote.id.to_string() : quote(remote.name)));

  const auto preferred = trunks_.find(remote.id);
  for (const auto& other : trunks_.all())
    if (other->node_id == remote.id && other != preferred) other->trunk()->set_successor(preferred->trunk());
  preferred->trunk()->set_successor({});

  tell(LinkChange::opened, *link);

  // Its circuits go on; what the far side opened before it heard of this is served.
  for (const auto& other : superfluous) {
    log("superfluous", LogLevel::debug,
        fmt::format("trunk with {} drains: there is another one to its node", other->remote()));
    set_draining(other);
    other->trunk()->with([](Machine& machine) { machine.drain(Instant::max(), true); });
  }
  link->announce();
}

/// Whether the trunk may open. What the far side says of itself may be changed into what is believed.
bool NodeCore::believe(const NodeLink& link, RemoteNode& remote) {
  if (!options_.identity) return true;
  if (link.is_proven()) {
    note_proven(link);
    return true;
  }
  if (has_key(remote.id)) {
    End reason(error::not_proven, fmt::format("the far side says that it is node {}, which has a key, and shows none",
                                              remote.id.to_string()));
    link.trunk()->with([&](Machine& machine) { machine.close(std::move(reason)); });
    return false;
  }
  // Encrypted or not, it has shown nothing.
  if (const Medium* const medium = find_medium(options_.media, link.remote());
      medium && !is_local_only(options_.media, link.remote())) {
    remote.id = draw_id();
    remote.addresses.clear();
  }
  return true;
}

bool NodeCore::has_key(const NodeId& id) const {
  const Trust& trust = options_.identity->trust();
  const auto& pins = trust.options().pins;
  return id == id_ || trust.known().find(id) || std::ranges::find(pins, id) != pins.end() ||
         std::ranges::find(proven_, id) != proven_.end();
}

/// From now on nobody else is believed to be this node, and whoever was is turned out.
void NodeCore::note_proven(const NodeLink& link) {
  constexpr std::size_t proven_max = 4096;
  const RemoteIdentity& who = *link.trunk()->remote_identity();
  std::erase(proven_, who.id);
  proven_.push_back(who.id);
  if (proven_.size() > proven_max) proven_.pop_front();
  for (const auto& other : std::vector(trunks_.all()))
    if (!other->is_proven() && !other->node_id.empty() && who.is(other->node_id))
      other->trunk()->with([&](Machine& machine) {
        machine.close(End(error::not_proven, fmt::format("node {} has shown its key on another connection",
                                                         other->node_id.to_string())));
      });
}

void NodeCore::on_closed(const std::shared_ptr<NodeLink>& link, End reason) {
  const Link::Phase before = link->phase();
  trunks_.set_over(link, std::move(reason));
  const bool in_order = links_.note_over(*link);
  if (link->end().code == error::not_trunkline) ++counters_.connections_unrecognised;
  if (before == Link::Phase::open && !in_order) ++counters_.trunks_lost;
  if (before == Link::Phase::open) tell(LinkChange::over, *link);
  link->announce();
  redialler_.note_over(*link);
}

// Introspection and control of links.

LinkInfo NodeCore::info_of(const NodeLink& link) {
  LinkInfo info;
  info.node = link.node_id;
  if (const RemoteNode* const remote = link.trunk()->machine().remote()) info.name = remote->name;
  info.identity = link.trunk()->remote_identity();
  info.remote = link.remote();
  info.remote_host = link.remote_host();
  info.addresses = link.addresses;
  info.dialled = link.dialled();
  info.reconnected = link.reconnected;
  info.draining = link.draining;
  info.ended_here = link.ended_here;
  info.end = link.end();
  info.counters = link.trunk()->machine().counters();
  info.trunk = link.trunk();
  return info;
}

/// What the program throws is its own affair: the node is in the middle of something.
void NodeCore::tell(LinkChange change, const NodeLink& link) noexcept {
  if (!options_.on_link) return;
  try {
    options_.on_link(change, info_of(link));
  } catch (...) {
    log("on_link", LogLevel::error, "on_link threw: " + words_of(std::current_exception()));
  }
}

void NodeCore::set_draining(const std::shared_ptr<NodeLink>& link) {
  const bool told = std::exchange(link->draining, true);
  trunks_.set_draining(link);
  if (!told && link->phase() == Link::Phase::open) tell(LinkChange::draining, *link);
}

std::vector<LinkInfo> NodeCore::links() const {
  std::vector<LinkInfo> infos;
  for (const auto& link : trunks_.all())
    if (link->phase() == Link::Phase::open) infos.push_back(info_of(*link));
  return infos;
}

std::optional<LinkInfo> NodeCore::link_with(const NodeId& node) const {
  const std::shared_ptr<NodeLink> link = trunks_.find(node);
  std::optional<LinkInfo> info;
  if (link) info.emplace(info_of(*link));
  return info;
}

void NodeCore::end_link(const std::shared_ptr<Trunk>& trunk, Duration deadline, End reason) {
  for (const auto& known : std::vector(trunks_.all())) {
    if (known->trunk() != trunk || known->phase() != Link::Phase::open) continue;
    known->ended_here = true;
    set_draining(known);
    trunk->with([&](Machine& machine) {
      if (deadline > Duration::zero()) machine.drain(after(trunk->now(), deadline), true);
      else machine.close(std::move(reason));
    });
    return;
  }
}

// Ending.

awaitable<void> NodeCore::drain(std::shared_ptr<NodeCore> core, Duration deadline) {
  core->home().check("Node::drain");
  const TimePoint now = Clock::of(core->executor()).now();
  const TimePoint due = after(now, deadline);
  if (core->phase_ == Phase::running) {
    core->phase_ = Phase::draining;
    core->log(LogLevel::info, fmt::format("draining {} trunks", core->trunks_.size()));
    core->links_.close_listeners();
    core->redialler_.stop();
  }
  const End reason(error::draining, "node " + core->name_ + " drains");
  for (const auto& link : std::vector(core->trunks_.all())) {
    // What was opened before the connection is there is served, too, also where its handle is gone.
    if (link->phase() == Link::Phase::connecting && link->trunk()->machine().counters().circuits_opened == 0) {
      core->links_.abandon(link, reason);
    } else {
      link->trunk()->with([&](Machine& machine) { machine.drain(due); });
    }
  }

  co_await first_of(core->links_.gone(), sleep_until(due));
  // Those that are not open may have no session that would tick them: they still dial, or do their TLS handshake.
  for (const auto& link : std::vector(core->trunks_.all())) {
    if (link->phase() == Link::Phase::connecting) core->links_.abandon(link, reason);
    else if (link->phase() == Link::Phase::handshaking)
      link->trunk()->with([&](Machine& machine) { machine.close(reason); });
  }
  co_await core->links_.gone();
}

void NodeCore::begin_close() {
  if (std::exchange(phase_, Phase::closing) == Phase::closing) return;
  links_.close_listeners();
  redialler_.stop();
  const End reason(error::node_closed, "node " + name_ + " is closed");
  for (const auto& link : std::vector(trunks_.all())) {
    if (link->phase() == Link::Phase::connecting) {
      links_.abandon(link, reason);
    } else {
      // Ends all circuits, so that the peers below have none left to close.
      link->trunk()->with([&](Machine& machine) { machine.close(reason); });
    }
  }
  for (const auto& peer : peers_.registry().peers()) peers_.end(*peer, reason, false);
  // A function may own peers of this node, which keep the node. What runs has copies. It goes last, because what it owns
  // may call back.
  peers_.registry().release_functions();
}

awaitable<void> NodeCore::close(std::shared_ptr<NodeCore> core) {
  core->home().check("Node::close");
  core->begin_close();
  for (const auto& weak : std::vector(core->peers_.ending())) {
    const std::shared_ptr<LocalPeer> peer = weak.lock();
    if (peer) co_await peer->ended();
  }
  co_await core->links_.gone();
  co_await core->links_.join();
}

} // namespace trunkline
