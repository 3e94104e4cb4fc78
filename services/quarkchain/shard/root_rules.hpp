// What a root block must fulfil before a shard takes it. Its own proof and rewards are the master's business.
#pragma once

#include "services/quarkchain/shard/consensus_refusal.hpp"
#include "services/quarkchain/shard/neighbourhood.hpp"
#include "services/quarkchain/shard/shard_database.hpp"

#include <cstdint>

namespace trunkline::quarkchain {

class RootRules {
 public:
  /// All must outlive it.
  RootRules(const QuarkChainConfig& config, const ShardConfig& shard, const Neighbourhood& neighbourhood,
            const ShardDatabase& database)
      : config_(config), shard_(shard), neighbourhood_(neighbourhood), database_(database) {}

  /// The last block of ours that it confirms, itself or below it; null when there is none. Errors: ConsensusRefusal.
  MinorPointPtr check(const RootBlock& block) const;

 private:
  void check_list(const MinorBlockHeader& header) const;
  MinorPointPtr check_linked(const std::vector<const MinorBlockHeader*>& ours, const RootPointPtr& parent) const;

  const QuarkChainConfig& config_;
  const ShardConfig& shard_;
  const Neighbourhood& neighbourhood_;
  const ShardDatabase& database_;
};

} // namespace trunkline::quarkchain
