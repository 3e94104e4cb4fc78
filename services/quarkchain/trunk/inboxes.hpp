// What has arrived on a cluster connection and was not taken yet. Nobody is held back but by not reading the
// connection: that is done while the control circuit holds more than control_inbox_bytes_max unread, and for at most
// stall_deadline. A virtual peer never causes it: one that overflows peer_inbox_bytes_max is closed alone.
#pragma once

#include "services/quarkchain/trunk/cluster_circuits.hpp"
#include "services/quarkchain/trunk/cluster_whole.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace trunkline::quarkchain {

class Inboxes {
 public:
  Inboxes(ClusterWhole& whole, ClusterCircuits& circuits);
  ~Inboxes();

  /// A `feed` begins.
  void begin_feed() noexcept { ++feeds_; }
  /// Of the frame that is arriving for a virtual peer, `arrived` bytes of payload are here: it may be too much, which
  /// closes this peer or the one that holds most.
  void admit(ClusterCircuit& circuit, std::size_t arrived);
  void push(ClusterCircuit& circuit, const FrameHeader& header, Payload&& payload);
  std::optional<Fragment> take(ClusterCircuit& circuit);
  void drop(ClusterCircuit& circuit);

  bool paused() const noexcept { return paused_since_ != Instant::max(); }
  /// The connection ends: reading is not held back any more.
  void end() noexcept {
    running_ = false;
    paused_since_ = Instant::max();
  }

  std::size_t memory_bytes() const noexcept;
  Instant deadline() const noexcept;
  /// Clean, or why the connection has to end.
  End tick();

  /// unread of all peers == the sum of the circuits'. Looks at each when `full`.
  void check(bool full) const;

 private:
  void overflow(ClusterCircuit& circuit, std::size_t arriving, std::string_view limit, std::size_t max);
  void update_pause();
  ReceivedFrame* make_frame();
  void free_frame(ReceivedFrame* frame);

  ClusterWhole& whole_;
  ClusterCircuits& circuits_;
  std::uint64_t feeds_ = 0;
  std::size_t peers_unread_ = 0; // cost of what lies in the inboxes of all virtual peers
  ReceivedFrame* spare_ = nullptr;
  std::size_t spare_count_ = 0;
  bool running_ = true;
  Instant paused_since_ = Instant::max();
  bool taken_since_pause_ = false;
};

} // namespace trunkline::quarkchain
