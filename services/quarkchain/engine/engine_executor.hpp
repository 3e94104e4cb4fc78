// The executor whose transactions an execution layer runs, in a process of its own that knows nothing of QuarkChain:
// minor blocks are made into its payloads, deposits and rewards into withdrawals, and its answers into results.
//
//   state          the hash of its block
//   deposit        a credit of whole gwei to whom it is for; one that is more than that is refused when it comes
//   transaction    of version 2 alone, which is Ethereum's
//   across shards  only through the bridge, which is an extension: see EngineExecutorOptions
#pragma once

#include "services/quarkchain/engine/account_proofs.hpp"
#include "services/quarkchain/engine/engine.hpp"
#include "services/quarkchain/execution/executor.hpp"
#include "services/quarkchain/execution/transaction_rules.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

struct EngineExecutorOptions {
  Engine::Options engine;
  /// A transaction to 514b43..0fff that carries a recipient and a key sends its value there, when it succeeds and has
  /// 9000 gas more than it needs. All shards of a network have to agree on it.
  bool bridge = false;
  /// Where addresses are kept that are seen in blocks, and looked up when accounts are listed; must outlive it. Without
  /// it only those of small states can be listed.
  const Store* store = nullptr;
};

class EngineExecutor final : public Executor {
 public:
  /// Both must outlive it. Errors: ConfigFailure for settings that cannot be had together with an execution layer.
  EngineExecutor(const QuarkChainConfig& config, const ShardConfig& shard, EngineExecutorOptions options);

  const std::shared_ptr<Engine>& engine() const noexcept { return engine_; }
  const EngineGenesis& genesis() const noexcept { return genesis_; }

  std::string_view name() const noexcept override { return name_; }
  const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Hash256 state_after(const MinorBlockHeader& header, const MinorBlockMeta& meta) const override;
  void set_head(const Hash256& state) override { engine_->want_head(state); }
  void check_deposit(const CrossShardTransactionDeposit& deposit) const override;

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
  /// What it does not hold is made again from our blocks.
  bool holds(const Hash256&) const override { return true; }
  AccountState account(const Hash256& state, const Recipient& who) const override;
  std::string code(const Hash256& state, const Recipient& who) const override;
  Uint256 storage(const Hash256& state, const Recipient& who, const Uint256& key) const override;
  /// In the order of the execution layer's trie; whose they are is not known. Each may need a question of its own.
  void accounts(
      const Hash256& state, const std::optional<Hash256>& after,
      const std::function<bool(const Hash256& key, const Recipient& who, const AccountState&)>& visit) const override;

 private:
  struct Credits {
    std::vector<Withdrawal> withdrawals;
    std::uint64_t gas = 0;
  };

  Credits credits_of(Deposits& deposits, const BlockSetting& setting) const;
  EnginePayload payload_of(const Hash256& parent, const BlockSetting& setting, const Credits& credits,
                           std::span<const SignedTransactionPtr> transactions) const;
  void require_form(const SignedTransaction& transaction, const BlockSetting& setting) const;
  std::optional<CrossShardTransactionDeposit> bridged(const SignedTransaction& transaction, const Reach& reach) const;
  const Json& read(const Hash256& state, const char* method, const std::string& params) const;
  /// What is known of a state besides its hash.
  struct Place {
    std::uint64_t height = 0;
    Hash256 root;
  };
  const Place& place_of(const Hash256& state) const;
  void know_accounts(const EnginePayload& payload, std::span<const SignedTransactionPtr> transactions,
                     const std::vector<Receipt>& receipts, StoreBatch& into) const;

  const QuarkChainConfig& config_;
  const ShardConfig& shard_;
  const Capabilities capabilities_;
  bool bridge_;
  std::string name_; // with the bridge it is another executor: others refuse its blocks
  TransactionRules rules_;
  EngineGenesis genesis_;
  std::shared_ptr<Engine> engine_; // lives as long as a question to it
  mutable Recent<Hash256, Place> places_{1 << 14}; // of states
  std::unique_ptr<Store> nothing_known_; // instead of a store
  const Store* known_accounts_;
  mutable HashedAddresses addresses_;
  mutable AccountProofs proofs_;
};

} // namespace trunkline::quarkchain
