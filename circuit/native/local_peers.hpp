// What the far side is told of our peers: their metadata and their ends. Neither is ever more than it takes. Of metadata
// that changes faster than it can be said only the last value is said, at most half as often as the far side's
// control_frames_per_second_max allows; what its remote_peers_max or remote_metadata_bytes_max has no room for waits
// until another peer of ours has ended or says less.
#pragma once

#include "circuit/native/far_peers.hpp"
#include "circuit/native/token_bucket.hpp"
#include "circuit/native/whole.hpp"
#include "circuit/native/writer.hpp"

#include <boost/intrusive/list.hpp>

#include <cstddef>
#include <unordered_map>

namespace trunkline {

class LocalPeers {
 public:
  LocalPeers(Whole& whole, Writer& writer, const FarPeers& far_peers);

  /// Is said with the next output, or when `introduce` names the peer before that.
  void set_metadata(const PeerId& peer, const Metadata& metadata);
  /// The next frame names the peer: what is known of it by then should go before.
  void introduce(const PeerId& peer) {
    if (due_ > 0) say_first(peer);
  }
  /// `had_circuits`: the far side knows the peer from a circuit, so it expects to hear of its end.
  void end(const PeerId& peer, bool had_circuits, const End& reason);
  /// The far side has said what it takes: until then the least was assumed that is allowed.
  void hear_limits();

  bool has_output() const noexcept { return due_ > 0 && rate_.has_one(); }
  /// Puts what is due, as much of it as may be said now.
  void put();
  Instant deadline() const { return due_ > 0 && !rate_.has_one() ? rate_.when(1) : Instant::max(); }
  void tick() noexcept { rate_.refill(whole_.now); }

  /// room_taken <= what the far side has room for. Sums it up when `full`.
  void check(bool full) const;
  std::size_t check_weight() const noexcept { return peers_.size(); }

 private:
  struct Peer {
    enum class State : std::uint8_t {
      settled,  // the far side has heard what there is
      due,      // in due_order_
      withheld, // in withheld_order_
    };
    PeerId id;
    Metadata metadata;
    State state = State::settled;
    bool is_known = false; // the far side has something of it
    std::size_t room = 0;  // that it takes there
    boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> in_order;
  };
  using Peers = std::unordered_map<PeerId, Peer>;
  using Order = boost::intrusive::list<
      Peer, boost::intrusive::member_hook<Peer, decltype(Peer::in_order), &Peer::in_order>,
      boost::intrusive::constant_time_size<false>>;

  std::size_t peers_max() const noexcept { return far_peers_.takes().remote_peers_max; }
  std::size_t bytes_max() const noexcept { return far_peers_.takes().remote_metadata_bytes_max; }
  void place(Peer& peer);
  void settle(Peer& peer) noexcept;
  void leave_room(Peer& peer) noexcept;
  void retry_withheld();
  void say_first(const PeerId& peer);
  void say(Peer& peer);

  Whole& whole_;
  Writer& writer_;
  const FarPeers& far_peers_;
  Peers peers_; // that have metadata, or of which the far side has some. Not iterated for the outside
  Order due_order_;
  std::size_t due_ = 0;
  Order withheld_order_;
  std::size_t room_peers_ = 0;        // with room != 0
  std::size_t room_bytes_ = 0;        // the sum of theirs
  TokenBucket rate_;
};

} // namespace trunkline
