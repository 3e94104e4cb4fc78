// What we send: control frames first, then data, fair over circuits by deficit round robin. Small payloads are copied
// once into the output, large ones are written from where they lie.
#include "circuit/native/machine.hpp"

#include "circuit/native/messages.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline {

using wire::FrameType;

namespace {

constexpr std::size_t gather_bytes_min = 8 * 1024;      // payloads from here on are not copied
constexpr std::size_t chunk_bytes_min = 16 * 1024;      // credit for less than this is not worth a frame
constexpr std::int32_t quantum_bytes = 16 * 1024;
constexpr int passed_at_once_max = 64;                  // blocked circuits, each time that credit comes
constexpr std::uint32_t passed_by_max = 16;             // times that credit came and was too little for the first
constexpr std::size_t kept_bytes_max = 16 * 1024;       // an idle output keeps no more memory

std::size_t cost_of(const Fragment& fragment, std::size_t metadata) {
  return fragment.payload.size() + metadata + fragment_credit_overhead;
}

/// Payload bytes that fit one frame beside this much metadata.
constexpr std::size_t first_chunk_bytes_max(std::size_t metadata) {
  return std::min(chunk_bytes_max, frame_bytes_max - wire::data_head_bytes_max - metadata);
}

/// Whether a frame may carry the fragment's metadata, of which `bytes` is the size.
bool metadata_fits(const Fragment& fragment, std::size_t bytes) {
  return bytes == 0 || (bytes <= control_bytes_max && fragment.args.size() <= Args::items_max);
}

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

SendOutcome NativeMachine::send(TrunkCircuit& base, Fragment& fragment) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.ended || circuit.finished_here || fragment.payload.size() > fragment_bytes_max())
    return SendOutcome::closed;
  const bool room = circuit.send_credit > circuit.outgoing_cost;
  if (!room || sendable_cost_ >= static_cast<std::int64_t>(options_.limits.send_queue_bytes_max)) {
    circuit.wants_credit = true;
    if (room && !circuit.waiting.is_linked()) waiting_.push_back(circuit);
    return SendOutcome::no_credit;
  }
  if (!sendable_.empty() && pending_.bytes < direct_bytes_max_) fill(direct_bytes_max_); // what was queued goes first
  const std::size_t metadata = wire::metadata_bytes(fragment);
  if (!metadata_fits(fragment, metadata)) return SendOutcome::closed;
  const auto cost = static_cast<std::int64_t>(cost_of(fragment, metadata));
  if (circuit.outgoing.empty() && sendable_.empty() && pending_.bytes < direct_bytes_max_ &&
      fragment.payload.size() <= first_chunk_bytes_max(metadata) && cost <= circuit.send_credit &&
      cost <= trunk_send_credit_ - trunk_promised_ && !must_queue()) {
    circuit.send_credit -= static_cast<std::int32_t>(cost);
    trunk_send_credit_ -= cost;
    ++circuit.counters.fragments_sent;
    circuit.counters.bytes_sent += fragment.payload.size();
    put_data(circuit, fragment, 0, fragment.payload.size(), metadata);
    return SendOutcome::queued;
  }
  enqueue(circuit, fragment, static_cast<std::size_t>(cost));
  return SendOutcome::queued;
}

void NativeMachine::enqueue(NativeCircuit& circuit, Fragment& fragment, std::size_t cost) {
  ++circuit.counters.fragments_sent;
  circuit.counters.bytes_sent += fragment.payload.size();
  FragmentNode* node = make_node();
  node->fragment = std::move(fragment);
  node->cost = cost;
  circuit.outgoing.push(node);
  circuit.outgoing_cost += static_cast<std::int64_t>(cost);
  update_sendable(circuit);
}

/// Puts the circuit where its queue and its credit say: with those that can send, or with those that wait.
void NativeMachine::update_sendable(NativeCircuit& circuit) {
  std::size_t size = 0;
  std::size_t cost = 0;
  const bool queued = !circuit.outgoing.empty();
  const bool can = queued && next_chunk(*circuit.outgoing.first(), circuit.head_sent, circuit.send_credit, size, cost);
  if (can != circuit.sendable.is_linked()) {
    if (can) {
      if (covered(circuit)) {
        sendable_.push_back(circuit);
      } else {
        block(circuit);
      }
    } else {
      circuit.sendable.unlink();
      circuit.deficit = 0;
    }
  }
  const bool waits = (queued && !can) || circuit.closed_here;
  if (waits && !circuit.stalled.is_linked()) {
    circuit.stalled_since = now_;
    stalled_.push_back(circuit);
  } else if (!waits && circuit.stalled.is_linked()) {
    circuit.stalled.unlink();
  }
  const std::int64_t counted = can ? circuit.outgoing_cost : 0;
  sendable_cost_ += counted - circuit.counted_cost;
  circuit.counted_cost = counted;
}

/// What the fragment that the circuit has begun still needs of the trunk's credit, as far as its circuit's covers it.
std::int64_t NativeMachine::wanted(const NativeCircuit& circuit) const {
  const std::size_t left = circuit.outgoing.first()->fragment.payload.size() - circuit.head_sent;
  return std::clamp<std::int64_t>(circuit.send_credit, 0, static_cast<std::int64_t>(left));
}

/// Credit that the circuit's next frame may use: one that continues a fragment leaves others what is promised to them.
std::int64_t NativeMachine::available(const NativeCircuit& circuit) const {
  std::int64_t of_trunk = trunk_send_credit_;
  if (circuit.begun != 0) of_trunk -= trunk_promised_ - circuit.promised;
  return std::min<std::int64_t>(circuit.send_credit, of_trunk);
}

/// Whether the trunk's credit, too, lets the circuit send its next frame. A fragment of several frames begins only when
/// credit for as much of it as the circuit's credit covers is there, which is then promised to it: were all the credit
/// spent on beginnings, the far side could complete none of them, consume nothing, and never grant any again.
bool NativeMachine::covered(const NativeCircuit& circuit) const {
  const FragmentNode& node = *circuit.outgoing.first();
  std::size_t size = 0;
  std::size_t cost = 0;
  if (!next_chunk(node, circuit.head_sent, available(circuit), size, cost)) return false;
  if (circuit.begun != 0) return true;
  if (must_queue() && &blocked_.front() != &circuit) return false;
  if (begun_.empty()) return true;
  const bool whole = size == node.fragment.payload.size();
  const auto needed = whole ? static_cast<std::int64_t>(cost)
                            : std::min<std::int64_t>(static_cast<std::int64_t>(node.cost), circuit.send_credit);
  return needed <= trunk_send_credit_ - trunk_promised_;
}

/// The circuit waits for the trunk's credit; it is linked nowhere.
void NativeMachine::block(NativeCircuit& circuit) {
  if (trunk_stalled_since_ == Instant::max()) trunk_stalled_since_ = now_;
  blocked_.push_back(circuit);
}

/// The trunk's credit has grown, or less of it is promised: as many go on as it is enough for. Small fragments pass by
/// a large one that needs more, but not forever (see on_credit).
void NativeMachine::unblock() {
  std::int64_t left = trunk_send_credit_ - trunk_promised_;
  int passed = 0;
  for (auto at = blocked_.begin(); at != blocked_.end() && passed < passed_at_once_max;) {
    const auto circuit = at++;
    const bool begun = circuit->begun != 0; // it has its own
    if ((!begun && left <= 0) || !covered(*circuit)) {
      ++passed;
      continue;
    }
    if (!begun) left -= static_cast<std::int64_t>(circuit->outgoing.first()->cost);
    sendable_.splice(sendable_.end(), blocked_, circuit);
  }
  if (!blocked_.empty()) return;
  trunk_stalled_since_ = Instant::max();
  passed_by_ = 0;
}

/// Somebody has waited so long for the trunk's credit that nobody begins a fragment before it.
bool NativeMachine::must_queue() const { return passed_by_ > passed_by_max && !blocked_.empty(); }

/// The first of those that can send is one that really can: has_output() looks no further.
void NativeMachine::block_uncovered() {
  while (!sendable_.empty() && !covered(sendable_.front())) {
    NativeCircuit& circuit = sendable_.front();
    circuit.sendable.unlink();
    block(circuit);
  }
}

void NativeMachine::promise(NativeCircuit& circuit, std::int64_t bytes) {
  trunk_promised_ += bytes - std::exchange(circuit.promised, static_cast<std::int32_t>(bytes));
}

/// Promises what credit is free to those that have begun, the oldest first: the far side sets memory aside in this
/// order.
void NativeMachine::promise_more() {
  for (const auto& [number, circuit] : begun_) {
    const std::int64_t free = trunk_send_credit_ - trunk_promised_;
    if (free <= 0) return;
    promise(*circuit, std::min(wanted(*circuit), circuit->promised + free));
  }
}

/// A frame of the circuit's first fragment has gone out: the fragment begins, goes on or is complete.
void NativeMachine::note_sent(NativeCircuit& circuit, std::int64_t cost) {
  if (circuit.head_sent == 0) {
    if (circuit.begun == 0) return; // it was whole
    begun_.erase(std::exchange(circuit.begun, 0));
    promise(circuit, 0);
  } else if (circuit.begun == 0) {
    circuit.begun = ++begun_count_;
    begun_.emplace(circuit.begun, &circuit);
    promise(circuit, std::clamp<std::int64_t>(trunk_send_credit_ - trunk_promised_, 0, wanted(circuit)));
    return;
  } else {
    promise(circuit, std::min(wanted(circuit), std::max<std::int64_t>(0, circuit.promised - cost)));
  }
  promise_more();
}

/// Moves one frame of the circuit's queue into the output. False when it is not sendable any more, or the trunk's
/// credit is too small.
bool NativeMachine::send_chunk(NativeCircuit& circuit) {
  FragmentNode* node = circuit.outgoing.first();
  std::size_t size = 0;
  std::size_t cost = 0;
  if (!covered(circuit)) return false;
  next_chunk(*node, circuit.head_sent, available(circuit), size, cost);
  const std::size_t payload = node->fragment.payload.size();
  put_data(circuit, node->fragment, circuit.head_sent, size,
           circuit.head_sent == 0 ? node->cost - payload - fragment_credit_overhead : 0);
  circuit.send_credit -= static_cast<std::int32_t>(cost);
  trunk_send_credit_ -= static_cast<std::int64_t>(cost);
  circuit.outgoing_cost -= static_cast<std::int64_t>(cost);
  circuit.deficit -= static_cast<std::int32_t>(cost);
  circuit.head_sent += static_cast<std::uint32_t>(size);
  if (circuit.head_sent == payload) {
    circuit.head_sent = 0;
    free_node(circuit.outgoing.pop());
  }
  const bool completed = circuit.begun != 0 && circuit.head_sent == 0;
  note_sent(circuit, static_cast<std::int64_t>(cost));
  update_sendable(circuit);
  if (completed) unblock(); // less is promised: no credit need come to let the others go on
  if (circuit.outgoing.empty()) end_sending(circuit);
  return true;
}

/// The queue is empty: what was to follow it goes out.
void NativeMachine::end_sending(NativeCircuit& circuit) {
  if (circuit.sending == NativeCircuit::Sending::finish_queued) {
    circuit.sending = NativeCircuit::Sending::finish_sent;
    put_in_band(FrameType::finish, circuit.id, !circuit.opened_here);
  } else if (circuit.sending == NativeCircuit::Sending::close_queued) {
    circuit.sending = NativeCircuit::Sending::close_sent;
    if (circuit.end) {
      auto& message = messages_->close;
      message.Clear(); // fields that we do not know, of one that was heard, would go out again
      message.set_circuit(circuit.id);
      message.set_reason(static_cast<std::uint32_t>(wire_reason(*circuit.end)));
      message.set_text(circuit.end->text.substr(0, options_.limits.reason_bytes_max));
      put_in_band(FrameType::close, message, !circuit.opened_here);
    } else {
      put_in_band(FrameType::close, circuit.id, !circuit.opened_here);
    }
    if (circuit.released) end_circuit(circuit, End());
  }
}

void NativeMachine::drop_outgoing(NativeCircuit& circuit) {
  while (!circuit.outgoing.empty()) free_node(circuit.outgoing.pop());
  circuit.outgoing_cost = 0;
  circuit.head_sent = 0;
  circuit.sendable.unlink();
  sendable_cost_ -= std::exchange(circuit.counted_cost, 0);
  note_sent(circuit, 0);
  unblock();
  block_uncovered();
  if (!waiting_.empty()) wake_waiting();
}

/// Credit has come for a circuit of which a send was refused.
void NativeMachine::wake_sender(NativeCircuit& circuit) {
  if (circuit.send_credit <= circuit.outgoing_cost) return;
  if (sendable_cost_ >= static_cast<std::int64_t>(options_.limits.send_queue_bytes_max)) {
    if (!circuit.waiting.is_linked()) waiting_.push_back(circuit);
    return;
  }
  circuit.wants_credit = false;
  emit(TrunkEvent::Kind::writable, &circuit);
}

/// The trunk's queue has room again: those who were refused for its sake try again, in the order in which they came.
void NativeMachine::wake_waiting() {
  if (sendable_cost_ > static_cast<std::int64_t>(options_.limits.send_queue_bytes_max / 2)) return;
  while (!waiting_.empty()) {
    NativeCircuit& circuit = waiting_.front();
    waiting_.pop_front();
    circuit.wants_credit = false;
    emit(TrunkEvent::Kind::writable, &circuit);
  }
}

// The output.

void NativeMachine::collect_output(Output& into, std::size_t bytes_max, Instant now) {
  now_ = std::max(now_, now);
  into.clear();
  if (state_ == State::over) return;
  if (!connected_) {
    connected_ = true;
    connected_at_ = heard_at_ = ping_at_ = now_;
  }
  if (pong_due_ && may_pong()) {
    auto& message = messages_->pong;
    message.Clear();
    message.set_number(*std::exchange(pong_due_, std::nullopt));
    put_control(FrameType::pong, message);
  }
  fill(bytes_max);
  std::swap(into, pending_);
  answers_bytes_ = 0;
  if (!waiting_.empty()) wake_waiting();
  if (into.empty()) {
    if (into.small.capacity() > kept_bytes_max) into = Output();
    if (pending_.small.capacity() > kept_bytes_max) pending_ = Output();
    return;
  }
  writing_ = true;
  writing_since_ = now_;
  ping_taken_ = ping_unwritten_;
  counters_.bytes_sent += into.bytes;
}

/// Moves queued frames into the output, in turns: a circuit that has used up its turn goes to the end.
void NativeMachine::fill(std::size_t bytes_max) {
  do {
    while (!sendable_.empty() && pending_.bytes < bytes_max) take_turn(sendable_.front(), bytes_max);
    block_uncovered();
    if (sendable_.empty()) unblock(); // it let no more go on than there seemed to be credit for
  } while (!sendable_.empty() && pending_.bytes < bytes_max);
}

void NativeMachine::take_turn(NativeCircuit& circuit, std::size_t bytes_max) {
  if (circuit.deficit <= 0) circuit.deficit += quantum_bytes;
  bool sent = true;
  while (sent && circuit.deficit > 0 && pending_.bytes < bytes_max && circuit.sendable.is_linked())
    sent = send_chunk(circuit);
  if (!circuit.sendable.is_linked()) return;
  if (!sent) {
    circuit.sendable.unlink();
    block(circuit);
  } else if (circuit.deficit <= 0) {
    sendable_.splice(sendable_.end(), sendable_, CircuitList<&NativeCircuit::sendable>::s_iterator_to(circuit));
  }
}

void NativeMachine::written(Instant now) {
  now_ = std::max(now_, now);
  writing_ = false;
  if (!std::exchange(ping_taken_, false)) return;
  ping_unwritten_ = false;
  ping_at_ = now_; // what it waited for our own output says nothing about the far side
}

bool NativeMachine::has_output() const {
  if (state_ == State::over) return false;
  if (pending_.bytes > 0 || (pong_due_ && may_pong())) return true;
  if (sendable_.empty()) return false;
  return covered(sendable_.front());
}

/// Counts bytes that were written to the end of `small`.
void NativeMachine::commit_small(std::size_t bytes) {
  const auto offset = static_cast<std::uint32_t>(pending_.small.size());
  pending_.small.commit(bytes);
  pending_.bytes += bytes;
  auto& pieces = pending_.pieces;
  if (!pieces.empty() && pieces.back().large < 0) { // small parts follow one another: one piece
    pieces.back().size += static_cast<std::uint32_t>(bytes);
  } else {
    pieces.push_back({-1, offset, static_cast<std::uint32_t>(bytes)});
  }
}

void NativeMachine::put_data(NativeCircuit& circuit, Fragment& fragment, std::size_t offset, std::size_t size,
                             std::size_t metadata) {
  const std::size_t payload = fragment.payload.size();
  wire::DataHead head;
  head.circuit = circuit.id;
  head.op = fragment.op;
  head.part = fragment.part;
  head.total = payload;
  head.payload_bytes = size;
  if (offset > 0) {
    head.flags = wire::flag_continues;
    if (offset + size == payload) head.flags |= wire::flag_last;
  } else if (size < payload) {
    head.flags = wire::flag_first_of_more;
  }
  if (metadata != 0) {
    metadata_.clear();
    wire::put_metadata(metadata_, fragment);
    head.flags |= wire::flag_metadata;
    head.metadata = metadata_;
  }
  const bool copied = size < gather_bytes_min;
  const std::size_t room =
      wire::data_head_bytes_max + metadata + (copied ? std::max(size, Payload::inline_bytes_max) : 0);
  std::byte* const start = pending_.small.prepare(room);
  std::byte* at = wire::put_data_head(start, head);
  if (copied) {
    if (payload <= Payload::inline_bytes_max) {
      fragment.payload.copy_inline(at);
    } else {
      std::memcpy(at, fragment.payload.data() + offset, size);
    }
    at += size;
  }
  commit_small(static_cast<std::size_t>(at - start));
  if (copied) return;
  pending_.pieces.push_back({static_cast<std::int32_t>(pending_.large.size()), 0, static_cast<std::uint32_t>(size)});
  pending_.large.push_back(size == payload ? std::move(fragment.payload) : fragment.payload.slice(offset, size));
  pending_.bytes += size;
}

void NativeMachine::put_control(FrameType type, const google::protobuf::MessageLite& message) {
  if (state_ != State::running) return;
  const std::size_t before = pending_.control.size();
  append_frame(pending_.control, type, message);
  count_control(type, pending_.control.size() - before);
}

void NativeMachine::put_control(FrameType type, CircuitId circuit, std::string_view rest) {
  if (state_ != State::running) return;
  std::byte* const start = pending_.control.prepare(wire::circuit_frame_bytes_max + rest.size());
  const auto added = static_cast<std::size_t>(wire::put_circuit_frame(start, type, circuit, rest) - start);
  pending_.control.commit(added);
  count_control(type, added);
}

void NativeMachine::count_control(FrameType type, std::size_t bytes) {
  pending_.bytes += bytes;
  const bool is_answer = type != FrameType::open && type != FrameType::peer_metadata && type != FrameType::peer_ended;
  if (is_answer) answers_bytes_ += bytes;
}

/// Behind all data that is already in the output.
void NativeMachine::put_in_band(FrameType type, const google::protobuf::MessageLite& message, bool is_answer) {
  const std::size_t length = message.ByteSizeLong();
  if (is_answer) answers_bytes_ += wire::header_bytes + length;
  std::byte* const start = pending_.small.prepare(wire::header_bytes + length);
  std::byte* body = wire::put_header(start, length, type, 0);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(body));
  commit_small(wire::header_bytes + length);
}

void NativeMachine::put_in_band(FrameType type, CircuitId circuit, bool is_answer) {
  std::byte* const start = pending_.small.prepare(wire::circuit_frame_bytes_max);
  const auto added = static_cast<std::size_t>(wire::put_circuit_frame(start, type, circuit, {}) - start);
  if (is_answer) answers_bytes_ += added;
  commit_small(added);
}

void NativeMachine::append_frame(ByteBuffer& into, FrameType type, const google::protobuf::MessageLite& message) {
  const std::size_t length = message.ByteSizeLong();
  std::byte* body = wire::put_header(into.prepare(wire::header_bytes + length), length, type, 0);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(body));
  into.commit(wire::header_bytes + length);
}

void NativeMachine::send_credit_frame(CircuitId id, std::uint64_t bytes) {
  auto& message = messages_->credit;
  message.Clear();
  message.set_circuit(id);
  message.set_bytes(bytes);
  put_control(FrameType::credit, message);
}

void NativeMachine::send_reset(CircuitId id, const End& reason) {
  auto& message = messages_->reset;
  message.Clear();
  message.set_circuit(id);
  message.set_reason(static_cast<std::uint32_t>(wire_reason(reason)));
  message.set_text(reason.text.substr(0, options_.limits.reason_bytes_max));
  put_control(FrameType::reset, message);
}

void NativeMachine::send_ping() {
  ping_unwritten_ = true;
  ping_taken_ = false; // an earlier one may be on its way
  auto& message = messages_->ping;
  message.Clear();
  message.set_number(++ping_number_);
  ping_at_ = now_;
  ping_sent_ = true;
  ping_timed_ = true;
  put_control(FrameType::ping, message);
}

} // namespace trunkline
