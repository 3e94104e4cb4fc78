// The protocol of one connection as a machine without I/O: bytes and a time point in; bytes, events and a deadline
// out. It never reads a clock, never draws a random number, never throws on what a peer sent. Production, unit tests,
// the simulator and the fuzzers drive the same code. This interface is what a dialect implements; the native one is
// NativeMachine.
#pragma once

#include "circuit/limits.hpp"
#include "circuit/output.hpp"
#include "fragment/deadline.hpp"
#include "fragment/error.hpp"
#include "fragment/fragment.hpp"
#include "fragment/identity.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

using Instant = std::chrono::steady_clock::time_point; // a value given from outside, never read here
using Metadata = std::map<std::string, std::string, std::less<>>;

/// How an opener names the far side's peer.
enum class OpenMode : std::uint8_t {
  join = 0,           // the running instance with this id
  start = 1,          // a new instance, which takes the id that the opener chose
  join_or_start = 2,  // the running instance if there is one, else a new one; the answer says which
  start_only = 3,     // as start, without a circuit for the instance
};

/// What an open says; constant for the circuit's life.
struct OpenRequest {
  OpenMode mode = OpenMode::join;
  std::shared_ptr<const PeerName> from;
  PeerId to_peer;         // none for join_or_start
  std::string to_service; // may be empty for join
  std::string name;
  std::string user_string;
  bool wants_answer = false; // an accept is sent back; refusals always are
  Instant deadline = Instant::max(); // when the circuit is reset
};

enum class SendOutcome : std::uint8_t { queued, no_credit, closed };

struct CircuitCounters {
  std::uint64_t fragments_sent = 0;
  std::uint64_t fragments_received = 0;
  std::uint64_t bytes_sent = 0;     // payload bytes
  std::uint64_t bytes_received = 0; // payload bytes
  std::uint64_t errors_dropped = 0; // received error fragments that gave way to later ones before they were taken
};

struct TrunkEvent;
struct CircuitWaits;
class OwnedCircuit;

/// Decides how a circuit ends when its handle is dropped.
enum class Handle : std::uint8_t {
  held,          // the handle itself: dropping it releases the circuit
  owned_by_task, // the task that serves the circuit, when it has ended; the handle is still there
  dropped,       // that task as well; the handle is gone
  released,      // nothing any more: it has been decided, and events that still name the circuit are skipped
};

/// Whether the far side of a circuit's opener has accepted it.
enum class Answer : std::uint8_t {
  awaited, // an accept is to come; never, when the circuit ends before
  unasked, // the opener wants none
  given,
};

/// A callback instead of a coroutine that waits, for owners of very many idle circuits. Called while the trunk
/// dispatches events: it may call the circuit and may drop its handle; it must not wait or throw.
class CircuitListener {
 public:
  /// The circuit is readable or writable, or has ended.
  virtual void on_circuit_event(const TrunkEvent& event) = 0;

 protected:
  ~CircuitListener() = default;
};

/// How far one direction of a circuit is. States are entered in this order, each at most once; a dialect leaves out
/// those that it has no words for.
class Direction {
 public:
  bool is_open() const noexcept { return state_ == State::open; }
  bool is_finishing() const noexcept { return state_ == State::finishing; }
  bool is_finished() const noexcept { return state_ >= State::finished; }
  bool is_acknowledged() const noexcept { return state_ == State::acknowledged; }

  void ask_finish() noexcept { enter(State::finishing); }
  void finish() noexcept { enter(State::finished); }
  void acknowledge() noexcept { enter(State::acknowledged); }

 private:
  enum class State : std::uint8_t {
    open,
    finishing,    // no more is taken; fragments that were sent before are still queued. Only of our own direction
    finished,     // the finish has been said, or has arrived
    acknowledged, // and everything before it has been taken
  };
  void enter(State state) noexcept { state_ = std::max(state_, state); }

  State state_ = State::open;
};

/// One circuit as its trunk keeps it. Owned by the trunk; stays valid until `Machine::release`.
/// The machine writes it, all others only read it, but for what is said of its handle.
struct TrunkCircuit {
  /// A close of ours. It finishes our direction, too, and what arrives is dropped from then on.
  enum class Closing : std::uint8_t { no, asked, said, answered };

  TrunkCircuit(CircuitId number, bool is_ours) noexcept : id(number), opened_here(is_ours) {}
  TrunkCircuit(const TrunkCircuit&) = delete;
  TrunkCircuit& operator=(const TrunkCircuit&) = delete;
  virtual ~TrunkCircuit() = default;

  /// Finish or close was asked for on this side.
  bool finished_here() const noexcept { return !out.is_open(); }
  /// The far side has taken everything up to our finish.
  bool finish_acknowledged() const noexcept { return out.is_acknowledged(); }
  /// The far side's finish has arrived; fragments may still be unread.
  bool finished_there() const noexcept { return in.is_finished(); }
  /// Close was asked for on this side.
  bool closed_here() const noexcept { return closing != Closing::no; }
  /// Accepted, or no answer was wanted.
  bool answered() const noexcept { return answer != Answer::awaited; }
  /// The handle is gone, and no task decides for it.
  bool released() const noexcept { return handle == Handle::released; }

  /// A task owns the circuit from now on, instead of its handle or of another task.
  void own(OwnedCircuit& task) noexcept {
    owner = &task;
    handle = Handle::owned_by_task;
  }
  /// The task has nothing left to decide. True when the handle is gone: the circuit is the caller's to release.
  bool disown() noexcept {
    owner = nullptr;
    if (handle == Handle::dropped) return true;
    handle = Handle::held;
    return false;
  }
  /// The handle goes. True when a task decides in its place.
  bool drop_handle() noexcept {
    if (handle != Handle::owned_by_task) return false;
    handle = Handle::dropped;
    return true;
  }
  /// For Machine::release. False when it was released before.
  bool release() noexcept { return std::exchange(handle, Handle::released) != Handle::released; }

  const CircuitId id;            // 0: it never reached the wire
  const bool opened_here;
  Direction out;
  Direction in;
  Closing closing = Closing::no;
  bool ended = false;            // nothing more crosses; what was received is still readable
  Answer answer = Answer::awaited;
  Handle handle = Handle::held;
  bool cancelled = false;        // its opener gave it up before a service took it: there is nothing to serve
  bool dialled = false;          // opening it started a new connection
  bool closed_there = false;     // the far side closed it: what it sent before that is to be served
  Instant deadline = Instant::max(); // when it is reset
  OwnedCircuit* owner = nullptr; // the task that owns it, if any
  std::uint32_t holds = 0;       // operations that still look at it; it is not freed before they are done
  std::shared_ptr<const CircuitNames> names;
  std::unique_ptr<End> end;      // the reason of its end, or of our close; null is clean
  CircuitCounters counters;
  CircuitWaits* waits = nullptr; // for the trunk: the coroutines that wait on this circuit
  CircuitListener* listener = nullptr; // outlives the handle or is taken back
};

struct TrunkEvent {
  enum class Kind : std::uint8_t {
    hello,           // the far side's Hello has arrived: remote() is known
    opened,          // circuit: the far side opened it; `open` says how. Answer with accept or refuse
    answered,        // circuit: the far side accepted it; names->remote is now right
    readable,        // circuit: receive() has something, or its end
    error_readable,  // circuit: receive_error() has something, or its end
    writable,        // circuit: a send that said no_credit may be tried again
    finished,        // circuit: our finish was acknowledged
    ended,           // circuit: see end
    lost,            // circuit: it was closed and let go, and what was sent on it may not have arrived
    metadata,        // peer: the far peer's user metadata changed
    peer_ended,      // peer: the far peer ended; end says why
    draining,        // the far side takes no new circuits
    may_open,        // an open that `may_open` denied may be tried again
    closed,          // the trunk is over; end says why. All its circuits have ended
  };
  Kind kind;
  TrunkCircuit* circuit = nullptr;
  std::unique_ptr<OpenRequest> open;
  PeerId peer;
  std::unique_ptr<End> end;
};

/// What the far side's Hello said.
struct RemoteNode {
  NodeId id;
  std::string name;
  std::vector<std::string> addresses; // as claimed
};

struct TrunkCounters {
  std::chrono::nanoseconds round_trip{}; // as last measured, by a ping of its own or of the keepalive; zero before
  std::uint64_t frames_received = 0;
  std::uint64_t frames_for_forgotten_circuits = 0;
  std::uint64_t unknown_frames = 0;
  std::uint64_t pings_coalesced = 0;
  std::uint64_t circuits_opened = 0; // by this side
  std::uint64_t circuits_refused = 0;
  std::uint64_t circuits_lost = 0; // see TrunkEvent::Kind::lost
  std::uint64_t circuits_held = 0; // now: over, but their handles are still there
  std::uint64_t opens_cancelled = 0; // circuits of the far side that ended by its doing within a second, unanswered
  std::uint64_t opens_delayed = 0; // opens of the far side that had to wait because it cancels many
  std::uint64_t opens_waiting = 0; // now: of them, those that still wait
  std::uint64_t reading_pauses = 0; // because of more control frames than control_frames_per_second_max
  std::uint64_t metadata_dropped = 0; // of far peers: there was no room for it here
  std::uint64_t metadata_withheld = 0; // of our peers: there is no room for it there
  std::uint64_t errors_dropped = 0; // of all circuits
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
};

/// One connection's protocol. Inputs return at once; what they caused is in `events`, `output` and `deadline`.
class Machine {
 public:
  virtual ~Machine() = default;

  // Inputs from the connection.
  /// Takes bytes that arrived, any number, split anywhere. All are consumed.
  virtual void feed(std::span<const std::byte> bytes, Instant now) = 0;
  /// The memory in which the next bytes belong, when that is known and large enough to be worth it; empty otherwise. A
  /// caller that reads into it passes that very memory to the next `feed`, and it stays valid until then.
  virtual std::span<std::byte> read_space() { return {}; }
  /// The connection is gone: every circuit ends with trunk_lost and this cause. A clean cause means that the far side
  /// has finished sending, in order; whether that is a loss is for the dialect to say.
  virtual void disconnected(End cause) = 0;
  /// Time has passed; call at `deadline` or later.
  virtual void tick(Instant now) = 0;

  /// Says what the connection proves, which may be nothing where it could have been something. At most once, before the first byte of it is fed or collected. A dialect that
  /// does not know identities ignores it; the connection is as secure all the same.
  virtual void prove(const ChannelProof& /*proof*/) {}

  // Inputs from our side.
  /// False while an open would be refused because the far side takes no more circuits than there are now; the event
  /// `may_open` follows when that has changed. True where an open fails for another reason: waiting does not help.
  virtual bool may_open() { return true; }
  virtual TrunkCircuit* open(OpenRequest request, std::optional<Fragment> first, Instant now) = 0;
  virtual void accept(TrunkCircuit& circuit, std::shared_ptr<const PeerName> local) = 0;
  /// `existing` is the URL of an instance that the refused could join; may be empty. Releases the circuit.
  virtual void refuse(TrunkCircuit& circuit, error reason, std::string text, std::string existing) = 0;
  /// Tells the machine that a service has taken the circuit from its inbox: from now on a reset by its opener is one
  /// that has cost work.
  virtual void left_backlog(TrunkCircuit& circuit) = 0;
  /// Moves from `fragment` only when it returns `queued`. Returns `closed` also for a fragment that can never cross
  /// (see `why_not`).
  virtual SendOutcome send(TrunkCircuit& circuit, Fragment& fragment) = 0;
  /// Why the fragment can never cross, on whatever circuit: "fragment of 9 bytes exceeds fragment_bytes_max 8".
  /// Empty when it can.
  virtual std::string why_not(const Fragment& fragment) const = 0;
  /// Takes the next fragment; nullopt when there is none now. Taking is consuming: credit goes back to the sender.
  virtual std::optional<Fragment> take(TrunkCircuit& circuit) = 0;
  virtual std::optional<Fragment> take_error(TrunkCircuit& circuit) = 0;
  virtual void finish(TrunkCircuit& circuit) = 0;
  /// Everything sent before arrives first, then both directions end with this reason (none: clean).
  virtual void close(TrunkCircuit& circuit, End reason) = 0;
  /// Gives up at once: what was queued is dropped.
  virtual void reset(TrunkCircuit& circuit, End reason) = 0;
  /// The handle is gone. A circuit that has neither ended nor been closed is closed when it was finished, and reset as
  /// abandoned otherwise. The pointer is invalid afterwards.
  virtual void release(TrunkCircuit& circuit) = 0;
  /// Tells the far side about one of our peers. Of several values between two writes it hears the last.
  virtual void set_metadata(const PeerName& local, const Metadata& metadata) = 0;
  virtual const Metadata* remote_metadata(const PeerId& peer) const = 0;
  /// Tells the far side that one of our peers ended, if it has heard of that one; its circuits are closed by the
  /// caller, and `circuits_of` does not find them any more.
  virtual void end_peer(const PeerName& local, const End& reason) = 0;
  /// No new circuits either way; closes by itself when none is left, and resets what is left at the deadline.
  /// Opens that the far side sent before it heard of this are refused as draining, or served where `serve_late`.
  virtual void drain(Instant deadline, bool serve_late = false) = 0;
  /// Says goodbye, ends every circuit with this reason, and is over when the goodbye is written or timed out.
  virtual void close(End reason) = 0;

  // Outputs.
  virtual bool has_events() const noexcept = 0;
  /// Moves out the events since the last call, in order. Circuits in them stay valid until the next call.
  virtual void collect_events(std::vector<TrunkEvent>& into) = 0;
  /// Fills `into` (cleared first) with about `bytes_max` to write; leaves it empty when there is nothing.
  virtual void collect_output(Output& into, std::size_t bytes_max, Instant now) = 0;
  /// Sets how much one write takes now; no more is made ready ahead of it.
  virtual void set_write_bytes(std::size_t /*bytes*/) {}
  /// More of the collected output has left: the write deadline starts anew.
  virtual void write_progressed(Instant now) = 0;
  /// All of the collected output has been written.
  virtual void written(Instant now) = 0;
  virtual bool has_output() const = 0;
  virtual std::size_t output_bytes() const = 0; // ready and not yet taken
  /// Whether fragments of this circuit are queued behind the output. A circuit without any may always queue one, so
  /// that circuits that send little do not wait for those that send much. Always true in a dialect with one queue for
  /// all.
  virtual bool has_queued(const TrunkCircuit& /*circuit*/) const { return true; }
  /// When `tick` must be called at the latest; Instant::max() when never.
  virtual Instant deadline() const = 0;
  /// True when nothing more will be read or written: the connection can be closed.
  virtual bool over() const = 0;
  /// False while the connection should not be read: until something was consumed or dropped in a dialect without
  /// credit, which has no other way to hold its far side back; until a tick where the far side says too much too fast.
  virtual bool wants_input() const { return true; }

  virtual const RemoteNode* remote() const = 0; // null before its Hello
  virtual bool draining() const = 0; // either side
  virtual std::size_t circuits_count() const = 0;
  /// Fills `into` (cleared first) with the circuits of one of our peers that have not ended and whose handle is still
  /// there, in the order in which they came to it.
  virtual void circuits_of(const PeerId& local, std::vector<TrunkCircuit*>& into) = 0;
  virtual std::size_t fragment_bytes_max() const = 0; // the smaller of both sides' limits, as far as known
  /// The first deadline of a circuit; Instant::max() when none has one.
  virtual Instant circuits_deadline() const { return Instant::max(); }
  /// Whether the far side understands Fragment::cancelling: nothing else may be sent to one that does not.
  virtual bool far_knows_calls() const { return false; }
  virtual std::size_t credit_bytes(const TrunkCircuit& circuit) const = 0; // may be sent at once
  virtual std::size_t memory_bytes() const = 0; // received and not yet consumed
  virtual const TrunkCounters& counters() const = 0;
};

} // namespace trunkline
