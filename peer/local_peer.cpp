#include "peer/local_peer.hpp"

#include "async/clock.hpp"
#include "async/first_of.hpp"
#include "async/within.hpp"
#include "circuit/circuit_ended.hpp"
#include "circuit/owned_circuit.hpp"
#include "circuit/trunk.hpp"
#include "fragment/quote.hpp"
#include "peer/node_core.hpp"
#include "peer/peer_state.hpp"

#include <fmt/format.h>

#include <exception>
#include <stdexcept>
#include <utility>

namespace trunkline {

ErrorReply::ErrorReply(Fragment reply)
    : system_error(make_error_code(error::answered_with_error), "the far side says: " + escape(reply.err)),
      reply_(std::make_shared<const Fragment>(std::move(reply))) {}

void ServiceOptions::check() const {
  if (circuits_max == 0 && queue_max == 0)
    throw std::invalid_argument("queue_max is 0, expected at least 1 for a service without circuits_max: every circuit "
                                "passes through its queue");
  if (queue_deadline <= Duration::zero())
    throw std::invalid_argument("queue_deadline is not a time from now on, expected more than 0 ms");
}

LocalPeer::LocalPeer(std::unique_ptr<State> state) : state_(std::move(state)) {}

LocalPeer::~LocalPeer() = default;

const PeerId& LocalPeer::id() const noexcept { return state_->name->id; }

const std::string& LocalPeer::service() const noexcept { return state_->name->service; }

PeerUrl LocalPeer::url() const {
  state_->core->home().check("LocalPeer::url");
  return PeerUrl(state_->core->base_address(), service(), id());
}

Executor LocalPeer::executor() const { return state_->core->executor(); }

// Opening.

void LocalPeer::check_running() const {
  if (state_->is_ending)
    throw boost::system::system_error(state_->end.code, fmt::format("peer {} has ended", id().to_string()));
}

Circuit LocalPeer::open(const std::string& address, OpenMode mode, PeerId to, const std::string& service,
                        std::optional<Fragment> first, CircuitOptions options) {
  check_running();
  OpenRequest request;
  request.mode = mode;
  request.from = state_->name;
  request.to_peer = to;
  request.to_service = service;
  request.name = std::move(options.name);
  request.user_string = std::move(options.user_string);
  request.wants_answer = options.wants_answer;
  request.deadline = options.deadline != Duration::max() ? options.reset_at(state_->core->now()) : options.not_after;
  return state_->core->open(address, std::move(request), std::move(first), this);
}

Circuit LocalPeer::new_circuit(const PeerUrl& there, Fragment first, CircuitOptions options) {
  state_->core->home().check("LocalPeer::new_circuit");
  const OpenMode mode = there.peer_id().empty() ? OpenMode::join_or_start : OpenMode::join;
  return open(there.address(), mode, there.peer_id(), there.service(), std::move(first), std::move(options));
}

Circuit LocalPeer::new_circuit(const PeerUrl& there, CircuitOptions options) {
  state_->core->home().check("LocalPeer::new_circuit");
  const OpenMode mode = there.peer_id().empty() ? OpenMode::join_or_start : OpenMode::join;
  return open(there.address(), mode, there.peer_id(), there.service(), std::nullopt, std::move(options));
}

Circuit LocalPeer::start(const std::string& address, const std::string& service, std::optional<Fragment> first,
                         CircuitOptions options) {
  state_->core->home().check("LocalPeer::start");
  return open(address, OpenMode::start, state_->core->draw_id(), service, std::move(first), std::move(options));
}

Circuit LocalPeer::join_or_start(const std::string& address, const std::string& service, std::optional<Fragment> first,
                                 CircuitOptions options) {
  state_->core->home().check("LocalPeer::join_or_start");
  return open(address, OpenMode::join_or_start, PeerId(), service, std::move(first), std::move(options));
}

awaitable<Circuit> LocalPeer::new_circuit_when_room(PeerUrl there, std::optional<Fragment> first,
                                                    CircuitOptions options) {
  return new_circuit_when_room(shared_from_this(), std::move(there), std::move(first), std::move(options));
}

awaitable<Circuit> LocalPeer::new_circuit_when_room(std::shared_ptr<LocalPeer> peer, PeerUrl there,
                                                    std::optional<Fragment> first, CircuitOptions options) {
  const std::string address = there.address();
  NodeCore& core = *peer->state_->core;
  core.home().check("LocalPeer::new_circuit_when_room");
  options.not_after = options.reset_at(core.now());
  options.deadline = Duration::max();
  struct PassingOn { // also where this is cancelled, or throws: a place is told to one waiter alone
    std::shared_ptr<Trunk> trunk;
    ~PassingOn() {
      if (trunk) trunk->pass_on_open();
    }
  } passing_on;
  for (;;) {
    peer->check_running();
    const std::shared_ptr<Trunk> full = core.trunk_without_room(address);
    if (!full) break;
    passing_on.trunk = full;
    if (options.not_after == TimePoint::max()) {
      co_await full->open_wanted();
    } else {
      co_await first_of(full->open_wanted(), sleep_until(options.not_after));
      if (core.now() >= options.not_after)
        throw_error(error::deadline_passed, fmt::format("{} takes no more circuits than there are", address));
    }
    co_await throw_if_cancelled();
  }
  const OpenMode mode = there.peer_id().empty() ? OpenMode::join_or_start : OpenMode::join;
  co_return peer->open(address, mode, there.peer_id(), there.service(), std::move(first), std::move(options));
}

awaitable<Fragment> LocalPeer::request(std::string address, std::string service, Fragment fragment,
                                       CircuitOptions options) {
  return request(shared_from_this(), std::move(address), std::move(service), std::move(fragment), std::move(options));
}

awaitable<Fragment> LocalPeer::request(std::string address, std::string service, Fragment fragment, Duration deadline) {
  CircuitOptions options;
  options.deadline = deadline;
  return request(shared_from_this(), std::move(address), std::move(service), std::move(fragment), std::move(options));
}

awaitable<Fragment> LocalPeer::request(std::shared_ptr<LocalPeer> peer, std::string address, std::string service,
                                       Fragment fragment, CircuitOptions options) {
  Circuit circuit = peer->join_or_start(address, service, std::move(fragment), std::move(options));
  circuit.finish();
  std::optional<Fragment> reply;
  try {
    reply = co_await circuit.receive_any();
  } catch (const boost::system::system_error& thrown) {
    // A finished circuit that is dropped is closed, and would let the handler go on.
    if (thrown.code() == asio::error::operation_aborted)
      circuit.reset(End(error::circuit_abandoned, "the request was cancelled"));
    throw;
  }
  if (!reply)
    throw CircuitEnded(End(error::circuit_closed, "service " + quote(service, 64) + " ended without a reply"),
                       circuit.state()->names, true);
  circuit.close();
  if (!reply->err.empty()) throw ErrorReply(std::move(*reply));
  co_return std::move(*reply);
}

awaitable<RemotePeer> LocalPeer::start_only(std::string address, std::string service, Duration wait_up_to) {
  return start_only(shared_from_this(), std::move(address), std::move(service), wait_up_to);
}

awaitable<RemotePeer> LocalPeer::start_only(std::shared_ptr<LocalPeer> peer, std::string address, std::string service,
                                            Duration wait_up_to) {
  peer->state_->core->home().check("LocalPeer::start_only");
  peer->check_running();
  NodeCore& core = *peer->state_->core;
  const PeerId id = core.draw_id();
  OpenRequest request;
  request.mode = OpenMode::start_only;
  request.from = core.make_name("", core.id()); // the node: no circuit leads back to a peer
  request.to_peer = id;
  request.to_service = service;
  request.wants_answer = true;
  Circuit circuit = core.open(address, std::move(request), std::nullopt, nullptr);

  try {
    co_await within(wait_up_to, circuit.accepted());
  } catch (const boost::system::system_error& thrown) {
    if (thrown.code() != error::service_limit_reached) throw;
    End end = circuit.end().value_or(End());
    const std::string words = end.words();
    throw ServiceLimitReached(words, std::move(end.existing_url));
  }
  circuit.close();
  co_return RemotePeer{PeerUrl(std::move(address), std::move(service), id), circuit.dialled()};
}

// Tasks.

awaitable<std::optional<Circuit>> CircuitInbox::next() {
  const std::shared_ptr<LocalPeer> peer = peer_->shared_from_this();
  LocalPeer::State& state = *peer->state_;
  while (!state.has_circuit() && !state.is_ending) {
    co_await state.inbox_changed.wait();
    if (!state.is_ending && state.has_circuit()) {
      const auto cancellation = co_await asio::this_coro::cancellation_state;
      if (cancellation.cancelled() != asio::cancellation_type::none) {
        state.inbox_changed.notify_one(); // the circuit is for another coroutine that waits
        throw boost::system::system_error(asio::error::operation_aborted);
      }
    }
  }
  std::optional<Circuit> circuit = take(*peer);
  co_return circuit;
}

std::optional<Circuit> CircuitInbox::try_next() { return take(*peer_); }

std::optional<Circuit> CircuitInbox::take(LocalPeer& peer) {
  LocalPeer::State& state = *peer.state_;
  state.core->home().check("CircuitInbox::next");
  std::optional<Circuit> circuit;
  if (state.is_ending || !state.has_circuit()) return circuit;
  circuit.emplace(state.take_front());
  circuit->trunk()->left_backlog(*circuit->state());
  return circuit;
}

LocalPeer::Working::Working(std::shared_ptr<LocalPeer> peer) : peer_(std::move(peer)) { ++peer_->state_->working; }

LocalPeer::Working::~Working() {
  if (!peer_) return;
  State& state = *peer_->state_;
  --state.working;
  if (state.options.circuits_max != 0) state.inbox_changed.notify_one(); // there is room for another one
}

// The function is a copy that lives in this frame: a coroutine lambda's captures must outlive the coroutine.
awaitable<void> LocalPeer::run_circuit(std::shared_ptr<LocalPeer> peer,
                                       std::function<awaitable<void>(Circuit)> function, OwnedCircuit owned,
                                       Circuit circuit, Working) {
  std::exception_ptr failure;
  try {
    awaitable<void> running = function(std::move(circuit));
    owned.begin();
    co_await std::move(running); // destroys the frame, too, and the function's parameter with it
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    owned.close();
  } else if (peer->state_->is_ending) {
    owned.reset(peer->state_->end); // it was cancelled; the circuit has been ended with the peer already
  } else if (peer->state_->core->peers().caller_left(*peer, owned, failure)) {
    owned.release();
  } else {
    owned.reset(peer->state_->core->peers().handler_failed(*peer, owned, failure));
  }
}

void LocalPeer::spawn_circuit(std::function<awaitable<void>(Circuit)> function, Circuit circuit) {
  state_->core->home().check("LocalPeer::spawn");
  circuit.require("spawn");
  if (state_->is_ending) return; // with all its circuits
  OwnedCircuit owned(circuit); // before the task begins: the caller's task may end before that
  TrunkCircuit& state = *circuit.state();
  Task& task = state_->tasks.spawn_cancellable(
      run_circuit(shared_from_this(), std::move(function), std::move(owned), std::move(circuit),
                  Working(shared_from_this())));
  if (!state_->options.runs_on) state.owner->cancel_by(task); // the owner is in the task's frame by now
}

awaitable<void> LocalPeer::run_task(std::shared_ptr<LocalPeer>, awaitable<void> task) { co_await std::move(task); }

void LocalPeer::spawn(awaitable<void> task) {
  state_->core->home().check("LocalPeer::spawn");
  state_->tasks.spawn(run_task(shared_from_this(), std::move(task)));
}

// Metadata.

void LocalPeer::set_metadata(std::string key, std::string value) {
  state_->core->home().check("LocalPeer::set_metadata");
  Metadata changed = state_->metadata;
  changed.insert_or_assign(std::move(key), std::move(value));
  std::size_t bytes = 0;
  for (const auto& [name, text] : changed) bytes += name.size() + text.size();
  const std::size_t bytes_max = state_->core->options().limits.metadata_bytes_max;
  if (changed.size() > Args::items_max)
    throw std::length_error(
        fmt::format("metadata of {} items exceeds {}, for peer {}", changed.size(), Args::items_max, id().to_string()));
  if (bytes > bytes_max)
    throw std::length_error(fmt::format("metadata of {} bytes exceeds metadata_bytes_max {}, for peer {}", bytes,
                                        bytes_max, id().to_string()));
  state_->metadata = std::move(changed);
  state_->core->peers().set_metadata(*this);
}

void LocalPeer::remove_metadata(const std::string& key) {
  state_->core->home().check("LocalPeer::remove_metadata");
  if (state_->metadata.erase(key) != 0) state_->core->peers().set_metadata(*this);
}

// Ending.

void LocalPeer::close(End reason) {
  state_->core->home().check("LocalPeer::close");
  if (reason.clean()) reason = End(error::peer_ended);
  state_->core->peers().end(*this, std::move(reason), false);
}

awaitable<void> LocalPeer::join(std::shared_ptr<LocalPeer> peer) {
  peer->state_->core->home().check("LocalPeer::ended");
  while (!peer->state_->is_ending) co_await peer->state_->ending.wait();
  co_await peer->state_->tasks.join();
}

awaitable<void> LocalPeer::ended() { return join(shared_from_this()); }

bool LocalPeer::is_ending() const noexcept { return state_->is_ending; }

std::size_t LocalPeer::circuits_count() const {
  state_->core->home().check("LocalPeer::circuits_count");
  return state_->core->peers().circuits_count(*this);
}

} // namespace trunkline
