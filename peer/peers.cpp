#include "peer/peers.hpp"

#include "async/clock.hpp"
#include "circuit/circuit_ended.hpp"
#include "circuit/owned_circuit.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "peer/node_core.hpp"
#include "peer/peer_state.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

bool is_cancellation(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& thrown) {
    return thrown.code() == asio::error::operation_aborted;
  } catch (const asio::multiple_exceptions& several) {
    return is_cancellation(several.first_exception());
  } catch (...) {
    return false;
  }
}

} // namespace

// Starting.

std::shared_ptr<LocalPeer> Peers::make_peer(std::string service, PeerId id, bool takes_circuits) {
  auto on_failure = [weak_core = core_.weak_from_this(), service](std::exception_ptr failure) {
    const auto core = weak_core.lock();
    if (!core) return;
    try {
      std::rethrow_exception(failure);
    } catch (const CircuitEnded& ended) {
      core->log("task ended", ended.opened_here() ? LogLevel::error : LogLevel::debug,
                fmt::format("a task of a {} peer ended with circuit {}: {}", quote(service), ended.names().circuit_id,
                            ended.what()));
    } catch (const std::exception& thrown) {
      core->log("task", LogLevel::error, fmt::format("a task of a {} peer threw: {}", quote(service), thrown.what()));
    } catch (...) {
      core->log("task", LogLevel::error, fmt::format("a task of a {} peer threw", quote(service)));
    }
  };
  auto state = std::make_unique<LocalPeer::State>(core_.shared_from_this(), core_.make_name(std::move(service), id),
                                                  takes_circuits, core_.executor(), std::move(on_failure));
  return std::shared_ptr<LocalPeer>(new LocalPeer(std::move(state)));
}

std::shared_ptr<LocalPeer> Peers::new_peer(std::string name) {
  if (core_.phase() == NodeCore::Phase::closing) throw_error(error::node_closed, "node " + core_.name() + " is closed");
  if (name.empty()) throw std::invalid_argument("a peer needs a name");
  if (name.size() > core_.options().limits.name_bytes_max)
    throw std::invalid_argument(fmt::format("the name of a peer has {} bytes: name_bytes_max is {}", name.size(),
                                            core_.options().limits.name_bytes_max));
  const auto peer = make_peer(std::move(name), core_.draw_id(), false);
  registry_.add_peer(peer, nullptr);
  return peer;
}

void Peers::rename() {
  for (const auto& peer : registry_.peers()) peer->state_->name = core_.make_name(peer->service(), peer->id());
}

// Why the far side of a trunk may start no more; empty when it may.
std::string Peers::limit_reached(const NodeLink& starter) const {
  if (starter.peers_started >= core_.options().peers_per_trunk_max)
    return fmt::format("peers_per_trunk_max {} reached on node {} by {}", core_.options().peers_per_trunk_max,
                       core_.name(), starter.remote());
  if (of_others_ >= core_.options().peers_max)
    return fmt::format("peers_max {} reached on node {}", core_.options().peers_max, core_.name());
  return {};
}

Peers::Answer Peers::start(const std::string& service, PeerId id, const std::shared_ptr<NodeLink>& starter) {
  if (core_.phase() == NodeCore::Phase::closing)
    return {nullptr, error::node_closed, fmt::format("node {} is closed", core_.name()), {}};
  if (service.size() > core_.options().limits.name_bytes_max)
    return {nullptr,
            error::no_service,
            fmt::format("service name of {} bytes exceeds name_bytes_max {} on node {}: {}", service.size(),
                        core_.options().limits.name_bytes_max, core_.name(), quote(service, 64)),
            {}};
  Registry::Service* const registered = registry_.find_service(service);
  if (!registered)
    return {nullptr,
            error::no_service,
            fmt::format("no service {} on node {}; it serves {}", quote(service, 64), core_.name(),
                        starter ? served_to(*starter) : registry_.served()),
            {}};
  if (id.empty()) return {nullptr, error::no_peer, "the opener gave no id for the new peer", {}};
  if (registry_.find_peer(id))
    return {nullptr,
            error::access_denied,
            fmt::format("peer id {} is in use on node {}", id.to_string(), core_.name()),
            {}};
  if (registered->options.instances_max != 0 && registered->running.size() >= registered->options.instances_max) {
    std::string url = registered->running.begin()->second->url().to_string();
    std::string text =
        fmt::format("service {} on node {} is limited to {} instance{}; there is {}", quote(service, 64), core_.name(),
                    registered->options.instances_max, registered->options.instances_max == 1 ? "" : "s", url);
    return {nullptr, error::service_limit_reached, std::move(text), std::move(url)};
  }
  std::string reached = starter ? limit_reached(*starter) : std::string();
  if (!reached.empty()) return {nullptr, error::service_limit_reached, std::move(reached), {}};

  Answer answer;
  answer.peer = make_peer(service, id, true);
  answer.is_new = true;
  answer.peer->state_->options = registered->options;
  if (starter) {
    answer.peer->state_->of_others = true;
    answer.peer->state_->starter = starter;
    ++of_others_;
    ++starter->peers_started;
  }
  registry_.add_peer(answer.peer, registered);
  answer.peer->state_->tasks.spawn(run_service(answer.peer, registered->function));
  return answer;
}

// The function is a copy that lives in this frame: a coroutine lambda's captures must outlive the coroutine.
awaitable<void> Peers::run_service(std::shared_ptr<LocalPeer> peer, PeerServiceFunc function) {
  std::exception_ptr failure;
  CircuitInbox inbox(*peer);
  try {
    co_await function(*peer, inbox);
  } catch (...) {
    failure = std::current_exception();
  }
  NodeCore& core = *peer->state_->core;
  if (peer->is_ending()) co_return; // what it threw is its cancellation
  const bool failed = failure && !core.peers().caller_left(*peer, failure);
  End reason = failed ? core.peers().handler_failed(*peer, failure) : End(error::peer_ended);
  core.peers().end(*peer, std::move(reason), failed);
}

bool Peers::caller_left(const LocalPeer& peer, std::exception_ptr failure) {
  const std::shared_ptr<const CircuitEnded> ended = circuit_end_of(failure);
  // What it asked others for is its own business.
  if (!ended || ended->opened_here() || ended->names().local->id != peer.id()) return false;
  note_caller_left(peer, ended->names(), ended->what());
  return true;
}

bool Peers::caller_left(const LocalPeer& peer, const OwnedCircuit& circuit, std::exception_ptr failure) {
  if (circuit.opened_here()) return false; // nobody called it
  const CircuitNames& own = circuit.names();
  if (!circuit.cancelled_for().clean() && is_cancellation(failure)) {
    note_caller_left(peer, own, circuit.cancelled_for().to_string());
    return true;
  }
  const std::shared_ptr<const CircuitEnded> ended = circuit_end_of(failure);
  if (!ended || ended->names().circuit_id != own.circuit_id || ended->names().local->id != own.local->id ||
      ended->names().remote->id != own.remote->id)
    return false;
  note_caller_left(peer, own, ended->what());
  return true;
}

void Peers::note_caller_left(const LocalPeer& peer, const CircuitNames& names, const std::string& end) {
  ++callers_left_;
  core_.log("ended", LogLevel::debug,
            fmt::format("service {} ended with circuit {} of peer {}: {}", quote(peer.service()), names.circuit_id,
                        names.remote->id.to_string(), end));
}

End Peers::handler_failed(const LocalPeer& peer, std::exception_ptr failure) {
  return note_failure(peer, nullptr, what_of(failure));
}

End Peers::handler_failed(const LocalPeer& peer, const OwnedCircuit& circuit, std::exception_ptr failure) {
  const bool was_cancelled = !circuit.cancelled_for().clean() && is_cancellation(failure);
  return note_failure(peer, &circuit.names(), was_cancelled ? circuit.cancelled_for().to_string() : what_of(failure));
}

End Peers::note_failure(const LocalPeer& peer, const CircuitNames* circuit, const std::string& what) {
  ++services_failed_;
  core_.log(
      "service", LogLevel::error,
      circuit ? fmt::format("service {} threw on circuit {} with peer {}: {}", quote(peer.service()),
                            circuit->circuit_id, circuit->remote->id.to_string(), what)
              : fmt::format("service {} threw, peer {} ends: {}", quote(peer.service()), peer.id().to_string(), what));
  // The text may hold what the far side should not see.
  return End(error::handler_failed,
             core_.options().expose_errors
                 ? what
                 : fmt::format("service {} on node {} failed", quote(peer.service(), 64), core_.name()));
}

// Answering.

/// Of the node and of the service; a rule that cannot be asked is a no.
Permission Peers::permission(const RemoteIdentity* who, const std::string& service) const {
  try {
    if (const Allow& allow = core_.options().allow) {
      Permission of_node = allow(who, service);
      if (!of_node.allowed) return of_node;
    }
    const Registry::Service* const registered = registry_.find_service(service);
    return registered && registered->options.allow ? registered->options.allow(who, service) : Permission::yes();
  } catch (...) {
    return Permission::no("the rule failed: " + words_of(std::current_exception()));
  }
}

/// What the far side may know of.
std::string Peers::served_to(const NodeLink& link) const {
  const RemoteIdentity* const who = link.trunk()->remote_identity().get();
  return registry_.served([&](std::string_view name) { return permission(who, std::string(name)).allowed; });
}

/// A far side learns nothing of services that it may not use, not even whether they are there.
Peers::Answer Peers::find_or_start(const std::shared_ptr<NodeLink>& link, const OpenRequest& open) {
  if (!core_.options().allow && !registry_.has_rules()) return find_or_start_permitted(link, open);
  std::string service = open.to_service;
  if (open.mode == OpenMode::join)
    if (const auto peer = registry_.find_peer(open.to_peer)) service = peer->service();
  const RemoteIdentity* const who = link->trunk()->remote_identity().get();
  const Permission answer = permission(who, service);
  if (answer.allowed) return find_or_start_permitted(link, open);
  Answer denied;
  denied.reason = error::access_denied;
  denied.is_denied = true;
  denied.text = fmt::format("service {} on node {} is not open to {}: {}", quote(service, 64), core_.name(),
                            who ? who->to_string() : "a node that shows no key", answer.rule);
  return denied;
}

Peers::Answer Peers::find_or_start_permitted(const std::shared_ptr<NodeLink>& link, const OpenRequest& open) {
  if (core_.phase() == NodeCore::Phase::draining)
    return {nullptr, error::draining, fmt::format("node {} takes no new circuits", core_.name()), {}};
  if (open.mode == OpenMode::start || open.mode == OpenMode::start_only)
    return start(open.to_service, open.to_peer, link);
  if (open.mode == OpenMode::join_or_start) {
    const Registry::Service* const registered = registry_.find_service(open.to_service);
    if (!registered || registered->running.empty()) return start(open.to_service, core_.draw_id(), link);
    return {registered->running.begin()->second, error::none, {}, {}};
  }

  Answer answer;
  answer.peer = registry_.find_peer(open.to_peer);
  const bool is_wanted = answer.peer && (open.to_service.empty() || open.to_service == answer.peer->service());
  if (is_wanted && answer.peer->state_->has_inbox) return answer;

  const std::string id = open.to_peer.to_string();
  if (!answer.peer) {
    answer.text = fmt::format("no peer {} on node {}; it serves {}", id, core_.name(), served_to(*link));
  } else if (!is_wanted) {
    answer.text = fmt::format("peer {} on node {} is of service {}, not {}; it serves {}", id, core_.name(),
                              quote(answer.peer->service(), 64), quote(open.to_service, 64), served_to(*link));
  } else {
    answer.text =
        fmt::format("peer {} on node {} takes no circuits; it serves {}", id, core_.name(), served_to(*link));
  }
  answer.peer = nullptr;
  answer.reason = error::no_peer;
  return answer;
}

/// Refuses where no more circuits may wait for the peer.
void Peers::find_room(Answer& answer) const {
  LocalPeer::State& peer = *answer.peer->state_;
  const std::size_t backlog_max = core_.options().limits.open_backlog_max;
  peer.forget_cancelled();
  const bool is_full = peer.waiting() >= backlog_max;
  if (!is_full && peer.has_room_in_queue()) return;
  answer.reason = is_full ? error::open_backlog_full : error::service_limit_reached;
  answer.text = fmt::format("{} circuits wait for service {} on node {}: {} is {}", peer.waiting(),
                            quote(answer.peer->service(), 64), core_.name(),
                            is_full ? "open_backlog_max" : "its queue_max",
                            is_full ? backlog_max : peer.options.queue_max);
  answer.peer = nullptr;
}

void Peers::answer(const std::shared_ptr<NodeLink>& link, TrunkCircuit& circuit, const OpenRequest& open) {
  if (circuit.cancelled) return link->trunk()->release(circuit); // in the same packet: there is nothing to serve
  Answer answer = find_or_start(link, open);
  if (answer.peer && open.mode != OpenMode::start_only) find_room(answer);
  if (!answer.peer) {
    ++circuits_refused_;
    core_.log(answer.is_denied ? "denied" : "refused", answer.is_denied ? LogLevel::warning : LogLevel::info,
              fmt::format("circuit from {} refused: {}", link->remote(), answer.text));
    link->trunk()->with([&](Machine& machine) {
      machine.refuse(circuit, answer.reason, std::move(answer.text), std::move(answer.existing_url));
    });
    return;
  }
  introduce(*link, *answer.peer);
  LocalPeer::State& peer = *answer.peer->state_;
  const bool wants_circuit = open.mode != OpenMode::start_only;
  link->trunk()->with([&](Machine& machine) {
    machine.accept(circuit, peer.name);
    if (answer.is_new) machine.left_backlog(circuit); // the start was for this circuit, and has been paid
    if (wants_circuit) return;
    machine.close(circuit, End());
    machine.release(circuit);
  });
  if (!wants_circuit) return;
  const bool was_empty = peer.inbox.empty();
  const bool is_timed = peer.options.queue_deadline != Duration::max();
  peer.inbox.push_back({Circuit(link->trunk(), circuit), is_timed ? core_.now() : TimePoint()});
  peer.inbox.back().circuit.set_listener(&peer);
  peer.inbox_changed.notify_one();
  if (was_empty && is_timed) watch_queue(*answer.peer);
}

/// Refuses the circuits that have waited for their service longer than its queue_deadline.
void Peers::refuse_overdue(LocalPeer& peer) {
  LocalPeer::State& state = *peer.state_;
  const Duration deadline = state.options.queue_deadline;
  while (!state.inbox.empty() && core_.now() - state.inbox.front().since >= deadline) {
    Circuit circuit = state.take_front();
    if (circuit.state()->cancelled) continue;
    ++circuits_refused_;
    std::string text = fmt::format("a circuit waited for service {} on node {} for its queue_deadline of {} ms",
                                   quote(peer.service(), 64), core_.name(),
                                   std::chrono::ceil<std::chrono::milliseconds>(deadline).count());
    core_.log("refused", LogLevel::info, "circuit refused: " + text);
    circuit.refuse(error::service_limit_reached, std::move(text));
  }
  watch_queue(peer);
}

void Peers::watch_queue(LocalPeer& peer) {
  LocalPeer::State& state = *peer.state_;
  if (state.inbox.empty() || state.is_ending) return;
  const TimePoint due = after(state.inbox.front().since, state.options.queue_deadline);
  if (due == TimePoint::max()) return;
  if (!state.queue_alarm) state.queue_alarm = Clock::of(core_.executor()).make_alarm(core_.executor());
  state.queue_alarm->set(due, [weak = peer.weak_from_this()] {
    const std::shared_ptr<LocalPeer> waited = weak.lock();
    if (waited && !waited->state_->is_ending) waited->state_->core->peers().refuse_overdue(*waited);
  });
}

void Peers::introduce(NodeLink& link, const LocalPeer& peer) {
  if (!link.peers.insert(peer.id()).second) return;
  if (peer.state_->metadata.empty()) return;
  link.trunk()->with([&](Machine& machine) { machine.set_metadata(*peer.state_->name, peer.state_->metadata); });
}

void Peers::set_metadata(LocalPeer& peer) {
  for (const auto& link : std::vector(core_.trunks().all())) {
    if (!link->peers.contains(peer.id())) continue;
    link->trunk()->with([&](Machine& machine) { machine.set_metadata(*peer.state_->name, peer.state_->metadata); });
  }
}

// Ending.

std::size_t Peers::circuits_count(const LocalPeer& peer) const {
  std::size_t count = 0;
  std::vector<TrunkCircuit*> circuits;
  for (const auto& link : core_.trunks().all()) {
    if (!link->peers.contains(peer.id())) continue;
    link->trunk()->circuits_of(peer.id(), circuits);
    count += circuits.size();
  }
  return count;
}

std::size_t Peers::ending_count() const {
  return static_cast<std::size_t>(std::ranges::count_if(ending_, [](const std::weak_ptr<LocalPeer>& weak) {
    const auto peer = weak.lock();
    return peer && peer->state_->tasks.running() > 0;
  }));
}

// State first: from here on the peer is not found. Then its circuits, then the coroutines that wait.
void Peers::end(LocalPeer& peer, End reason, bool failed) {
  LocalPeer::State& state = *peer.state_;
  if (std::exchange(state.is_ending, true)) return;
  const auto keep = peer.shared_from_this();
  state.end = reason;
  registry_.erase_peer(peer);
  if (state.of_others) --of_others_;
  if (const std::shared_ptr<NodeLink> starter = state.starter.lock()) --starter->peers_started;
  if (ending_.size() >= 2 * ending_swept_ + 16) { // seldom, so that many may end at once
    std::erase_if(ending_, [](const auto& weak) { return weak.expired(); });
    ending_swept_ = ending_.size();
  }
  ending_.push_back(keep);

  std::vector<TrunkCircuit*> circuits;
  for (const auto& link : std::vector(core_.trunks().all())) {
    if (link->peers.erase(peer.id()) == 0) continue;
    link->trunk()->with([&](Machine& machine) {
      machine.circuits_of(peer.id(), circuits);
      for (TrunkCircuit* circuit : circuits) {
        if (failed) machine.reset(*circuit, reason);
        else machine.close(*circuit, reason);
        link->trunk()->wake_all(*circuit);
      }
      machine.end_peer(*state.name, reason);
    });
  }
  state.inbox.clear();
  state.queue_alarm.reset();
  state.inbox_changed.notify_all(); // before the cancellation, so that the inbox says nullopt
  state.tasks.cancel();
  state.ending.notify_all();
}

} // namespace trunkline
