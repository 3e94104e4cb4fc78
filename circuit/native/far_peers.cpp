#include "circuit/native/far_peers.hpp"

#include "circuit/invariant.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline {
namespace {

/// Bytes that a peer's metadata occupies, about: its strings, and a node of the map for each item.
std::size_t memory_of(const Metadata& metadata) {
  constexpr std::size_t per_item = 128;
  std::size_t bytes = 0;
  for (const auto& [key, value] : metadata) bytes += key.size() + value.size() + per_item;
  return bytes;
}

} // namespace

FarPeers::FarPeers(Whole& whole) : whole_(whole) {}

void FarPeers::introduce(RemoteNode node, std::uint64_t fragment_bytes_max) {
  node_ = std::move(node);
  if (fragment_bytes_max > 0)
    fragment_bytes_max_ = static_cast<std::size_t>(std::min<std::uint64_t>(fragment_bytes_max, 1u << 30));
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

bool FarPeers::keep(const PeerId& peer, Metadata metadata) {
  const Limits& limits = whole_.limits;
  const auto found = metadata_.find(peer);
  const bool is_new = found == metadata_.end();
  if (is_new && metadata_.size() >= limits.remote_peers_max) {
    whole_.violate(error::too_many_control_frames,
                   fmt::format("metadata of more than remote_peers_max {} peers", limits.remote_peers_max));
    return false;
  }
  const std::size_t before = is_new ? 0 : memory_of(found->second);
  const std::size_t bytes = metadata_bytes_ - before + memory_of(metadata);
  if (bytes > limits.remote_metadata_bytes_max) {
    whole_.violate(error::too_many_control_frames,
                   fmt::format("metadata of {} peers exceeds remote_metadata_bytes_max {}",
                               metadata_.size() + (is_new ? 1 : 0), limits.remote_metadata_bytes_max));
    return false;
  }
  metadata_bytes_ = bytes + static_cast<std::size_t>(off_by_one("far peers"));
  if (!metadata.empty()) {
    metadata_[peer] = std::move(metadata);
  } else if (!is_new) {
    metadata_.erase(found);
  }
  return true;
}

void FarPeers::forget(const PeerId& peer) {
  const auto found = metadata_.find(peer);
  if (found == metadata_.end()) return;
  metadata_bytes_ -= memory_of(found->second);
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
  for (const auto& [peer, metadata] : metadata_) bytes += memory_of(metadata);
  invariant(bytes == metadata_bytes_, "far peers: metadata_bytes == the sum of its peers'");
}

} // namespace trunkline
