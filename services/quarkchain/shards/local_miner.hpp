// Mining by the slave itself, for clusters without miners: POW_SIMULATE waits for as long as a miner would take, real
// proofs of work are searched for, a few nonces at a time.
#pragma once

#include "async/limited_log.hpp"
#include "async/tasks.hpp"
#include "services/quarkchain/shards/hosted_shard.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace trunkline::quarkchain {

/// One for each shard. Begins and ends when it is told to.
class LocalMiner {
 public:
  struct Options {
    std::function<std::uint64_t()> unix_time;
    std::function<std::uint64_t()> random;
    std::function<std::uint32_t()> target_block_time;           // seconds
    std::function<awaitable<void>(HostedShard&, MinorBlock)> mined; // adds it; may throw Refused
    LogSink log;
  };

  /// `shard` must outlive it.
  LocalMiner(HostedShard& shard, Options options) : shard_(shard), options_(std::move(options)), lines_(options_.log) {}

  /// `owner` of this and of the shard: it lives as long as something runs.
  void start(trunkline::Executor executor, std::shared_ptr<void> owner);
  void stop() { mining_.reset(); }
  bool is_mining() const noexcept { return mining_ != nullptr; }

 private:
  static awaitable<void> mine(LocalMiner* self, std::shared_ptr<void> owner);
  static awaitable<void> mine_one(LocalMiner* self);
  static awaitable<MinorBlock> simulate(LocalMiner* self, MinorBlock block);
  /// Without a block when the tip has moved on.
  static awaitable<std::optional<MinorBlock>> search(LocalMiner* self, MinorBlock block);
  static awaitable<MinorBlock> next(LocalMiner* self);
  double random_share() const;

  HostedShard& shard_;
  Options options_;
  LimitedLog lines_;
  std::unique_ptr<Tasks> mining_;
};

} // namespace trunkline::quarkchain
