// The logs of a shard's transactions and deposits: of one receipt, and of many blocks that match a filter.
#pragma once

#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/shard/shard_cl.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace trunkline::quarkchain {

class ShardLogs {
 public:
  /// So many blocks are looked at for one question.
  static constexpr std::uint64_t blocks_max = 100000;

  /// `shard` must outlive it.
  explicit ShardLogs(const ShardCL& shard) : shard_(shard) {}

  /// Of the transaction, or behind those of the block the deposit, at this place.
  std::vector<Log> of(const MinorBlock& block, std::uint32_t index) const;
  /// In the order of the chain: those of any of these accounts, all of them without one, whose topics are, one by one,
  /// any of those that are asked for. Nothing when an account is of another shard, a height is above the tip, or there
  /// are more than blocks_max.
  std::optional<std::vector<Log>> matching(const GetLogRequest& filter) const;

 private:
  std::vector<Log> of(const MinorBlock& block, const Hash256& hash, std::uint32_t index, const Receipt& receipt) const;

  const ShardCL& shard_;
};

} // namespace trunkline::quarkchain
