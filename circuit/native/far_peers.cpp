#include "circuit/native/far_peers.hpp"

#include "circuit/invariant.hpp"

#include <algorithm>
#include <utility>

namespace trunkline {
std::size_t metadata_bytes(const Metadata& metadata) noexcept {
  std::size_t bytes = 0;
  for (const auto& [key, value] : metadata) bytes += key.size() + value.size();
  return bytes;
}

std::size_t metadata_memory(const Metadata& metadata) noexcept {
  constexpr std::size_t per_item = 128;
  return metadata_bytes(metadata) + per_item * metadata.size();
}

FarPeers::FarPeers(Whole& whole) : whole_(whole) {}

void FarPeers::introduce(RemoteNode node, const FarLimits& takes) {
  node_ = std::move(node);
  takes_ = takes;
}

std::shared_ptr<const PeerName> FarPeers::name(const PeerId& id, const std::string& service) {
  auto& known = names_[id];
  auto peer = known.lock();
  if (!peer || peer->service != service) {
    peer = std::make_shared<const PeerName>(PeerName{id, service, {}});
    known = peer;
    if (names_.size() > sweep_at_) {
      boost::unordered::erase_if(names_, [](const auto& entry) { return entry.second.expired(); });
      // As many new ones again before the next sweep: all sweeps together cost no more than the insertions.
      sweep_at_ = std::max<std::size_t>(whole_.limits.remote_peers_max, 2 * names_.size());
    }
  }
  return peer;
}

const Metadata* FarPeers::metadata(const PeerId& peer) const {
  const auto found = metadata_.find(peer);
  return found == metadata_.end() ? nullptr : &found->second;
}

void FarPeers::keep(const PeerId& peer, Metadata metadata) {
  const Limits& limits = whole_.limits;
  forget(peer);
  if (metadata.empty()) return;
  const std::size_t bytes = metadata_memory(metadata);
  if (metadata_bytes(metadata) > limits.metadata_bytes_max || metadata_.size() >= limits.remote_peers_max ||
      metadata_bytes_ + bytes > limits.remote_metadata_bytes_max) {
    ++whole_.counters.metadata_dropped;
    return;
  }
  metadata_bytes_ += bytes + static_cast<std::size_t>(off_by_one("far peers"));
  metadata_.emplace(peer, std::move(metadata));
}

void FarPeers::forget(const PeerId& peer) {
  const auto found = metadata_.find(peer);
  if (found == metadata_.end()) return;
  metadata_bytes_ -= metadata_memory(found->second);
  metadata_.erase(found);
}

bool FarPeers::end_is_expected() noexcept {
  if (may_end_ == 0) return false;
  --may_end_;
  return true;
}

void FarPeers::check(bool full) const {
  const Limits& limits = whole_.limits;
  invariant(metadata_.size() <= limits.remote_peers_max, "far peers: peers with metadata <= remote_peers_max");
  invariant(metadata_bytes_ <= limits.remote_metadata_bytes_max,
            "far peers: metadata_bytes <= remote_metadata_bytes_max");
  if (!full) return;
  std::size_t bytes = 0;
  for (const auto& [peer, metadata] : metadata_) bytes += metadata_memory(metadata);
  invariant(bytes == metadata_bytes_, "far peers: metadata_bytes == the sum of its peers'");
}

} // namespace trunkline
