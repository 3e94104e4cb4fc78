// Frames in. Memory is taken as bytes arrive, never as they are claimed.
#include "services/quarkchain/trunk/cluster_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t payload_bytes_first = 64 * 1024; // allocated for a frame of which little has arrived
constexpr std::size_t spare_frames_max = 1024;

} // namespace

void ClusterMachine::feed(std::span<const std::byte> bytes, Instant now) {
  now_ = std::max(now_, now);
  counters_.bytes_received += bytes.size();
  ++receives_;
  while (!bytes.empty() && state_ == State::running)
    bytes = bytes.subspan(in_payload_ ? read_payload(bytes) : read_header(bytes));
}

std::size_t ClusterMachine::read_header(std::span<const std::byte> bytes) {
  const std::size_t size = frame_header_bytes(options_.framing);
  std::span<const std::byte> head = bytes;
  std::size_t used = size;
  if (carried_ > 0 || bytes.size() < size) {
    used = std::min(size - carried_, bytes.size());
    std::memcpy(carry_.data() + carried_, bytes.data(), used);
    carried_ += used;
    head = std::span<const std::byte>(carry_).first(carried_);
  }
  const ClusterLimits& limits = options_.limits;
  const std::size_t bytes_max = options_.identified
                                    ? limits.command_bytes_max
                                    : std::min(limits.command_bytes_max, limits.unidentified_command_bytes_max);
  switch (parse_frame_header(head, options_.framing, bytes_max, frame_)) {
    case FrameParsed::incomplete: return used;
    case FrameParsed::too_large:
      ++cluster_counters_.frames_too_large;
      violate(error::frame_too_large,
              fmt::format("frame with {} bytes of payload exceeds {} {}", frame_.length,
                          options_.identified ? "command_bytes_max" : "unidentified_command_bytes_max", bytes_max));
      return bytes.size();
    case FrameParsed::complete: break;
  }
  carried_ = 0;
  start_frame();
  return used;
}

void ClusterMachine::start_frame() {
  ++counters_.frames_received;
  arrived_ = 0;
  frame_circuit_ = find_for(frame_);
  if (state_ != State::running) return;
  in_payload_ = true;
  if (frame_.length > 0) return;
  if (frame_circuit_ && frame_circuit_ != control_) admit(*frame_circuit_);
  end_frame(Payload());
}

/// Null: the frame is dropped, or has broken the connection.
ClusterCircuit* ClusterMachine::find_for(const FrameHeader& header) {
  Route route(header.branch, header.cluster_peer_id);
  if (options_.framing == Framing::cluster && header.cluster_peer_id == 0)
    route.branch = 0; // said between the processes
  if (route.is_control()) return control_;
  if (found_last_ && found_last_->route == route) return found_last_;
  const auto found = circuits_.find(route);
  if (found != circuits_.end()) return found_last_ = found->second;

  if (options_.branches && !std::ranges::binary_search(*options_.branches, route.branch)) {
    ++cluster_counters_.frames_for_unknown_branches;
    violate(error::protocol_error,
            fmt::format("frame with opcode {} for {}, which is not one of the {} configured branches", header.opcode,
                        describe(route), options_.branches->size()));
    return nullptr;
  }
  const bool opens = options_.framing == Framing::p2p || allowed_peers_.contains(route.cluster_peer_id);
  if (!opens || draining_ || circuits_.size() > options_.limits.circuits_max) {
    ++cluster_counters_.frames_for_unknown_peers;
    ++counters_.frames_for_forgotten_circuits;
    return nullptr;
  }
  Circuit& circuit = add(route, false, nullptr);
  TrunkEvent& event = emit(TrunkEvent::Kind::opened, &circuit);
  event.open = std::make_unique<OpenRequest>();
  event.open->from = options_.remote;
  event.open->name = circuit.names->name;
  return found_last_ = &circuit;
}

std::size_t ClusterMachine::read_payload(std::span<const std::byte> bytes) {
  const std::size_t count = std::min<std::size_t>(bytes.size(), frame_.length - arrived_);
  const bool whole = arrived_ == 0 && count == frame_.length;
  if (frame_circuit_ && !whole) {
    grow_payload(count);
    std::memcpy(payload_.writable().data() + arrived_, bytes.data(), count);
  }
  arrived_ += count;
  if (frame_circuit_ && frame_circuit_ != control_) admit(*frame_circuit_); // may close it
  if (arrived_ == frame_.length) end_frame(whole && frame_circuit_ ? Payload(bytes.first(count)) : std::move(payload_));
  return count;
}

/// At most doubles what has arrived; the last step is exact.
void ClusterMachine::grow_payload(std::size_t bytes) {
  if (arrived_ + bytes <= payload_.size()) return;
  const std::size_t wanted = std::max({arrived_ + bytes, 2 * payload_.size(), payload_bytes_first});
  Payload larger = Payload::uninitialized(std::min<std::size_t>(frame_.length, wanted));
  if (arrived_ > 0) std::memcpy(larger.writable().data(), payload_.data(), arrived_);
  payload_ = std::move(larger);
}

void ClusterMachine::end_frame(Payload payload) {
  in_payload_ = false;
  Circuit* const circuit = std::exchange(frame_circuit_, nullptr);
  if (!circuit) return;
  ReceivedFrame* const frame = make_frame();
  frame->payload = std::move(payload);
  frame->rpc_id = frame_.rpc_id;
  frame->opcode = frame_.opcode;
  frame->branch = options_.framing == Framing::cluster && circuit == control_ ? frame_.branch : 0;
  (circuit->first ? circuit->last->next : circuit->first) = frame;
  circuit->last = frame;
  const std::size_t cost = frame->payload.size() + frame_cost_bytes;
  if (std::exchange(circuit->received_last, receives_) != receives_) circuit->unread_before = circuit->unread;
  circuit->unread += cost;
  if (circuit != control_) {
    peers_unread_ += cost;
  } else if (circuit->unread > options_.limits.control_inbox_bytes_max) {
    update_pause();
  }
  if (!std::exchange(circuit->readable, true)) emit(TrunkEvent::Kind::readable, circuit);
}

/// The frame that is arriving for a virtual peer, as far as it has: a reader that keeps up may be sent any frame, one
/// that does not is closed at its limit. Nobody else has to wait for it. What has come in the same `receive` does not
/// count as unread: the reader has had no turn since.
void ClusterMachine::admit(Circuit& circuit) {
  const ClusterLimits& limits = options_.limits;
  const std::size_t cost = arrived_ + frame_cost_bytes;
  const std::size_t before = circuit.received_last == receives_ ? circuit.unread_before : circuit.unread;
  if (before > 0 && circuit.unread + cost > limits.peer_inbox_bytes_max)
    return overflow(circuit, "peer_inbox_bytes_max", limits.peer_inbox_bytes_max);
  if (peers_unread_ + cost <= limits.peers_inbox_bytes_max) return;
  Circuit* most = &circuit;
  std::size_t most_bytes = circuit.unread + cost;
  for (Circuit& other : all_)
    if (!other.ended && &other != control_ && &other != &circuit && other.unread > most_bytes) {
      most = &other;
      most_bytes = other.unread;
    }
  overflow(*most, "peers_inbox_bytes_max", limits.peers_inbox_bytes_max);
}

void ClusterMachine::overflow(Circuit& circuit, std::string_view limit, std::size_t max) {
  ++cluster_counters_.peers_overflowed;
  const std::size_t bytes = circuit.unread + (frame_circuit_ == &circuit ? arrived_ + frame_cost_bytes : 0);
  std::string text =
      fmt::format("{} bytes unread by {} exceed {} {}{}", bytes, describe(circuit.route), limit, max, from());
  drop_inbox(circuit);
  end_circuit(circuit, End(error::stalled, std::move(text)));
}

/// The rest of the frame that is arriving is skipped.
void ClusterMachine::drop_frame() {
  frame_circuit_ = nullptr;
  payload_ = Payload();
}

/// The connection is not read from control_inbox_bytes_max until half of it has been taken.
void ClusterMachine::update_pause() {
  const std::size_t max = options_.limits.control_inbox_bytes_max;
  if (paused_since_ == Instant::max()) {
    if (state_ != State::running || control_->unread <= max) return;
    if (++cluster_counters_.pauses == 1 && options_.on_first_pause)
      options_.on_first_pause(
          fmt::format("{} bytes unread on the control circuit, control_inbox_bytes_max is {}: reading pauses{}",
                      control_->unread, max, from()));
    paused_since_ = now_;
    taken_since_pause_ = false;
  } else if (control_->unread <= max / 2) {
    paused_since_ = Instant::max();
  } else {
    taken_since_pause_ = true;
  }
}

ReceivedFrame* ClusterMachine::make_frame() {
  if (!spare_) return new ReceivedFrame;
  --spare_count_;
  ReceivedFrame* const frame = std::exchange(spare_, spare_->next);
  frame->next = nullptr;
  return frame;
}

void ClusterMachine::free_frame(ReceivedFrame* frame) {
  if (spare_count_ >= spare_frames_max) {
    delete frame;
    return;
  }
  frame->next = std::exchange(spare_, frame);
  ++spare_count_;
}

} // namespace trunkline::quarkchain
