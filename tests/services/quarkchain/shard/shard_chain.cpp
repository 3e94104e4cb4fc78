#include "tests/services/quarkchain/shard/shard_chain.hpp"

#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace trunkline::quarkchain::test {
namespace {

std::string members(const std::string& extra) { return extra.empty() ? "" : ", " + extra; }

} // namespace

std::map<std::string, std::string> contents(const Store& store) {
  std::map<std::string, std::string> all;
  store.scan("", "", [&](std::string_view key, std::string_view value) {
    all.emplace(key, value);
    return true;
  });
  return all;
}

QuarkChainConfig config_of(const Settings& settings) {
  const std::string rich = fmt::format("\"{}00000000\": {{\"QKC\": 1000000000000000000}}", Signer(1).address.hex());
  std::string chains;
  for (std::uint32_t chain = 0; chain < settings.chains; ++chain)
    chains += fmt::format(
        "{}{{\"CHAIN_ID\": {}, \"SHARD_SIZE\": 1, \"CONSENSUS_TYPE\": \"POW_SIMULATE\", \"CONSENSUS_CONFIG\": "
        "{{\"TARGET_BLOCK_TIME\": 3}}, \"COINBASE_AMOUNT\": 100, \"POSW_CONFIG\": {{}}, \"GENESIS\": "
        "{{\"ROOT_HEIGHT\": {}, "
        "\"DIFFICULTY\": {}, \"GAS_LIMIT\": {}, \"ALLOC\": {{{}}}}}{}}}",
        chain == 0 ? "" : ", ", chain, chain == 1 ? settings.root_height : settings.root_height_of_own,
        settings.difficulty, chain == 0 ? settings.gas_limit : 12000000,
        chain == 0 ? (settings.alloc.empty() ? rich : settings.alloc) : std::string(), members(settings.chain));
  // Of a member that is there twice the last counts.
  return QuarkChainConfig::from_json(Json::parse(fmt::format(
      "{{\"CHAIN_SIZE\": {}, \"NETWORK_ID\": 255, \"REWARD_TAX_RATE\": 0.5, \"SKIP_MINOR_DIFFICULTY_CHECK\": false, "
      "\"MIN_TX_POOL_GAS_PRICE\": 0, \"MIN_MINING_GAS_PRICE\": 0, \"XSHARD_GAS_DDOS_FIX_ROOT_HEIGHT\": 0, \"ROOT\": "
      "{{\"CONSENSUS_TYPE\": \"POW_SIMULATE\", \"CONSENSUS_CONFIG\": {{\"TARGET_BLOCK_TIME\": 10}}, \"GENESIS\": {{}}, "
      "\"POSW_CONFIG\": {{}}}}, \"CHAINS\": [{}]{}}}",
      settings.chains, chains, members(settings.network))));
}

ShardChain::ShardChain(const Settings& settings, Store* store, bool begin)
    : config_(config_of(settings)), shard_(*config_.find_shard(own)), memory_(store ? nullptr : make_memory_store()),
      store_(store ? store : memory_.get()), genesis_root_(genesis_root_block(config_.root.genesis)) {
  reopen();
  if (begin) cl_->genesis_from(genesis_root_);
}

void ShardChain::reopen() {
  cl_.reset();
  executor_ = std::make_unique<TransfersExecutor>(config_, shard_, *store_);
  cl_ = std::make_unique<ShardCL>(config_, shard_, *store_, *executor_, true);
}

void ShardChain::restart(const RootBlock& root_tip) {
  reopen();
  cl_->start(root_tip);
}

RootBlock ShardChain::root_on(const RootBlock& parent, std::vector<MinorBlockHeader> minors, std::uint64_t difficulty,
                              std::uint64_t coinbase_amount) {
  RootBlock block;
  block.header.height = parent.header.height + 1;
  block.header.hash_prev_block = hash_of(parent.header);
  block.header.create_time = parent.header.create_time + 60;
  block.header.difficulty = BigUint(difficulty);
  block.header.total_difficulty = parent.header.total_difficulty + BigUint(difficulty);
  block.header.hash_merkle_root = merkle_root(minors);
  if (coinbase_amount > 0) {
    block.header.coinbase_address.recipient = Signer(9).address;
    block.header.coinbase_amount_map.balance_map.set(token_id("QKC").value(), coinbase_amount);
  }
  block.minor_block_header_list = std::move(minors);
  return block;
}

MinorBlock ShardChain::block(std::uint64_t seconds, std::uint8_t miner) {
  return cl_->build(tip().create_time + seconds, Address{Signer(miner).address, 0});
}

MinorBlock ShardChain::block_on(const MinorBlockHeader& parent, const RootBlock& root, std::uint64_t seconds,
                                std::uint8_t miner) {
  const MinorPointPtr below = cl_->database().minor(hash_of(parent));
  MinorBlock block;
  MinorBlockHeader& header = block.header;
  header.branch.value = own;
  header.height = parent.height + 1;
  header.coinbase_address.recipient = Signer(miner).address;
  header.hash_prev_minor_block = below->hash;
  header.hash_prev_root_block = hash_of(root.header);
  header.evm_gas_limit = Uint256(cl_->rules().gas_limit());
  header.create_time = parent.create_time + seconds;
  header.difficulty = cl_->rules().difficulty().next(parent.difficulty, parent.create_time, header.create_time);
  block.meta.evm_xshard_gas_limit = Uint256(cl_->rules().xshard_gas_limit());
  block.meta.hash_merkle_root = merkle_root(block.tx_list);
  DepositCursor cursor(config_, shard_, cl_->neighbourhood(), cl_->database(), below->meta.xshard_tx_cursor_info,
                       cl_->database().root(header.hash_prev_root_block));
  BlockSetting setting;
  setting.height = header.height;
  setting.create_time = header.create_time;
  setting.coinbase = header.coinbase_address.recipient;
  setting.gas_limit = cl_->rules().gas_limit();
  setting.xshard_gas_limit = cl_->rules().xshard_gas_limit();
  setting.reward = cl_->rules().reward(header.height);
  StoreBatch nowhere;
  const Execution execution = executor_->run(below->meta.hash_evm_state_root, setting, cursor, {}, nowhere);
  block.meta.hash_evm_state_root = execution.state_root;
  block.meta.hash_evm_receipt_root = execution.receipt_root;
  block.meta.evm_gas_used = Uint256(execution.gas_used);
  block.meta.evm_cross_shard_receive_gas_used = Uint256(execution.xshard_gas_used);
  block.meta.xshard_tx_cursor_info = cursor.position();
  header.coinbase_amount_map.balance_map = cl_->rules().coinbase(header.height, execution);
  header.hash_meta = hash_of(block.meta);
  return block;
}

AddedBlock ShardChain::add(const MinorBlock& block, bool again) {
  AddOptions options;
  options.now = now;
  options.again = again;
  return cl_->add_minor(block, options);
}

TypedTransaction ShardChain::transfer(const Signer& from, std::uint64_t nonce, const Recipient& to, std::uint64_t value,
                                      std::uint32_t to_key, std::uint64_t gas, std::uint64_t price,
                                      const std::string& data) {
  EvmTransaction tx;
  tx.nonce = nonce;
  tx.gasprice = price;
  tx.startgas = gas;
  tx.to = to;
  tx.value = value;
  tx.data = data;
  tx.network_id = std::uint64_t{config_.network_id};
  tx.to_full_shard_key = to_key;
  tx.gas_token_id = token_id("QKC").value();
  tx.transfer_token_id = tx.gas_token_id;
  return from.sign(tx).typed();
}

BigUint ShardChain::balance(const Recipient& who) {
  return executor_->account(cl_->tips().minor->meta.hash_evm_state_root, who).balances.of(token_id("QKC").value());
}

MinorBlockHeader header_of_other(const RootBlock& root, std::uint64_t height, std::uint32_t branch) {
  MinorBlockHeader header;
  header.branch.value = branch;
  header.height = height;
  header.hash_prev_root_block = hash_of(root.header);
  header.create_time = height;
  return header;
}

CrossShardTransactionDeposit deposit_to(const Recipient& who, std::uint64_t value, std::uint64_t gas_price,
                                        std::uint8_t number) {
  CrossShardTransactionDeposit deposit;
  deposit.tx_hash.bytes[0] = std::byte{number};
  deposit.tx_hash.bytes[1] = std::byte{1};
  deposit.from_address = {Signer(7).address, 0x10000};
  deposit.to_address = {who, 0};
  deposit.value = value;
  deposit.gas_price = gas_price;
  deposit.gas_token_id = token_id("QKC").value();
  deposit.transfer_token_id = deposit.gas_token_id;
  deposit.refund_rate = 100;
  return deposit;
}

} // namespace trunkline::quarkchain::test
