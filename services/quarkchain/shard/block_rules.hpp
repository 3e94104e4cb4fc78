// What a minor block must fulfil before it runs, and what must have come of it.
#pragma once

#include "services/quarkchain/execution/executor.hpp"
#include "services/quarkchain/shard/consensus_refusal.hpp"
#include "services/quarkchain/shard/difficulty.hpp"
#include "services/quarkchain/shard/miner_window.hpp"
#include "services/quarkchain/shard/posw.hpp"
#include "services/quarkchain/shard/shard_database.hpp"

#include <cstdint>
#include <utility>

namespace trunkline::quarkchain {

class BlockRules {
 public:
  /// A block may be this far ahead of the clock.
  static constexpr std::uint64_t seconds_ahead_max = 15;

  /// All must outlive it. Errors: ConfigFailure for settings that no block could fulfil.
  BlockRules(const QuarkChainConfig& config, const ShardConfig& shard, const ShardDatabase& database,
             const Executor& executor);

  /// In the order of the network; the first that fails says so. `transactions`: the hashes of the block's. `now`:
  /// seconds of the clock. Errors: ConsensusRefusal.
  void check(const MinorBlock& block, const std::vector<Hash256>& transactions, std::uint64_t now) const;
  /// After it ran. Errors: ConsensusRefusal.
  void check(const MinorBlock& block, const Execution& execution, const XshardTxCursorInfo& cursor) const;
  /// What its miner is paid: the reward and the fees.
  TokenBalances coinbase(std::uint64_t height, const Execution& execution) const;

  /// Of a block, fees not counted.
  BigUint reward(std::uint64_t height) const;

  const DifficultyRule& difficulty() const noexcept { return difficulty_; }
  std::uint64_t gas_limit() const noexcept { return gas_limit_; }
  std::uint64_t xshard_gas_limit() const noexcept { return gas_limit_ / 2; }
  /// By how much a block may be below the tip.
  std::uint64_t stale_max() const noexcept;
  /// Its proof of work, staked work counted; all are sealed where seals are not checked.
  bool is_sealed(const MinorBlockHeader& header) const;
  /// Whether stakes could make it sealed. Needs no parent.
  bool may_be_sealed(const MinorBlockHeader& header) const;
  /// Tries a nonce: the mixhash, where there is one, follows from it.
  void seal(MinorBlockHeader& header, std::uint64_t nonce) const;
  /// How many blocks of the window up to the tip an account has mined, and how many its stakes, after the tip, are for.
  std::pair<std::uint64_t, std::uint64_t> mined_and_mineable(const MinorPointPtr& tip, const Recipient& who,
                                                             const BigUint& stakes) const;
  /// Nothing while PoSW is not on.
  std::optional<PoswResult> posw_of(const MinorBlockHeader& header) const;
  /// What those in the window up to `parent` may not spend in the next block, which `coinbase` mines.
  std::map<Recipient, BigUint> locked(const MinorPointPtr& parent, const std::optional<Recipient>& coinbase) const;

 private:
  bool is_sealed(const MinorBlockHeader& header, const BigUint& difficulty) const;
  bool has_rotation(const MinorBlockHeader& header) const noexcept;
  BigUint stake_per_block(const MinorBlockHeader& header) const;
  void check_place(const MinorBlock& block, std::uint64_t now) const;
  void check_content(const MinorBlock& block, const std::vector<Hash256>& transactions) const;
  void check_root(const MinorBlock& block, const MinorPointPtr& parent) const;

  const QuarkChainConfig& config_;
  const ShardConfig& shard_;
  const ShardDatabase& database_;
  const Executor& executor_;
  MinerWindow window_;
  DifficultyRule difficulty_;
  std::uint64_t gas_limit_;
  std::uint64_t genesis_token_;
};

} // namespace trunkline::quarkchain
