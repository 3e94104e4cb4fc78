#include "circuit/native/local_peers.hpp"

#include "circuit/invariant.hpp"
#include "proto/trunk.pb.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace trunkline {

using wire::FrameType;

namespace {

/// Half: what was said within a second here may arrive within half of one.
TokenBucket rate_of(const FarLimits& takes) {
  const double half = std::max(1.0, takes.control_frames_per_second_max / 2.0);
  return TokenBucket(half, half);
}

} // namespace

LocalPeers::LocalPeers(Whole& whole, Writer& writer, const FarPeers& far_peers)
    : whole_(whole), writer_(writer), far_peers_(far_peers), rate_(rate_of(far_peers.takes())) {}

void LocalPeers::set_metadata(const PeerId& id, const Metadata& metadata) {
  const auto known = peers_.find(id);
  if (known == peers_.end() ? metadata.empty() : known->second.metadata == metadata) return;
  Peer& peer = known == peers_.end() ? peers_[id] : known->second;
  const std::size_t room_before = peer.room;
  peer.id = id;
  peer.metadata = metadata;
  place(peer); // from here on it may be gone
  const auto placed = peers_.find(id);
  if ((placed == peers_.end() ? 0 : placed->second.room) < room_before) retry_withheld();
}

/// Another one says less or has ended: there may be room for the one that has waited longest. Otherwise it waits behind
/// the others.
void LocalPeers::retry_withheld() {
  if (withheld_order_.empty()) return;
  Peer& next = withheld_order_.front();
  settle(next);
  place(next);
}

/// Decides what becomes of a value that is new: it is due when there is room for it. The far side has nothing rather
/// than what is not true any more. Ends the entry of a peer of which nothing is to be said.
void LocalPeers::place(Peer& peer) {
  leave_room(peer);
  const std::size_t room = metadata_memory(peer.metadata);
  const bool fits = room == 0 || (metadata_bytes(peer.metadata) <= far_peers_.takes().metadata_bytes_max &&
                                  room_peers_ < peers_max() && room_bytes_ + room <= bytes_max());
  if (!fits) ++whole_.counters.metadata_withheld;
  if (fits && room > 0) {
    peer.room = room;
    ++room_peers_;
    room_bytes_ += room + static_cast<std::size_t>(off_by_one("local peers"));
  }
  if (peer.room > 0 || peer.is_known) {
    if (peer.state == Peer::State::due) return; // and keeps its place
    settle(peer);
    peer.state = Peer::State::due;
    due_order_.push_back(peer);
    ++due_;
  } else if (fits) {
    settle(peer);
    peers_.erase(peer.id);
  } else if (peer.state != Peer::State::withheld) {
    settle(peer);
    peer.state = Peer::State::withheld;
    withheld_order_.push_back(peer);
  }
}

void LocalPeers::settle(Peer& peer) noexcept {
  if (peer.state == Peer::State::due) --due_;
  peer.in_order.unlink();
  peer.state = Peer::State::settled;
}

void LocalPeers::leave_room(Peer& peer) noexcept {
  if (peer.room == 0) return;
  --room_peers_;
  room_bytes_ -= std::exchange(peer.room, 0);
}

void LocalPeers::say_first(const PeerId& id) {
  const auto found = peers_.find(id);
  if (found == peers_.end() || found->second.state != Peer::State::due) return;
  rate_.refill(whole_.now);
  if (rate_.has_one()) say(found->second);
}

void LocalPeers::say(Peer& peer) {
  wire::PeerMetadata message;
  message.set_peer(peer.id.bytes().data(), RandomId::bytes_count);
  peer.is_known = peer.room > 0;
  if (peer.is_known)
    for (const auto& [key, value] : peer.metadata) {
      auto* item = message.add_items();
      item->set_key(key);
      item->set_value(value);
    }
  writer_.put_control(FrameType::peer_metadata, message);
  rate_.take();
  settle(peer);
  if (!peer.is_known) place(peer);
}

void LocalPeers::put() {
  if (due_ == 0) return;
  rate_.refill(whole_.now);
  while (due_ > 0 && rate_.has_one()) say(due_order_.front());
}

void LocalPeers::end(const PeerId& id, bool had_circuits, const End& reason) {
  bool is_known = had_circuits;
  if (const auto found = peers_.find(id); found != peers_.end()) {
    Peer& peer = found->second;
    if (peer.is_known && !had_circuits) rate_.take(); // there it counts as a control frame
    is_known |= peer.is_known;
    settle(peer);
    leave_room(peer);
    peers_.erase(found);
    retry_withheld();
  }
  if (is_known) writer_.put_peer_ended(id, reason);
}

void LocalPeers::hear_limits() {
  rate_ = rate_of(far_peers_.takes());
  std::vector<PeerId> unsaid; // of the others, the far side has what it has
  for (auto& [id, peer] : peers_)
    if (peer.state != Peer::State::settled) unsaid.push_back(id);
  std::ranges::sort(unsaid);
  for (const PeerId& id : unsaid) leave_room(peers_.at(id));
  for (const PeerId& id : unsaid) place(peers_.at(id));
}

void LocalPeers::check(bool full) const {
  invariant(due_ <= peers_.size(), "local peers: due <= peers");
  if (!full) return;
  std::size_t due = 0;
  std::size_t peers = 0;
  std::size_t bytes = 0;
  for (const auto& [id, peer] : peers_) {
    due += peer.state == Peer::State::due ? 1 : 0;
    invariant((peer.state != Peer::State::settled) == peer.in_order.is_linked(), "local peers: those in order wait");
    peers += peer.room > 0 ? 1 : 0;
    bytes += peer.room;
  }
  invariant(due == due_, "local peers: due == the peers in that state");
  invariant(peers == room_peers_ && bytes == room_bytes_, "local peers: room == the sum of the peers'");
}

} // namespace trunkline
