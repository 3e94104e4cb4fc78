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

class FarPeers {
 public:
  explicit FarPeers(Whole& whole);

  bool introduced() const noexcept { return node_.has_value(); }
  /// Null before its Hello.
  const RemoteNode* node() const noexcept { return node_ ? &*node_ : nullptr; }
  /// `fragment_bytes_max` is what it takes; 0: it did not say.
  void introduce(RemoteNode node, std::uint64_t fragment_bytes_max);
  /// It understands words about calls: what gives one up.
  bool knows_calls() const noexcept { return knows_calls_; }
  void note_knows_calls() noexcept { knows_calls_ = true; }
  /// What it takes, as far as known.
  std::size_t fragment_bytes_max() const noexcept { return fragment_bytes_max_; }

  /// The same one for all circuits of a peer, for as long as one of them is there.
  std::shared_ptr<const PeerName> name(const PeerId& id, const std::string& service);

  /// Null when it has none.
  const Metadata* metadata(const PeerId& peer) const;
  /// Replaces the metadata of a peer. False when it exceeds a limit, which has ended the trunk.
  bool keep(const PeerId& peer, Metadata metadata);
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
  std::size_t fragment_bytes_max_ = std::size_t{1} << 30;
  boost::unordered_flat_map<PeerId, std::weak_ptr<const PeerName>, std::hash<PeerId>> names_;
  std::size_t sweep_at_ = 0;
  std::map<PeerId, Metadata> metadata_;
  std::size_t metadata_bytes_ = 0;
  std::uint32_t may_end_ = 0;
};

} // namespace trunkline
