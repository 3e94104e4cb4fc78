// How credit goes round. A frame uses up credit of its circuit and of the trunk when it arrives (`charge`); taking its
// fragment makes that consumed (`settle`), and what is consumed is granted again in portions worth a frame: half a
// circuit's window, a quarter of the trunk's, or less when the far side has little left. So at every moment
//
//   receive_credit + consumed + unread == window + extras
//
// for the trunk, and for every circuit that is still sent to. The extras are what completing a large fragment needs
// beyond the window: granted once when its memory is set aside, and worked off, not granted again, when it is taken. A
// far side whose fragment was abandoned keeps extras that nothing will work off; `consumed` is negative then, and what
// it may still claim counts as used in the pool.
//
// All that is missing of a fragment is granted to the trunk, too, as soon as the trunk's credit gets scarce. Otherwise
// beginnings of other fragments could use up the credit that completes this one, and with none complete nothing is ever
// consumed or granted again.
#include "circuit/native/window.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

constexpr std::int64_t grant_bytes_min = 64 * 1024; // of the trunk's credit: less is not worth a frame
// Sender and receiver hold each other up for longer than the network does when they take turns on one processor.
constexpr std::chrono::milliseconds turn_time{2};

} // namespace

Window::Window(Whole& whole, Writer& writer, NodePool& nodes, Circuits& circuits, const Keepalive& keepalive)
    : whole_(whole), writer_(writer), nodes_(nodes), circuits_(circuits), keepalive_(keepalive),
      window_(static_cast<std::int64_t>(whole.limits.trunk_memory_bytes_max / 2)),
      pool_(whole.limits.trunk_memory_bytes_max / 2) {
  consumed_ = window_ - receive_credit_;
}

void Window::grant_initial() { grant_trunk(); }

bool Window::overcharge(const NativeCircuit* circuit, std::int64_t bytes) {
  whole_.violate(error::flow_control_violated,
                 bytes > receive_credit_
                     ? fmt::format("data frame that costs {} exceeds the trunk's credit {}", bytes, receive_credit_)
                     : fmt::format("data frame that costs {} exceeds the credit {} of circuit {}", bytes,
                                   circuit->receive_credit, circuit->id));
  return false;
}

std::optional<Fragment> Window::take(NativeCircuit& circuit, FragmentQueue& queue) {
  FragmentNode* node = queue.pop();
  prefetch(queue.first());
  circuit.consumed_at = whole_.now;
  std::optional<Fragment> fragment(std::move(node->fragment));
  fragment->stamp(circuit.names, fragment->serial());
  settle(circuit, *node, &circuit);
  nodes_.free(node);
  return fragment;
}

/// Takes a delivered fragment out of the accounts. `granting` is its circuit when the far side may go on sending there.
void Window::settle(NativeCircuit& circuit, const FragmentNode& node, NativeCircuit* granting) {
  unread_ -= node.cost;
  circuit.unread -= static_cast<std::uint32_t>(node.cost);
  pool_reserved_ -= node.trunk_extra;
  consumed(granting, node.cost, node.extra, node.trunk_extra);
  if (!reserving_.empty()) serve_reservations();
}

void Window::consumed(NativeCircuit* circuit, std::size_t cost, std::size_t extra, std::size_t trunk_extra) {
  consumed_ += static_cast<std::int64_t>(cost) - static_cast<std::int64_t>(trunk_extra) + off_by_one("window");
  extras_ -= static_cast<std::int64_t>(trunk_extra);
  // A far side that has little left may wait for the rest of a fragment.
  const std::int64_t enough = std::clamp<std::int64_t>(receive_credit_, grant_bytes_min, window_ / 4);
  if (consumed_ >= enough) grant_trunk();
  const std::int64_t bytes = static_cast<std::int64_t>(cost) - static_cast<std::int64_t>(extra);
  if (!circuit || circuit->ended || circuit->finished_there() || circuit->closed_here()) return;
  circuit->consumed += static_cast<std::int32_t>(bytes);
  if (circuit->consumed >= circuit->window / 2) grant_circuit(*circuit, 0);
}

/// Grants what was consumed and `extra` beyond the window. A window of which half is consumed within two round trips
/// holds its sender back, and doubles.
void Window::grant_circuit(NativeCircuit& circuit, std::int64_t extra) {
  std::int64_t bytes = circuit.consumed + extra;
  circuit.consumed = 0;
  if (extra == 0) {
    const auto window_max =
        std::min<std::int64_t>(static_cast<std::int64_t>(whole_.limits.circuit_window_bytes_max), window_ / 2);
    if (circuit.window < window_max && whole_.now - circuit.granted_at <= 2 * keepalive_.round_trip() + turn_time) {
      const std::int64_t growth = std::min<std::int64_t>(circuit.window, window_max - circuit.window);
      circuit.window += static_cast<std::int32_t>(growth);
      bytes += growth;
    }
    circuit.granted_at = whole_.now;
  }
  if (bytes <= 0) {
    circuit.consumed = static_cast<std::int32_t>(bytes); // an abandoned extra is still to be worked off
    return;
  }
  circuit.receive_credit += static_cast<std::int32_t>(bytes);
  writer_.put_credit(circuit.id, static_cast<std::uint64_t>(bytes));
}

void Window::grant_trunk() {
  if (consumed_ <= 0) return;
  receive_credit_ += consumed_;
  writer_.put_credit(0, static_cast<std::uint64_t>(std::exchange(consumed_, 0)));
}

void Window::drop_all_unread(NativeCircuit& circuit) {
  for (FragmentQueue* queue : {&circuit.reads, &circuit.errors}) {
    while (!queue->empty()) {
      FragmentNode* node = queue->pop();
      settle(circuit, *node, nullptr);
      nodes_.free(node);
    }
  }
}

// Reassembly.

void Window::begin_assembly(NativeCircuit& circuit, FragmentNode* node, std::size_t total, std::size_t arrived) {
  circuit.assembly = std::make_unique<Assembly>();
  Assembly& assembly = *circuit.assembly;
  assembly.circuit = &circuit;
  assembly.node = node;
  assembly.total = total;
  assembly.arrived = arrived;
  if (reserving_.empty() && reserve(circuit)) return;
  reserving_.push_back(assembly);
  assembly.held.resize(arrived); // small chunks cost no more than their bytes
}

void Window::continue_assembly(NativeCircuit& circuit, std::size_t bytes) {
  Assembly& assembly = *circuit.assembly;
  assembly.arrived += bytes;
  assembly.node->cost += bytes;
  unread_ += bytes;
  if (assembly.reserved > assembly.node->trunk_extra) { // now charged as arrived instead
    const std::size_t moved = std::min(bytes, assembly.reserved - assembly.node->trunk_extra);
    assembly.reserved -= moved;
    pool_reserved_ -= moved;
  }
  if (assembly.granted) {
    pool_missing_ -= bytes;
  } else {
    assembly.held.resize(assembly.arrived);
  }
  serve_reservations();
}

FragmentNode* Window::end_assembly(NativeCircuit& circuit) {
  const std::unique_ptr<Assembly> assembly = std::move(circuit.assembly);
  FragmentNode* const node = assembly->node;
  if (!assembly->granted) { // all of it came within the window before the pool had room
    assembly->reserving.unlink();
    node->fragment.payload = Payload::uninitialized(assembly->total);
    std::memcpy(node->fragment.payload.writable().data(), assembly->held.data(), assembly->total);
  }
  serve_reservations();
  return node;
}

std::size_t Window::pool_free() const noexcept {
  // Negative: credit that the far side has beyond the window, and with it memory that it may still claim.
  const std::size_t claimed = consumed_ < 0 ? static_cast<std::size_t>(-consumed_) : 0;
  const std::size_t used = pool_reserved_ + claimed;
  return used >= pool_ ? 0 : pool_ - used;
}

/// Sets aside what the fragment still misses, allocates it whole, and grants it. False when the pool has too little
/// now.
bool Window::reserve(NativeCircuit& circuit) {
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

  if (missing == 0) return true;
  if (static_cast<std::int64_t>(missing) > circuit.receive_credit && circuit.consumed > 0) grant_circuit(circuit, 0);
  const std::int64_t extra = std::max<std::int64_t>(0, static_cast<std::int64_t>(missing) - circuit.receive_credit);
  if (extra > 0) {
    assembly.node->extra = static_cast<std::size_t>(extra);
    circuit.receive_credit += static_cast<std::int32_t>(extra);
    writer_.put_credit(circuit.id, static_cast<std::uint64_t>(extra));
  }
  const bool is_ample = receive_credit_ - static_cast<std::int64_t>(pool_missing_) >= window_ / 2;
  assembly.node->trunk_extra = is_ample ? static_cast<std::size_t>(extra) : missing;
  if (assembly.node->trunk_extra == 0) return true;
  receive_credit_ += static_cast<std::int64_t>(assembly.node->trunk_extra);
  extras_ += static_cast<std::int64_t>(assembly.node->trunk_extra);
  writer_.put_credit(0, assembly.node->trunk_extra);
  return true;
}

/// First come, first served: the fragment that has waited longest gets the pool next, however much it needs.
void Window::serve_reservations() {
  while (!reserving_.empty() && reserve(*reserving_.front().circuit)) reserving_.pop_front();
}

void Window::drop_begun_assembly(NativeCircuit& circuit) {
  const std::unique_ptr<Assembly> assembly = std::move(circuit.assembly);
  assembly->reserving.unlink();
  unread_ -= assembly->node->cost;
  pool_reserved_ -= assembly->reserved;
  if (assembly->granted) pool_missing_ -= assembly->total - assembly->arrived;
  consumed(nullptr, assembly->node->cost, assembly->node->extra, assembly->node->trunk_extra);
  nodes_.free(assembly->node);
  serve_reservations();
}

/// When more than half of the window lies unread for a stall_deadline, the circuits that hold it and are not read lose
/// it, the largest first: the others would starve.
void Window::check_stalled_readers() {
  const Limits& limits = whole_.limits;
  std::vector<NativeCircuit*> holders;
  if (unread_ > half())
    for (NativeCircuit& circuit : circuits_.all())
      if (circuit.unread > 0 && whole_.now - circuit.consumed_at >= limits.stall_deadline) holders.push_back(&circuit);
  std::ranges::sort(holders, std::ranges::greater(), &NativeCircuit::unread);
  for (NativeCircuit* const worst : holders) {
    if (unread_ <= half()) break;
    if (worst->ended) {
      // What it loses must not look like a clean end.
      worst->end = std::make_unique<End>(error::stalled, fmt::format("{} bytes lay unread for stall_deadline {} ms",
                                                                     worst->unread, limits.stall_deadline.count()));
      drop_unread(*worst);
    } else {
      whole_.reset_circuit(*worst,
                           End(error::stalled, fmt::format("{} bytes lay unread for stall_deadline {} ms while others "
                                                           "starved",
                                                           worst->unread, limits.stall_deadline.count())));
    }
  }
  stall_check_at_ = unread_ > half() ? whole_.now + limits.stall_deadline / 4 : Instant::max();
}

void Window::check(bool full) {
  invariant(receive_credit_ + consumed_ + static_cast<std::int64_t>(unread_) == window_ + extras_,
            "window: receive_credit + consumed + unread == window + extras");
  invariant(receive_credit_ >= 0, "window: receive_credit >= 0");
  invariant(extras_ >= 0 && static_cast<std::size_t>(extras_) <= pool_reserved_,
            "window: 0 <= extras <= pool_reserved");
  invariant(pool_missing_ <= pool_reserved_, "window: pool_missing <= pool_reserved");
  invariant(pool_reserved_ <= pool_, "window: pool_reserved <= pool");
  if (!full) return;
  std::size_t unread = 0;
  for (const NativeCircuit& circuit : circuits_.all()) {
    unread += circuit.unread;
    check_circuit(circuit);
  }
  invariant(unread <= unread_, "window: the sum of the circuits' unread <= unread");
}

/// Less by a frame that is being read, which is charged and not delivered yet.
void Window::check_circuit(const NativeCircuit& circuit) const {
  invariant(circuit.receive_credit >= 0, "window: a circuit's receive_credit >= 0");
  if (circuit.ended || circuit.finished_there() || circuit.closed_here()) return;
  std::int64_t left = std::int64_t{circuit.receive_credit} + circuit.consumed + std::int64_t{circuit.unread};
  std::int64_t extras = 0;
  if (circuit.assembly) {
    left += static_cast<std::int64_t>(circuit.assembly->node->cost);
    extras += static_cast<std::int64_t>(circuit.assembly->node->extra);
  }
  for (const FragmentQueue* queue : {&circuit.reads, &circuit.errors}) {
    if (queue->empty()) continue;
    const FragmentNode* node = queue->first();
    for (std::size_t looked_at = 0; node && looked_at < 64; node = queue->after(node), ++looked_at)
      extras += static_cast<std::int64_t>(node->extra);
    if (node) return; // too many to sum up at every input
  }
  invariant(left <= circuit.window + extras,
            "window: a circuit's receive_credit + consumed + unread <= window + extras");
}

} // namespace trunkline
