#include "services/quarkchain/shards/shard_peers.hpp"

#include "services/quarkchain/chain/hashes.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {

void ShardPeers::heard(std::uint64_t peer, const RootBlockHeader& root, const MinorBlockHeader& minor) {
  Told& told = told_[peer];
  if (told.root) {
    const BigUint& before = told.root->total_difficulty;
    if (root.total_difficulty < before)
      throw Refused(Refusal::invalid,
                    fmt::format("peer {}: the root chain's total difficulty decreases: expected at least {}, seen {}",
                                peer, before.to_decimal(), root.total_difficulty.to_decimal()));
    if (root.total_difficulty == before) {
      const Hash256 expected = hash_of(*told.root);
      if (const Hash256 seen = hash_of(root); seen != expected)
        throw Refused(Refusal::invalid,
                      fmt::format("peer {}: another root tip of the same total difficulty: expected {}, seen {}", peer,
                                  expected.hex(), seen.hex()));
      if (told.minor && minor.height < told.minor->height)
        throw Refused(Refusal::invalid, fmt::format("peer {}: its tip decreases: expected at least height {}, seen {}",
                                                    peer, told.minor->height, minor.height));
    }
  }
  told.root = root;
  told.minor = minor;
}

void ShardPeers::heard(std::uint64_t peer, const MinorBlockHeader& minor) { told_[peer].minor = minor; }

const MinorBlockHeader* ShardPeers::tip_of(std::uint64_t peer) const {
  const auto told = told_.find(peer);
  return told == told_.end() || !told->second.minor ? nullptr : &*told->second.minor;
}

bool ShardPeers::lacks(std::uint64_t peer, const RootBlockHeader& root, const MinorBlockHeader& tip) const {
  const auto found = told_.find(peer);
  if (found == told_.end() || !found->second.root) return true;
  const Told& told = found->second;
  if (root.total_difficulty < told.root->total_difficulty) return false;
  if (!told.minor || hash_of(root) != hash_of(*told.root)) return true;
  return tip.height >= told.minor->height && hash_of(tip) != hash_of(*told.minor);
}

void ShardPeers::keep(const std::vector<PeerShard>& those) {
  std::erase_if(told_, [&](const auto& told) {
    return std::ranges::none_of(those, [&](const PeerShard& peer) { return peer.cluster_peer_id == told.first; });
  });
}

} // namespace trunkline::quarkchain
