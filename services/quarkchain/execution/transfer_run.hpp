// One block that runs on the accounts of its parent: deposits first, then transactions, then the reward.
#pragma once

#include "services/quarkchain/execution/transaction_rules.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

/// gas_used <= gas_limit, after every step.
class TransferRun {
 public:
  /// All must outlive it.
  TransferRun(const QuarkChainConfig& config, const TransactionRules& rules, const BlockSetting& setting,
              const TrieNodes& nodes, StateTrie parent);

  /// Runs deposits until there are no more or their gas is used up; whatever they left of it, transactions do not get.
  /// Errors: TransactionRefused, CapabilityMissing.
  void take(Deposits& deposits);
  /// Errors: TransactionRefused and CapabilityMissing, and nothing has changed.
  void apply(const SignedTransaction& transaction);
  /// Pays the reward and ends the block: new nodes go into `fresh`.
  Execution finish(FreshNodes& fresh);
  /// The state that it ended with. Last of all.
  StateTrie take_state() { return world_.take_trie(); }

  std::uint64_t gas_left() const noexcept { return gas_limit_ - gas_used_; }
  /// Of an account as it is now, which this does not bring into being.
  std::uint64_t nonce(const Recipient& who) { return world_.peek(who).nonce; }

 private:
  enum class Outcome : std::uint8_t { failed, done };

  void check(const SignedTransaction& transaction);
  void run_deposit(const CrossShardTransactionDeposit& deposit, std::uint64_t gas_charged);
  void credit_deposit(const CrossShardTransactionDeposit& deposit, std::uint64_t gas_charged);
  void send(const SignedTransaction& transaction, const BigUint& price, std::uint64_t intrinsic);
  /// Moves the value; failed when the sender's stake is locked. `name` says what moves it, should it be refused.
  Outcome transfer(const Recipient& from, const Recipient& to, std::uint64_t token, const BigUint& value,
                   const std::function<std::string()>& name);
  bool is_locked(const Recipient& from, const BigUint& value);
  void refund(const Recipient& who, const BigUint& total, std::uint8_t rate);
  void pay_fee(std::uint64_t token, const BigUint& whole);
  Receipt receipt(Outcome outcome) const;

  const QuarkChainConfig& config_;
  const TransactionRules& rules_;
  const BlockSetting& setting_;
  World world_;
  std::uint64_t gas_limit_;
  std::uint64_t gas_used_ = 0;
  std::uint64_t xshard_gas_used_ = 0;
  std::map<std::uint64_t, BigUint> fees_;
  std::vector<Receipt> receipts_;
  std::vector<Receipt> deposit_receipts_;
  std::vector<CrossShardTransactionDeposit> sent_;
};

} // namespace trunkline::quarkchain
