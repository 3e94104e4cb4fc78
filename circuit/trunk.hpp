// A protocol machine in operation: the trunk knows which coroutines wait on which circuit, and tells its session when
// there is something to write or a new deadline. It knows no transport.
#pragma once

#include "async/clock.hpp"
#include "async/home_thread.hpp"
#include "async/signal.hpp"
#include "circuit/machine.hpp"

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace trunkline {

/// The coroutines waiting on one circuit. Allocated at the first wait.
struct CircuitWaits {
  Signal readable;
  Signal error_readable; // such a fragment is announced to `readable` too
  Signal writable;
  Signal changed; // answered, finished, ended
  std::list<Signal> senders; // one per send that waits, in the order of the calls: only the first may try, and tells the
                             // next one when it is done
  std::uint8_t receiving = 0; // from which queues a coroutine is receiving now
  std::shared_ptr<const void> handle; // for who asks later whether the handle is still there; null until one does
};

/// Shared by the session that drives it, its owner and every circuit handle on it, so that what was received stays
/// readable after the connection is gone. One executor; not thread safe.
class Trunk : public std::enable_shared_from_this<Trunk> {
 public:
  /// Receives the events of a trunk while the trunk dispatches them: it may call the trunk, and must not wait.
  class Owner {
   public:
    /// Every event that is more than a wake-up for a circuit's handle: hello, opened, ended, lost, metadata,
    /// peer_ended, draining, closed.
    virtual void on_event(TrunkEvent& event) = 0;
    /// A handle has opened a circuit without the owner (Circuit::new_circuit).
    virtual void on_opened_here(TrunkCircuit& /*circuit*/) {}

   protected:
    ~Owner() = default;
  };

  /// The trunk may outlive its owner, or have none; events are then dropped.
  Trunk(Executor executor, std::unique_ptr<Machine> machine, std::weak_ptr<Owner> owner = {});
  Trunk(const Trunk&) = delete;
  Trunk& operator=(const Trunk&) = delete;
  ~Trunk();

  const Executor& executor() const noexcept { return executor_; }
  TimePoint now() const noexcept { return clock_.now(); }
  HomeThread& home() const noexcept { return *home_; }
  /// The machine, for reading; changes go through `with`.
  const Machine& machine() const noexcept { return *machine_; }
  /// Calls `input` with the machine, then handles the effects: state first, then wake-ups (posted), then the owner. A
  /// call from within settling is handled by the running one. Afterwards any circuit may have ended and any handle may
  /// be gone.
  template <class Input> auto with(Input&& input) {
    if constexpr (std::is_void_v<std::invoke_result_t<Input, Machine&>>) {
      std::forward<Input>(input)(*machine_);
      settle();
    } else {
      auto result = std::forward<Input>(input)(*machine_);
      settle();
      return result;
    }
  }

  // For the owner.
  /// Where the far node's peers are reached ("tcp://10.0.0.7:7000", "node://ID"); empty until the owner knows it.
  const std::string& remote_base() const noexcept { return remote_base_; }
  void set_remote_base(std::string base) { remote_base_ = std::move(base); }
  /// Another trunk to the same node, on which a handle opens its next circuit when this one drains or is over.
  std::shared_ptr<Trunk> successor() const noexcept { return successor_.lock(); }
  void set_successor(std::weak_ptr<Trunk> successor) noexcept { successor_ = std::move(successor); }
  /// See Machine::circuits_of.
  void circuits_of(const PeerId& local, std::vector<TrunkCircuit*>& into) { machine_->circuits_of(local, into); }
  /// See Machine::left_backlog.
  void left_backlog(TrunkCircuit& circuit) { machine_->left_backlog(circuit); }

  /// What the connection proves; before the session begins. See Machine::prove.
  void prove(const ChannelProof& proof);
  /// Who is at the far end; null where the connection proves nothing, and before there is one.
  const std::shared_ptr<const RemoteIdentity>& remote_identity() const noexcept { return remote_identity_; }

  // For the session.
  /// True once the trunk has ended on either side: only bytes that are already in the output are still written.
  bool closed() const noexcept { return closed_; }
  /// See Machine::read_space.
  std::span<std::byte> read_space() { return machine_->read_space(); }
  void feed(std::span<const std::byte> bytes) {
    Wakeups woken(executor_);
    feed(bytes, {}, woken);
  }
  /// The same for bytes in two places. The coroutines that this wakes are resumed by `woken`.
  void feed(std::span<const std::byte> bytes, std::span<const std::byte> rest, Wakeups& woken);
  void disconnected(End cause);
  void tick();
  void collect_output(Output& into, std::size_t bytes_max);
  /// See Machine::write_progressed; a `tick` follows.
  void write_progressed() { machine_->write_progressed(now()); }
  void written();
  /// Sets how much one write takes now; senders that would make more ready wait.
  void set_write_bytes(std::size_t bytes);
  // Each returns when its condition may have become true; wait in a loop over it.
  /// For has_output(), over() or closed().
  awaitable<void> output_ready() { return output_ready_.wait(); }
  /// For a deadline() that is earlier than it was.
  awaitable<void> deadline_changed() { return deadline_changed_.wait(); }
  /// For wants_input() or over().
  awaitable<void> input_wanted() { return input_wanted_.wait(); }

  // For circuit handles.
  CircuitWaits& waits(TrunkCircuit& circuit);
  /// Resumes every coroutine that waits on the circuit.
  void wake_all(TrunkCircuit& circuit, Wakeups* woken = nullptr);
  /// True while the output backlog is so large that a send on this circuit should wait for the writer.
  bool congested(const TrunkCircuit& circuit) const noexcept { return congested() && machine_->has_queued(circuit); }
  /// Returns when congested() may have become false.
  awaitable<void> writer_idle() { return writer_idle_.wait(); }
  /// Returns when Machine::may_open may say yes again, or the trunk takes no more circuits at all. A place that gets free
  /// wakes one waiter alone: whoever was woken calls `pass_on_open` when it has opened its circuit, or has given up.
  awaitable<void> open_wanted() { return open_wanted_.wait(); }
  void pass_on_open();
  /// As long as it lives, `waits(circuit).changed` is also told when the metadata of its far peer changes.
  class MetadataWatch {
   public:
    MetadataWatch(Trunk& trunk, TrunkCircuit& circuit)
        : trunk_(trunk), at_(trunk.watching_.emplace(circuit.names->remote->id, &circuit)) {}
    MetadataWatch(const MetadataWatch&) = delete;
    MetadataWatch& operator=(const MetadataWatch&) = delete;
    ~MetadataWatch() { trunk_.watching_.erase(at_); }

   private:
    Trunk& trunk_;
    std::multimap<PeerId, TrunkCircuit*>::iterator at_;
  };
  SendOutcome send(TrunkCircuit& circuit, Fragment& fragment) {
    const SendOutcome outcome = machine_->send(circuit, fragment);
    if (outcome == SendOutcome::queued) note_output();
    else note_deadline(); // what waits for credit has one
    return outcome;
  }
  /// Takes a fragment, or a word about a call (see Fragment::cancels).
  std::optional<Fragment> take_with_words(TrunkCircuit& circuit) {
    std::optional<Fragment> fragment = machine_->take(circuit);
    if (fragment) note_consumed();
    return fragment;
  }
  std::optional<Fragment> take(TrunkCircuit& circuit) {
    std::optional<Fragment> fragment = machine_->take(circuit);
    if (fragment) {
      note_consumed();
      if (fragment->cancels()) pass_over_words(circuit, fragment);
    }
    return fragment;
  }
  std::optional<Fragment> take_error(TrunkCircuit& circuit) {
    std::optional<Fragment> fragment = machine_->take_error(circuit);
    if (fragment) note_consumed();
    return fragment;
  }
  /// Ticks the machine when the deadline of a circuit passes, also while there is no session yet that does it. To be
  /// called when a circuit has been opened.
  void watch_deadlines() {
    if (machine_->circuits_deadline() < watched_until_) watch_next_deadline();
  }
  /// Tells the owner of a circuit that a handle has just opened.
  void opened_here(TrunkCircuit& circuit);
  void release(TrunkCircuit& circuit);
  /// For a handle that an exception drops on its way: releases the circuit in a turn of its own, so that a peer whose
  /// service the exception leaves can first set the reason with which its circuits end.
  void release_later(TrunkCircuit& circuit) noexcept;
  void refuse(TrunkCircuit& circuit, error reason, std::string text);
  void close_and_release(TrunkCircuit& circuit);
  void reset_and_release(TrunkCircuit& circuit, End reason);

 private:
  /// Re-entrant calls are folded into the running one.
  void settle();
  void settle_events(Wakeups* woken = nullptr);
  void wake(TrunkEvent& event, Wakeups* woken);
  void wake_watching(const PeerId& peer, Wakeups* woken);
  void let_go(TrunkCircuit& circuit);
  void watch_next_deadline();
  void pass_over_words(TrunkCircuit& circuit, std::optional<Fragment>& fragment);
  void note_output() {
    if (output_ready_.has_waiters()) output_ready_.notify_all();
  }
  /// Taking may have ended the circuit (both sides had finished) or owe the far side credit.
  void note_consumed() {
    if (output_ready_.has_waiters() && machine_->has_output()) output_ready_.notify_all();
    if (machine_->has_events()) settle();
    note_input();
  }
  void note_input() {
    if (input_wanted_.has_waiters() && (machine_->wants_input() || machine_->over())) input_wanted_.notify_all();
  }
  void note_deadline() {
    const TimePoint deadline = machine_->deadline();
    if (deadline < deadline_seen_) deadline_changed_.notify_all();
    deadline_seen_ = deadline;
  }
  bool congested() const noexcept { return machine_->output_bytes() >= write_bytes_ && !machine_->over(); }

  Executor executor_;
  Clock& clock_;
  std::shared_ptr<HomeThread> home_;
  std::unique_ptr<Machine> machine_;
  std::weak_ptr<Owner> owner_;
  std::string remote_base_;
  std::shared_ptr<const RemoteIdentity> remote_identity_;
  std::weak_ptr<Trunk> successor_;
  Signal output_ready_;
  Signal deadline_changed_;
  Signal input_wanted_;
  Signal writer_idle_;
  Signal open_wanted_;
  std::multimap<PeerId, TrunkCircuit*> watching_; // circuits on which a MetadataWatch is set, by their far peer
  std::vector<TrunkEvent> events_; // scratch, empty between calls
  std::size_t write_bytes_ = 64 * 1024;
  TimePoint deadline_seen_ = TimePoint::max();
  std::unique_ptr<Alarm> deadline_alarm_; // there once a circuit had a deadline
  TimePoint watched_until_ = TimePoint::max(); // when it goes off
  bool settling_ = false;
  bool closed_ = false;
};

} // namespace trunkline
