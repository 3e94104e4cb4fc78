// The executor in this process that runs plain transfers: of any token, in a shard and across, versions 0, 1 and 2.
// Its states are those of pyquarkchain, root for root; whatever touches code it leaves to others.
#pragma once

#include "services/quarkchain/execution/executor.hpp"
#include "services/quarkchain/execution/state_trie.hpp"
#include "services/quarkchain/execution/transaction_rules.hpp"
#include "services/quarkchain/execution/trie_nodes.hpp"

namespace trunkline::quarkchain {

class TransfersExecutor final : public Executor {
 public:
  /// All must outlive it. Errors: ConfigFailure.
  TransfersExecutor(const QuarkChainConfig& config, const ShardConfig& shard, const Store& store);

  std::string_view name() const noexcept override { return "transfers"; }
  const Capabilities& capabilities() const noexcept override { return capabilities_; }

  Hash256 genesis(StoreBatch& into) override;
  Execution run(const Hash256& parent, const BlockSetting& setting, Deposits& deposits,
                std::span<const SignedTransactionPtr> transactions, StoreBatch& into) override;
  Execution build(const Hash256& parent, const BlockSetting& setting, Deposits& deposits,
                  std::span<const SignedTransactionPtr> candidates, const BigUint& gas_price_min,
                  std::vector<SignedTransactionPtr>& taken) override;
  void check(const Hash256& state, const BlockSetting& setting, const SignedTransaction& transaction,
             const BigUint& gas_price_min) override;

  std::optional<std::string> call(const Hash256& state, const BlockSetting& setting,
                                  const SignedTransaction& transaction) const override;
  bool holds(const Hash256& state) const override;
  AccountState account(const Hash256& state, const Recipient& who) const override;
  std::string code(const Hash256& state, const Recipient& who) const override;
  Uint256 storage(const Hash256& state, const Recipient& who, const Uint256& key) const override;
  void accounts(
      const Hash256& state, const std::optional<Hash256>& after,
      const std::function<bool(const Hash256& key, const Recipient& who, const AccountState&)>& visit) const override;

 private:
  AccountState seen(const Account& account) const;
  /// What a block begins with; the last state, if it is that, is gone afterwards.
  StateTrie take(const Hash256& state);

  const QuarkChainConfig& config_;
  const ShardConfig& shard_;
  const Store& store_;
  const Capabilities capabilities_;
  TransactionRules rules_;
  TrieNodes nodes_;
  /// The upper levels of the state that the last block left behind. It may come to nothing: a state is only asked for
  /// that was written.
  struct LastState {
    Hash256 root;
    StateTrie trie;
  };
  std::optional<LastState> last_;
};

} // namespace trunkline::quarkchain
