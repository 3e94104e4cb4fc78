// What the far side may send, and the memory behind it. Credit is granted when the application takes a fragment, not
// when it arrives: a reader that falls behind holds at most one window of bytes per circuit.
#include "circuit/native/machine.hpp"

#include "circuit/native/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline {
namespace {

constexpr std::size_t spare_nodes_max = 2048;
constexpr std::int64_t grant_bytes_min = 64 * 1024; // of the trunk's credit: less is not worth a frame
// Sender and receiver hold each other up for longer than the network does when they take turns on one processor.
constexpr std::chrono::milliseconds turn_time{2};

/// The node is needed soon: a stream of small fragments spends its time waiting for memory.
void prefetch(const FragmentNode* node) {
  constexpr std::size_t line_bytes = 64;
  const auto* const bytes = reinterpret_cast<const char*>(node);
  for (std::size_t at = 0; node && at < sizeof(FragmentNode); at += line_bytes) __builtin_prefetch(bytes + at, 1);
}

} // namespace

/// Every data frame passes here before anything of it is kept.
bool NativeMachine::charge(NativeCircuit* circuit, std::size_t cost) {
  const auto bytes = static_cast<std::int64_t>(cost);
  if (bytes > trunk_receive_credit_) {
    violate(error::flow_control_violated,
            fmt::format("data frame that costs {} exceeds the trunk's credit {}", bytes, trunk_receive_credit_));
    return false;
  }
  if (circuit && bytes > circuit->receive_credit) {
    violate(error::flow_control_violated, fmt::format("data frame that costs {} exceeds the credit {} of circuit {}",
                                                      bytes, circuit->receive_credit, circuit->id));
    return false;
  }
  trunk_receive_credit_ -= bytes;
  if (circuit) circuit->receive_credit -= static_cast<std::int32_t>(bytes);
  if (stall_check_at_ == Instant::max() && unread_ > static_cast<std::size_t>(trunk_window_ / 2))
    stall_check_at_ = now_ + options_.limits.stall_deadline;
  return true;
}

std::optional<Fragment> NativeMachine::take(TrunkCircuit& base) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.reads.empty()) return std::nullopt;
  return take(circuit, circuit.reads);
}

std::optional<Fragment> NativeMachine::take_error(TrunkCircuit& base) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.errors.empty()) return std::nullopt;
  return take(circuit, circuit.errors);
}

std::optional<Fragment> NativeMachine::take(NativeCircuit& circuit, FragmentQueue& queue) {
  FragmentNode* node = queue.pop();
  prefetch(queue.first());
  circuit.readable = !circuit.reads.empty();
  circuit.error_readable = !circuit.errors.empty();
  circuit.consumed_at = now_;
  std::optional<Fragment> fragment(std::move(node->fragment));
  fragment->stamp(circuit.names, fragment->serial());
  settle_node(circuit, *node, &circuit);
  free_node(node);
  if (circuit.finished_there) acknowledge_finish(circuit);
  return fragment;
}

/// Takes a delivered fragment out of the accounts. `granting` is its circuit when the far side may go on sending there.
void NativeMachine::settle_node(NativeCircuit& circuit, const FragmentNode& node, NativeCircuit* granting) {
  unread_ -= node.cost;
  circuit.unread -= static_cast<std::int64_t>(node.cost);
  pool_reserved_ -= node.trunk_extra;
  consumed(granting, node.cost, node.extra, node.trunk_extra);
  if (!reserving_.empty()) serve_reservations();
}

void NativeMachine::consumed(NativeCircuit* circuit, std::size_t cost, std::size_t extra, std::size_t trunk_extra) {
  trunk_consumed_ += static_cast<std::int64_t>(cost) - static_cast<std::int64_t>(trunk_extra);
  // A far side that has little left may wait for the rest of a fragment.
  const std::int64_t enough = std::clamp<std::int64_t>(trunk_receive_credit_, grant_bytes_min, trunk_window_ / 4);
  if (trunk_consumed_ >= enough) grant_trunk();
  const std::int64_t bytes = static_cast<std::int64_t>(cost) - static_cast<std::int64_t>(extra);
  if (!circuit || circuit->ended || circuit->finished_there || circuit->closed_here) return;
  circuit->consumed += static_cast<std::int32_t>(bytes);
  if (circuit->consumed >= circuit->window / 2) grant_circuit(*circuit, 0);
}

/// Grants what was consumed and `extra` beyond the window. A window of which half is consumed within two round trips
/// holds its sender back, and doubles.
void NativeMachine::grant_circuit(NativeCircuit& circuit, std::int64_t extra) {
  std::int64_t bytes = circuit.consumed + extra;
  circuit.consumed = 0;
  if (extra == 0) {
    const auto window_max =
        std::min<std::int64_t>(static_cast<std::int64_t>(options_.limits.circuit_window_bytes_max), trunk_window_ / 2);
    if (circuit.window < window_max && now_ - circuit.granted_at <= 2 * round_trip_ + turn_time) {
      const std::int64_t growth = std::min<std::int64_t>(circuit.window, window_max - circuit.window);
      circuit.window += static_cast<std::int32_t>(growth);
      bytes += growth;
    }
    circuit.granted_at = now_;
  }
  if (bytes <= 0) {
    circuit.consumed = static_cast<std::int32_t>(bytes); // an abandoned extra is still to be worked off
    return;
  }
  circuit.receive_credit += static_cast<std::int32_t>(bytes);
  send_credit_frame(circuit.id, static_cast<std::uint64_t>(bytes));
}

void NativeMachine::grant_trunk() {
  if (trunk_consumed_ <= 0 || state_ != State::running) return;
  trunk_receive_credit_ += trunk_consumed_;
  send_credit_frame(0, static_cast<std::uint64_t>(std::exchange(trunk_consumed_, 0)));
}

void NativeMachine::drop_unread(NativeCircuit& circuit) {
  for (FragmentQueue* queue : {&circuit.reads, &circuit.errors}) {
    while (!queue->empty()) {
      FragmentNode* node = queue->pop();
      settle_node(circuit, *node, nullptr);
      free_node(node);
    }
  }
  circuit.readable = circuit.error_readable = false;
}

// Reassembly.

std::size_t NativeMachine::pool_free() const noexcept {
  // A negative trunk_consumed_ is credit that the far side holds beyond the window: memory it may still claim.
  const std::size_t claimed = trunk_consumed_ < 0 ? static_cast<std::size_t>(-trunk_consumed_) : 0;
  const std::size_t used = pool_reserved_ + claimed;
  return used >= pool_bytes_ ? 0 : pool_bytes_ - used;
}

/// Sets aside what the fragment still misses, allocates it whole, and grants it. False when the pool has too little
/// now.
bool NativeMachine::reserve(NativeCircuit& circuit) {
  Assembly& assembly = *circuit.assembly;
  const std::size_t missing = assembly.total - assembly.arrived;
  if (pool_free() < missing) return false;
  pool_reserved_ += missing;
  pool_missing_ += missing;
  assembly.reserved = missing;
  assembly.granted = true;
  Payload& payload = assembly.node->fragment.payload;
  payload = Payload::uninitialized(assembly.total);
  if (!assembly.held.empty()) std::memcpy(payload.writable().data(), assembly.held.data(), assembly.held.size());
  assembly.held = {};
  if (chunk_circuit_ == &circuit) chunk_into_ = payload.writable().data() + (assembly.arrived - chunk_left_);

  if (missing == 0) return true;
  if (static_cast<std::int64_t>(missing) > circuit.receive_credit && circuit.consumed > 0) grant_circuit(circuit, 0);
  const std::int64_t extra = std::max<std::int64_t>(0, static_cast<std::int64_t>(missing) - circuit.receive_credit);
  if (extra > 0) {
    assembly.node->extra = static_cast<std::size_t>(extra);
    circuit.receive_credit += static_cast<std::int32_t>(extra);
    send_credit_frame(circuit.id, static_cast<std::uint64_t>(extra));
  }
  // When the trunk's credit gets scarce, all of it: what lies in other incomplete fragments must not keep it from this
  // one.
  const bool is_ample = trunk_receive_credit_ - static_cast<std::int64_t>(pool_missing_) >= trunk_window_ / 2;
  assembly.node->trunk_extra = is_ample ? static_cast<std::size_t>(extra) : missing;
  if (assembly.node->trunk_extra == 0) return true;
  trunk_receive_credit_ += static_cast<std::int64_t>(assembly.node->trunk_extra);
  send_credit_frame(0, assembly.node->trunk_extra);
  return true;
}

/// First come, first served: whoever waits longest gets the pool next, however much it needs.
void NativeMachine::serve_reservations() {
  while (!reserving_.empty() && reserve(*reserving_.front().circuit)) reserving_.pop_front();
}

/// Call forget_chunk before.
void NativeMachine::drop_assembly(NativeCircuit& circuit) {
  if (!circuit.assembly) return;
  const std::unique_ptr<Assembly> assembly = std::move(circuit.assembly);
  assembly->reserving.unlink();
  unread_ -= assembly->node->cost;
  pool_reserved_ -= assembly->reserved;
  if (assembly->granted) pool_missing_ -= assembly->total - assembly->arrived;
  consumed(nullptr, assembly->node->cost, assembly->node->extra, assembly->node->trunk_extra);
  free_node(assembly->node);
  serve_reservations();
}

/// When more than half of the window lies unread for a stall_deadline, those who hold it without reading lose it,
/// the largest first: the others would starve.
void NativeMachine::check_stalled_readers() {
  const Limits& limits = options_.limits;
  const auto half = static_cast<std::size_t>(trunk_window_ / 2);
  std::vector<NativeCircuit*> holders;
  if (unread_ > half)
    for (NativeCircuit& circuit : all_)
      if (circuit.unread > 0 && now_ - circuit.consumed_at >= limits.stall_deadline) holders.push_back(&circuit);
  std::ranges::sort(holders, std::ranges::greater(), &NativeCircuit::unread);
  for (NativeCircuit* const worst : holders) {
    if (unread_ <= half) break;
    if (worst->ended) {
      // What it loses must not look like a clean end.
      worst->end = std::make_unique<End>(error::stalled, fmt::format("{} bytes lay unread for stall_deadline {} ms",
                                                                     worst->unread, limits.stall_deadline.count()));
      drop_unread(*worst);
    } else {
      reset(*worst, End(error::stalled, fmt::format("{} bytes lay unread for stall_deadline {} ms while others starved",
                                                    worst->unread, limits.stall_deadline.count())));
    }
  }
  stall_check_at_ = unread_ > half ? now_ + limits.stall_deadline / 4 : Instant::max();
}

// Nodes are used again: a stream of small fragments allocates nothing.

void NativeMachine::free_spare_nodes() {
  while (spare_nodes_) delete std::exchange(spare_nodes_, spare_nodes_->next);
  spare_nodes_count_ = 0;
}

FragmentNode* NativeMachine::make_node() {
  if (!spare_nodes_) return new FragmentNode;
  --spare_nodes_count_;
  FragmentNode* const next = spare_nodes_->next;
  prefetch(next);
  return std::exchange(spare_nodes_, next);
}

void NativeMachine::free_node(FragmentNode* node) {
  const Fragment& fragment = node->fragment;
  const bool is_large = std::max(fragment.subject.capacity(), fragment.err.capacity()) > std::string().capacity();
  if (is_large || spare_nodes_count_ >= spare_nodes_max) { // spare ones are small
    delete node;
    return;
  }
  node->fragment.clear();
  node->extra = 0;
  node->trunk_extra = 0;
  node->next = spare_nodes_;
  spare_nodes_ = node;
  ++spare_nodes_count_;
}

} // namespace trunkline
