#include "services/quarkchain/execution/transaction_rules.hpp"

#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint64_t transaction_gas = 21000;
constexpr std::uint64_t creation_gas = 32000;
constexpr std::uint64_t zero_byte_gas = 4;
constexpr std::uint64_t other_byte_gas = 68;
constexpr std::size_t number_bytes_max = 16; // of startgas and gasprice: 128 bits

/// Converts the price of gas in other tokens: a contract, which is nobody's plain account.
const Recipient native_token_contract = *Recipient::from_hex("514b430000000000000000000000000000000003");

[[noreturn]] void refuse(const std::string& why) { throw TransactionRefused(why); }

std::string name_of(std::uint64_t token) { return token_name(token).value_or(std::to_string(token)); }

} // namespace

TransactionRules::TransactionRules(const QuarkChainConfig& config, const ShardConfig& shard)
    : config_(config), shard_(shard), genesis_token_(token_id(config.genesis_token).value()) {
  const auto chain_token = token_id(shard.default_chain_token);
  if (!chain_token)
    throw ConfigFailure("DEFAULT_CHAIN_TOKEN: expected the name of a token, 1 to 12 of 0-9 and A-Z, seen \"" +
                        shard.default_chain_token + "\"");
  chain_token_ = *chain_token;
}

bool TransactionRules::evm_enabled(std::uint64_t time) const noexcept {
  return !config_.enable_evm_timestamp || time >= *config_.enable_evm_timestamp;
}

bool TransactionRules::is_across(const EvmTransaction& tx) const {
  const auto to = config_.full_shard_id_of_key(tx.to_full_shard_key);
  if (!to)
    refuse(fmt::format("evm tx to_full_shard_key {} is of chain {}, which does not exist",
                       shard_text(tx.to_full_shard_key), chain_of(tx.to_full_shard_key)));
  return *to != shard_.full_shard_id;
}

BigUint TransactionRules::intrinsic_gas(const EvmTransaction& tx, bool across) const {
  const auto zeros = static_cast<std::uint64_t>(std::count(tx.data.begin(), tx.data.end(), '\0'));
  const std::uint64_t bytes = zero_byte_gas * zeros + other_byte_gas * (tx.data.size() - zeros);
  return transaction_gas + (tx.to ? 0 : creation_gas) + bytes + (across ? xshard_gas : 0);
}

void TransactionRules::check_form(const SignedTransaction& transaction, const BlockSetting& setting) const {
  const EvmTransaction& tx = transaction.tx;
  const BigUint network = tx.version == BigUint(2) ? shard_.eth_chain_id : std::uint64_t{config_.network_id};
  if (tx.network_id != network)
    refuse(fmt::format("evm tx network id mismatch. expect {} but got {}", network.to_decimal(),
                       tx.network_id.to_decimal()));
  if (!contains_key(shard_.full_shard_id, tx.from_full_shard_key))
    refuse(fmt::format("evm tx from_full_shard_key ({:#x}) not in this branch ({:#x}).", tx.from_full_shard_key,
                       shard_.full_shard_id));
  if (is_across(tx)) {
    const std::uint32_t to = *config_.full_shard_id_of_key(tx.to_full_shard_key);
    const Reach& reach = setting.reach;
    if (!std::binary_search(reach.initialized.begin(), reach.initialized.end(), to))
      refuse(fmt::format("evm tx to_full_shard_id {} is not initialized yet. current root height {}", to,
                         reach.root_height));
    if (!are_neighbours(shard_.full_shard_id, to, reach.initialized.size()))
      refuse(fmt::format("evm tx to_full_shard_id {} is not a neighbor of from_full_shard_id {}", to,
                         shard_.full_shard_id));
    if (tx.startgas > BigUint(setting.xshard_gas_limit))
      refuse(fmt::format("xshard evm tx exceeds xshard gas limit: expected at most {}, seen startgas {}",
                         setting.xshard_gas_limit, tx.startgas.to_decimal()));
  }
  if (config_.enable_tx_timestamp && setting.create_time < *config_.enable_tx_timestamp &&
      std::find(config_.tx_whitelist_senders.begin(), config_.tx_whitelist_senders.end(), transaction.sender) ==
          config_.tx_whitelist_senders.end())
    refuse(fmt::format("unwhitelisted senders not allowed before tx is enabled: ENABLE_TX_TIMESTAMP is {}, seen {}",
                       *config_.enable_tx_timestamp, setting.create_time));
  if (!evm_enabled(setting.create_time) && (!tx.to || !tx.data.empty()))
    refuse(fmt::format("smart contract tx is not allowed before evm is enabled: ENABLE_EVM_TIMESTAMP is {}, seen {}",
                       *config_.enable_evm_timestamp, setting.create_time));
}

void TransactionRules::check_account(const SignedTransaction& transaction, const BlockSetting& setting, World& world,
                                     std::uint64_t gas_used, std::uint64_t gas_limit) const {
  const EvmTransaction& tx = transaction.tx;
  const bool across = is_across(tx);
  if (tx.version == BigUint(2)) check_ethereum(transaction, setting.create_time);
  if (tx.startgas.bytes().size() > number_bytes_max || tx.gasprice.bytes().size() > number_bytes_max)
    refuse(fmt::format("startgas, gasprice, and token_id must <= UINT128_MAX, seen startgas {}, gasprice {}",
                       tx.startgas.to_decimal(), tx.gasprice.to_decimal()));
  const std::uint64_t nonce = world.nonce(transaction.sender);
  if (tx.nonce != BigUint(nonce))
    refuse(fmt::format("{}: 'nonce' actual:{} target:{}", transaction.text(), tx.nonce.to_decimal(), nonce));
  const BigUint intrinsic = intrinsic_gas(tx, across);
  const BigUint startgas = tx.startgas;
  if (startgas < intrinsic)
    refuse(fmt::format("{}: 'startgas' actual:{} target:{}", transaction.text(), startgas.to_decimal(),
                       intrinsic.to_decimal()));
  check_balances(transaction, world);
  if (!tx.gasprice.is_zero() && (tx.gas_token_id != chain_token_ || tx.gas_token_id != genesis_token_)) {
    if (world.has_code(native_token_contract))
      throw CapabilityMissing(
          fmt::format("{} pays gas in {}, which needs contracts", transaction.text(), name_of(tx.gas_token_id)));
    refuse(fmt::format("{}: non-default gas token {} not ready for being used to pay gas", transaction.text(),
                       name_of(tx.gas_token_id)));
  }
  if (startgas + gas_used > gas_limit)
    refuse(fmt::format("{}: 'gaslimit' actual:{} target:{}", transaction.text(),
                       BigUint(startgas + gas_used).to_decimal(), gas_limit));
}

void TransactionRules::check_ethereum(const SignedTransaction& transaction, std::uint64_t time) const {
  const EvmTransaction& tx = transaction.tx;
  if (config_.enable_eip155_signer_timestamp && time < *config_.enable_eip155_signer_timestamp)
    refuse("EIP155 Signer is not enable yet.");
  const BigUint base = BigUint(35) + tx.network_id + tx.network_id;
  if (tx.v != base && tx.v != base + BigUint(1))
    refuse(
        fmt::format("network_id {} does not match the signature v {}.", tx.network_id.to_decimal(), tx.v.to_decimal()));
  const bool plain = (tx.from_full_shard_key & 0xffff) == 0 && (tx.to_full_shard_key & 0xffff) == 0;
  if (chain_of(tx.from_full_shard_key) != chain_of(tx.to_full_shard_key) || !plain)
    refuse(fmt::format("EIP155 Signer do not support cross shard transaction: keys {} and {}",
                       shard_text(tx.from_full_shard_key), shard_text(tx.to_full_shard_key)));
  if (tx.gas_token_id != chain_token_ || tx.transfer_token_id != chain_token_)
    refuse(fmt::format("EIP155 Signer only support {}, seen gas in {} and a transfer of {}", name_of(chain_token_),
                       name_of(tx.gas_token_id), name_of(tx.transfer_token_id)));
}

void TransactionRules::check_balances(const SignedTransaction& transaction, World& world) const {
  const EvmTransaction& tx = transaction.tx;
  using Cost = std::pair<std::uint64_t, BigUint>;
  std::array<Cost, 2> both{Cost(tx.transfer_token_id, tx.value), Cost(tx.gas_token_id, tx.gasprice * tx.startgas)};
  std::span<Cost> costs = both; // by ascending token: which one fails first is seen
  if (both[0].first == both[1].first) {
    both[0].second = both[0].second + both[1].second;
    costs = costs.first(1);
  } else if (both[1].first < both[0].first) {
    std::swap(both[0], both[1]);
  }
  for (const auto& [token, cost] : costs)
    if (token != chain_token_ && world.balance(transaction.sender, token).is_zero())
      refuse(fmt::format("{}: non-default token {} has zero balance", transaction.text(), name_of(token)));
  for (const auto& [token, cost] : costs) {
    const BigUint balance = world.balance(transaction.sender, token);
    if (balance < cost)
      refuse(fmt::format("{}: 'token {} balance' actual:{} target:{}", transaction.text(), name_of(token),
                         balance.to_decimal(), cost.to_decimal()));
  }
}

} // namespace trunkline::quarkchain
