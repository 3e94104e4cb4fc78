#include "services/quarkchain/engine/engine_executor.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/engine/engine_json.hpp"
#include "services/quarkchain/engine/engine_transaction.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace trunkline::quarkchain {
namespace {

namespace json = engine_json;

const BigUint wei_per_gwei(1'000'000'000);
constexpr std::uint8_t refund_whole = 100;
constexpr std::uint64_t transaction_gas = 21000;
constexpr std::uint64_t creation_gas = 32000;
constexpr std::uint64_t zero_byte_gas = 4;
constexpr std::uint64_t other_byte_gas = 16;
constexpr std::uint64_t code_word_gas = 2;
constexpr std::size_t word_bytes = 32;

const Recipient bridge_address = *Recipient::from_hex("514b430000000000000000000000000000000fff");
constexpr std::size_t bridge_data_bytes = Recipient::size + sizeof(std::uint32_t);

/// Of Shanghai.
std::uint64_t intrinsic_gas(const EvmTransaction& tx) {
  const auto zeros = static_cast<std::uint64_t>(std::count(tx.data.begin(), tx.data.end(), '\0'));
  std::uint64_t gas = transaction_gas + zero_byte_gas * zeros + other_byte_gas * (tx.data.size() - zeros);
  if (!tx.to) gas += creation_gas + code_word_gas * ((tx.data.size() + word_bytes - 1) / word_bytes);
  return gas;
}

/// Nothing for what no withdrawal can carry.
std::optional<std::uint64_t> gwei_of(const BigUint& wei) {
  const BigUint gwei = wei / wei_per_gwei;
  return gwei * wei_per_gwei == wei ? gwei.to_u64() : std::nullopt;
}

BigUint refund_of(const CrossShardTransactionDeposit& deposit) {
  const BigUint whole = deposit.gas_remained.to_big() * deposit.gas_price.to_big();
  return deposit.refund_rate == refund_whole ? whole : BigUint::scaled(whole, deposit.refund_rate, refund_whole);
}

Hash256 word_of(const BigUint& number) {
  return *Hash256::from_bytes(Uint256::from_bytes(bytes_of(number.bytes())).value_or(Uint256()).bytes());
}

} // namespace

EngineExecutor::EngineExecutor(const QuarkChainConfig& config, const ShardConfig& shard, EngineExecutorOptions options)
    : config_(config), shard_(shard),
      capabilities_{"transactions of version 2 with contracts, and deposits that are plain credits of whole gwei", true,
                    false, true, false},
      bridge_(options.bridge), name_(bridge_ ? "engine+bridge" : "engine"), rules_(config, shard),
      genesis_(config, shard), engine_(std::make_shared<Engine>(std::move(options.engine))),
      nothing_known_(options.store ? nullptr : make_memory_store()),
      known_accounts_(options.store ? options.store : nothing_known_.get()) {
  const auto refuse = [&](const std::string& why) {
    throw ConfigFailure(fmt::format("shard {}: an execution layer cannot be had together with {}",
                                    shard_text(shard.full_shard_id), why));
  };
  if (shard.posw_config.enabled) refuse("POSW_CONFIG.ENABLED: it knows no locked stakes");
  if (config.genesis_token != shard.default_chain_token)
    refuse(fmt::format("DEFAULT_CHAIN_TOKEN {}: it keeps {} alone", shard.default_chain_token, config.genesis_token));
  if (config.block_extra_data_size_limit < PayloadMark::bytes_max)
    refuse(fmt::format("BLOCK_EXTRA_DATA_SIZE_LIMIT {}: expected at least {}", config.block_extra_data_size_limit,
                       PayloadMark::bytes_max));
}

Hash256 EngineExecutor::state_after(const MinorBlockHeader& header, const MinorBlockMeta& meta) const {
  const auto mark = PayloadMark::from(header.extra_data);
  const Hash256 state = header.height == 0 ? genesis_.hash() : mark ? mark->block_hash : Hash256();
  places_.keep(state, {header.height, header.height == 0 ? genesis_.state_root() : meta.hash_evm_state_root});
  return state;
}

const EngineExecutor::Place& EngineExecutor::place_of(const Hash256& state) const {
  const Place* const place = places_.find(state);
  if (!place) throw StoreFailure("the height of state " + state.hex() + " is not known");
  return *place;
}

Hash256 EngineExecutor::genesis(StoreBatch& into) {
  into.put("meta_el_genesis", genesis_.hash().hex());
  for (const GenesisAccount& given : shard_.genesis.alloc) HashedAddresses::know(given.address.recipient, into);
  return genesis_.hash();
}

void EngineExecutor::check_deposit(const CrossShardTransactionDeposit& deposit) const {
  const auto refuse = [&](const std::string& why) {
    throw CapabilityMissing(fmt::format("deposit {}: {}, which an execution layer cannot credit", deposit.tx_hash.hex(), why));
  };
  if (!deposit.message_data.empty()) refuse("it carries data");
  if (deposit.create_contract) refuse("it creates a contract");
  if (deposit.transfer_token_id != rules_.genesis_token())
    refuse("it is of token " + token_name(deposit.transfer_token_id).value_or(std::to_string(deposit.transfer_token_id)));
  for (const BigUint& amount : {deposit.value.to_big(), refund_of(deposit)})
    if (!gwei_of(amount)) refuse(fmt::format("{} wei is no number of gwei below 2^64", amount.to_decimal()));
}

/// In the order of the deposits, the reward last. Numbered so that they go up along every chain.
EngineExecutor::Credits EngineExecutor::credits_of(Deposits& deposits, const BlockSetting& setting) const {
  Credits credits;
  const auto credit = [&](const Recipient& who, const BigUint& wei) {
    const std::uint64_t gwei = gwei_of(wei).value();
    if (gwei > 0) credits.withdrawals.push_back({setting.height << 32 | credits.withdrawals.size(), who, gwei});
  };
  while (const auto due = deposits.take()) {
    check_deposit(*due->deposit);
    credits.gas += due->gas_charged;
    credit(due->deposit->to_address.recipient, due->deposit->value.to_big());
    credit(due->deposit->from_address.recipient, refund_of(*due->deposit));
    if (credits.gas >= setting.xshard_gas_limit) break;
  }
  // What is below one gwei of a reward nobody gets.
  credit(setting.coinbase, setting.reward / wei_per_gwei * wei_per_gwei);
  return credits;
}

EnginePayload EngineExecutor::payload_of(const Hash256& parent, const BlockSetting& setting, const Credits& credits,
                                         std::span<const SignedTransactionPtr> transactions) const {
  const MinorBlock& block = *setting.claimed;
  const auto mark = PayloadMark::from(block.header.extra_data);
  if (!mark)
    throw TransactionRefused(fmt::format("extra_data: expected 1 and the hash and base fee of an execution layer's block, "
                                         "seen {} bytes",
                                         block.header.extra_data.size()));
  const auto gas = block.meta.evm_gas_used.to_u64();
  if (!gas || *gas < credits.gas)
    throw TransactionRefused(fmt::format("gas used mismatch: header {}, deposits alone {}",
                                         block.meta.evm_gas_used.to_decimal(), credits.gas));
  EnginePayload payload;
  payload.parent_hash = parent;
  payload.fee_recipient = setting.coinbase;
  payload.state_root = block.meta.hash_evm_state_root;
  payload.receipts_root = block.meta.hash_evm_receipt_root;
  payload.bloom = block.header.bloom;
  payload.prev_randao = word_of(setting.difficulty);
  payload.number = setting.height;
  payload.gas_limit = setting.gas_limit;
  payload.gas_used = *gas - credits.gas;
  payload.timestamp = setting.create_time;
  payload.extra_data = mark->extra_data;
  payload.base_fee = mark->base_fee;
  payload.block_hash = mark->block_hash;
  payload.withdrawals = credits.withdrawals;
  for (const SignedTransactionPtr& transaction : transactions)
    payload.transactions.push_back(ethereum_form(transaction->tx));
  return payload;
}

/// What the execution layer does not look at.
void EngineExecutor::require_form(const SignedTransaction& transaction, const BlockSetting& setting) const {
  const EvmTransaction& tx = transaction.tx;
  if (tx.version != BigUint(2))
    throw CapabilityMissing(fmt::format("{} is of version {}: an execution layer runs version 2 alone",
                                        transaction.text(), tx.version.to_decimal()));
  rules_.check_form(transaction, setting);
  rules_.check_ethereum(transaction, setting.create_time);
}

Execution EngineExecutor::run(const Hash256& parent, const BlockSetting& setting, Deposits& deposits,
                              std::span<const SignedTransactionPtr> transactions, StoreBatch& into) {
  const Credits credits = credits_of(deposits, setting);
  for (const SignedTransactionPtr& transaction : transactions) require_form(*transaction, setting);
  EnginePayload payload = payload_of(parent, setting, credits, transactions);
  const Hash256 key = keccak256(bytes_of(payload.to_json()));
  const Engine::Ran* const ran = engine_->ran(key);
  if (!ran)
    throw AnswerPending([engine = engine_, payload, key] { return engine->ask_run(payload, key); });
  if (ran->invalid) throw TransactionRefused(*ran->invalid);

  Execution execution;
  execution.state_root = payload.state_root;
  execution.receipt_root = payload.receipts_root;
  execution.bloom = payload.bloom;
  execution.gas_used = payload.gas_used + credits.gas;
  execution.xshard_gas_used = credits.gas;
  if (ran->receipts) {
    execution.receipts = *ran->receipts;
    for (std::size_t i = 0; i < transactions.size(); ++i) {
      execution.receipts[i].cumulative_gas += credits.gas; // deposits ran first
      execution.receipts[i].full_shard_key = transactions[i]->tx.to_full_shard_key;
    }
  } else if (setting.receipts_kept) {
    execution.receipts = setting.receipts_kept();
  }
  if (execution.receipts.size() != transactions.size())
    throw ExecutorDown(fmt::format("block {} of {} transactions: it has lost their receipts", payload.block_hash.hex(),
                                   transactions.size()));
  std::uint64_t before = credits.gas;
  BigUint fees;
  for (std::size_t i = 0; i < transactions.size(); ++i) {
    const Receipt& receipt = execution.receipts[i];
    const BigUint price = transactions[i]->tx.gasprice;
    fees = fees + (price - payload.base_fee.to_big()) * (receipt.cumulative_gas - before);
    before = receipt.cumulative_gas;
    if (!receipt.success) continue;
    if (auto deposit = bridged(*transactions[i], setting.reach)) execution.sent.push_back(std::move(*deposit));
  }
  execution.fees.add(rules_.genesis_token(), fees);
  know_accounts(payload, transactions, execution.receipts, into);
  into.put("el_" + std::string(text_of(hash_of(setting.claimed->header).bytes)), std::string(text_of(payload.block_hash.bytes)));
  return execution;
}

Execution EngineExecutor::build(const Hash256& parent, const BlockSetting& setting, Deposits& deposits,
                                std::span<const SignedTransactionPtr> candidates, const BigUint& gas_price_min,
                                std::vector<SignedTransactionPtr>& taken) {
  const Credits credits = credits_of(deposits, setting);
  EngineTemplate wanted;
  wanted.parent = parent;
  wanted.number = setting.height;
  wanted.timestamp = setting.create_time;
  wanted.gas_limit = setting.gas_limit;
  wanted.prev_randao = word_of(setting.difficulty);
  wanted.fee_recipient = setting.coinbase;
  wanted.withdrawals = credits.withdrawals;
  const Hash256 key = wanted.key();
  const Engine::Built* const built = engine_->built(key);
  if (!built) {
    for (const SignedTransactionPtr& candidate : candidates)
      if (candidate->tx.version == BigUint(2) && candidate->tx.gasprice >= gas_price_min)
        wanted.candidates.push_back(ethereum_form(candidate->tx));
    throw AnswerPending([engine = engine_, wanted, key] { return engine->ask_build(wanted, key); });
  }
  const EnginePayload& payload = built->payload;
  std::map<std::string, SignedTransactionPtr> known;
  for (const SignedTransactionPtr& candidate : candidates) known[ethereum_form(candidate->tx)] = candidate;
  for (const std::string& raw : payload.transactions) {
    const auto candidate = known.find(raw); // or one that has waited in its pool since
    taken.push_back(candidate != known.end() ? candidate->second
                                             : SignedTransaction::of(quarkchain_form(raw, shard_).typed()));
  }
  Execution execution;
  execution.state_root = payload.state_root;
  execution.receipt_root = payload.receipts_root;
  execution.bloom = payload.bloom;
  execution.gas_used = payload.gas_used + credits.gas;
  execution.xshard_gas_used = credits.gas;
  execution.fees.add(rules_.genesis_token(), built->fees);
  execution.extra_data = PayloadMark{payload.block_hash, payload.base_fee, payload.extra_data}.text();
  return execution;
}

void EngineExecutor::check(const Hash256& state, const BlockSetting& setting, const SignedTransaction& transaction,
                           const BigUint& gas_price_min) {
  const EvmTransaction& tx = transaction.tx;
  require_form(transaction, setting);
  if (tx.gasprice < gas_price_min)
    throw TransactionRefused(fmt::format("{}: gas price: expected at least {}, seen {}", transaction.text(),
                                         gas_price_min.to_decimal(), tx.gasprice.to_decimal()));
  const std::uint64_t least = intrinsic_gas(tx);
  if (tx.startgas < BigUint(least) || tx.startgas > BigUint(setting.gas_limit))
    throw TransactionRefused(fmt::format("{}: 'startgas' actual:{} expected {} to {}", transaction.text(),
                                         tx.startgas.to_decimal(), least, setting.gas_limit));
  const AccountState sender = account(state, transaction.sender);
  if (tx.nonce < BigUint(sender.nonce) || tx.nonce > BigUint(sender.nonce + TransactionRules::nonces_ahead_max))
    throw TransactionRefused(fmt::format("{}: 'nonce' actual:{} target:{}", transaction.text(), tx.nonce.to_decimal(),
                                         sender.nonce));
  const BigUint cost = tx.value + tx.gasprice * tx.startgas;
  const BigUint balance = sender.balances.of(rules_.genesis_token());
  if (tx.nonce == BigUint(sender.nonce) && balance < cost)
    throw TransactionRefused(fmt::format("{}: balance actual:{} target:{}", transaction.text(), balance.to_decimal(),
                                         cost.to_decimal()));
  if (bridge_ && tx.to == bridge_address && !bridged(transaction, setting.reach))
    throw TransactionRefused(fmt::format("{} to the bridge: expected a recipient and a key of a shard that is reached from "
                                         "here, whole gwei, and {} gas more than {}",
                                         transaction.text(), xshard_gas, least));
}

/// The deposit that a successful transaction sends; nothing for one that is none of the bridge's.
std::optional<CrossShardTransactionDeposit> EngineExecutor::bridged(const SignedTransaction& transaction,
                                                                    const Reach& reach) const {
  const EvmTransaction& tx = transaction.tx;
  if (!bridge_ || tx.to != bridge_address || tx.data.size() != bridge_data_bytes) return std::nullopt;
  if (tx.startgas < BigUint(intrinsic_gas(tx) + xshard_gas) || !gwei_of(tx.value)) return std::nullopt;
  CrossShardTransactionDeposit deposit;
  const std::string_view data = tx.data;
  deposit.to_address.recipient = *Recipient::from_bytes(bytes_of(data.substr(0, Recipient::size)));
  for (const char byte : data.substr(Recipient::size))
    deposit.to_address.full_shard_key = deposit.to_address.full_shard_key << 8 | static_cast<unsigned char>(byte);
  const auto to = config_.full_shard_id_of_key(deposit.to_address.full_shard_key);
  if (!to || *to == shard_.full_shard_id || !std::ranges::binary_search(reach.initialized, *to) ||
      !are_neighbours(shard_.full_shard_id, *to, reach.initialized.size()))
    return std::nullopt;
  const auto word = [](const BigUint& number) { return Uint256::from_bytes(bytes_of(number.bytes())).value(); };
  deposit.tx_hash = transaction.hash;
  deposit.from_address = {transaction.sender, tx.from_full_shard_key};
  deposit.value = word(tx.value);
  deposit.gas_price = word(tx.gasprice);
  deposit.gas_token_id = tx.gas_token_id;
  deposit.transfer_token_id = tx.transfer_token_id;
  deposit.refund_rate = refund_whole;
  return deposit;
}

/// The answer that is known. Errors: AnswerPending for one that is not; ExecutorDown for a question that was refused.
const Json& EngineExecutor::read(const Hash256& state, const char* method, const std::string& params) const {
  const std::uint64_t number = place_of(state).height;
  const Hash256 question = keccak256(bytes_of(fmt::format("{} {} {}", state.hex(), method, params)));
  const Engine::Read* const read = std::as_const(*engine_).read(question);
  if (!read)
    throw AnswerPending([engine = engine_, question, state, number, method, params] {
      return engine->ask_read(question, state, number, method, params);
    });
  if (read->refused) throw ExecutorDown(*read->refused);
  return read->result;
}

/// Execution layers do not agree on whether the gas of a call includes what the transaction itself costs; on what they
/// estimate they do. Neither question says how much gas there is, so both are asked once, however often this is called.
std::optional<std::string> EngineExecutor::call(const Hash256& state, const BlockSetting&,
                                                const SignedTransaction& transaction) const {
  const EvmTransaction& tx = transaction.tx;
  std::string asked = fmt::format(R"({{"from":{},"value":{},"data":{})", json::digits(transaction.sender),
                                  json::quantity(tx.value), json::digits(tx.data));
  if (tx.to) asked += ",\"to\":" + json::digits(*tx.to);
  asked += "}";
  try {
    if (tx.startgas < json::number(read(state, "eth_estimateGas", asked), "eth_estimateGas")) return std::nullopt;
    return json::bytes(read(state, "eth_call", asked), "eth_call");
  } catch (const ExecutorDown&) { // it has answered: the call fails
    return std::nullopt;
  }
}

AccountState EngineExecutor::account(const Hash256& state, const Recipient& who) const {
  const std::string whose = json::digits(who);
  AccountState account;
  account.balances.add(rules_.genesis_token(), json::number(read(state, "eth_getBalance", whose), "eth_getBalance"));
  account.nonce = json::small_number(read(state, "eth_getTransactionCount", whose), "eth_getTransactionCount");
  const std::string code = json::bytes(read(state, "eth_getCode", whose), "eth_getCode");
  account.code_hash = keccak256(bytes_of(code));
  account.has_code = !code.empty();
  account.full_shard_key = shard_.chain_id << 16;
  return account;
}

std::string EngineExecutor::code(const Hash256& state, const Recipient& who) const {
  return json::bytes(read(state, "eth_getCode", json::digits(who)), "eth_getCode");
}

Uint256 EngineExecutor::storage(const Hash256& state, const Recipient& who, const Uint256& key) const {
  const std::string value =
      json::bytes(read(state, "eth_getStorageAt", json::digits(who) + "," + json::digits(key)), "eth_getStorageAt");
  return Uint256::from_bytes(bytes_of(value)).value_or(Uint256());
}

/// Whoever a block names. Accounts that contracts alone know of are found by addresses that are made up.
void EngineExecutor::know_accounts(const EnginePayload& payload, std::span<const SignedTransactionPtr> transactions,
                                   const std::vector<Receipt>& receipts, StoreBatch& into) const {
  HashedAddresses::know(payload.fee_recipient, into);
  for (const Withdrawal& withdrawal : payload.withdrawals) HashedAddresses::know(withdrawal.who, into);
  for (const SignedTransactionPtr& transaction : transactions) {
    HashedAddresses::know(transaction->sender, into);
    if (transaction->tx.to) HashedAddresses::know(*transaction->tx.to, into);
  }
  for (const Receipt& receipt : receipts) {
    if (receipt.contract) HashedAddresses::know(*receipt.contract, into);
    for (const auto& log : receipt.logs) HashedAddresses::know(log.recipient, into);
  }
}

void EngineExecutor::accounts(
    const Hash256& state, const std::optional<Hash256>& after,
    const std::function<bool(const Hash256& key, const Recipient& who, const AccountState&)>& visit) const {
  const Place place = place_of(state);
  std::optional<Hash256> last = after;
  const auto visit_account = [&](const Hash256& key, std::uint64_t nonce, const BigUint& balance, const Hash256& code) {
    static const Hash256 no_code = keccak256(std::span<const std::byte>());
    AccountState account;
    account.nonce = nonce;
    account.balances.add(rules_.genesis_token(), balance);
    account.code_hash = code;
    account.has_code = code != no_code;
    account.full_shard_key = shard_.chain_id << 16;
    if (!visit(key, Recipient(), account)) return false;
    last = key;
    return true;
  };
  try {
    std::optional<std::string> before;
    while (const auto way = proofs_.walk(place.root, last, visit_account)) {
      if (way == before) throw ExecutorDown("eth_getProof: the node that was asked for is not in what it shows");
      before = way;
      const auto who = addresses_.below(*known_accounts_, *way);
      if (!who)
        throw CapabilityMissing(fmt::format("no address is known whose hash begins with {} digits of an account's, and so "
                                            "the execution layer cannot be asked for it",
                                            way->size()));
      const Json& proof = read(state, "eth_getProof", json::digits(*who) + ",[]");
      for (const Json& node : json::list(json::member(proof, "accountProof", "eth_getProof"), "accountProof"))
        proofs_.learn(json::bytes(node, "accountProof"));
    }
  } catch (const RlpFailure& failure) {
    throw ExecutorDown(fmt::format("eth_getProof: {}", failure.what()));
  }
}

} // namespace trunkline::quarkchain
