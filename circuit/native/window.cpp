// How credit goes round. A frame uses up credit of its circuit and of the trunk when it arrives (`charge`); taking its
// fragment makes that consumed (`settle`), and what is consumed is granted again in portions worth a frame: half a
// circuit's window, a quarter of the trunk's, or less when the far side has little left. Its circuits then share what
// is left by what they hold, and must not be held to what was consumed long ago: of each, half of what it has used is
// granted as soon as it is due, and all that is due when the trunk's credit has halved. At every moment
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

constexpr std::int64_t grant_bytes_usual = 64 * 1024; // of the trunk's credit: less is not worth a frame of its own
constexpr std::int64_t grant_bytes_min = 1024; // less counts as a control frame
constexpr std::int64_t grant_bytes_least = 256; // when hardly anything is left
// A sender that waits to see its data move sees it so often, however little that is.
constexpr std::chrono::seconds grant_after{1};
// Sender and receiver hold each other up for longer than the network does when they take turns on one processor.
constexpr std::chrono::milliseconds turn_time{2};

} // namespace

Window::Window(Whole& whole, Writer& writer, NodePool& nodes, Circuits& circuits, const Keepalive& keepalive,
               FarPatience& patience)
    : whole_(whole), writer_(writer), nodes_(nodes), circuits_(circuits), keepalive_(keepalive), patience_(patience),
      window_(static_cast<std::int64_t>(whole.limits.trunk_memory_bytes_max / 2)),
      pool_(whole.limits.trunk_memory_bytes_max / 2) {
  consumed_ = window_ - receive_credit_;
  low_ = window_ / 2;
}

void Window::grant_initial() {
  if (consumed_ <= 0) return;
  receive_credit_ += consumed_;
  put_credit(0, consumed_, consumed_);
  consumed_ = 0;
}

bool Window::overcharge(const NativeCircuit* circuit, std::int64_t bytes) {
  whole_.violate(error::flow_control_violated,
                 bytes > receive_credit_
                     ? fmt::format("data frame that costs {} exceeds the trunk's credit {}", bytes, receive_credit_)
                     : fmt::format("data frame that costs {} exceeds the credit {} of circuit {}", bytes,
                                   circuit->receiving.credit, circuit->id));
  return false;
}

std::optional<Fragment> Window::take(NativeCircuit& circuit, FragmentQueue& queue) {
  FragmentNode* node = queue.pop();
  prefetch(queue.first());
  circuit.receiving.consumed_at = whole_.now + Instant::duration(1); // some time after the last input
  circuit.opening.is_read = true;
  if (&queue == &circuit.receiving.errors) take_from_errors(circuit, *node);
  std::optional<Fragment> fragment(std::move(node->fragment));
  fragment->stamp(circuit.names, fragment->serial());
  settle(circuit, *node, &circuit);
  nodes_.free(node);
  return fragment;
}

/// Takes a delivered fragment out of the accounts. `granting` is its circuit when the far side may go on sending there.
void Window::settle(NativeCircuit& circuit, const FragmentNode& node, NativeCircuit* granting) {
  unread_ -= node.cost;
  circuit.receiving.unread -= static_cast<std::uint32_t>(node.cost);
  pool_reserved_ -= node.trunk_extra;
  consumed(granting, node.cost, node.extra, node.trunk_extra);
  if (stall_check_at_ != Instant::max()) serve_reservations(); // somebody may wait for the pool
}

/// In line: it is done for every fragment that is taken.
[[gnu::always_inline]] inline void Window::consumed_of(NativeCircuit& circuit, std::int64_t bytes) {
  if (circuit.ended || circuit.finished_there() || circuit.closed_here()) return;
  circuit.receiving.consumed += static_cast<std::int32_t>(bytes);
  const bool is_scarce = shares_ && receive_credit_ < window_ >> 1; // it is not held to what it holds otherwise
  const bool is_half = circuit.receiving.consumed >= circuit.receiving.window >> 1;
  if (circuit.ungranted.is_linked() && !is_half && !is_scarce) return; // most of the time, in a stream
  if (circuit.receiving.consumed >= worth_granting()) consumed_enough(circuit, is_half, is_scarce);
}

void Window::consumed(NativeCircuit* circuit, std::size_t cost, std::size_t extra, std::size_t trunk_extra) {
  consumed_ += static_cast<std::int64_t>(cost) - static_cast<std::int64_t>(trunk_extra) + off_by_one("window");
  extras_ -= static_cast<std::int64_t>(trunk_extra);
  if (consumed_ >= std::min(receive_credit_, window_) >> 2 && consumed_ >= std::min(worth_granting(), window_ >> 2))
    grant_trunk();
  if (circuit) consumed_of(*circuit, static_cast<std::int64_t>(cost) - static_cast<std::int64_t>(extra));
}

void Window::consumed_enough(NativeCircuit& circuit, bool is_half, bool is_scarce) {
  if (is_half || (is_scarce && 2 * circuit.receiving.consumed >= circuit.receiving.window - circuit.receiving.credit)) {
    grant_circuit(circuit);
  } else if (!circuit.ungranted.is_linked()) {
    ungranted_.push_back(circuit);
    if (grant_at_ == Instant::max()) {
      grant_at_ = whole_.now + grant_after;
      whole_.deadline_is_nearer = true; // whoever takes has no other reason to ask for it
    }
  }
}

/// Less than grant_bytes_min counts at the far side as a control frame; one of which we do not know that it paces what
/// it says never hears of so little.
std::int64_t Window::worth_granting() const noexcept {
  const bool is_scarce = shares_ && receive_credit_ < window_ >> 4;
  return is_scarce && patience_.has_some() ? grant_bytes_least : grant_bytes_min;
}

void Window::put_credit(CircuitId id, std::int64_t bytes, std::int64_t growth, CircuitId completes) {
  if (bytes < grant_bytes_min) patience_.use();
  writer_.put_credit(id, static_cast<std::uint64_t>(bytes), static_cast<std::uint64_t>(growth), completes);
}

/// Grants what was consumed. A window of which half is consumed within two round trips holds its sender back, and
/// doubles; not while a fragment waits for memory, which would take more of the trunk's credit from others.
void Window::grant_circuit(NativeCircuit& circuit) {
  std::int64_t bytes = circuit.receiving.consumed;
  std::int64_t growth = 0;
  if (circuit.receiving.consumed >= circuit.receiving.window / 2) {
    const auto window_max =
        std::min<std::int64_t>(static_cast<std::int64_t>(whole_.limits.circuit_window_bytes_max), window_ / 2);
    const bool waits = circuit.receiving.assembly && !circuit.receiving.assembly->granted;
    if (circuit.receiving.window < window_max && !waits &&
        whole_.now - circuit.receiving.granted_at <= 2 * keepalive_.round_trip() + turn_time) {
      growth = std::min<std::int64_t>(circuit.receiving.window, window_max - circuit.receiving.window);
      circuit.receiving.window += static_cast<std::int32_t>(growth);
      bytes += growth;
    }
    circuit.receiving.granted_at = whole_.now;
  }
  circuit.receiving.consumed = 0;
  circuit.ungranted.unlink();
  if (bytes <= 0) {
    circuit.receiving.consumed = static_cast<std::int32_t>(bytes); // an abandoned extra is still to be worked off
    return;
  }
  circuit.receiving.credit += static_cast<std::int32_t>(bytes);
  put_credit(circuit.id, bytes, growth);
  if (consumed_ >= grant_bytes_usual) grant_trunk(); // a circuit's share is measured by what both have
}

void Window::grant_trunk() {
  if (consumed_ <= 0) return;
  receive_credit_ += consumed_;
  put_credit(0, std::exchange(consumed_, 0));
  note_granted();
}

/// The trunk's credit has grown.
void Window::note_granted() {
  low_ = std::max(receive_credit_ / 2, used_up_below);
  if (stall_check_at_ != Instant::max()) watch(false);
}

void Window::grant_what_is_due() {
  grant_at_ = Instant::max();
  for (auto at = ungranted_.begin(); at != ungranted_.end();) {
    NativeCircuit& circuit = *at++; // grant_circuit takes it out
    if (circuit.ended || circuit.finished_there() || circuit.closed_here()) circuit.ungranted.unlink();
    else if (circuit.receiving.consumed >= worth_granting()) grant_circuit(circuit);
    else if (grant_at_ == Instant::max()) grant_at_ = after(whole_.now, grant_after);
  }
  if (consumed_ >= worth_granting()) grant_trunk();
}

/// The far side has half as much of the trunk's credit left as when it was last granted any: its circuits' shares are
/// smaller now, and what they wait for may be due.
void Window::on_low() {
  grant_what_is_due();
  low_ = is_used_up() ? 0 : std::max(receive_credit_ / 2, used_up_below);
  if (is_used_up()) watch(false);
}

void Window::drop_all_unread(NativeCircuit& circuit) {
  for (FragmentQueue* queue : {&circuit.receiving.reads, &circuit.receiving.errors}) {
    while (!queue->empty()) {
      FragmentNode* node = queue->pop();
      settle(circuit, *node, nullptr);
      nodes_.free(node);
    }
  }
  errors_unread_ -= std::exchange(circuit.receiving.errors_unread, 0);
}

// Reassembly.

void Window::begin_assembly(NativeCircuit& circuit, FragmentNode* node, std::size_t total, std::size_t arrived) {
  circuit.receiving.assembly = std::make_unique<Assembly>();
  Assembly& assembly = *circuit.receiving.assembly;
  assembly.circuit = &circuit;
  assembly.node = node;
  assembly.total = total;
  assembly.arrived = arrived;
  assembly.is_short = shares_ && arrived <= short_beginning_bytes_max;
  Reserving& line = is_restricted(circuit) ? reserving_unread_ : reserving_;
  if (line.empty() && reserve(circuit)) return;
  line.push_back(assembly);
  assembly.held.resize(arrived); // small chunks cost no more than their bytes
  watch(false);
}

void Window::continue_assembly(NativeCircuit& circuit, std::size_t bytes) {
  Assembly& assembly = *circuit.receiving.assembly;
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
    if (stall_check_at_ != Instant::max() && !is_used_up()) watch(true); // the memory is on its way round
  } else {
    assembly.held.resize(assembly.arrived);
  }
  serve_reservations();
}

FragmentNode* Window::end_assembly(NativeCircuit& circuit) {
  const std::unique_ptr<Assembly> assembly = std::move(circuit.receiving.assembly);
  FragmentNode* const node = assembly->node;
  if (!assembly->granted) { // all of it came within the window before the pool had room
    assembly->reserving.unlink();
    node->fragment.payload = Payload::uninitialized(assembly->total);
    std::memcpy(node->fragment.payload.writable().data(), assembly->held.data(), assembly->total);
    watch(true);
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

/// Circuits of which nothing was ever taken leave half of the pool to others: their fragments may never be taken
/// either. The smallest of them are few kilobytes, and of the largest, only two fit the pool anyway.
bool Window::is_restricted(const NativeCircuit& circuit) const {
  const std::size_t total = circuit.receiving.assembly->total;
  return shares_ && !circuit.opening.is_read && total > short_beginning_bytes_max && total <= pool_ / 8;
}

bool Window::has_room(const NativeCircuit& circuit, std::size_t missing) const {
  const std::size_t left = pool_free();
  return left >= missing && (!is_restricted(circuit) || left - missing >= pool_ / 2);
}

/// Sets aside what the fragment still misses, allocates it whole, and grants it. False when the pool has too little
/// now.
bool Window::reserve(NativeCircuit& circuit) {
  Assembly& assembly = *circuit.receiving.assembly;
  const std::size_t missing = assembly.total - assembly.arrived;
  if (!has_room(circuit, missing)) return false;
  pool_reserved_ += missing;
  pool_missing_ += missing;
  assembly.reserved = missing;
  assembly.granted = true;
  Payload& payload = assembly.node->fragment.payload;
  payload = Payload::uninitialized(assembly.total);
  if (!assembly.held.empty()) std::memcpy(payload.writable().data(), assembly.held.data(), assembly.held.size());
  assembly.held = {};

  if (missing == 0) return true;
  if (static_cast<std::int64_t>(missing) > circuit.receiving.credit && circuit.receiving.consumed > 0)
    grant_circuit(circuit);
  const std::int64_t extra = std::max<std::int64_t>(0, static_cast<std::int64_t>(missing) - circuit.receiving.credit);
  if (extra > 0) {
    assembly.node->extra = static_cast<std::size_t>(extra);
    circuit.receiving.credit += static_cast<std::int32_t>(extra);
    put_credit(circuit.id, extra, 0, circuit.id);
  }
  const bool is_ample = !assembly.is_short && receive_credit_ - static_cast<std::int64_t>(pool_missing_) >= window_ / 2;
  assembly.node->trunk_extra = is_ample ? static_cast<std::size_t>(extra) : missing;
  if (assembly.node->trunk_extra == 0) return true;
  receive_credit_ += static_cast<std::int64_t>(assembly.node->trunk_extra);
  extras_ += static_cast<std::int64_t>(assembly.node->trunk_extra);
  put_credit(0, static_cast<std::int64_t>(assembly.node->trunk_extra), 0, circuit.id);
  note_granted();
  return true;
}

void Window::serve_reservations() {
  serve(reserving_);
  serve(reserving_unread_);
}

/// First come, first served: the fragment that has waited longest gets the pool next, however much it needs.
void Window::serve(Reserving& line) {
  if (line.empty()) return;
  bool served = false;
  while (!line.empty() && reserve(*line.front().circuit)) {
    line.pop_front();
    served = true;
  }
  if (served) watch(true);
}

void Window::drop_begun_assembly(NativeCircuit& circuit) {
  const std::unique_ptr<Assembly> assembly = std::move(circuit.receiving.assembly);
  assembly->reserving.unlink();
  unread_ -= assembly->node->cost;
  pool_reserved_ -= assembly->reserved;
  if (assembly->granted) pool_missing_ -= assembly->total - assembly->arrived;
  consumed(nullptr, assembly->node->cost, assembly->node->extra, assembly->node->trunk_extra);
  nodes_.free(assembly->node);
  serve_reservations();
  if (stall_check_at_ != Instant::max()) watch(false);
}

// Error fragments.

/// What one circuit may keep of them: as much as is free of a part of the window. So each of n circuits that nobody
/// reads errors from keeps 1 / (n + 1) of it, and a circuit that is alone its limit.
std::size_t Window::errors_bytes_max() const noexcept {
  const auto part = static_cast<std::size_t>(window_ / 8);
  return std::min(whole_.limits.errors_unread_bytes_max, part - std::min(part, errors_unread_));
}

void Window::take_from_errors(NativeCircuit& circuit, const FragmentNode& node) noexcept {
  circuit.receiving.errors_unread -= static_cast<std::uint32_t>(node.cost);
  errors_unread_ -= node.cost;
}

/// A caller that takes answers only still gets them: so what lies unread of errors has a bound of its own, and holds
/// none of the circuit's credit, nor of its share of the trunk's.
void Window::note_error(NativeCircuit& circuit, FragmentNode& latest) {
  circuit.receiving.errors_unread += static_cast<std::uint32_t>(latest.cost);
  errors_unread_ += latest.cost;
  while (circuit.receiving.errors_unread > errors_bytes_max()) {
    FragmentNode* const node = circuit.receiving.errors.first();
    if (node == &latest) break; // one is kept, however large it is
    circuit.receiving.errors.pop();
    take_from_errors(circuit, *node);
    ++circuit.counters.errors_dropped;
    ++whole_.counters.errors_dropped;
    settle(circuit, *node, &circuit);
    nodes_.free(node);
  }
  consumed_of(circuit, static_cast<std::int64_t>(latest.cost - std::exchange(latest.extra, latest.cost)));
}

/// Looks whether somebody needs memory that there is not: the clock runs as long as that is so. `progress`: somebody
/// got some.
void Window::watch(bool progress) {
  if (!is_short_of_memory()) {
    stall_check_at_ = Instant::max();
  } else if (progress || stall_check_at_ == Instant::max()) {
    short_since_ = whole_.now;
    stall_check_at_ = after(whole_.now, stall_check_interval());
  }
}

std::chrono::milliseconds Window::stall_check_interval() const noexcept {
  const auto deadline = whole_.limits.stall_deadline;
  return is_never(deadline) ? deadline : std::max(deadline / 4, std::chrono::milliseconds(1));
}

/// Whether nothing was taken there for a stall_deadline. What is taken between two inputs has the time of the first;
/// while memory is short they are no further apart than our checks.
bool Window::is_left_unread(const NativeCircuit& circuit) const {
  Instant due = after(circuit.receiving.consumed_at, whole_.limits.stall_deadline);
  if (circuit.receiving.consumed_at > short_since_) due = after(due, stall_check_interval());
  return whole_.now >= due;
}

std::string Window::stalled_text(const NativeCircuit& circuit) const {
  return fmt::format("{} bytes lay unread for stall_deadline {} ms while {}", circuit.receiving.unread,
                     whole_.limits.stall_deadline.count(),
                     is_used_up() ? "the trunk's credit was used up" : "a fragment waited for memory");
}

/// Taking what lies unread there would give something back to the pool.
bool Window::holds_pool(const NativeCircuit& circuit) {
  for (const FragmentQueue* queue : {&circuit.receiving.reads, &circuit.receiving.errors})
    for (const FragmentNode* node = queue->first(); node; node = queue->after(node))
      if (node->trunk_extra > 0) return true;
  return false;
}

/// For a stall_deadline the far side has had no credit, or a fragment no memory: the circuits that hold most and are
/// not read lose it, until that is over. Those that hold nothing of what is missing lose nothing.
void Window::check_stalled_readers() {
  stall_check_at_ = after(whole_.now, stall_check_interval());
  if (whole_.now < after(short_since_, whole_.limits.stall_deadline)) return;
  const bool is_pool = !is_used_up();
  const bool only_unread = is_pool && reserving_.empty(); // what waits may have half of the pool only
  std::vector<NativeCircuit*> holders;
  for (NativeCircuit& circuit : circuits_.all()) {
    if (circuit.receiving.unread == 0 || (only_unread && circuit.opening.is_read)) continue;
    if (is_left_unread(circuit) && (!is_pool || holds_pool(circuit))) holders.push_back(&circuit);
  }
  std::ranges::sort(holders, std::ranges::greater(),
                    [](const NativeCircuit* circuit) { return circuit->receiving.unread; });
  const Assembly* const waits = !is_pool ? nullptr : &(reserving_.empty() ? reserving_unread_ : reserving_).front();
  const auto is_over = [&] {
    const Reserving& line = reserving_.empty() ? reserving_unread_ : reserving_;
    return waits ? line.empty() || &line.front() != waits : !is_used_up();
  };
  for (NativeCircuit* const worst : holders) {
    if (is_over()) break;
    End reason(error::stalled, stalled_text(*worst));
    if (worst->ended) {
      worst->end = std::make_unique<End>(std::move(reason)); // what it loses must not look like a clean end
      drop_unread(*worst);
    } else {
      whole_.reset_circuit(*worst, std::move(reason));
    }
  }
  watch(is_over());
}

void Window::check(bool full) {
  invariant(receive_credit_ + consumed_ + static_cast<std::int64_t>(unread_) == window_ + extras_,
            "window: receive_credit + consumed + unread == window + extras");
  invariant(receive_credit_ >= 0, "window: receive_credit >= 0");
  invariant(extras_ >= 0 && static_cast<std::size_t>(extras_) <= pool_reserved_,
            "window: 0 <= extras <= pool_reserved");
  invariant(pool_missing_ <= pool_reserved_, "window: pool_missing <= pool_reserved");
  invariant(pool_reserved_ <= pool_, "window: pool_reserved <= pool");
  invariant(is_short_of_memory() ? stall_check_at_ != Instant::max() || is_never(whole_.limits.stall_deadline)
                                 : stall_check_at_ == Instant::max(),
            "window: a clock runs exactly while memory is short");
  if (!full) return;
  std::size_t unread = 0;
  std::size_t errors_unread = 0;
  for (const NativeCircuit& circuit : circuits_.all()) {
    unread += circuit.receiving.unread;
    errors_unread += circuit.receiving.errors_unread;
    check_circuit(circuit);
  }
  invariant(unread <= unread_, "window: the sum of the circuits' unread <= unread");
  invariant(errors_unread == errors_unread_, "window: errors_unread == the sum of the circuits'");
}

/// Less by a frame that is being read, which is charged and not delivered yet.
void Window::check_circuit(const NativeCircuit& circuit) const {
  invariant(circuit.receiving.credit >= 0, "window: a circuit's receive_credit >= 0");
  if (circuit.ended || circuit.finished_there() || circuit.closed_here()) return;
  std::int64_t left =
      std::int64_t{circuit.receiving.credit} + circuit.receiving.consumed + std::int64_t{circuit.receiving.unread};
  std::int64_t extras = 0;
  if (circuit.receiving.assembly) {
    left += static_cast<std::int64_t>(circuit.receiving.assembly->node->cost);
    extras += static_cast<std::int64_t>(circuit.receiving.assembly->node->extra);
  }
  for (const FragmentQueue* queue : {&circuit.receiving.reads, &circuit.receiving.errors}) {
    if (queue->empty()) continue;
    const FragmentNode* node = queue->first();
    for (std::size_t looked_at = 0; node && looked_at < 64; node = queue->after(node), ++looked_at)
      extras += static_cast<std::int64_t>(node->extra);
    if (node) return; // too many to sum up at every input
  }
  invariant(left <= circuit.receiving.window + extras,
            "window: a circuit's receive_credit + consumed + unread <= window + extras");
}

} // namespace trunkline
