// Each circuit has its queue and its credit. One whose credit covers the next frame of its queue is sendable, or
// blocked while the trunk's credit does not cover it, too; `update_sendable` puts it where it belongs whenever either
// changes. The sendable take turns of a quantum, and a turn is paid with the credit that its frames use, so that
// circuits with large fragments and circuits with small ones get the same share.
//
// The hard part is the trunk's credit. A fragment of several frames uses it over a while, and the far side grants none
// again before a fragment is complete and taken. Were all credit spent on beginnings, the far side could complete none
// of them, and no credit would ever come. So a fragment of several frames begins only when there is credit for as much
// of it as its circuit's credit covers, and that much is promised to it: others leave it alone. Never is more promised
// than there is.
//
//   0 <= promised <= credit
//
// Credit that comes goes first to what has begun, the oldest first, because the far side sets memory aside in that
// order. Small fragments may pass by a large one that the credit is too little for, but not forever: after some times
// nothing new begins before it.
//
// Nor may circuits whose readers pause use up the trunk's credit, however many they are and in whatever order they
// come. One half of it goes to whoever comes first. Of the rest, a fragment takes credit only while n times what its
// circuit then holds (sent, and not granted again) is at most what is free then, where n circuits hold anything: a
// dynamic threshold, as Choudhury and Hahne have it for queues that share a buffer, which shrinks with the number of
// those that have stopped. When each new circuit takes all that it may and is never read, 1 / (n + 1) of the credit is
// still free after the n-th. The last part is only for circuits that hold next to nothing: 512 bytes for each. A
// circuit that has its share waits in `share_line_`, for its own reader, as long as it takes.
//
// A fragment can need more than the share of a circuit that holds nothing. Then it begins short: with a first frame
// that is too small for anything else, and without a promise. Its receiver grants all the rest to the trunk as soon as
// memory is set aside for it.
//
// All this needs a far side that grants early, and says what a grant is for. With one that does not, circuits begin
// while there is credit, as in the first version of the protocol.
#include "circuit/native/scheduler.hpp"

#include "circuit/invariant.hpp"

#include <fmt/format.h>

#include <limits>
#include <utility>

namespace trunkline {
namespace {

constexpr std::size_t chunk_bytes_min = 16 * 1024; // credit for less than this is not worth a frame
constexpr std::int32_t quantum_bytes = 16 * 1024;
constexpr int passed_at_once_max = 64;             // blocked circuits, each time that credit comes
constexpr std::int64_t circuit_credit_max = (std::int64_t{1} << 31) - 1;
constexpr std::int64_t trunk_credit_max = std::int64_t{1} << 40;
constexpr std::int64_t small_share = 512; // whatever the others hold
constexpr std::int64_t short_beginning_bytes_min = 256;

/// How much of the fragment at the head of a queue `credit` pays for: payload bytes of its next frame and what that
/// frame costs. False when it pays for too little.
bool next_chunk(const FragmentNode& node, std::size_t sent, std::int64_t credit, std::size_t& size, std::size_t& cost) {
  const std::size_t payload = node.fragment.payload.size();
  const std::size_t fixed = sent == 0 ? node.cost - payload : 0;
  const std::size_t size_max = sent == 0 ? first_chunk_bytes_max(fixed - fragment_credit_overhead) : chunk_bytes_max;
  const std::int64_t for_payload = credit - static_cast<std::int64_t>(fixed);
  const std::size_t left = payload - sent;
  if (for_payload < 0) return false;
  size = std::min({left, size_max, static_cast<std::size_t>(for_payload)});
  cost = size + fixed;
  return sent == 0 && payload <= size_max ? size == left : size >= std::min(left, chunk_bytes_min);
}

} // namespace

Scheduler::Scheduler(Whole& whole, Writer& writer, NodePool& nodes, Keepalive& keepalive)
    : whole_(whole), writer_(writer), nodes_(nodes), closings_(whole, keepalive) {}

void Scheduler::share() {
  shares_ = true;
  half_ = window_ / 2;
  passed_by_ = 0;
  while (!blocked_.empty()) {
    NativeCircuit& circuit = blocked_.front();
    blocked_.pop_front();
    place(circuit);
  }
  block_uncovered();
}

/// Not at once: there is something before it, or too little credit.
SendOutcome Scheduler::queue(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata) {
  const bool room = circuit.sending.credit > circuit.sending.queued && !circuit.sending.in_share_line;
  if (!room || queue_is_full()) {
    circuit.sending.wants_credit = true;
    if (room && !circuit.waiting.is_linked()) waiting_.push_back(circuit);
    return SendOutcome::no_credit;
  }
  enqueue(circuit, fragment, metadata);
  return SendOutcome::queued;
}

void Scheduler::enqueue(NativeCircuit& circuit, Fragment& fragment, std::size_t metadata) {
  const std::size_t payload = fragment.payload.size();
  ++circuit.counters.fragments_sent;
  circuit.counters.bytes_sent += payload;
  FragmentNode* node = nodes_.make();
  node->fragment = std::move(fragment);
  node->cost = payload + metadata + fragment_credit_overhead;
  circuit.sending.queue.push(node);
  circuit.sending.queued += static_cast<std::int64_t>(node->cost);
  update_sendable(circuit);
}

/// Puts the circuit where its queue and its credit say: with those that can send, or with those that wait.
void Scheduler::update_sendable(NativeCircuit& circuit) {
  std::size_t size = 0;
  std::size_t cost = 0;
  const bool queued = !circuit.sending.queue.empty();
  const bool can = queued && next_chunk(*circuit.sending.queue.first(), circuit.sending.head_sent,
                                        circuit.sending.credit, size, cost);
  if (can != placed(circuit)) {
    if (can) {
      place(circuit);
    } else {
      displace(circuit);
      circuit.sending.deficit = 0;
    }
  }
  const std::int64_t counted = can ? circuit.sending.queued : 0;
  sendable_cost_ += counted - circuit.sending.counted_cost;
  share_line_.note_queued(circuit, counted - circuit.sending.counted_cost);
  circuit.sending.counted_cost = counted;
}

void Scheduler::place(NativeCircuit& circuit) {
  if (covered(circuit)) sendable_.push_back(circuit);
  else block(circuit);
}

void Scheduler::displace(NativeCircuit& circuit) {
  circuit.sendable.unlink();
  share_line_.remove(circuit);
}

// Shares.

/// When less than half of the credit is free.
bool Scheduler::is_within_share(const NativeCircuit& circuit, std::int64_t cost) const {
  const std::int64_t free = free_credit();
  if (off_by_one("reserve") != 0) return cost <= free; // for a test that shows what the shares are for
  const std::int64_t held = std::max<std::int64_t>(0, circuit.sending.outstanding()) + cost;
  return held * holders_with(circuit) <= free - cost - small_part() || (held <= small_share && cost <= free);
}

/// Whether the first fragment may begin, and how.
bool Scheduler::begins(const NativeCircuit& circuit, Beginning& first) const {
  const FragmentNode& node = *circuit.sending.queue.first();
  const std::int64_t needed = std::min<std::int64_t>(static_cast<std::int64_t>(node.cost), circuit.sending.credit);
  if (!has_share(circuit, needed)) return begins_short(circuit, needed, first);
  first.is_short = false;
  return next_chunk(node, 0, circuit.sending.credit, first.size, first.cost);
}

/// There is less credit than it needs: a short beginning, when that is all that its share will ever be enough for.
bool Scheduler::begins_short(const NativeCircuit& circuit, std::int64_t needed, Beginning& first) const {
  const FragmentNode& node = *circuit.sending.queue.first();
  const auto payload = static_cast<std::int64_t>(node.fragment.payload.size());
  const std::int64_t fixed = static_cast<std::int64_t>(node.cost) - payload;
  const std::int64_t shared = free_credit() - small_part();
  const std::int64_t holders = holders_with(circuit);
  if (needed * (holders + 1) <= shared) return false; // it fits when what the circuit has sent is read
  const std::int64_t held = std::max<std::int64_t>(0, circuit.sending.outstanding());
  const std::int64_t credit =
      std::max((shared - held * holders) / (holders + 1), std::min(small_share - held, free_credit()));
  const std::int64_t size = std::min({std::int64_t{short_beginning_bytes_max}, payload - 1,
                                      std::min<std::int64_t>(credit, circuit.sending.credit) - fixed});
  if (size < short_beginning_bytes_min) return false;
  first.size = static_cast<std::size_t>(size);
  first.cost = static_cast<std::size_t>(size + fixed);
  first.is_short = true;
  return true;
}

/// Those that hold least come first. A fragment that has begun waits for what is promised to it.
std::int64_t Scheduler::place_in_line(const NativeCircuit& circuit) const {
  return circuit.sending.begun != 0 ? std::numeric_limits<std::int64_t>::max()
                                    : std::max<std::int64_t>(0, circuit.sending.outstanding());
}

/// The circuit holds less, or nothing any more.
void Scheduler::note_granted(NativeCircuit& circuit) {
  if (!circuit.sending.is_holder || (!circuit.ended && circuit.sending.outstanding() > held_little)) return;
  circuit.sending.is_holder = false;
  --holders_;
}

// The trunk's credit.

/// What the fragment that the circuit has begun still needs of the trunk's credit, as far as its circuit's covers it.
std::int64_t Scheduler::wanted(const NativeCircuit& circuit) const {
  const std::size_t left = circuit.sending.queue.first()->fragment.payload.size() - circuit.sending.head_sent;
  return std::clamp<std::int64_t>(circuit.sending.credit, 0, static_cast<std::int64_t>(left));
}

/// Credit that the circuit's next frame may use: one that continues a fragment leaves others what is promised to them.
std::int64_t Scheduler::available(const NativeCircuit& circuit) const {
  std::int64_t of_trunk = credit_;
  if (circuit.sending.begun != 0)
    of_trunk = shares_ ? circuit.sending.promised : credit_ - (promised_ - circuit.sending.promised);
  return std::min<std::int64_t>(circuit.sending.credit, of_trunk);
}

/// Whether the trunk's credit, too, lets the circuit send its next frame.
bool Scheduler::covered(const NativeCircuit& circuit) const {
  if (shares_ && circuit.sending.begun == 0) {
    Beginning first;
    return begins(circuit, first);
  }
  const FragmentNode& node = *circuit.sending.queue.first();
  std::size_t size = 0;
  std::size_t cost = 0;
  if (!next_chunk(node, circuit.sending.head_sent, available(circuit), size, cost)) return false;
  if (circuit.sending.begun != 0) return true;
  if (must_queue() && &blocked_.front() != &circuit) return false;
  if (begun_.empty()) return true;
  const bool whole = size == node.fragment.payload.size();
  const auto needed = whole ? static_cast<std::int64_t>(cost)
                            : std::min<std::int64_t>(static_cast<std::int64_t>(node.cost), circuit.sending.credit);
  return needed <= free_credit();
}

/// The circuit waits for the trunk's credit; it is linked nowhere.
void Scheduler::block(NativeCircuit& circuit) {
  if (shares_) share_line_.add(circuit, place_in_line(circuit));
  else blocked_.push_back(circuit);
}

/// The trunk's credit has grown, or less of it is promised: as many circuits go on as it is enough for.
void Scheduler::unblock_waiting() {
  if (shares_) return unblock_shared();
  std::int64_t left = free_credit();
  int passed = 0;
  for (auto at = blocked_.begin(); at != blocked_.end() && passed < passed_at_once_max;) {
    const auto circuit = at++;
    const bool begun = circuit->sending.begun != 0; // it has its own
    if ((!begun && left <= 0) || !covered(*circuit)) {
      ++passed;
      continue;
    }
    if (!begun) left -= static_cast<std::int64_t>(circuit->sending.queue.first()->cost);
    sendable_.splice(sendable_.end(), blocked_, circuit);
  }
  if (blocked_.empty()) passed_by_ = 0;
}

/// The circuits that hold least go on, as many as the credit is enough for.
void Scheduler::unblock_shared() {
  std::int64_t left = free_credit();
  share_line_.let_go(passed_at_once_max, [&](NativeCircuit& circuit) {
    if (left <= 0 || circuit.sending.begun != 0 || !covered(circuit)) return false;
    left -= static_cast<std::int64_t>(circuit.sending.queue.first()->cost);
    sendable_.push_back(circuit);
    return true;
  });
}

/// Afterwards the first of the sendable is one that really can send: has_output() looks no further.
void Scheduler::block_uncovered() {
  while (!sendable_.empty() && !covered(sendable_.front())) {
    NativeCircuit& circuit = sendable_.front();
    circuit.sendable.unlink();
    block(circuit);
  }
}

void Scheduler::promise(NativeCircuit& circuit, std::int64_t bytes) {
  promised_ +=
      bytes - std::exchange(circuit.sending.promised, static_cast<std::int32_t>(bytes)) + off_by_one("scheduler");
}

/// Promises what credit is free to the fragments that have begun, the oldest first.
void Scheduler::promise_more() {
  for (const auto& [number, circuit] : begun_) {
    const std::int64_t free = free_credit();
    if (free <= 0) return;
    promise(*circuit, std::min(wanted(*circuit), circuit->sending.promised + free));
    if (circuit->sending.in_share_line && covered(*circuit)) {
      share_line_.remove(*circuit);
      sendable_.push_back(*circuit);
    }
  }
}

/// A frame of the circuit's first fragment has gone out: the fragment begins, goes on or is complete.
void Scheduler::note_sent(NativeCircuit& circuit, std::int64_t cost) {
  if (circuit.sending.head_sent == 0) {
    if (circuit.sending.begun == 0) return; // it was whole
    circuit.sending.begun_short = false;
    begun_.erase(std::exchange(circuit.sending.begun, 0));
    promise(circuit, 0);
  } else if (circuit.sending.begun == 0) {
    circuit.sending.begun = ++begun_count_;
    if (circuit.sending.begun_short) return; // it gets its credit with the far side's memory
    begun_.emplace(circuit.sending.begun, &circuit);
    promise(circuit, std::clamp<std::int64_t>(free_credit(), 0, wanted(circuit)));
    return;
  } else {
    promise(circuit, std::min(wanted(circuit), std::max<std::int64_t>(0, circuit.sending.promised - cost)));
  }
  promise_more();
}

void Scheduler::fill(std::size_t bytes_max) {
  do {
    while (!sendable_.empty() && writer_.bytes() < bytes_max) take_turn(sendable_.front(), bytes_max);
    block_uncovered();
    if (sendable_.empty()) unblock(); // it let no more go on than there seemed to be credit for
  } while (!sendable_.empty() && writer_.bytes() < bytes_max);
}

void Scheduler::take_turn(NativeCircuit& circuit, std::size_t bytes_max) {
  if (circuit.sending.deficit <= 0) circuit.sending.deficit += quantum_bytes;
  bool sent = true;
  while (sent && circuit.sending.deficit > 0 && writer_.bytes() < bytes_max && circuit.sendable.is_linked())
    sent = send_chunk(circuit);
  if (!circuit.sendable.is_linked()) return;
  if (!sent) {
    circuit.sendable.unlink();
    block(circuit);
  } else if (circuit.sending.deficit <= 0) {
    sendable_.splice(sendable_.end(), sendable_, sendable_.s_iterator_to(circuit));
  }
}

/// Moves one frame of the circuit's queue into the output. False when it is not sendable any more, or the trunk's
/// credit is too small.
bool Scheduler::send_chunk(NativeCircuit& circuit) {
  FragmentNode* node = circuit.sending.queue.first();
  std::size_t size = 0;
  std::size_t cost = 0;
  if (shares_ && circuit.sending.begun == 0) {
    Beginning first;
    if (!begins(circuit, first)) return false;
    size = first.size;
    cost = first.cost;
    circuit.sending.begun_short = first.is_short;
  } else {
    if (!covered(circuit)) return false;
    next_chunk(*node, circuit.sending.head_sent, available(circuit), size, cost);
  }
  const std::size_t payload = node->fragment.payload.size();
  writer_.put_data(circuit.id, node->fragment, circuit.sending.head_sent, size,
                   circuit.sending.head_sent == 0 ? node->cost - payload - fragment_credit_overhead : 0);
  circuit.sending.credit -= static_cast<std::int32_t>(cost);
  credit_ -= static_cast<std::int64_t>(cost);
  circuit.sending.queued -= static_cast<std::int64_t>(cost);
  circuit.sending.deficit -= static_cast<std::int32_t>(cost);
  note_held(circuit);
  circuit.sending.head_sent += static_cast<std::uint32_t>(size);
  if (circuit.sending.head_sent == payload) {
    circuit.sending.head_sent = 0;
    nodes_.free(circuit.sending.queue.pop());
  }
  const bool completed = circuit.sending.begun != 0 && circuit.sending.head_sent == 0;
  note_sent(circuit, static_cast<std::int64_t>(cost));
  update_sendable(circuit);
  closings_.note_progress(circuit);
  moved_at_ = whole_.now;
  if (completed) unblock(); // less is promised: no credit need come to let the others go on
  if (!circuit.sending.queue.empty()) return true;
  if (shares_ && circuit.sending.wants_credit && !circuit.waiting.is_linked())
    wake_sender(circuit); // it waited for its share
  end_sending(circuit);
  return true;
}

void Scheduler::end_sending(NativeCircuit& circuit) {
  if (circuit.closing == NativeCircuit::Closing::asked && !circuit.closing_hook.is_linked()) closings_.add(circuit);
  if (!circuit.sending.queue.empty()) return;
  if (circuit.closing == NativeCircuit::Closing::asked) {
    circuit.closing = NativeCircuit::Closing::said;
    circuit.out.finish();
    writer_.put_close(circuit);
  } else if (circuit.closing == NativeCircuit::Closing::no && circuit.out.is_finishing()) {
    circuit.out.finish();
    writer_.put_finish(circuit);
  }
}

void Scheduler::drop(NativeCircuit& circuit) {
  circuit.waiting.unlink();
  while (!circuit.sending.queue.empty()) nodes_.free(circuit.sending.queue.pop());
  displace(circuit);
  circuit.sending.queued = 0;
  circuit.sending.head_sent = 0;
  sendable_cost_ -= std::exchange(circuit.sending.counted_cost, 0);
  note_sent(circuit, 0);
  note_granted(circuit);
  unblock();
  block_uncovered();
  wake_waiting();
  closings_.remove(circuit);
}

void Scheduler::add_credit(std::uint64_t bytes, std::uint64_t growth, NativeCircuit* completes) {
  if (bytes > static_cast<std::uint64_t>(trunk_credit_max - std::max<std::int64_t>(0, credit_)))
    return whole_.violate(error::flow_control_violated, fmt::format("credit of {} bytes overflows the trunk's", bytes));
  credit_ += static_cast<std::int64_t>(bytes);
  window_ = std::min(window_ + static_cast<std::int64_t>(std::min(growth, bytes)), trunk_credit_max);
  if (shares_) half_ = window_ / 2;
  moved_at_ = whole_.now;
  const NativeCircuit* const first = blocked_.empty() ? nullptr : &blocked_.front();
  if (completes && completes->sending.begun != 0) complete(*completes, static_cast<std::int64_t>(bytes));
  promise_more();
  unblock();
  block_uncovered();
  passed_by_ = first && !blocked_.empty() && &blocked_.front() == first ? passed_by_ + 1 : 0;
}

/// The far side has set memory aside for all of the circuit's first fragment, and this credit is for the rest of it.
void Scheduler::complete(NativeCircuit& circuit, std::int64_t credit) {
  if (circuit.sending.begun_short) begun_.emplace(circuit.sending.begun, &circuit);
  circuit.sending.begun_short = false;
  promise(circuit, std::max<std::int64_t>(circuit.sending.promised,
                                          std::min(wanted(circuit), circuit.sending.promised + credit)));
  closings_.note_progress(circuit);
  if (!circuit.sending.in_share_line || !covered(circuit)) return;
  share_line_.remove(circuit);
  sendable_.push_back(circuit);
}

void Scheduler::add_credit(NativeCircuit& circuit, std::uint64_t bytes, std::uint64_t growth) {
  if (bytes > static_cast<std::uint64_t>(circuit_credit_max - std::max<std::int64_t>(0, circuit.sending.credit)))
    return whole_.violate(error::flow_control_violated,
                          fmt::format("credit of {} bytes overflows circuit {}", bytes, circuit.id));
  circuit.sending.credit += static_cast<std::int32_t>(bytes);
  const std::int64_t widened =
      std::int64_t{circuit.sending.window} + static_cast<std::int64_t>(std::min(growth, bytes));
  circuit.sending.window = static_cast<std::int32_t>(std::min(widened, circuit_credit_max));
  note_granted(circuit);
  if (!circuit.sending.queue.empty()) closings_.note_progress(circuit);
  promise_more();
  if (circuit.sending.in_share_line) displace(circuit); // it needs less now
  update_sendable(circuit);
  unblock();
  block_uncovered();
  if (circuit.sending.wants_credit) wake_sender(circuit);
}

/// Credit has come for a circuit of which a send was refused.
void Scheduler::wake_sender(NativeCircuit& circuit) {
  if (circuit.sending.credit <= circuit.sending.queued || circuit.sending.in_share_line) return;
  if (queue_is_full()) {
    if (!circuit.waiting.is_linked()) waiting_.push_back(circuit);
    return;
  }
  circuit.sending.wants_credit = false;
  whole_.emit(TrunkEvent::Kind::writable, &circuit);
}

/// Wakes senders that were refused for lack of room in the queue, the oldest first.
void Scheduler::wake_all_waiting() {
  if (queued() > static_cast<std::int64_t>(whole_.limits.send_queue_bytes_max / 2)) return;
  while (!waiting_.empty()) {
    NativeCircuit& circuit = waiting_.front();
    waiting_.pop_front();
    circuit.sending.wants_credit = false;
    whole_.emit(TrunkEvent::Kind::writable, &circuit);
  }
}

void Scheduler::check(bool full, Circuits& circuits) const {
  invariant(promised_ >= 0 && promised_ <= std::max<std::int64_t>(0, credit_), "scheduler: 0 <= promised <= credit");
  invariant(sendable_cost_ >= 0, "scheduler: sendable_cost >= 0");
  invariant(shares_ ? blocked_.empty() : share_line_.empty(), "scheduler: circuits wait for a share or for credit");
  closings_.check();
  if (!full) return;
  std::int64_t promised = 0;
  for (const auto& [number, circuit] : begun_) promised += circuit->sending.promised;
  invariant(promised == promised_, "scheduler: promised == the sum of the circuits'");
  std::int64_t sendable = 0;
  for (const auto* list : {&sendable_, &blocked_})
    for (const NativeCircuit& circuit : *list) sendable += circuit.sending.counted_cost;
  sendable += share_line_.queued();
  std::int64_t holders = 0;
  for (const NativeCircuit& circuit : circuits.all()) holders += circuit.sending.is_holder ? 1 : 0;
  invariant(holders == holders_, "scheduler: holders == the circuits that hold more than a little");
  share_line_.check();
  invariant(share_line_.queued() <= sendable_cost_, "scheduler: what waits for a share <= sendable_cost");
  invariant(sendable == sendable_cost_, "scheduler: sendable_cost == the sum of the circuits'");
}

} // namespace trunkline
