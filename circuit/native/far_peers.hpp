// What the far side says of itself and of its peers: its Hello, the names of its peers, their metadata.
#pragma once

#include "circuit/native/whole.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline {

/// What a far side takes. These values are assumed until its Hello says others (docs/wire.md).
struct FarLimits {
  std::size_t fragment_bytes_max = std::size_t{1} << 30;
  std::size_t circuits_max = 131072;
  std::size_t name_bytes_max = 128;
  std::size_t user_string_bytes_max = 1024;
  std::size_t metadata_bytes_max = 4096;
  std::size_t remote_peers_max = 4096;
  std::size_t remote_metadata_bytes_max = 4 << 20;
  std::size_t control_frames_per_second_max = 10000;
};

/// Bytes of the keys and values.
std::size_t metadata_bytes(const Metadata& metadata) noexcept;
/// What it counts for in remote_metadata_bytes_max: about what it occupies, with a node of a map for each item.
std::size_t metadata_memory(const Metadata& metadata) noexcept;

class FarPeers {
 public:
  explicit FarPeers(Whole& whole);

  bool introduced() const noexcept { return node_.has_value(); }
  /// Null before its Hello.
  const RemoteNode* node() const noexcept { return node_ ? &*node_ : nullptr; }
  void introduce(RemoteNode node, const FarLimits& takes);
  /// It understands words about calls: what gives one up.
  bool knows_calls() const noexcept { return knows_calls_; }
  void note_knows_calls() noexcept { knows_calls_ = true; }
  const FarLimits& takes() const noexcept { return takes_; }

  /// The same one for all circuits of a peer, for as long as one of them is there.
  std::shared_ptr<const PeerName> name(const PeerId& id, const std::string& service);

  /// Null when it has none.
  const Metadata* metadata(const PeerId& peer) const;
  /// Instead of what it had before. What there is no room for is dropped, and the peer then has none.
  void keep(const PeerId& peer, Metadata metadata);
  void forget(const PeerId& peer);

  /// A circuit was opened, either way: one more peer may end without being counted as a flood.
  void note_opened() noexcept { ++may_end_; }
  /// Each peer that ends had a circuit here, so there is nothing wrong with as many at once as there were opens.
  bool end_is_expected() noexcept;

  /// metadata_bytes <= remote_metadata_bytes_max. Sums them up when `full`.
  void check(bool full) const;
  std::size_t check_weight() const noexcept { return metadata_.size(); }

 private:
  Whole& whole_;
  std::optional<RemoteNode> node_;
  bool knows_calls_ = false;
  FarLimits takes_;
  boost::unordered_flat_map<PeerId, std::weak_ptr<const PeerName>, std::hash<PeerId>> names_;
  std::size_t sweep_at_ = 0;
  std::map<PeerId, Metadata> metadata_;
  std::size_t metadata_bytes_ = 0;
  std::uint32_t may_end_ = 0;
};

} // namespace trunkline
