#include "circuit/circuit.hpp"

#include "circuit/circuit_ended.hpp"
#include "circuit/held_circuit.hpp"
#include "circuit/owned_circuit.hpp"
#include "circuit/trunk.hpp"
#include "fragment/percent.hpp"

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <list>
#include <string_view>
#include <utility>

namespace trunkline {
namespace {

/// The end of a circuit that this side has closed is no news to it: it should not have asked. `after_finish`: neither is
/// that of one that it has finished.
[[noreturn]] void throw_end(const TrunkCircuit& state, bool after_finish = true) {
  if (state.end) throw CircuitEnded(*state.end, state.names, state.opened_here);
  std::string text = fmt::format("circuit {} is closed", state.id);
  if (after_finish ? state.finished_here() : state.closed_here()) throw_error(error::circuit_closed, text);
  throw CircuitEnded(End(error::circuit_closed, std::move(text)), state.names, state.opened_here);
}

[[noreturn]] void throw_misused(const char* call, const TrunkCircuit& state, const char* why) {
  throw_error(error::handle_misused, fmt::format("{} on circuit {}: {}", call, state.id, why));
}

/// What is being received from a circuit: a queue is for one coroutine at a time.
enum class Queues : std::uint8_t { reads = 1, errors = 2, both = 3 };

void check_alone(const char* call, const TrunkCircuit& state, Queues queues) {
  if (state.waits && (state.waits->receiving & static_cast<std::uint8_t>(queues)) != 0)
    throw_misused(call, state, "another coroutine is receiving from it already");
}

/// A receive that waits.
class Receiving {
 public:
  Receiving(const HeldCircuit& held, Queues queues) : state_(*held.state), queues_(static_cast<std::uint8_t>(queues)) {
    held.trunk->waits(state_).receiving |= queues_;
  }
  Receiving(const Receiving&) = delete;
  Receiving& operator=(const Receiving&) = delete;
  ~Receiving() {
    if (state_.waits) state_.waits->receiving &= static_cast<std::uint8_t>(~queues_); // else the handle is gone
  }

 private:
  TrunkCircuit& state_;
  std::uint8_t queues_;
};

bool senders_wait(const TrunkCircuit& state) { return state.waits && !state.waits->senders.empty(); }

void check_size(const Machine& machine, const TrunkCircuit& state, const Fragment& fragment) {
  if (const std::string why = machine.why_not(fragment); !why.empty())
    throw_error(error::fragment_too_large, fmt::format("{}, for circuit {}", why, state.id));
}

/// The machine says that it will never send this fragment on this circuit.
[[noreturn]] void throw_closed(const Machine& machine, const TrunkCircuit& state, const Fragment& fragment) {
  check_size(machine, state, fragment);
  throw_end(state);
}

/// A send that waits: its place in the queue of its circuit.
class WaitingSender {
 public:
  explicit WaitingSender(const HeldCircuit& held)
      : held_(held), turn_(held.trunk->waits(*held.state).senders.emplace(held.state->waits->senders.end())) {}
  WaitingSender(const WaitingSender&) = delete;
  WaitingSender& operator=(const WaitingSender&) = delete;
  ~WaitingSender() {
    CircuitWaits* const waits = held_.state->waits;
    if (!waits) return; // the handle is gone, and every wait on it has ended
    const bool was_first = is_first();
    waits->senders.erase(turn_);
    if (was_first && !waits->senders.empty()) waits->senders.front().notify_all();
  }
  bool is_first() const noexcept {
    const CircuitWaits* const waits = held_.state->waits;
    return !waits || waits->senders.begin() == turn_;
  }
  awaitable<void> turn() { return turn_->wait(); }

 private:
  const HeldCircuit& held_;
  std::list<Signal>::iterator turn_;
};

/// After a wait: the handle may have been dropped meanwhile, which cancels what waited.
void check_released(const TrunkCircuit& state) {
  if (state.released()) throw_error(error::circuit_abandoned, "the handle of the circuit was dropped during a wait");
}

/// Of an empty queue: true after a whole stream; throws where the circuit ended otherwise.
bool nothing_follows(const TrunkCircuit& state) {
  if (state.end && (state.ended || state.closed_here())) throw_end(state);
  return state.ended || state.finished_there() || state.closed_here();
}

/// False when the fragment has to wait for its turn.
inline bool sent_at_once(Trunk& trunk, TrunkCircuit& state, Fragment& fragment) {
  if (trunk.congested(state) || senders_wait(state)) {
    check_size(trunk.machine(), state, fragment);
    return false;
  }
  const SendOutcome outcome = trunk.send(state, fragment);
  if (outcome == SendOutcome::closed) throw_closed(trunk.machine(), state, fragment);
  return outcome == SendOutcome::queued;
}

awaitable<void> send_in_turn(const HeldCircuit& held, Fragment& fragment) {
  WaitingSender sender(held);
  for (;;) {
    if (!sender.is_first()) {
      co_await sender.turn();
    } else if (held.trunk->congested(*held.state)) { // for the writer, not for the far side
      co_await held.trunk->writer_idle();
    } else {
      const SendOutcome outcome = held.trunk->send(*held.state, fragment);
      if (outcome == SendOutcome::queued) co_return;
      if (outcome == SendOutcome::closed) throw_closed(held.trunk->machine(), *held.state, fragment);
      co_await held.trunk->waits(*held.state).writable.wait();
    }
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    throw_if_cancelled(cancellation);
    check_released(*held.state);
    if (held.state->ended || held.state->finished_here()) throw_end(*held.state);
  }
}

} // namespace

awaitable<void> send(const HeldCircuit& held, Fragment fragment) {
  check_released(*held.state);
  if (!sent_at_once(*held.trunk, *held.state, fragment)) co_await send_in_turn(held, fragment);
}

SendOutcome send_one_way(const HeldCircuit& held, Fragment& fragment) {
  if (held.state->released()) return SendOutcome::closed;
  return senders_wait(*held.state) ? SendOutcome::no_credit : held.trunk->send(*held.state, fragment);
}

awaitable<std::optional<Fragment>> receive_any(const HeldCircuit& held) {
  TrunkCircuit* const state = held.state;
  check_released(*state);
  check_alone("receive_any", *state, Queues::both);
  const Receiving receiving(held, Queues::both);
  for (;;) {
    std::optional<Fragment> fragment = held.trunk->take(*state);
    if (!fragment) fragment = held.trunk->take_error(*state);
    if (fragment) co_return fragment;
    if (nothing_follows(*state)) co_return std::nullopt;
    co_await held.trunk->waits(*state).readable.wait(); // an error wakes it too
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    throw_if_cancelled(cancellation);
    check_released(*state);
  }
}

awaitable<std::optional<Fragment>> receive_with_words(const HeldCircuit& held) {
  TrunkCircuit* const state = held.state;
  check_released(*state);
  check_alone("receive", *state, Queues::reads);
  const Receiving receiving(held, Queues::reads);
  for (;;) {
    std::optional<Fragment> fragment = held.trunk->take_with_words(*state);
    if (fragment) co_return fragment;
    if (nothing_follows(*state)) co_return std::nullopt;
    co_await held.trunk->waits(*state).readable.wait();
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    throw_if_cancelled(cancellation);
    check_released(*state);
  }
}

CircuitOptions& CircuitOptions::inherit(const Circuit& of) {
  not_after = std::min(not_after, of.deadline().value_or(TimePoint::max()));
  return *this;
}

Circuit::Circuit(std::shared_ptr<Trunk> trunk, TrunkCircuit& state) : trunk_(std::move(trunk)), state_(&state) {}

Circuit& Circuit::operator=(Circuit&& other) noexcept {
  if (this != &other) {
    if (state_) drop(true);
    trunk_ = std::move(other.trunk_);
    state_ = std::exchange(other.state_, nullptr);
    if (state_ && state_->owner) note_moved();
  }
  return *this;
}

void Circuit::note_moved() const noexcept { state_->owner->note_moved(this); }

void Circuit::drop(bool assigned) noexcept {
  TrunkCircuit& state = *std::exchange(state_, nullptr);
  const std::shared_ptr<Trunk> trunk = std::move(trunk_);
  if (state.owner) {
    state.owner->drop(this, assigned);
  } else if (std::uncaught_exceptions() == 0) {
    trunk->release(state);
  } else {
    trunk->release_later(state);
  }
}

void Circuit::throw_empty(const char* call) {
  throw_error(error::handle_misused,
              fmt::format("{} on an empty circuit handle, which was moved from or never opened", call));
}

void Circuit::check_home(const char* call) const {
  const bool is_named = std::string_view(call).find("::") != std::string_view::npos;
  trunk_->home().check(call, is_named ? "" : "Circuit::");
}

const CircuitNames& Circuit::no_names() noexcept {
  static const CircuitNames none{std::make_shared<const PeerName>(), std::make_shared<const PeerName>(), 0, {}, {}};
  return none;
}

const CircuitCounters& Circuit::counters() const noexcept {
  static constexpr CircuitCounters none;
  return state_ ? state_->counters : none;
}

void Circuit::set_listener(CircuitListener* listener) {
  require("set_listener");
  state_->listener = listener;
}

SendOutcome Circuit::send_one_way(Fragment& fragment) {
  require("send_one_way");
  const SendOutcome outcome = senders_wait(*state_) ? SendOutcome::no_credit : trunk_->send(*state_, fragment);
  if (outcome != SendOutcome::queued) check_size(trunk_->machine(), *state_, fragment);
  return outcome;
}

awaitable<void> Circuit::send(Fragment fragment) {
  require("send");
  if (sent_at_once(*trunk_, *state_, fragment)) co_return;
  const HeldCircuit held(trunk_, state_);
  co_await send_in_turn(held, fragment);
}

awaitable<std::optional<Fragment>> Circuit::receive() {
  require("receive");
  TrunkCircuit* const state = state_;
  check_alone("receive", *state, Queues::reads);
  std::optional<Fragment> fragment = trunk_->take(*state);
  if (fragment) co_return fragment;
  const HeldCircuit held(trunk_, state);
  const Receiving receiving(held, Queues::reads);
  for (;;) {
    fragment = held.trunk->take(*state);
    if (fragment) co_return fragment;
    if (nothing_follows(*state)) co_return std::nullopt;
    co_await held.trunk->waits(*state).readable.wait();
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    throw_if_cancelled(cancellation);
    check_released(*state);
  }
}

awaitable<std::optional<Fragment>> Circuit::receive_error() {
  require("receive_error");
  TrunkCircuit* const state = state_;
  check_alone("receive_error", *state, Queues::errors);
  const HeldCircuit held(trunk_, state);
  const Receiving receiving(held, Queues::errors);
  for (;;) {
    std::optional<Fragment> fragment = held.trunk->take_error(*state);
    if (fragment) co_return fragment;
    if (nothing_follows(*state)) co_return std::nullopt;
    co_await held.trunk->waits(*state).error_readable.wait();
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    throw_if_cancelled(cancellation);
    check_released(*state);
  }
}

awaitable<std::optional<Fragment>> Circuit::receive_any() {
  require("receive_any");
  const HeldCircuit held(trunk_, state_);
  std::optional<Fragment> fragment = co_await trunkline::receive_any(held);
  co_return fragment;
}

bool Circuit::congested() const noexcept { return state_ && trunk_->congested(*state_); }

std::optional<Fragment> Circuit::try_receive() {
  require("try_receive");
  return trunk_->take(*state_);
}

// In these three the trunk is held: settling may drop this handle.

void Circuit::finish() {
  require("finish");
  const std::shared_ptr<Trunk> trunk = trunk_;
  trunk->with([&](Machine& machine) {
    machine.finish(*state_);
    trunk->wake_all(*state_); // sends that wait fail now
  });
}

void Circuit::close(End reason) {
  require("close");
  const std::shared_ptr<Trunk> trunk = trunk_;
  trunk->with([&](Machine& machine) {
    machine.close(*state_, std::move(reason));
    trunk->wake_all(*state_);
  });
}

void Circuit::reset(End reason) {
  require("reset");
  if (state_->owner) state_->owner->decide();
  const std::shared_ptr<Trunk> trunk = trunk_;
  trunk->with([&](Machine& machine) { machine.reset(*state_, std::move(reason)); });
}

void Circuit::refuse(error reason, std::string text) {
  require("refuse");
  if (state_->opened_here) throw_misused("refuse", *state_, "this side opened it; reset it instead");
  if (state_->owner) throw_misused("refuse", *state_, "a service works on it already; reset it instead");
  const std::shared_ptr<Trunk> trunk = std::move(trunk_);
  trunk->refuse(*std::exchange(state_, nullptr), reason, std::move(text));
}

awaitable<void> Circuit::finish_acknowledged() {
  require("finish_acknowledged");
  TrunkCircuit* const state = state_;
  if (!state->finished_here() && !state->ended)
    throw_misused("finish_acknowledged", *state, "this side has not finished it");
  const HeldCircuit held(trunk_, state);
  while (!state->finish_acknowledged()) {
    if (state->ended) throw_end(*state, false); // the far side has closed and takes no more
    co_await held.trunk->waits(*state).changed.wait();
    check_released(*state);
  }
}

awaitable<void> Circuit::accepted() {
  require("accepted");
  TrunkCircuit* const state = state_;
  if (!state->opened_here) throw_misused("accepted", *state, "the far side opened it and waits for an answer, not we");
  if (state->answer == Answer::unasked)
    throw_misused("accepted", *state, "it was opened without CircuitOptions::wants_answer");
  const HeldCircuit held(trunk_, state);
  while (!state->answered()) {
    if (state->ended) throw_end(*state);
    co_await held.trunk->waits(*state).changed.wait();
    check_released(*state);
  }
}

awaitable<End> Circuit::ended() {
  require("ended");
  const HeldCircuit held(trunk_, state_);
  TrunkCircuit* const state = state_;
  while (!state->ended) {
    co_await held.trunk->waits(*state).changed.wait();
    check_released(*state);
  }
  End reason = state->end ? *state->end : End();
  co_return reason;
}

std::optional<End> Circuit::end() const {
  require("end");
  if (!state_->ended) return std::nullopt;
  return state_->end ? *state_->end : End();
}

Circuit Circuit::open_again(std::optional<Fragment> first, CircuitOptions options) {
  require("new_circuit");
  OpenRequest request;
  request.mode = OpenMode::join;
  request.from = state_->names->local;
  request.to_peer = state_->names->remote->id;
  request.to_service = state_->names->remote->service;
  request.name = std::move(options.name);
  request.user_string = std::move(options.user_string);
  request.wants_answer = options.wants_answer;
  const TimePoint now = trunk_->now();
  request.deadline = std::min(options.reset_at(now), state_->deadline);
  std::shared_ptr<Trunk> trunk = trunk_;
  if (trunk->machine().draining() || trunk->machine().over())
    if (std::shared_ptr<Trunk> successor = trunk->successor()) trunk = std::move(successor);
  return trunk->with([&](Machine& machine) {
    TrunkCircuit* const state = machine.open(std::move(request), std::move(first), now);
    Circuit circuit(trunk, *state);
    trunk->opened_here(*state);
    if (state->deadline != Instant::max()) trunk->watch_deadlines();
    return circuit;
  });
}

Circuit Circuit::new_circuit(Fragment first, CircuitOptions options) {
  return open_again(std::move(first), std::move(options));
}

Circuit Circuit::new_circuit(CircuitOptions options) { return open_again(std::nullopt, std::move(options)); }

const RemoteIdentity* Circuit::remote_identity() const noexcept {
  return trunk_ ? trunk_->remote_identity().get() : nullptr;
}

std::string Circuit::local_url() const {
  require("local_url");
  return fmt::format("{}/{}", state_->names->local->url, state_->id);
}

std::string Circuit::remote_url() const {
  require("remote_url");
  const PeerName& peer = *state_->names->remote;
  const std::string base =
      peer.url.empty() ? fmt::format("{}/{}/{}", trunk_->remote_base(), percent_encode(peer.service, "/%"), peer.id.to_string())
                       : peer.url;
  return fmt::format("{}/{}", base, state_->id);
}

std::size_t Circuit::credit_bytes() const noexcept {
  return state_ ? trunk_->machine().credit_bytes(*state_) : 0;
}

const Metadata* Circuit::remote_metadata() const noexcept {
  if (!state_) return nullptr;
  return trunk_->machine().remote_metadata(state_->names->remote->id);
}

awaitable<void> Circuit::metadata_changed() {
  require("metadata_changed");
  const HeldCircuit held(trunk_, state_);
  TrunkCircuit* const state = state_;
  const auto now = [&] { // an accept may still say which peer it is
    const Metadata* const known = held.trunk->machine().remote_metadata(state->names->remote->id);
    return known ? *known : Metadata();
  };
  const Metadata before = now();
  while (now() == before) {
    if (state->ended) throw_end(*state);
    const Trunk::MetadataWatch watch(*held.trunk, *state);
    co_await held.trunk->waits(*state).changed.wait();
    check_released(*state);
  }
}

} // namespace trunkline