// What the peers of one shard have said that they have: what they say next must not be less, and what they have need
// not be announced to them.
#pragma once

#include "services/quarkchain/backend/backend.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace trunkline::quarkchain {

class ShardPeers {
 public:
  /// Errors: Refused, when a peer goes back behind what it has said before.
  void heard(std::uint64_t peer, const RootBlockHeader& root, const MinorBlockHeader& minor);
  /// A block that it has sent.
  void heard(std::uint64_t peer, const MinorBlockHeader& minor);
  /// What it has said last; null when it has not said anything.
  const MinorBlockHeader* tip_of(std::uint64_t peer) const;
  /// Whether this tip would be news to it.
  bool lacks(std::uint64_t peer, const RootBlockHeader& root, const MinorBlockHeader& tip) const;
  /// Forgets all but these.
  void keep(const std::vector<PeerShard>& those);
  void forget_all() { told_.clear(); }

 private:
  struct Told {
    std::optional<RootBlockHeader> root;
    std::optional<MinorBlockHeader> minor;
  };

  std::map<std::uint64_t, Told> told_;
};

} // namespace trunkline::quarkchain
