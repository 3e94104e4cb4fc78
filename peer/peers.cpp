// The part of a node that starts instances of its services, answers those who open circuits to them, and ends them.
#include "peer/node_core.hpp"
#include "peer/peer_state.hpp"
#include "fragment/quote.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

namespace trunkline {

// Names.

std::string NodeCore::base_address() const {
  for (const auto* list : {&addresses_, &options_.advertise})
    for (const std::string& address : *list)
      if (!is_unspecified(address)) return address;
  return addresses_.empty() ? "node://" + id_.to_string() : addresses_.front();
}

std::shared_ptr<const PeerName> NodeCore::make_name(std::string service, PeerId id) const {
  auto name = std::make_shared<PeerName>();
  name->url = PeerUrl(base_address(), service, id).to_string();
  name->service = std::move(service);
  name->id = id;
  return name;
}

void NodeCore::rename_peers() {
  for (const auto& peer : registry_.peers()) peer->state_->name = make_name(peer->service(), peer->id());
}

// Starting.

std::shared_ptr<LocalPeer> NodeCore::make_peer(std::string service, PeerId id, bool takes_circuits) {
  auto on_failure = [weak_core = weak_from_this(), service](std::exception_ptr failure) {
    const auto core = weak_core.lock();
    if (!core) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& thrown) {
      core->log(LogLevel::error, fmt::format("a task of a {} peer threw: {}", quote(service), thrown.what()));
    } catch (...) {
      core->log(LogLevel::error, fmt::format("a task of a {} peer threw", quote(service)));
    }
  };
  auto state = std::make_unique<LocalPeer::State>(shared_from_this(), make_name(std::move(service), id), takes_circuits,
                                                  executor_, std::move(on_failure));
  return std::shared_ptr<LocalPeer>(new LocalPeer(std::move(state)));
}

std::shared_ptr<LocalPeer> NodeCore::new_peer(std::string name) {
  if (phase_ == Phase::closing) throw_error(error::node_closed, "node " + name_ + " is closed");
  if (name.empty()) throw std::invalid_argument("a peer needs a name");
  if (name.size() > options_.limits.name_bytes_max)
    throw std::invalid_argument(fmt::format("the name of a peer has {} bytes: name_bytes_max is {}", name.size(),
                                            options_.limits.name_bytes_max));
  const auto peer = make_peer(std::move(name), draw_id(), false);
  registry_.add_peer(peer, nullptr);
  return peer;
}

// Why the far side of a trunk may start no more; empty when it may.
std::string NodeCore::peers_limit_reached(const Link& starter) const {
  if (starter.peers_started >= options_.peers_per_trunk_max)
    return fmt::format("peers_per_trunk_max {} reached on node {} by {}", options_.peers_per_trunk_max, name_,
                       starter.remote);
  if (peers_of_others_ >= options_.peers_max)
    return fmt::format("peers_max {} reached on node {}", options_.peers_max, name_);
  return {};
}

NodeCore::Answer NodeCore::start(const std::string& service, PeerId id, const TrunkPointer& starter) {
  if (phase_ == Phase::closing) return {nullptr, error::node_closed, fmt::format("node {} is closed", name_), {}};
  if (service.size() > options_.limits.name_bytes_max)
    return {nullptr,
            error::no_service,
            fmt::format("service name of {} bytes exceeds name_bytes_max {} on node {}: {}", service.size(),
                        options_.limits.name_bytes_max, name_, quote(service, 64)),
            {}};
  Registry::Service* const registered = registry_.find_service(service);
  if (!registered)
    return {nullptr,
            error::no_service,
            fmt::format("no service {} on node {}; it serves {}", quote(service, 64), name_, registry_.served()),
            {}};
  if (id.empty()) return {nullptr, error::no_peer, "the opener gave no id for the new peer", {}};
  if (registry_.find_peer(id))
    return {nullptr, error::access_denied, fmt::format("peer id {} is in use on node {}", id.to_string(), name_), {}};
  if (registered->instances_max != 0 && registered->running.size() >= registered->instances_max) {
    std::string url = registered->running.begin()->second->url().to_string();
    std::string text = fmt::format("service {} on node {} is limited to {} instance{}; there is {}", quote(service, 64),
                                   name_, registered->instances_max, registered->instances_max == 1 ? "" : "s", url);
    return {nullptr, error::service_limit_reached, std::move(text), std::move(url)};
  }
  std::string reached = starter ? peers_limit_reached(*starter) : std::string();
  if (!reached.empty()) return {nullptr, error::service_limit_reached, std::move(reached), {}};

  Answer answer;
  answer.peer = make_peer(service, id, true);
  if (starter) {
    answer.peer->state_->of_others = true;
    answer.peer->state_->starter = starter;
    ++peers_of_others_;
    ++starter->peers_started;
  }
  registry_.add_peer(answer.peer, registered);
  answer.peer->state_->tasks.spawn(run_service(answer.peer, registered->function));
  return answer;
}

// The function is a copy that lives in this frame: a coroutine lambda's captures must outlive the coroutine.
awaitable<void> NodeCore::run_service(std::shared_ptr<LocalPeer> peer, PeerServiceFunc function) {
  std::exception_ptr failure;
  CircuitInbox inbox(*peer);
  try {
    co_await function(*peer, inbox);
  } catch (...) {
    failure = std::current_exception();
  }
  NodeCore& core = *peer->state_->core;
  if (peer->is_ending()) co_return; // what it threw is its cancellation
  End reason = failure ? core.handler_failed(*peer, nullptr, failure) : End(error::peer_ended);
  core.end_peer(*peer, std::move(reason), failure != nullptr);
}

End NodeCore::handler_failed(const LocalPeer& peer, const CircuitNames* circuit, std::exception_ptr failure) {
  const std::string what = what_of(failure);
  ++counters_.services_failed;
  log(LogLevel::error,
      circuit ? fmt::format("service {} threw on circuit {} with peer {}: {}", quote(peer.service()),
                            circuit->circuit_id, circuit->remote->id.to_string(), what)
              : fmt::format("service {} threw, peer {} ends: {}", quote(peer.service()), peer.id().to_string(), what));
  // The text may hold what the far side should not see.
  return End(
      error::handler_failed,
      options_.expose_errors ? what : fmt::format("service {} on node {} failed", quote(peer.service(), 64), name_));
}

// Answering.

NodeCore::Answer NodeCore::find_or_start(const TrunkPointer& trunk, const OpenRequest& open) {
  if (phase_ == Phase::draining)
    return {nullptr, error::draining, fmt::format("node {} takes no new circuits", name_), {}};
  if (open.mode == OpenMode::start || open.mode == OpenMode::start_only)
    return start(open.to_service, open.to_peer, trunk);
  if (open.mode == OpenMode::join_or_start) {
    const Registry::Service* const registered = registry_.find_service(open.to_service);
    if (!registered || registered->running.empty()) return start(open.to_service, draw_id(), trunk);
    return {registered->running.begin()->second, error::none, {}, {}};
  }

  Answer answer;
  answer.peer = registry_.find_peer(open.to_peer);
  const bool is_wanted = answer.peer && (open.to_service.empty() || open.to_service == answer.peer->service());
  if (is_wanted && answer.peer->state_->has_inbox) return answer;

  const std::string id = open.to_peer.to_string();
  if (!answer.peer) {
    answer.text = fmt::format("no peer {} on node {}; it serves {}", id, name_, registry_.served());
  } else if (!is_wanted) {
    answer.text = fmt::format("peer {} on node {} is of service {}, not {}; it serves {}", id, name_,
                              quote(answer.peer->service(), 64), quote(open.to_service, 64), registry_.served());
  } else {
    answer.text = fmt::format("peer {} on node {} takes no circuits; it serves {}", id, name_, registry_.served());
  }
  answer.peer = nullptr;
  answer.reason = error::no_peer;
  return answer;
}

void NodeCore::answer(const TrunkPointer& trunk, TrunkCircuit& circuit, const OpenRequest& open) {
  Answer answer = find_or_start(trunk, open);
  if (!answer.peer) {
    ++counters_.circuits_refused;
    log(LogLevel::info, fmt::format("circuit from {} refused: {}", trunk->remote, answer.text));
    trunk->live->with([&](Machine& machine) {
      machine.refuse(circuit, answer.reason, std::move(answer.text), std::move(answer.existing_url));
    });
    return;
  }
  introduce(*trunk, *answer.peer);
  LocalPeer::State& peer = *answer.peer->state_;
  const bool wants_circuit = open.mode != OpenMode::start_only;
  trunk->live->with([&](Machine& machine) {
    machine.accept(circuit, peer.name);
    if (wants_circuit) return;
    machine.close(circuit, End());
    machine.release(circuit);
  });
  if (!wants_circuit) return;
  peer.inbox.push_back(Circuit(trunk->live, circuit));
  peer.inbox_changed.notify_one();
}

void NodeCore::introduce(Link& trunk, const LocalPeer& peer) {
  if (!trunk.peers.insert(peer.id()).second) return;
  if (peer.state_->metadata.empty()) return;
  trunk.live->with([&](Machine& machine) { machine.set_metadata(*peer.state_->name, peer.state_->metadata); });
}

void NodeCore::set_metadata(LocalPeer& peer) {
  for (const auto& trunk : std::vector(trunks_.all())) {
    if (!trunk->peers.contains(peer.id())) continue;
    trunk->live->with([&](Machine& machine) { machine.set_metadata(*peer.state_->name, peer.state_->metadata); });
  }
}

// Ending.

std::size_t NodeCore::circuits_count(const LocalPeer& peer) const {
  std::size_t count = 0;
  std::vector<TrunkCircuit*> circuits;
  for (const auto& trunk : trunks_.all()) {
    if (!trunk->peers.contains(peer.id())) continue;
    trunk->live->circuits_of(peer.id(), circuits);
    count += circuits.size();
  }
  return count;
}

std::size_t NodeCore::peers_ending() const {
  return static_cast<std::size_t>(std::ranges::count_if(ending_peers_, [](const std::weak_ptr<LocalPeer>& weak) {
    const auto peer = weak.lock();
    return peer && peer->state_->tasks.running() > 0;
  }));
}

// State first: from here on nobody finds the peer. Then its circuits, then those who wait.
void NodeCore::end_peer(LocalPeer& peer, End reason, bool failed) {
  LocalPeer::State& state = *peer.state_;
  if (std::exchange(state.is_ending, true)) return;
  const auto keep = peer.shared_from_this();
  state.end = reason;
  registry_.erase_peer(peer);
  if (state.of_others) --peers_of_others_;
  if (const TrunkPointer starter = state.starter.lock()) --starter->peers_started;
  if (ending_peers_.size() >= 2 * ending_peers_swept_ + 16) { // seldom, so that many may end at once
    std::erase_if(ending_peers_, [](const auto& weak) { return weak.expired(); });
    ending_peers_swept_ = ending_peers_.size();
  }
  ending_peers_.push_back(keep);

  std::vector<TrunkCircuit*> circuits;
  for (const auto& trunk : std::vector(trunks_.all())) {
    if (trunk->peers.erase(peer.id()) == 0) continue;
    trunk->live->with([&](Machine& machine) {
      machine.circuits_of(peer.id(), circuits);
      for (TrunkCircuit* circuit : circuits) {
        if (failed) machine.reset(*circuit, reason);
        else machine.close(*circuit, reason);
        trunk->live->wake_all(*circuit);
      }
      machine.end_peer(*state.name, reason);
    });
  }
  state.inbox.clear();
  state.inbox_changed.notify_all(); // before the cancellation, so that the inbox says nullopt
  state.tasks.cancel();
  state.ending.notify_all();
}

} // namespace trunkline
