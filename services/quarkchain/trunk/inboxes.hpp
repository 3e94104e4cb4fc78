// What has arrived on a cluster connection and was not taken yet. Nobody is held back but by not reading the
// connection: that is done while the control circuit holds more than control_inbox_bytes_max unread, and for at most
// stall_deadline without progress.
//
// The virtual peers of a cluster connection belong to many clusters, of which none may stop the others: one that
// overflows peer_inbox_bytes_max is closed alone. Those of a p2p connection all belong to the cluster at its far end:
// there the connection is not read while they hold more than peer_inbox_bytes_max together, which costs that cluster
// alone, and loses nothing.
#pragma once

#include "services/quarkchain/trunk/cluster_circuits.hpp"
#include "services/quarkchain/trunk/cluster_whole.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
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
  /// Whether the far side is held back for what its virtual peers do not take.
  bool holds_peers_back() const noexcept { return whole_.options.framing == Framing::p2p; }
  bool has_room_again() const noexcept;
  std::string unread() const;
  void update_pause(bool taken);
  ReceivedFrame* make_frame();
  void free_frame(ReceivedFrame* frame);

  ClusterWhole& whole_;
  ClusterCircuits& circuits_;
  const std::size_t peers_unread_held_back_; // of p2p connections: beyond it they are not read
  std::uint64_t feeds_ = 0;
  std::size_t peers_unread_ = 0; // cost of what lies in the inboxes of all virtual peers
  ReceivedFrame* spare_ = nullptr;
  std::size_t spare_count_ = 0;
  bool running_ = true;
  Instant paused_since_ = Instant::max();
  bool taken_since_pause_ = false;
};

} // namespace trunkline::quarkchain
