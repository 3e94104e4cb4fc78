// The way of a block from its shard to the rest of the cluster: it is added, the other shards get their lists, the
// master hears of it, and then it is committed. What was interrupted in between is done again before anything is built
// on top of it.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/shards/hosted_shard.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace trunkline::quarkchain {

using HostedShards = std::map<std::uint32_t, HostedShard>; // of one slave, by full shard id

/// Errors of each: Refused. A block that could not be delivered is held, and not committed.
class BlockDelivery {
 public:
  /// `shards` must outlive it. `tip_moved` is called when a shard has another tip, before lists go out.
  BlockDelivery(HostedShards& shards, std::function<std::uint64_t()> unix_time,
                std::function<void(HostedShard&)> tip_moved)
      : shards_(shards), unix_time_(std::move(unix_time)), tip_moved_(std::move(tip_moved)) {}

  void attach(std::weak_ptr<BackendHost> host) { host_ = std::move(host); }
  /// Errors: Refused when the slave has ended.
  std::shared_ptr<BackendHost> host() const;
  /// What the master wants artificial transactions to be; blocks are mined as fast as it says.
  ArtificialTxConfig& artificial() noexcept { return artificial_; }

  /// Makes the genesis of a shard on this root block.
  awaitable<void> begin(HostedShard& shard, RootBlock root);
  /// Does nothing for one that is committed.
  awaitable<void> add(HostedShard& shard, MinorBlock block);
  /// In their order, with one batch of lists for all of them and one report; nothing is announced.
  awaitable<void> add_all(HostedShard& shard, std::vector<MinorBlock> blocks);
  /// What was interrupted before.
  awaitable<void> catch_up(HostedShard& shard);

 private:
  std::vector<AddXshardTxListRequest> lists_of(const HostedShard& shard, const MinorBlockHeader& header,
                                               const std::vector<CrossShardTransactionDeposit>& sent);
  awaitable<void> deliver(HostedShard& shard, MinorBlock block, AddOptions options);
  awaitable<void> deliver_missing(HostedShard& shard, Hash256 up_to);
  awaitable<void> report(HostedShard& shard, AddMinorBlockHeaderRequest report,
                         std::vector<AddXshardTxListRequest> lists);

  HostedShards& shards_;
  std::function<std::uint64_t()> unix_time_;
  std::function<void(HostedShard&)> tip_moved_;
  std::weak_ptr<BackendHost> host_;
  ArtificialTxConfig artificial_;
};

} // namespace trunkline::quarkchain
