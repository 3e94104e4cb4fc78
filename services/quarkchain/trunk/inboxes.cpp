#include "services/quarkchain/trunk/inboxes.hpp"

#include "fragment/deadline.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t spare_frames_max = 1024;

} // namespace

Inboxes::Inboxes(ClusterWhole& whole, ClusterCircuits& circuits) : whole_(whole), circuits_(circuits) {}

Inboxes::~Inboxes() {
  for (ClusterCircuit& circuit : circuits_.all())
    while (circuit.first) delete std::exchange(circuit.first, circuit.first->next);
  while (spare_) delete std::exchange(spare_, spare_->next);
}

/// A reader that keeps up may be sent any frame, one that does not is closed at its limit; no other has to wait for
/// it. What has come in the same `feed` does not count as unread: the reader has had no turn since.
void Inboxes::admit(ClusterCircuit& circuit, std::size_t arrived) {
  const ClusterLimits& limits = whole_.options.limits;
  const std::size_t cost = arrived + frame_cost_bytes;
  const std::size_t before = circuit.received_last == feeds_ ? circuit.unread_before : circuit.unread;
  if (before > 0 && circuit.unread + cost > limits.peer_inbox_bytes_max)
    return overflow(circuit, cost, "peer_inbox_bytes_max", limits.peer_inbox_bytes_max);
  if (peers_unread_ + cost <= limits.peers_inbox_bytes_max) return;
  ClusterCircuit* most = &circuit;
  std::size_t most_bytes = circuit.unread + cost;
  for (ClusterCircuit& other : circuits_.all())
    if (!other.ended && !other.route.is_control() && &other != &circuit && other.unread > most_bytes) {
      most = &other;
      most_bytes = other.unread;
    }
  overflow(*most, most == &circuit ? cost : 0, "peers_inbox_bytes_max", limits.peers_inbox_bytes_max);
}

void Inboxes::overflow(ClusterCircuit& circuit, std::size_t arriving, std::string_view limit, std::size_t max) {
  ++whole_.cluster_counters.peers_overflowed;
  std::string text = fmt::format("{} bytes unread by {} exceed {} {}{}", circuit.unread + arriving,
                                 describe(circuit.route), limit, max, whole_.from());
  drop(circuit);
  whole_.end_circuit(circuit, End(error::stalled, std::move(text)));
}

void Inboxes::push(ClusterCircuit& circuit, const FrameHeader& header, Payload&& payload) {
  const bool control = circuit.route.is_control();
  ReceivedFrame* const frame = make_frame();
  frame->payload = std::move(payload);
  frame->rpc_id = header.rpc_id;
  frame->opcode = header.opcode;
  frame->branch = whole_.options.framing == Framing::cluster && control ? header.branch : 0;
  const bool was_empty = !circuit.first;
  (was_empty ? circuit.first : circuit.last->next) = frame;
  circuit.last = frame;
  const std::size_t cost = frame->payload.size() + frame_cost_bytes;
  if (std::exchange(circuit.received_last, feeds_) != feeds_) circuit.unread_before = circuit.unread;
  circuit.unread += cost;
  if (!control) {
    peers_unread_ += cost + static_cast<std::size_t>(off_by_one("inboxes"));
  } else if (circuit.unread > whole_.options.limits.control_inbox_bytes_max) {
    update_pause();
  }
  if (was_empty) whole_.emit(TrunkEvent::Kind::readable, &circuit);
}

std::optional<Fragment> Inboxes::take(ClusterCircuit& circuit) {
  if (!circuit.first) return std::nullopt;
  ReceivedFrame* const frame = circuit.first;
  circuit.first = frame->next;
  const std::size_t cost = frame->payload.size() + frame_cost_bytes;
  circuit.unread -= cost;
  if (!circuit.route.is_control()) peers_unread_ -= cost;

  std::optional<Fragment> fragment(std::in_place, frame->opcode, std::move(frame->payload));
  fragment->part = static_cast<std::int64_t>(frame->rpc_id);
  if (frame->branch != 0) fragment->subject = std::to_string(frame->branch);
  fragment->stamp(circuit.names, ++circuit.counters.fragments_received);
  circuit.counters.bytes_received += fragment->payload.size();
  free_frame(frame);
  if (paused()) update_pause();
  return fragment;
}

void Inboxes::drop(ClusterCircuit& circuit) {
  while (circuit.first) {
    ReceivedFrame* const frame = std::exchange(circuit.first, circuit.first->next);
    frame->payload = Payload();
    free_frame(frame);
  }
  if (!circuit.route.is_control()) peers_unread_ -= circuit.unread;
  circuit.unread = 0;
  update_pause();
}

/// The connection is not read from control_inbox_bytes_max until half of it has been taken.
void Inboxes::update_pause() {
  if (!running_) return;
  const std::size_t unread = circuits_.control()->unread;
  const std::size_t max = whole_.options.limits.control_inbox_bytes_max;
  if (!paused()) {
    if (unread <= max) return;
    if (++whole_.cluster_counters.pauses == 1 && whole_.options.on_first_pause)
      whole_.options.on_first_pause(
          fmt::format("{} bytes unread on the control circuit, control_inbox_bytes_max is {}: reading pauses{}", unread,
                      max, whole_.from()));
    paused_since_ = whole_.now;
    taken_since_pause_ = false;
  } else if (unread <= max / 2) {
    paused_since_ = Instant::max();
  } else {
    taken_since_pause_ = true;
  }
}

std::size_t Inboxes::memory_bytes() const noexcept {
  return (circuits_.control() ? circuits_.control()->unread : 0) + peers_unread_;
}

Instant Inboxes::deadline() const noexcept {
  return paused() ? after(paused_since_, whole_.options.limits.stall_deadline) : Instant::max();
}

End Inboxes::tick() {
  if (whole_.now < deadline()) return End();
  const ClusterLimits& limits = whole_.options.limits;
  if (!std::exchange(taken_since_pause_, false))
    return End(error::stalled,
               fmt::format("{} bytes unread on the control circuit, control_inbox_bytes_max is {}: nothing taken for "
                           "stall_deadline {} ms",
                           circuits_.control()->unread, limits.control_inbox_bytes_max, limits.stall_deadline.count()));
  paused_since_ = whole_.now;
  return End();
}

ReceivedFrame* Inboxes::make_frame() {
  if (!spare_) return new ReceivedFrame;
  --spare_count_;
  ReceivedFrame* const frame = std::exchange(spare_, spare_->next);
  frame->next = nullptr;
  return frame;
}

void Inboxes::free_frame(ReceivedFrame* frame) {
  if (spare_count_ >= spare_frames_max) {
    delete frame;
    return;
  }
  frame->next = std::exchange(spare_, frame);
  ++spare_count_;
}

void Inboxes::check(bool full) const {
  invariant(spare_count_ <= spare_frames_max, "inboxes: spares <= spare_frames_max");
  invariant(!paused() || running_, "inboxes: only a connection that runs is paused");
  if (!full) return;
  std::size_t unread = 0;
  for (const ClusterCircuit& circuit : circuits_.all()) {
    unread += circuit.route.is_control() ? 0 : circuit.unread;
    invariant((circuit.unread > 0) == (circuit.first != nullptr), "inboxes: what has a frame has a cost");
  }
  invariant(unread == peers_unread_, "inboxes: unread of all peers == the sum of the circuits'");
}

} // namespace trunkline::quarkchain
