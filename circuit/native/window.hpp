// What the far side may send, and the memory behind it. Credit is granted when the application takes a fragment, not
// when it arrives: a reader that falls behind holds at most one window of bytes per circuit.
//
// Half of the trunk's memory is its window. The other half reassembles: a fragment of several frames is granted as a
// whole once its memory is set aside, so that one that has begun can always be completed. Fragments that come while the
// pool has too little wait in line, and what the window lets through of them meanwhile is held chunk by chunk.
//
// Readers may pause for as long as they like, while no other circuit needs the memory that they hold.
#pragma once

#include "circuit/invariant.hpp"
#include "circuit/native/circuit.hpp"
#include "circuit/native/circuits.hpp"
#include "circuit/native/far_patience.hpp"
#include "circuit/native/keepalive.hpp"
#include "circuit/native/node_pool.hpp"
#include "circuit/native/whole.hpp"
#include "circuit/native/writer.hpp"

#include <boost/intrusive/list.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace trunkline {

class Window {
 public:
  Window(Whole& whole, Writer& writer, NodePool& nodes, Circuits& circuits, const Keepalive& keepalive,
         FarPatience& patience);

  /// Grants what our window is beyond the one that the far side assumes.
  void grant_initial();
  /// The far side's Hello says that it shares (docs/wire.md): it waits for what it began short, and takes its shares
  /// from what we say of each grant.
  void share() noexcept { shares_ = true; }

  // A data frame arrives.
  /// Uses up the credit of a frame, before anything of it is kept. `circuit` is null when the frame is for one that is
  /// over. False when there is too little, which has ended the trunk.
  bool charge(NativeCircuit* circuit, std::size_t cost) {
    const auto bytes = static_cast<std::int64_t>(cost);
    if (bytes > receive_credit_ || (circuit && bytes > circuit->receiving.credit)) return overcharge(circuit, bytes);
    receive_credit_ -= bytes;
    if (circuit) circuit->receiving.credit -= static_cast<std::int32_t>(bytes);
    if (receive_credit_ < low_) [[unlikely]]
      on_low();
    return true;
  }
  /// What was charged is kept from now on.
  void keep(std::size_t cost) noexcept { unread_ += cost; }
  /// What was charged is not kept: its credit goes back to the trunk.
  void skip(std::size_t cost) { consumed(nullptr, cost, 0, 0); }
  /// What was kept is given up, before it was delivered.
  void give_up(std::size_t cost) {
    unread_ -= cost;
    skip(cost);
  }

  // A fragment of several frames. Its Assembly says where its bytes belong, and moves them when the pool grants the
  // memory.
  void begin_assembly(NativeCircuit& circuit, FragmentNode* node, std::size_t total, std::size_t arrived);
  void continue_assembly(NativeCircuit& circuit, std::size_t bytes);
  /// All of it has arrived.
  FragmentNode* end_assembly(NativeCircuit& circuit);
  void drop_assembly(NativeCircuit& circuit) {
    if (circuit.receiving.assembly) drop_begun_assembly(circuit);
  }

  // The application's side.
  void note_delivered(NativeCircuit& circuit, const FragmentNode& node, bool newly_readable) {
    circuit.receiving.unread += static_cast<std::uint32_t>(node.cost);
    if (newly_readable) circuit.receiving.consumed_at = whole_.now;
  }
  /// An error fragment was delivered: older ones may have to give way.
  void note_error(NativeCircuit& circuit, FragmentNode& latest);
  /// Takes the first fragment of `queue`, which has one.
  std::optional<Fragment> take(NativeCircuit& circuit, FragmentQueue& queue);
  void drop_unread(NativeCircuit& circuit) {
    if (circuit.receiving.unread > 0) drop_all_unread(circuit); // a fragment without bytes costs, too
  }

  /// Received and not yet consumed.
  std::size_t memory_bytes() const noexcept { return unread_ + pool_missing_; }

  Instant deadline() const noexcept { return std::min(stall_check_at_, grant_at_); }
  void tick() {
    if (whole_.now >= grant_at_) grant_what_is_due();
    if (whole_.now >= stall_check_at_) check_stalled_readers();
  }

  /// receive_credit + consumed + unread == window + extras, pool_missing <= pool_reserved <= pool, and a clock runs
  /// exactly while memory is wanted that there is not. The sums of each circuit when `full`.
  void check(bool full);

 private:
  using Reserving =
      boost::intrusive::list<Assembly, boost::intrusive::member_hook<Assembly, CircuitHook, &Assembly::reserving>,
                             boost::intrusive::constant_time_size<false>>;

  bool overcharge(const NativeCircuit* circuit, std::int64_t bytes);
  void settle(NativeCircuit& circuit, const FragmentNode& node, NativeCircuit* granting);
  void consumed(NativeCircuit* circuit, std::size_t cost, std::size_t extra, std::size_t trunk_extra);
  void consumed_of(NativeCircuit& circuit, std::int64_t bytes);
  [[gnu::noinline]] void consumed_enough(NativeCircuit& circuit, bool is_half, bool is_scarce);
  void put_credit(CircuitId id, std::int64_t bytes, std::int64_t growth = 0, CircuitId completes = 0);
  void grant_circuit(NativeCircuit& circuit);
  void grant_trunk();
  void note_granted();
  std::int64_t worth_granting() const noexcept;
  void grant_what_is_due();
  void on_low();
  std::size_t pool_free() const noexcept;
  bool reserve(NativeCircuit& circuit);
  bool is_restricted(const NativeCircuit& circuit) const;
  bool has_room(const NativeCircuit& circuit, std::size_t missing) const;
  void serve_reservations();
  void serve(Reserving& line);
  std::size_t errors_bytes_max() const noexcept;
  void take_from_errors(NativeCircuit& circuit, const FragmentNode& node) noexcept;
  void drop_all_unread(NativeCircuit& circuit);
  void drop_begun_assembly(NativeCircuit& circuit);
  bool is_used_up() const noexcept { return receive_credit_ < used_up_below; }
  bool is_short_of_memory() const noexcept { return is_used_up() || !reserving_.empty() || !reserving_unread_.empty(); }
  void watch(bool progress);
  std::chrono::milliseconds stall_check_interval() const noexcept;
  bool is_left_unread(const NativeCircuit& circuit) const;
  static bool holds_pool(const NativeCircuit& circuit);
  void check_stalled_readers();
  std::string stalled_text(const NativeCircuit& circuit) const;
  void check_circuit(const NativeCircuit& circuit) const;

  static constexpr std::int64_t used_up_below = 2 * fragment_credit_overhead; // hardly anything can be sent

  Whole& whole_;
  Writer& writer_;
  NodePool& nodes_;
  Circuits& circuits_;
  const Keepalive& keepalive_;
  FarPatience& patience_;
  std::int64_t window_;
  std::int64_t receive_credit_ = trunk_window_bytes_initial; // what the far side may still send
  std::int64_t consumed_ =
      0; // not yet granted again; negative: extras of abandoned fragments that the far side still has
  std::int64_t extras_ = 0; // granted beyond the window, to complete fragments that are still here
  std::size_t unread_ = 0; // kept: incomplete, or delivered and not taken
  std::size_t errors_unread_ = 0; // of which on queues of errors
  std::size_t pool_;
  std::size_t pool_reserved_ = 0;
  std::size_t pool_missing_ = 0; // allocated for fragments, and still to arrive
  Reserving reserving_; // for the pool, the oldest first
  Reserving reserving_unread_; // the same, for a part of it: small ones on circuits of which nothing was taken yet
  CircuitList<NativeCircuit, &NativeCircuit::ungranted> ungranted_; // consumed enough for a grant of its own
  Instant grant_at_ = Instant::max(); // all that is due, however little
  std::int64_t low_ = 0; // when the far side has less than this left, it is granted what is due
  bool shares_ = false;
  Instant stall_check_at_ = Instant::max();
  Instant short_since_{}; // memory, or since some was given
};

} // namespace trunkline
