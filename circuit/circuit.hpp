// The handle of one circuit: an ordered two-way conversation between two peers.
#pragma once

#include "async/types.hpp"
#include "circuit/machine.hpp"
#include "fragment/error.hpp"
#include "fragment/fragment.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline {

class Circuit;
class Trunk;

/// What an opener may state about a new circuit besides its destination.
struct CircuitOptions {
  std::string name;        // shown on both sides; at most name_bytes_max
  std::string user_string; // for the user's own purposes; at most user_string_bytes_max
  bool wants_answer = false; // asks the far side to say that it accepted; needed for Circuit::accepted
  /// After this long the circuit is reset as error::deadline_passed on both sides, whatever it is doing; the far side
  /// is told how much is left. Duration::max(): never.
  Duration deadline = Duration::max();
  /// The same as a point in time; the earlier of both counts. See `inherit`.
  TimePoint not_after = TimePoint::max();

  CircuitOptions() = default;
  explicit CircuitOptions(std::string circuit_name, std::string user = {}, bool answer = false)
      : name(std::move(circuit_name)), user_string(std::move(user)), wants_answer(answer) {}

  /// The new circuit ends no later than `of`: for what a handler asks others on behalf of its caller. Circuits that
  /// Circuit::new_circuit opens inherit without this.
  CircuitOptions& inherit(const Circuit& of);
  /// For the peer layer: when the circuit is reset if it is opened now.
  TimePoint reset_at(TimePoint now) const noexcept {
    return std::min(not_after, deadline < TimePoint::max() - now ? now + deadline : TimePoint::max());
  }
};

/// An ordered two-way conversation between two peers. Move only; one executor; not thread safe. In builds with
/// assertions a call from a wrong thread aborts; docs/threads.md says which may call.
/// Dropping the handle of a circuit that was neither finished nor closed resets the circuit as abandoned, so that a
/// half written stream never looks complete to the far side. The parameter of a function that LocalPeer::spawn or
/// Node::serve runs is the one exception: it goes when the function has ended, and how that ended decides.
/// A handle that was moved from is empty. Calling anything of an empty handle throws error::handle_misused, as do calls
/// that could never end well on this circuit, with a text that names the call and the circuit. The names and figures
/// (`id` to `congested`, those that are noexcept) are empty, zero, null or false then.
class Circuit {
 public:
  Circuit() = default;
  Circuit(Circuit&& other) noexcept : trunk_(std::move(other.trunk_)), state_(std::exchange(other.state_, nullptr)) {
    if (state_ && state_->owner) note_moved();
  }
  Circuit& operator=(Circuit&& other) noexcept;
  ~Circuit() {
    if (state_) drop(false);
  }

  /// Sends after everything already sent on this circuit, without waiting. Returns `queued`, `no_credit` (the fragment
  /// is untouched; `send` would wait) or `closed`. Errors: error::fragment_too_large is thrown.
  SendOutcome send_one_way(Fragment& fragment);
  SendOutcome send_one_way(Fragment&& fragment) { return send_one_way(fragment); }

  /// Sends after everything already sent on this circuit. Waits for credit and for the writer, never for a reply of the
  /// far side. Several sends may wait at once; they go out in the order of the calls. Cancelled: nothing is sent.
  /// Errors: the reason why the circuit ended, or error::circuit_closed after finish or close;
  /// error::fragment_too_large.
  awaitable<void> send(Fragment fragment);

  /// The next fragment, or nullopt when the far side has finished or closed cleanly and everything was taken. Call it
  /// from one coroutine at a time: another call throws error::handle_misused while one waits. Cancelled: nothing is
  /// taken. Errors: the reason of an unclean end (CircuitEnded), after everything that had arrived was taken.
  awaitable<std::optional<Fragment>> receive();
  /// The next fragment whose `err` is set; ends and errors as for `receive`. Of errors that are not taken the latest
  /// are kept, as many as Limits::errors_unread_bytes_max bounds, and nothing waits for them, a finish neither.
  awaitable<std::optional<Fragment>> receive_error();
  /// The next fragment of either queue; ends and errors as for `receive`. The queues have no order between them.
  awaitable<std::optional<Fragment>> receive_any();
  /// The next fragment if it has arrived; nullopt otherwise, also at the end.
  std::optional<Fragment> try_receive();

  /// Says that nothing more comes from this side; everything sent before arrives first. Receiving goes on.
  void finish();
  /// Waits until the far side's application has taken everything up to our finish. Errors: the reason of an end that
  /// came first; how much was taken is then unknown. error::handle_misused without a finish or close before it.
  awaitable<void> finish_acknowledged();
  /// Finishes both ways: everything sent before arrives, everything that the far side still sends is dropped. With a
  /// reason, the far side's `receive` throws it after the data. Idempotent.
  void close(End reason = {});
  /// Gives up now: fragments that are queued on either side may be lost.
  void reset(End reason = End(error::circuit_reset));

  /// Waits until the far side has accepted the circuit. Errors: the reason of a refusal; its text names the services
  /// that run there. error::handle_misused on a circuit that asked for no answer (CircuitOptions::wants_answer does, and
  /// so does join_or_start), or that the far side opened.
  awaitable<void> accepted();
  /// Waits until nothing more crosses this circuit, and returns how it ended.
  awaitable<End> ended();
  /// How it ended, or nullopt while it lives.
  std::optional<End> end() const;

  /// Opens another circuit from the same local to the same remote peer, without a round trip. When this circuit's trunk
  /// takes no new ones, the next trunk to the same node does.
  Circuit new_circuit(Fragment first, CircuitOptions options = CircuitOptions());
  Circuit new_circuit(CircuitOptions options = CircuitOptions());

  CircuitId id() const noexcept { return state_ ? state_->id : 0; }
  const std::string& name() const noexcept { return names().name; }
  const std::string& user_string() const noexcept { return names().user_string; }
  const PeerName& local_peer() const noexcept { return *names().local; }
  const PeerName& remote_peer() const noexcept { return *names().remote; }
  std::string local_url() const;
  std::string remote_url() const;
  /// Who is at the far end of this circuit's connection, as it has proven; null where the connection proves nothing
  /// (tcp, unix sockets), and before there is one. Valid as long as the handle is.
  const RemoteIdentity* remote_identity() const noexcept;
  bool opened_here() const noexcept { return state_ && state_->opened_here; }
  /// True when opening this circuit started a new connection.
  bool dialled() const noexcept { return state_ && state_->dialled; }
  /// When the circuit is reset because its opener gave it that long; none without such a deadline.
  std::optional<TimePoint> deadline() const noexcept {
    if (!state_ || state_->deadline == TimePoint::max()) return std::nullopt;
    return state_->deadline;
  }
  bool is_open() const noexcept { return state_ && !state_->ended; }
  const CircuitCounters& counters() const noexcept;
  /// Bytes that may be sent now without waiting.
  std::size_t credit_bytes() const noexcept;
  /// True while the output backlog is so large that `send` would wait for the writer. For hot loops of send_one_way,
  /// which costs less than an awaited send:
  /// `if (circuit.congested() || circuit.send_one_way(f) != SendOutcome::queued) co_await circuit.send(std::move(f));`
  bool congested() const noexcept;
  /// The far peer's user metadata as last heard; null when it has none. Valid until the coroutine next waits.
  const Metadata* remote_metadata() const noexcept;
  /// Waits until the far peer's user metadata differs from what it is now. Errors: the reason why the circuit ended,
  /// error::circuit_closed after a clean end.
  awaitable<void> metadata_changed();
  explicit operator bool() const noexcept { return state_ != nullptr; }

  /// Calls `listener` instead of waking coroutines; see CircuitListener. The listener must outlive this handle or be
  /// replaced by null before it goes. Fragments that have arrived already are not announced again.
  void set_listener(CircuitListener* listener);

  /// For the peer layer: the far side's circuit is not served, and no handler has seen it. The handle is empty then.
  void refuse(error reason, std::string text);

  /// For the peer layer: wraps a circuit that a trunk has opened or announced.
  Circuit(std::shared_ptr<Trunk> trunk, TrunkCircuit& state);
  TrunkCircuit* state() const noexcept { return state_; }
  const std::shared_ptr<Trunk>& trunk() const noexcept { return trunk_; }
  /// Throws error::handle_misused, which names the call, when the handle is empty.
  void require(const char* call) const {
    if (!state_) throw_empty(call);
#ifndef NDEBUG
    check_home(call);
#endif
  }

 private:
  [[noreturn]] static void throw_empty(const char* call);
  void check_home(const char* call) const;
  const CircuitNames& names() const noexcept { return state_ ? *state_->names : no_names(); }
  static const CircuitNames& no_names() noexcept;
  Circuit open_again(std::optional<Fragment> first, CircuitOptions options);
  void note_moved() const noexcept;
  void drop(bool assigned) noexcept;

  std::shared_ptr<Trunk> trunk_;
  TrunkCircuit* state_ = nullptr;
};

} // namespace trunkline
