// Which circuit sends next, and with which credit: deficit round robin over the circuits that have something to send
// and credit for it, both their own and the trunk's.
#pragma once

#include "circuit/invariant.hpp"
#include "circuit/native/circuit.hpp"
#include "circuit/native/circuits.hpp"
#include "circuit/native/closings.hpp"
#include "circuit/native/frame.hpp"
#include "circuit/native/node_pool.hpp"
#include "circuit/native/share_line.hpp"
#include "circuit/native/whole.hpp"
#include "circuit/native/writer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

namespace trunkline {

class Scheduler {
 public:
  Scheduler(Whole& whole, Writer& writer, NodePool& nodes, Keepalive& keepalive);

  /// The far side's Hello says that it grants as fair sharing needs it (docs/wire.md).
  void share();

  /// A fragment that has passed Machine::why_not, on a circuit that is open; `metadata` are the bytes of its metadata.
  /// Its one frame is written at once when nothing is queued before it and all credit is there.
  SendOutcome send(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata);
  /// Queues it, whatever the credit: the first fragment of an open.
  void enqueue(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata);
  /// Finish or close was asked for: it goes out now, or when the queue is empty.
  void end_sending(NativeCircuit& circuit);
  /// The circuit has ended.
  void drop(NativeCircuit& circuit);

  // The far side grants credit; more than there can be ends the trunk.
  /// `growth` widens the window. `completes`: the circuit whose first fragment it is for, if any.
  void add_credit(std::uint64_t bytes, std::uint64_t growth, NativeCircuit* completes);
  void add_credit(NativeCircuit& circuit, std::uint64_t bytes, std::uint64_t growth);

  /// Moves queued frames into the output, in turns, until it has `bytes_max`: a circuit that has used up its turn goes
  /// to the end.
  void fill(std::size_t bytes_max);
  bool has_output() const { return !sendable_.empty() && covered(sendable_.front()); }
  /// Queued, and covered by credit.
  std::size_t sendable_bytes() const noexcept {
    return static_cast<std::size_t>(credit_ > 0 ? sendable_cost_ - share_line_.queued() : 0);
  }
  /// The queue has room again: circuits whose sends were refused for lack of it try again.
  void wake_waiting() {
    if (!waiting_.empty()) wake_all_waiting();
  }

  Instant deadline() const noexcept { return closings_.deadline(); }
  void tick() { closings_.tick(moved_at_); }

  /// 0 <= promised <= credit. Sums of the circuits' when `full`.
  void check(bool full, Circuits& circuits) const;

 private:
  /// The first frame of a fragment.
  struct Beginning {
    std::size_t size = 0; // payload bytes
    std::size_t cost = 0;
    bool is_short = false;
  };

  bool send_at_once(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata);
  SendOutcome queue(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata);
  void update_sendable(NativeCircuit& circuit);
  void place(NativeCircuit& circuit);
  void displace(NativeCircuit& circuit);
  static bool placed(const NativeCircuit& circuit) {
    return circuit.sendable.is_linked() || circuit.sending.in_share_line;
  }
  bool covered(const NativeCircuit& circuit) const;
  void block(NativeCircuit& circuit);
  void unblock() {
    if (share_line_.empty() && blocked_.empty()) passed_by_ = 0;
    else unblock_waiting();
  }
  void unblock_waiting();
  void unblock_shared();
  bool must_queue() const { return passed_by_ > passed_by_max && !blocked_.empty(); }
  void block_uncovered();
  /// Whether so much may be sent, or promised, on the circuit.
  bool has_share(const NativeCircuit& circuit, std::int64_t cost) const {
    return cost <= free_credit() - half_ || (shares_ && is_within_share(circuit, cost));
  }
  [[gnu::noinline]] bool is_within_share(const NativeCircuit& circuit, std::int64_t cost) const;
  std::int64_t small_part() const noexcept { return half_ / 8; }
  std::int64_t holders_with(const NativeCircuit& circuit) const {
    return holders_ + (circuit.sending.is_holder ? 0 : 1);
  }
  bool begins(const NativeCircuit& circuit, Beginning& first) const;
  [[gnu::noinline]] bool begins_short(const NativeCircuit& circuit, std::int64_t needed, Beginning& first) const;
  std::int64_t place_in_line(const NativeCircuit& circuit) const;
  void note_held(NativeCircuit& circuit) {
    if (!circuit.sending.is_holder && circuit.sending.outstanding() > held_little) {
      circuit.sending.is_holder = true;
      holders_ += 1 + off_by_one("holders");
    }
  }
  void note_granted(NativeCircuit& circuit);
  std::int64_t free_credit() const noexcept { return credit_ - promised_; }
  std::int64_t wanted(const NativeCircuit& circuit) const;
  std::int64_t available(const NativeCircuit& circuit) const;
  void promise(NativeCircuit& circuit, std::int64_t bytes);
  void complete(NativeCircuit& circuit, std::int64_t credit);
  void promise_more();
  void note_sent(NativeCircuit& circuit, std::int64_t cost);
  void take_turn(NativeCircuit& circuit, std::size_t bytes_max);
  bool send_chunk(NativeCircuit& circuit);
  std::int64_t queued() const noexcept { return sendable_cost_ - share_line_.queued(); }
  bool queue_is_full() const noexcept {
    return queued() >= static_cast<std::int64_t>(whole_.limits.send_queue_bytes_max);
  }
  void wake_sender(NativeCircuit& circuit);
  void wake_all_waiting();

  static constexpr std::uint32_t passed_by_max = 16; // times that credit came and was too little for the first
  static constexpr std::int64_t held_little = 1024; // less does not make a circuit a holder

  Whole& whole_;
  Writer& writer_;
  NodePool& nodes_;
  std::int64_t credit_ = trunk_window_bytes_initial; // the trunk's
  std::int64_t promised_ = 0; // of it, to fragments that have begun
  std::int64_t sendable_cost_ = 0; // queued on circuits whose credit is not used up
  std::map<std::uint64_t, NativeCircuit*> begun_; // circuits whose first fragment has begun, the oldest first
  std::uint64_t begun_count_ = 0;
  CircuitList<NativeCircuit, &NativeCircuit::sendable> sendable_;
  CircuitList<NativeCircuit, &NativeCircuit::sendable> blocked_; // by the trunk's credit
  ShareLine share_line_; // in its place, where the far side grants as sharing needs it
  CircuitList<NativeCircuit, &NativeCircuit::waiting> waiting_;
  Closings closings_;
  std::uint32_t passed_by_ = 0; // how often credit came and was too little for the first of blocked_
  bool shares_ = false;
  std::int64_t window_ = trunk_window_bytes_initial; // of the far side, as far as it has told
  std::int64_t half_ = 0; // of it, once the circuits share it: the rest goes to the circuit that comes first
  std::int64_t holders_ = 0; // circuits that hold more than a little
  Instant moved_at_{}; // when the trunk's credit came last, or something was sent that had waited
};

/// Payload bytes that fit one frame beside this much metadata.
constexpr std::size_t first_chunk_bytes_max(std::size_t metadata) {
  return std::min(chunk_bytes_max, frame_bytes_max - wire::data_head_bytes_max - metadata);
}

inline bool Scheduler::send_at_once(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata) {
  if (!sendable_.empty() && writer_.bytes() < writer_.direct_bytes_max())
    fill(writer_.direct_bytes_max()); // what was queued goes first
  const std::size_t payload = fragment.payload.size();
  const auto cost = static_cast<std::int64_t>(payload + metadata + fragment_credit_overhead);
  if (!circuit.sending.queue.empty() || !sendable_.empty() || writer_.bytes() >= writer_.direct_bytes_max() ||
      payload > first_chunk_bytes_max(metadata) || cost > circuit.sending.credit || !has_share(circuit, cost) ||
      must_queue())
    return false;
  circuit.sending.credit -= static_cast<std::int32_t>(cost);
  credit_ -= cost;
  note_held(circuit);
  ++circuit.counters.fragments_sent;
  circuit.counters.bytes_sent += payload;
  writer_.put_data(circuit.id, fragment, 0, payload, metadata);
  return true;
}

inline SendOutcome Scheduler::send(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata) {
  if (send_at_once(circuit, fragment, metadata)) return SendOutcome::queued;
  return queue(circuit, fragment, metadata);
}

} // namespace trunkline
