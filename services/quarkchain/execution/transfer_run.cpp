#include "services/quarkchain/execution/transfer_run.hpp"

#include "services/quarkchain/chain/rlp.hpp"

#include <fmt/format.h>

#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint8_t refund_whole = 100;

/// Accounts that are programs of the network itself: 1 to 8, and 514b430001 to 514b430005.
bool is_built_in(const Recipient& who) {
  static const Recipient first_plain = *Recipient::from_hex("0000000000000000000000000000000000000001");
  static const Recipient last_plain = *Recipient::from_hex("0000000000000000000000000000000000000008");
  static const Recipient first_own = *Recipient::from_hex("000000000000000000000000000000514b430001");
  static const Recipient last_own = *Recipient::from_hex("000000000000000000000000000000514b430005");
  return (who >= first_plain && who <= last_plain) || (who >= first_own && who <= last_own);
}

Uint256 word(const BigUint& amount) { return Uint256::from_bytes(bytes_of(amount.bytes())).value(); }

/// The address of a contract that is made on another shard.
Recipient contract_address(const Recipient& sender, std::uint32_t from_key, std::uint64_t nonce) {
  RlpList list;
  list.add(text_of(sender.bytes)).add(std::uint64_t{from_key}).add(nonce);
  const Hash256 hash = keccak256(bytes_of(list.encoded()));
  return *Recipient::from_bytes(std::span<const std::byte>(hash.bytes).last(Recipient::size));
}

} // namespace

TransferRun::TransferRun(const QuarkChainConfig& config, const TransactionRules& rules, const BlockSetting& setting,
                         const TrieNodes& nodes, StateTrie parent)
    : config_(config), rules_(rules), setting_(setting), world_(nodes, std::move(parent)),
      gas_limit_(setting.gas_limit) {}

void TransferRun::take(Deposits& deposits) {
  while (const auto due = deposits.take()) {
    if (rules_.evm_enabled(setting_.create_time)) run_deposit(*due->deposit, due->gas_charged);
    else credit_deposit(*due->deposit, due->gas_charged);
    if (gas_used_ > gas_limit_)
      throw TransactionRefused(fmt::format("deposit {}: gas used {} exceeds the block's gas limit {}",
                                           due->deposit->tx_hash.hex(), gas_used_, gas_limit_));
    // A soft limit: the last one may go beyond it.
    if (gas_used_ >= setting_.xshard_gas_limit) break;
  }
  xshard_gas_used_ = gas_used_;
  if (gas_used_ < setting_.xshard_gas_limit) gas_limit_ -= setting_.xshard_gas_limit - gas_used_;
}

void TransferRun::run_deposit(const CrossShardTransactionDeposit& deposit, std::uint64_t gas_charged) {
  if (deposit.gas_token_id != rules_.genesis_token())
    throw TransactionRefused(fmt::format("deposit {}: gas token is {}, expected {}", deposit.tx_hash.hex(),
                                         deposit.gas_token_id, rules_.genesis_token()));
  const auto name = [&] { return "deposit " + deposit.tx_hash.hex(); };
  const Recipient& from = deposit.from_address.recipient;
  const BigUint value = deposit.value.to_big();
  const BigUint price = deposit.gas_price.to_big();
  const BigUint gas = deposit.gas_remained.to_big();
  world_.set_full_shard_key(deposit.to_address.full_shard_key);
  world_.add(from, deposit.transfer_token_id, value);
  if (deposit.create_contract) throw CapabilityMissing(name() + " creates a contract, which needs contracts");
  const Outcome outcome = transfer(from, deposit.to_address.recipient, deposit.transfer_token_id, value, name);
  // A plain transfer uses no gas of its own, a failed one all of it.
  const BigUint remained = outcome == Outcome::done ? gas : BigUint(0);
  const BigUint used = gas - remained + gas_charged;
  refund(from, price * remained, deposit.refund_rate);
  pay_fee(deposit.gas_token_id, price * used);
  const BigUint total = used + gas_used_;
  if (total > gas_limit_)
    throw TransactionRefused(
        fmt::format("{}: gas used {} exceeds the block's gas limit {}", name(), total.to_decimal(), gas_limit_));
  gas_used_ = *total.to_u64();
  deposit_receipts_.push_back(receipt(outcome));
}

void TransferRun::credit_deposit(const CrossShardTransactionDeposit& deposit, std::uint64_t gas_charged) {
  world_.add(deposit.to_address.recipient, deposit.transfer_token_id, deposit.value.to_big());
  gas_used_ += gas_charged;
  pay_fee(deposit.gas_token_id, deposit.gas_price.to_big() * xshard_gas);
}

void TransferRun::check(const SignedTransaction& transaction) {
  const EvmTransaction& tx = transaction.tx;
  rules_.check_form(transaction, setting_);
  rules_.check_account(transaction, setting_, world_, gas_used_, gas_limit_);
  if (rules_.is_across(tx)) return; // whatever it does, it does there
  if (!tx.to) throw CapabilityMissing(transaction.text() + " creates a contract, which needs contracts");
  if (is_built_in(*tx.to) || world_.peek(*tx.to).has_code())
    throw CapabilityMissing(transaction.text() + " calls " + tx.to->hex() + ", which needs contracts");
}

void TransferRun::apply(const SignedTransaction& transaction) {
  world_.begin_asking();
  try {
    check(transaction);
  } catch (...) {
    world_.forget_asked();
    throw;
  }
  const EvmTransaction& tx = transaction.tx;
  const bool across = rules_.is_across(tx);
  const BigUint price = tx.gasprice;
  const auto startgas = *tx.startgas.to_u64();
  const auto intrinsic = *rules_.intrinsic_gas(tx, across).to_u64();
  world_.set_full_shard_key(tx.to_full_shard_key);
  world_.increment_nonce(transaction.sender);
  world_.deduct(transaction.sender, tx.gas_token_id, price * startgas);
  if (across) return send(transaction, price, intrinsic);
  const Outcome outcome =
      transfer(transaction.sender, *tx.to, tx.transfer_token_id, tx.value, [&] { return transaction.text(); });
  const std::uint64_t used = outcome == Outcome::done ? intrinsic : startgas;
  refund(transaction.sender, price * (startgas - used), refund_whole);
  pay_fee(rules_.genesis_token(), price * used);
  gas_used_ += used;
  receipts_.push_back(receipt(outcome));
}

void TransferRun::send(const SignedTransaction& transaction, const BigUint& price, std::uint64_t intrinsic) {
  const EvmTransaction& tx = transaction.tx;
  const auto startgas = *tx.startgas.to_u64();
  const BigUint value = tx.value;
  const bool evm = rules_.evm_enabled(setting_.create_time);
  Outcome outcome = Outcome::failed;
  std::uint64_t used_here = startgas;
  std::uint64_t used_there = 0;
  if (!is_locked(transaction.sender, value)) {
    outcome = Outcome::done;
    used_here = intrinsic;
    if (evm || !tx.to) used_there = startgas - intrinsic;
    world_.deduct(transaction.sender, tx.transfer_token_id, value);
    CrossShardTransactionDeposit& deposit = sent_.emplace_back();
    deposit.tx_hash = transaction.hash;
    deposit.from_address = {transaction.sender, tx.from_full_shard_key};
    deposit.to_address.recipient =
        tx.to ? *tx.to : contract_address(transaction.sender, tx.from_full_shard_key, world_.nonce(transaction.sender));
    deposit.to_address.full_shard_key = tx.to_full_shard_key;
    deposit.value = word(value);
    deposit.gas_price = word(price);
    deposit.gas_token_id = rules_.genesis_token();
    deposit.transfer_token_id = tx.transfer_token_id;
    deposit.gas_remained = Uint256(used_there);
    deposit.message_data = tx.data;
    deposit.create_contract = !tx.to;
    deposit.refund_rate = refund_whole;
  }
  refund(transaction.sender, price * (startgas - used_here - used_there), refund_whole);
  // What crossing costs is paid to the miner of the other shard.
  const std::uint64_t crossing = outcome == Outcome::done ? xshard_gas : 0;
  pay_fee(rules_.genesis_token(), price * (used_here - crossing));
  gas_used_ += used_here - (evm ? crossing : 0);
  receipts_.push_back(receipt(outcome));
}

TransferRun::Outcome TransferRun::transfer(const Recipient& from, const Recipient& to, std::uint64_t token,
                                           const BigUint& value, const std::function<std::string()>& name) {
  if (is_locked(from, value)) return Outcome::failed;
  if (is_built_in(to) || world_.has_code(to))
    throw CapabilityMissing(name() + " calls " + to.hex() + ", which needs contracts");
  world_.deduct(from, token, value);
  world_.add(to, token, value);
  return Outcome::done;
}

bool TransferRun::is_locked(const Recipient& from, const BigUint& value) {
  const auto stake = setting_.locked.find(from);
  return stake != setting_.locked.end() && value + stake->second > world_.balance(from, rules_.chain_token());
}

void TransferRun::refund(const Recipient& who, const BigUint& total, std::uint8_t rate) {
  const BigUint back = total * rate / refund_whole;
  world_.add(who, rules_.genesis_token(), back);
  // The rest is burnt, into the account that nobody has.
  if (back != total) world_.add(Recipient(), rules_.genesis_token(), total - back);
}

void TransferRun::pay_fee(std::uint64_t token, const BigUint& whole) {
  const Fraction& tax = config_.reward_tax_rate;
  const BigUint fee = whole * (tax.denominator - tax.numerator) / tax.denominator;
  world_.add(setting_.coinbase, token, fee);
  fees_[token] = fees_[token] + fee;
}

Receipt TransferRun::receipt(Outcome outcome) const {
  Receipt receipt;
  receipt.success = outcome == Outcome::done;
  receipt.cumulative_gas = gas_used_;
  receipt.full_shard_key = world_.full_shard_key();
  return receipt;
}

Execution TransferRun::finish(FreshNodes& fresh) {
  world_.add(setting_.coinbase, rules_.genesis_token(), setting_.reward);
  Execution execution;
  execution.state_root = world_.commit(fresh);
  execution.receipts = std::move(receipts_);
  execution.receipts.insert(execution.receipts.end(), deposit_receipts_.begin(), deposit_receipts_.end());
  execution.receipt_root = receipts_root(execution.receipts);
  execution.bloom = bloom_of(execution.receipts);
  execution.gas_used = gas_used_;
  execution.xshard_gas_used = xshard_gas_used_;
  for (const auto& [token, fee] : fees_) execution.fees.add(token, fee);
  execution.sent = std::move(sent_);
  return execution;
}

} // namespace trunkline::quarkchain
