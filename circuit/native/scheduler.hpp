// Which circuit sends next, and with which credit: deficit round robin over the circuits that have something to send
// and credit for it, both their own and the trunk's.
#pragma once

#include "circuit/native/circuit.hpp"
#include "circuit/native/frame.hpp"
#include "circuit/native/node_pool.hpp"
#include "circuit/native/whole.hpp"
#include "circuit/native/writer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

namespace trunkline {

class Scheduler {
 public:
  Scheduler(Whole& whole, Writer& writer, NodePool& nodes);

  /// A fragment that has passed Machine::why_not, on a circuit that is open; `metadata` are the bytes of its metadata.
  /// Its one frame is written at once when nothing is queued before it and all credit is there.
  SendOutcome send(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata);
  /// Queues it, whatever the credit: the first fragment of an open.
  void enqueue(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata);
  /// Finish or close was asked for: it goes out now, or when the queue is empty.
  void end_sending(NativeCircuit& circuit);
  /// A close waits for its answer: no longer than the stall_deadline.
  void await_answer(NativeCircuit& circuit);
  /// The circuit has ended.
  void drop(NativeCircuit& circuit);

  // The far side grants credit; more than there can be ends the trunk.
  void add_credit(std::uint64_t bytes);
  void add_credit(NativeCircuit& circuit, std::uint64_t bytes);

  /// Moves queued frames into the output, in turns, until it has `bytes_max`: a circuit that has used up its turn goes
  /// to the end.
  void fill(std::size_t bytes_max);
  bool has_output() const { return !sendable_.empty() && covered(sendable_.front()); }
  /// Queued, and covered by credit.
  std::size_t sendable_bytes() const noexcept { return static_cast<std::size_t>(credit_ > 0 ? sendable_cost_ : 0); }
  /// The queue has room again: circuits whose sends were refused for lack of it try again.
  void wake_waiting() {
    if (!waiting_.empty()) wake_all_waiting();
  }

  Instant deadline() const noexcept {
    Instant first = Instant::max();
    if (!stalled_.empty()) first = stalled_.front().stalled_since + whole_.limits.stall_deadline;
    if (stalled_since_ != Instant::max()) first = std::min(first, stalled_since_ + whole_.limits.stall_deadline);
    return first;
  }
  void tick();

  /// 0 <= promised <= credit. Sums of the circuits' when `full`.
  void check(bool full) const;

 private:
  void update_sendable(NativeCircuit& circuit);
  bool covered(const NativeCircuit& circuit) const;
  void block(NativeCircuit& circuit);
  void unblock();
  bool must_queue() const { return passed_by_ > passed_by_max && !blocked_.empty(); }
  void block_uncovered();
  std::int64_t free_credit() const noexcept { return credit_ - promised_; }
  std::int64_t wanted(const NativeCircuit& circuit) const;
  std::int64_t available(const NativeCircuit& circuit) const;
  void promise(NativeCircuit& circuit, std::int64_t bytes);
  void promise_more();
  void note_sent(NativeCircuit& circuit, std::int64_t cost);
  void take_turn(NativeCircuit& circuit, std::size_t bytes_max);
  bool send_chunk(NativeCircuit& circuit);
  bool queue_is_full() const noexcept {
    return sendable_cost_ >= static_cast<std::int64_t>(whole_.limits.send_queue_bytes_max);
  }
  void wake_sender(NativeCircuit& circuit);
  void wake_all_waiting();

  static constexpr std::uint32_t passed_by_max = 16; // times that credit came and was too little for the first

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
  CircuitList<NativeCircuit, &NativeCircuit::stalled> stalled_;
  CircuitList<NativeCircuit, &NativeCircuit::waiting> waiting_;
  std::uint32_t passed_by_ = 0; // how often credit came and was too little for the first of blocked_
  Instant stalled_since_ = Instant::max(); // sendable circuits wait for the trunk's credit
};

/// Payload bytes that fit one frame beside this much metadata.
constexpr std::size_t first_chunk_bytes_max(std::size_t metadata) {
  return std::min(chunk_bytes_max, frame_bytes_max - wire::data_head_bytes_max - metadata);
}

inline SendOutcome Scheduler::send(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata) {
  const bool room = circuit.send_credit > circuit.outgoing_cost;
  if (!room || queue_is_full()) {
    circuit.wants_credit = true;
    if (room && !circuit.waiting.is_linked()) waiting_.push_back(circuit);
    return SendOutcome::no_credit;
  }
  if (!sendable_.empty() && writer_.bytes() < writer_.direct_bytes_max())
    fill(writer_.direct_bytes_max()); // what was queued goes first
  const std::size_t payload = fragment.payload.size();
  const auto cost = static_cast<std::int64_t>(payload + metadata + fragment_credit_overhead);
  if (circuit.outgoing.empty() && sendable_.empty() && writer_.bytes() < writer_.direct_bytes_max() &&
      payload <= first_chunk_bytes_max(metadata) && cost <= circuit.send_credit && cost <= free_credit() &&
      !must_queue()) {
    circuit.send_credit -= static_cast<std::int32_t>(cost);
    credit_ -= cost;
    ++circuit.counters.fragments_sent;
    circuit.counters.bytes_sent += payload;
    writer_.put_data(circuit.id, fragment, 0, payload, metadata);
    return SendOutcome::queued;
  }
  enqueue(circuit, fragment, metadata);
  return SendOutcome::queued;
}

} // namespace trunkline
