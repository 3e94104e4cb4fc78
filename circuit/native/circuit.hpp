// One circuit as the native machine keeps it: two queues in, one out, credit both ways. An idle one owns no memory
// beyond itself.
#pragma once

#include "circuit/circuit_table.hpp"
#include "circuit/machine.hpp"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace trunkline {

/// A fragment in a queue, with what it was charged.
struct FragmentNode {
  Fragment fragment;
  std::size_t cost = 0;  // credit it used
  std::size_t extra = 0; // of which the circuit was granted beyond its window, to complete it; not granted again
  std::size_t trunk_extra = 0; // the same of the trunk: all that was missing when its memory was set aside
  FragmentNode* next = nullptr;
};

class FragmentQueue {
 public:
  bool empty() const noexcept { return last_ == nullptr; }
  FragmentNode* first() const noexcept { return last_ ? last_->next : nullptr; }
  /// Null behind the last.
  FragmentNode* after(const FragmentNode* node) const noexcept { return node == last_ ? nullptr : node->next; }
  void push(FragmentNode* node) noexcept {
    node->next = last_ ? std::exchange(last_->next, node) : node;
    last_ = node;
  }
  FragmentNode* pop() noexcept {
    FragmentNode* const node = last_->next;
    if (node == last_) last_ = nullptr;
    else last_->next = node->next;
    return node;
  }

 private:
  FragmentNode* last_ = nullptr; // its next is the first: an idle circuit has three of these
};

struct NativeCircuit;

/// A fragment of several frames while it arrives. Its memory is set aside in the trunk's reassembly pool before it is
/// allocated; until then the chunks that the window lets through are held one by one.
struct Assembly {
  NativeCircuit* circuit = nullptr;
  CircuitHook reserving; // waits for the pool
  FragmentNode* node = nullptr;
  std::size_t total = 0;    // payload bytes
  std::size_t arrived = 0;  // payload bytes, the frame being read included
  std::size_t reserved = 0; // still set aside in the pool
  bool is_short = false;    // it has begun without credit for more than its first frame
  bool granted = false;     // the pool has given; node's payload has its full size
  std::vector<std::byte> held; // what came before that, all that has arrived
  /// Where the last `size` bytes of what has arrived belong.
  std::byte* last(std::size_t size) noexcept {
    std::byte* const begin = granted ? node->fragment.payload.writable().data() : held.data();
    return begin + (arrived - size);
  }
};

/// An open of the far side that waits to be handed out.
struct HeldOpen {
  NativeCircuit* circuit = nullptr;
  std::unique_ptr<OpenRequest> open;
  boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> of_opener;
};

/// What arrives. Window's, but for what the comments name.
struct ReceivingSide {
  // What the far side may still send: credit + consumed + unread == window + extras outstanding.
  std::int32_t credit = circuit_window_bytes_initial;
  std::int32_t consumed = 0; // taken by the application, not yet granted again; negative: extras to be worked off
  std::int32_t window = circuit_window_bytes_initial;
  std::uint32_t unread = 0; // delivered and not taken
  FragmentQueue reads;      // Reader puts in
  FragmentQueue errors;     // Reader puts in
  std::unique_ptr<Assembly> assembly;
  Instant granted_at{};
  Instant consumed_at{};           // or when the queue became readable
  std::uint32_t errors_unread = 0; // of what is unread, in `errors`
  std::uint32_t empty_frames = 0;  // Reader: in a row
};

/// What is queued to be sent. Scheduler's.
struct SendingSide {
  std::int32_t credit = circuit_window_bytes_initial;
  std::uint32_t head_sent = 0; // payload bytes of queue.first() already in the output
  std::int32_t promised = 0;   // of the trunk's credit, to complete queue.first()
  std::int32_t deficit = 0;
  FragmentQueue queue;
  std::uint64_t begun = 0;       // its place among the trunk's begun fragments; 0: queue.first() has not begun
  std::int64_t queued = 0;       // what the queue costs that is not yet in the output
  std::int64_t counted_cost = 0; // of which the trunk's sum of sendable bytes holds
  std::int64_t share_place = 0;  // in ShareLine
  std::int32_t window = circuit_window_bytes_initial; // of the far side, as far as it has told
  bool wants_credit : 1 = false;  // a send was told no_credit
  bool in_share_line : 1 = false; // ShareLine
  bool begun_short : 1 = false;   // waits for the far side's memory; queue.first() has begun
  bool is_holder : 1 = false;     // outstanding() is more than a little

  /// How much of the far side's window our side uses: what it has sent and not been granted again.
  std::int64_t outstanding() const noexcept { return std::int64_t{window} - credit; }
};

/// Of a circuit that we closed and that is not over. Closings'.
struct ClosingWait {
  Instant looked_at{};
  std::uint32_t answered_from = 0; // so many answers to pings prove that what we wrote has arrived
  std::uint8_t looks = 0;          // since the last progress
};

/// How it began. Circuits', but for what the comments name.
struct Opening {
  Instant opened_at{};        // of one that was held: when it was handed out
  std::uint16_t strings = 0;  // bytes of the names that its opener, the far side, gave it
  bool in_backlog = false;    // opened by the far side and not yet taken by a service
  bool is_read = false;       // Window: our application has taken something
};

/// Each group of members belongs to the part that is named, and only that part writes it, except for the reset at the
/// end of a circuit. What an idle circuit occupies counts: a trunk may have 100,000 of them. Bytes of credit fit 31
/// bits, as on the wire.
struct NativeCircuit final : TrunkCircuit {
  using TrunkCircuit::TrunkCircuit;
  CircuitId key() const noexcept { return id; }

  ReceivingSide receiving;
  SendingSide sending;
  ClosingWait closing_wait;
  Opening opening;
  std::unique_ptr<HeldOpen> held; // HeldOpens: not handed out to our side yet

  CircuitHook of_trunk; // Circuits: every circuit of the trunk
  CircuitHook of_peer; // Circuits: those of one of our peers
  CircuitHook sendable; // Scheduler: has something that its credit covers; the trunk's, too, or it is in blocked_
  CircuitHook closing_hook; // Closings: closed by us and not over
  CircuitHook ungranted; // Window: some of what was consumed is not granted
  CircuitHook waiting; // Scheduler: wants room in the trunk's send queue
};

} // namespace trunkline
