// A trunk machine in operation: it knows who waits on which circuit, and tells its session when there is something to
// write or a new deadline. It knows no transport.
#pragma once

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "circuit/machine.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trunkline {

/// Who waits on one circuit; exists only while its handle has waited at least once.
struct CircuitWaits {
  Signal readable;
  Signal error_readable; // such a fragment is announced to `readable` too
  Signal writable;
  Signal changed; // answered, finished, ended
  std::vector<const void*> senders; // sends that wait, in the order of the calls; only the first may try
  Signal turn;                      // another send is the first
};

/// Shared by the session that drives it, the node that owns it and every circuit handle on it, so that what was
/// received stays readable after the connection is gone. One executor; not thread safe.
class Trunk : public std::enable_shared_from_this<Trunk> {
 public:
  Trunk(Executor executor, std::unique_ptr<Machine> machine);
  Trunk(const Trunk&) = delete;
  Trunk& operator=(const Trunk&) = delete;
  ~Trunk();

  /// The machine. After an input to it that is not one of the methods here, call `settle`.
  Machine& machine() noexcept { return *machine_; }
  const Executor& executor() const noexcept { return executor_; }
  TimePoint now() const noexcept { return clock_.now(); }

  /// Hears every event that is not just a wake-up for a circuit's handle: hello, opened, metadata, peer_ended,
  /// draining, closed. It may call the machine. Set by the node; cleared when the node lets go.
  std::function<void(TrunkEvent&)> on_event;

  /// Handles what the last inputs caused: state first, then wake-ups (posted), then on_event. Re-entrant calls are
  /// folded into the running one.
  void settle();

  /// Where the far node's peers are reached ("tcp://10.0.0.7:7000", "node://ID"); set by the node once it knows.
  std::string remote_base;

  /// True once the trunk has said or heard its last words: what is still in the output is all that will be written.
  bool closed() const noexcept { return closed_; }

  // For the session.
  void feed(std::span<const std::byte> bytes) {
    Wakeups woken(executor_);
    feed(bytes, {}, woken);
  }
  /// Whom it wakes is left to `woken`.
  void feed(std::span<const std::byte> bytes, std::span<const std::byte> rest, Wakeups& woken);
  void disconnected(End cause);
  void tick();
  void collect_output(Output& into, std::size_t bytes_max);
  void written();
  /// How much one write takes now: senders that would make more ready wait.
  void set_write_bytes(std::size_t bytes);
  Signal output_ready;     // has_output() may have become true, or over(), or closed()
  Signal deadline_changed; // deadline() may be earlier than it was

  Signal input_wanted;     // wants_input() has become true, or over()

  Signal writer_idle;     // congested() may have become false

  // For circuit handles.
  /// So much is ready to be written that more of this circuit's should wait for the writer.
  bool congested(const TrunkCircuit& circuit) const noexcept { return congested() && machine_->has_queued(circuit); }
  CircuitWaits& waits(TrunkCircuit& circuit);
  Signal metadata_changed; // some far peer's, or a circuit has ended
  SendOutcome send(TrunkCircuit& circuit, Fragment& fragment) {
    const SendOutcome outcome = machine_->send(circuit, fragment);
    if (outcome == SendOutcome::queued) note_output();
    else note_deadline(); // what waits for credit has one
    return outcome;
  }
  std::optional<Fragment> take(TrunkCircuit& circuit) {
    std::optional<Fragment> fragment = machine_->take(circuit);
    if (fragment) note_consumed();
    return fragment;
  }
  std::optional<Fragment> take_error(TrunkCircuit& circuit) {
    std::optional<Fragment> fragment = machine_->take_error(circuit);
    if (fragment) note_consumed();
    return fragment;
  }
  /// Tells the node that a handle has opened a circuit without it.
  std::function<void(TrunkCircuit&)> on_opened_here;
  /// Another trunk to the same node, on which a handle opens its next circuit when this one drains; set by the node.
  std::weak_ptr<Trunk> successor;
  void note_opened(TrunkCircuit& circuit) {
    if (on_opened_here) on_opened_here(circuit);
  }
  void wake_all(TrunkCircuit& circuit, Wakeups* woken = nullptr);
  void release(TrunkCircuit& circuit);
  /// Of a handle that an exception drops on its way: released in a turn of its own, so that a peer whose service the
  /// exception leaves can first say what its circuits end with.
  void release_later(TrunkCircuit& circuit) noexcept;
  void note_output() {
    if (output_ready.has_waiters()) output_ready.notify_all();
  }

 private:
  /// Taking may have ended the circuit (both sides had finished) or owe the far side credit.
  void note_consumed() {
    if (output_ready.has_waiters() && machine_->has_output()) output_ready.notify_all();
    if (machine_->has_events()) settle();
    note_input();
  }
  void note_input() {
    if (input_wanted.has_waiters() && (machine_->wants_input() || machine_->over())) input_wanted.notify_all();
  }
  void note_deadline() {
    const TimePoint deadline = machine_->deadline();
    if (deadline < deadline_seen_) deadline_changed.notify_all();
    deadline_seen_ = deadline;
  }
  bool congested() const noexcept { return machine_->output_bytes() >= write_bytes_ && !machine_->over(); }
  void settle_events(Wakeups* woken = nullptr);
  void wake(TrunkEvent& event, Wakeups* woken);

  Executor executor_;
  Clock& clock_;
  std::unique_ptr<Machine> machine_;
  std::vector<TrunkEvent> events_; // scratch, empty between calls
  std::size_t write_bytes_ = 64 * 1024;
  TimePoint deadline_seen_ = TimePoint::max();
  bool settling_ = false;
  bool closed_ = false;
};

} // namespace trunkline
