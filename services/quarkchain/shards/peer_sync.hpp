// Following a peer whose tip is higher than ours: back from it to a block that is held, then forward in batches.
#pragma once

#include "services/quarkchain/shards/block_delivery.hpp"

#include <vector>

namespace trunkline::quarkchain {

class PeerSync {
 public:
  /// Both must outlive every call.
  PeerSync(BlockDelivery& delivery, HostedShard& shard) : delivery_(delivery), shard_(shard) {}

  /// Follows to what the peer has said last, one peer at a time; one that waits for its turn already is not asked for
  /// twice. Gives up, without an error, where the root chain that the peer stands on is not ours. Errors: Refused with
  /// Refusal::invalid for what the peer makes up; the error of its connection.
  awaitable<void> follow(PeerShard from) { return follow(&delivery_, &shard_, from); }

 private:
  /// A block that the peer has and we do not.
  struct Missing {
    Hash256 hash;
    Hash256 root;
  };

  static awaitable<void> follow(BlockDelivery* delivery, HostedShard* shard, PeerShard from);
  static awaitable<std::vector<Missing>> walk_back(BlockDelivery* delivery, HostedShard* shard, PeerShard from,
                                                   MinorBlockHeader tip);
  static void check(const HostedShard& shard, PeerShard from, const MinorBlockHeader& header, const Hash256& expected,
                    std::uint64_t height);

  BlockDelivery& delivery_;
  HostedShard& shard_;
};

} // namespace trunkline::quarkchain
