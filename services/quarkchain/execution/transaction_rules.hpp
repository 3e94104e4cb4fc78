// Which transactions a block of a shard may hold. All checks in the order of pyquarkchain: which one fails first is
// seen by whoever sent it.
#pragma once

#include "services/quarkchain/execution/executor.hpp"
#include "services/quarkchain/execution/world.hpp"

#include <cstdint>

namespace trunkline::quarkchain {

/// The gas that crossing costs, and that the miner of the other shard is paid.
constexpr std::uint64_t xshard_gas = 9000;

class TransactionRules {
 public:
  /// How far ahead of the next nonce a transaction may be and still wait in the queue.
  static constexpr std::uint64_t nonces_ahead_max = 64;

  /// Both must outlive it.
  TransactionRules(const QuarkChainConfig& config, const ShardConfig& shard);

  std::uint64_t genesis_token() const noexcept { return genesis_token_; }
  std::uint64_t chain_token() const noexcept { return chain_token_; }
  /// Before ENABLE_EVM_TIMESTAMP deposits run no message.
  bool evm_enabled(std::uint64_t time) const noexcept;

  /// Whether it leaves the shard. Errors: TransactionRefused when its chain does not exist.
  bool is_across(const EvmTransaction& tx) const;
  /// What it costs before it does anything.
  BigUint intrinsic_gas(const EvmTransaction& tx, bool across) const;

  /// What can be told without accounts. Errors: TransactionRefused.
  void check_form(const SignedTransaction& transaction, const BlockSetting& setting) const;
  /// What version 2 asks for beyond that. Errors: TransactionRefused.
  void check_ethereum(const SignedTransaction& transaction, std::uint64_t time) const;
  /// Nonce, balances, gas: all that a transaction must fulfil that runs now. Errors: TransactionRefused,
  /// CapabilityMissing.
  void check_account(const SignedTransaction& transaction, const BlockSetting& setting, World& world,
                     std::uint64_t gas_used, std::uint64_t gas_limit) const;

 private:
  void check_balances(const SignedTransaction& transaction, World& world) const;

  const QuarkChainConfig& config_;
  const ShardConfig& shard_;
  std::uint64_t genesis_token_;
  std::uint64_t chain_token_;
};

} // namespace trunkline::quarkchain
