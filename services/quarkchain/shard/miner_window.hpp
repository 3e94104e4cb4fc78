// Who mined the last blocks: the window that PoSW counts in.
#pragma once

#include "services/quarkchain/shard/shard_database.hpp"

#include <cstdint>
#include <deque>
#include <map>

namespace trunkline::quarkchain {

class MinerWindow {
 public:
  using Counts = std::map<Recipient, std::uint64_t>;

  /// `database` must outlive it. One less than `window_blocks` are counted: the next block is the last.
  MinerWindow(const ShardDatabase& database, std::uint64_t window_blocks)
      : database_(database), blocks_max_(window_blocks == 0 ? 0 : window_blocks - 1) {}

  /// Up to and with this block, which is held; the first block counts too.
  Counts counts(const MinorPointPtr& last) const;

 private:
  using Miners = std::deque<Recipient>; // ascending

  const ShardDatabase& database_;
  std::uint64_t blocks_max_;
  mutable Recent<Hash256, Miners> recent_{64};
};

} // namespace trunkline::quarkchain
