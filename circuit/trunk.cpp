#include "circuit/trunk.hpp"

#include "circuit/owned_circuit.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

namespace trunkline {

Trunk::Trunk(Executor executor, std::unique_ptr<Machine> machine, std::weak_ptr<Owner> owner)
    : executor_(std::move(executor)), clock_(Clock::of(executor_)), home_(HomeThread::of(executor_)), machine_(std::move(machine)),
      owner_(std::move(owner)) {}

Trunk::~Trunk() = default;

void Trunk::prove(const ChannelProof& proof) {
  remote_identity_ = proof.far;
  with([&](Machine& machine) { machine.prove(proof); });
}

void Trunk::feed(std::span<const std::byte> bytes, std::span<const std::byte> rest, Wakeups& woken) {
  const HomeThread::Visit visit(*home_, "Trunk::feed");
  machine_->feed(bytes, now());
  if (!rest.empty()) machine_->feed(rest, now());
  const bool has_woken = machine_->has_events();
  if (!settling_) settle_events(&woken);
  // A coroutine that was woken will often answer: the writer's turn comes right after theirs, without a look at the
  // sockets between.
  if (has_woken) output_ready_.notify_all(&woken);
  settle();
}

void Trunk::disconnected(End cause) {
  const HomeThread::Visit visit(*home_, "Trunk::disconnected");
  with([&](Machine& machine) { machine.disconnected(std::move(cause)); });
}

void Trunk::tick() {
  const HomeThread::Visit visit(*home_, "Trunk::tick");
  with([this](Machine& machine) { machine.tick(now()); });
}

void Trunk::collect_output(Output& into, std::size_t bytes_max) {
  const HomeThread::Visit visit(*home_, "Trunk::collect_output");
  machine_->collect_output(into, bytes_max, now());
  writer_idle_.notify_all();
  settle();
}

void Trunk::written() {
  const HomeThread::Visit visit(*home_, "Trunk::written");
  with([this](Machine& machine) { machine.written(now()); });
}

void Trunk::set_write_bytes(std::size_t bytes) {
  write_bytes_ = bytes;
  machine_->set_write_bytes(bytes);
}

CircuitWaits& Trunk::waits(TrunkCircuit& circuit) {
  if (!circuit.waits) circuit.waits = new CircuitWaits;
  return *circuit.waits;
}

void Trunk::opened_here(TrunkCircuit& circuit) {
  if (const auto owner = owner_.lock()) owner->on_opened_here(circuit);
}

void Trunk::pass_on_open() {
  if (open_wanted_.has_waiters() && machine_->may_open()) open_wanted_.notify_one(); // otherwise an event follows
}

void Trunk::let_go(TrunkCircuit& circuit) {
  home_->check("the end of a Circuit handle");
  delete std::exchange(circuit.waits, nullptr);
  machine_->release(circuit);
}

void Trunk::pass_over_words(TrunkCircuit& circuit, std::optional<Fragment>& fragment) {
  while (fragment && fragment->cancels()) fragment = take_with_words(circuit);
}

void Trunk::watch_next_deadline() {
  watched_until_ = machine_->circuits_deadline();
  if (watched_until_ == TimePoint::max() || closed_) return deadline_alarm_.reset();
  if (!deadline_alarm_) deadline_alarm_ = clock_.make_alarm(executor_);
  deadline_alarm_->set(watched_until_, [weak = weak_from_this()] {
    const std::shared_ptr<Trunk> trunk = weak.lock();
    if (!trunk) return;
    trunk->watched_until_ = TimePoint::max();
    trunk->tick();
    trunk->watch_deadlines();
  });
}

void Trunk::release(TrunkCircuit& circuit) {
  let_go(circuit);
  settle();
}

void Trunk::refuse(TrunkCircuit& circuit, error reason, std::string text) {
  delete std::exchange(circuit.waits, nullptr);
  machine_->refuse(circuit, reason, std::move(text), {}); // releases it
  settle();
}

void Trunk::close_and_release(TrunkCircuit& circuit) {
  machine_->close(circuit, End());
  let_go(circuit);
  settle();
}

void Trunk::reset_and_release(TrunkCircuit& circuit, End reason) {
  machine_->reset(circuit, std::move(reason));
  let_go(circuit);
  settle();
}

void Trunk::release_later(TrunkCircuit& circuit) noexcept {
  const auto release = [trunk = shared_from_this()](TrunkCircuit* dropped) { trunk->release(*dropped); };
  std::unique_ptr<TrunkCircuit, decltype(release)> dropped(&circuit, release);
  try {
    asio::post(executor_, [dropped = std::move(dropped)] {}); // also when the context ends before it runs
  } catch (const std::exception&) {} // no memory: at once
}

void Trunk::wake_all(TrunkCircuit& circuit, Wakeups* woken) {
  CircuitWaits* const waits = circuit.waits;
  if (!waits) return;
  waits->readable.notify_all(woken);
  waits->error_readable.notify_all(woken);
  waits->writable.notify_all(woken);
  waits->changed.notify_all(woken);
  writer_idle_.notify_all(); // sends that wait for the writer
}

void Trunk::settle() {
  if (settling_) return; // the running call looks again
  settle_events();
  if (machine_->has_output() || machine_->over() || closed_) note_output();
  if (writer_idle_.has_waiters() && !congested()) writer_idle_.notify_all();
  note_input();
  note_deadline();
}

void Trunk::settle_events(Wakeups* woken) {
  struct Settling { // an exception out of the owner must not leave the trunk deaf
    bool& flag;
    explicit Settling(bool& settling) : flag(settling) { flag = true; }
    ~Settling() { flag = false; }
  };
  if (!machine_->has_events()) return;
  const Settling settling(settling_);
  for (;;) {
    std::vector<TrunkEvent> events = std::move(events_);
    machine_->collect_events(events);
    if (events.empty()) {
      events_ = std::move(events); // its memory is used again
      break;
    }
    for (TrunkEvent& event : events) wake(event, woken);
    events.clear();
    events_ = std::move(events);
  }
}

void Trunk::wake_watching(const PeerId& peer, Wakeups* woken) {
  const auto [first, last] = watching_.equal_range(peer);
  for (auto at = first; at != last; ++at)
    if (CircuitWaits* const waits = at->second->waits) waits->changed.notify_all(woken);
}

void Trunk::wake(TrunkEvent& event, Wakeups* woken) {
  using Kind = TrunkEvent::Kind;
  if (event.circuit && event.circuit->released() && event.kind != Kind::lost) return;
  CircuitWaits* const waits = event.circuit ? event.circuit->waits : nullptr;
  switch (event.kind) {
    case Kind::readable:
      if (waits) waits->readable.notify_all(woken);
      if (event.circuit->listener) event.circuit->listener->on_circuit_event(event);
      return;
    case Kind::error_readable:
      if (waits) {
        waits->error_readable.notify_all(woken);
        waits->readable.notify_all(woken); // coroutines that take from either queue
      }
      return;
    case Kind::writable:
      if (waits) waits->writable.notify_all(woken);
      if (event.circuit->listener) event.circuit->listener->on_circuit_event(event);
      return;
    case Kind::answered:
    case Kind::finished:
      if (waits) waits->changed.notify_all(woken);
      return;
    case Kind::ended:
      if (event.circuit->owner) event.circuit->owner->ended();
      wake_all(*event.circuit, woken);
      if (event.circuit->listener) event.circuit->listener->on_circuit_event(event);
      break;
    case Kind::hello: open_wanted_.notify_all(woken); break;
    case Kind::opened:
    case Kind::lost: break;
    case Kind::metadata:
    case Kind::peer_ended: wake_watching(event.peer, woken); break;
    case Kind::may_open: open_wanted_.notify_one(); return;
    case Kind::draining: open_wanted_.notify_all(woken); break;
    case Kind::closed:
      closed_ = true;
      deadline_alarm_.reset();
      writer_idle_.notify_all();
      open_wanted_.notify_all();
      break;
  }
  if (const auto owner = owner_.lock()) owner->on_event(event);
}

} // namespace trunkline
