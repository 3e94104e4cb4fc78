#include "services/quarkchain/shard/block_rules.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/shard/reward.hpp"
#include "services/quarkchain/shard/seal.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

[[noreturn]] void refuse(Rule rule, const std::string& why) { throw ConsensusRefusal(rule, why); }

std::string text(const Uint256& number) { return number.to_decimal(); }

std::string text(const TokenBalances& balances) {
  std::string all;
  for (const auto& [token, amount] : balances)
    all += fmt::format("{}{}: {}", all.empty() ? "" : ", ", token.to_decimal(), amount.to_decimal());
  return "{" + all + "}";
}

std::string text(const XshardTxCursorInfo& at) {
  return fmt::format("({}, {}, {})", at.root_block_height, at.minor_block_index, at.xshard_deposit_index);
}

} // namespace

BlockRules::BlockRules(const QuarkChainConfig& config, const ShardConfig& shard, const ShardDatabase& database,
                       const Executor& executor)
    : config_(config), shard_(shard), database_(database), executor_(executor),
      window_(database, shard.posw_config.window_size),
      difficulty_{shard.difficulty_adjustment_cutoff_time, shard.difficulty_adjustment_factor,
                  shard.genesis.difficulty},
      gas_limit_(shard.genesis.gas_limit.to_u64().value_or(0)), genesis_token_(token_id(config.genesis_token).value()) {
  const auto positive = [&](const char* key, std::uint64_t value) {
    if (value == 0)
      throw ConfigFailure(
          fmt::format("shard {}: {}: expected at least 1, seen 0", shard_text(shard.full_shard_id), key));
  };
  if (gas_limit_ == 0 || gas_limit_ > std::uint64_t{1} << 62)
    throw ConfigFailure(fmt::format("shard {}: GAS_LIMIT: expected 1 to 2^62, seen {}", shard_text(shard.full_shard_id),
                                    shard.genesis.gas_limit.to_decimal()));
  positive("DIFFICULTY_ADJUSTMENT_CUTOFF_TIME", difficulty_.cutoff);
  positive("DIFFICULTY_ADJUSTMENT_FACTOR", difficulty_.factor);
  positive("EPOCH_INTERVAL", shard.epoch_interval);
  if (shard.posw_config.enabled) {
    positive("POSW_CONFIG.WINDOW_SIZE", shard.posw_config.window_size);
    positive("POSW_CONFIG.DIFF_DIVIDER", shard.posw_config.diff_divider);
    positive("POSW_CONFIG.BOOST_STEP_INTERVAL", shard.posw_config.boost_step_interval);
    positive("POSW_CONFIG.TOTAL_STAKE_PER_BLOCK", shard.posw_config.total_stake_per_block.is_zero() ? 0 : 1);
  }
}

std::uint64_t BlockRules::stale_max() const noexcept {
  return config_.root.max_stale_root_block_height_diff * config_.root.consensus_config.target_block_time /
         shard_.consensus_config.target_block_time;
}

void BlockRules::check(const MinorBlock& block, const std::vector<Hash256>& transactions, std::uint64_t now) const {
  check_place(block, now);
  check_content(block, transactions);
  const MinorPointPtr parent = database_.minor(block.header.hash_prev_minor_block);
  if (!config_.skip_minor_difficulty_check) {
    const BigUint expected =
        difficulty_.next(parent->header.difficulty, parent->header.create_time, block.header.create_time);
    if (block.header.difficulty != expected)
      refuse(Rule::difficulty, fmt::format("incorrect difficulty: expected {}, seen {}", expected.to_decimal(),
                                           block.header.difficulty.to_decimal()));
  }
  check_root(block, parent);
  if (!is_sealed(block.header))
    refuse(Rule::seal,
           fmt::format("invalid pow proof: expected {} of difficulty {} or less by staked work, seen nonce {}",
                       name_of(shard_.consensus_type), block.header.difficulty.to_decimal(), block.header.nonce));
}

void BlockRules::check_place(const MinorBlock& block, std::uint64_t now) const {
  const MinorBlockHeader& header = block.header;
  if (header.version != 0)
    refuse(Rule::version, fmt::format("incorrect minor block version: expected 0, seen {}", header.version));
  if (header.height < 1) refuse(Rule::height_from_one, "unexpected height: expected at least 1, seen 0");
  const MinorPointPtr parent = database_.minor(header.hash_prev_minor_block);
  const std::uint32_t own = shard_.full_shard_id;
  if (!parent)
    refuse(Rule::parent_held, fmt::format("[{}/{}] prev block not found, block height {} prev hash {}", chain_of(own),
                                          shard_of(own), header.height, header.hash_prev_minor_block.hex()));
  if (header.height != parent->header.height + 1)
    refuse(Rule::height_follows,
           fmt::format("height mismatch: expected {}, seen {}", parent->header.height + 1, header.height));
  if (header.branch.value != own)
    refuse(Rule::branch,
           fmt::format("branch mismatch: expected {}, seen {}", shard_text(own), shard_text(header.branch.value)));
  if (header.create_time > now + seconds_ahead_max)
    refuse(Rule::time_not_ahead, fmt::format("block too far into future: expected at most {}, seen {}",
                                             now + seconds_ahead_max, header.create_time));
  if (header.create_time <= parent->header.create_time)
    refuse(Rule::time_after_parent, fmt::format("incorrect create time: expected more than the parent's {}, seen {}",
                                                parent->header.create_time, header.create_time));
}

void BlockRules::check_content(const MinorBlock& block, const std::vector<Hash256>& transactions) const {
  const MinorBlockHeader& header = block.header;
  const MinorBlockMeta& meta = block.meta;
  if (const Hash256 expected = hash_of(meta); header.hash_meta != expected)
    refuse(Rule::hash_of_meta,
           fmt::format("hash of meta mismatch: expected {}, seen {}", expected.hex(), header.hash_meta.hex()));
  const std::size_t limit = config_.block_extra_data_size_limit;
  if (header.extra_data.size() > limit)
    refuse(Rule::extra_data_size, fmt::format("extra_data in block is too large: expected at most {} bytes, seen {}",
                                              limit, header.extra_data.size()));
  if (block.tracking_data.size() > limit)
    refuse(Rule::tracking_data_size,
           fmt::format("tracking_data in block is too large: expected at most {} bytes, seen {}", limit,
                       block.tracking_data.size()));
  if (header.evm_gas_limit != Uint256(gas_limit_))
    refuse(Rule::gas_limit,
           fmt::format("incorrect gas limit, expected {}, actual {}", gas_limit_, text(header.evm_gas_limit)));
  if (meta.evm_xshard_gas_limit >= header.evm_gas_limit)
    refuse(Rule::xshard_gas_limit_below, fmt::format("xshard_gas_limit {} should not exceed total gas_limit {}",
                                                     text(meta.evm_xshard_gas_limit), text(header.evm_gas_limit)));
  if (meta.evm_xshard_gas_limit != Uint256(xshard_gas_limit()))
    refuse(Rule::xshard_gas_limit, fmt::format("incorrect xshard gas limit, expected {}, actual {}", xshard_gas_limit(),
                                               text(meta.evm_xshard_gas_limit)));
  if (const Hash256 expected = merkle_root(transactions); meta.hash_merkle_root != expected)
    refuse(Rule::merkle_root,
           fmt::format("incorrect merkle root: expected {}, seen {}", expected.hex(), meta.hash_merkle_root.hex()));
  if (!contains_key(shard_.full_shard_id, header.coinbase_address.full_shard_key))
    refuse(Rule::coinbase_in_shard,
           fmt::format("coinbase output address must be in the shard: expected a key of {}, seen {}",
                       shard_text(shard_.full_shard_id), shard_text(header.coinbase_address.full_shard_key)));
}

void BlockRules::check_root(const MinorBlock& block, const MinorPointPtr& parent) const {
  const RootPointPtr root = database_.root(block.header.hash_prev_root_block);
  if (!root)
    refuse(Rule::root_held,
           fmt::format("cannot find root block for the minor block: {}", block.header.hash_prev_root_block.hex()));
  const RootPointPtr below = database_.root(parent->header.hash_prev_root_block);
  if (!below) throw StoreFailure("the root block of block " + parent->hash.hex() + " is missing");
  if (root->header.height < below->header.height)
    refuse(Rule::root_height_rises,
           fmt::format("prev root block height must be non-decreasing: expected at least {}, seen {}",
                       below->header.height, root->header.height));
  if (root->last_minor) {
    const MinorPointPtr confirmed = database_.minor(*root->last_minor);
    if (!confirmed) throw StoreFailure("the confirmed block " + root->last_minor->hex() + " is missing");
    if (!database_.is_on_minor_chain(parent, confirmed))
      refuse(Rule::confirmed_below,
             fmt::format("prev root block's minor block is not in the same chain as the minor block: expected {} of "
                         "height {} to be {} or below it",
                         confirmed->hash.hex(), confirmed->header.height, parent->hash.hex()));
  }
  if (!database_.is_on_root_chain(root, below))
    refuse(Rule::roots_linked, fmt::format("prev root blocks are not on the same chain: {} is not below {}",
                                           below->hash.hex(), root->hash.hex()));
}

bool BlockRules::has_rotation(const MinorBlockHeader& header) const noexcept {
  return config_.enable_qkchashx_height && header.height >= *config_.enable_qkchashx_height;
}

bool BlockRules::is_sealed(const MinorBlockHeader& header, const BigUint& difficulty) const {
  return config_.disable_pow_check ||
         quarkchain::is_sealed(shard_.consensus_type,
                               {mining_hash_of(header), header.height, header.nonce, header.mixhash, difficulty},
                               has_rotation(header));
}

bool BlockRules::is_sealed(const MinorBlockHeader& header) const {
  if (config_.disable_pow_check) return true;
  const auto posw = posw_of(header);
  return is_sealed(header, posw ? posw->difficulty : header.difficulty);
}

bool BlockRules::may_be_sealed(const MinorBlockHeader& header) const {
  const PoswConfig& posw = shard_.posw_config;
  return is_sealed(header,
                   posw.enabled ? header.difficulty / posw_divider(posw, header.create_time) : header.difficulty);
}

void BlockRules::seal(MinorBlockHeader& header, std::uint64_t nonce) const {
  header.nonce = nonce;
  header.mixhash = Hash256();
  if (shard_.consensus_type != ConsensusType::pow_ethash && shard_.consensus_type != ConsensusType::pow_qkchash) return;
  header.mixhash =
      work_of(shard_.consensus_type, {mining_hash_of(header), header.height, nonce, Hash256(), header.difficulty},
              has_rotation(header))
          .mixhash;
}

BigUint BlockRules::stake_per_block(const MinorBlockHeader& header) const {
  const BigUint& whole = shard_.posw_config.total_stake_per_block;
  const auto& begin = config_.enable_posw_staking_decay_timestamp;
  if (!begin || header.create_time <= *begin) return whole;
  return decayed(whole, header.height, shard_.epoch_interval, config_.block_reward_decay_factor);
}

std::optional<PoswResult> BlockRules::posw_of(const MinorBlockHeader& header) const {
  if (!posw_enabled(shard_.posw_config, header.create_time) || header.height == 0) return std::nullopt;
  const MinorPointPtr parent = database_.minor(header.hash_prev_minor_block);
  if (!parent) throw StoreFailure("block " + header.hash_prev_minor_block.hex() + " is missing");
  PoswMiner miner;
  miner.height = header.height;
  miner.create_time = header.create_time;
  miner.difficulty = header.difficulty;
  const Recipient& who = header.coinbase_address.recipient;
  miner.stakes =
      executor_.account(executor_.state_after(parent->header, parent->meta), who).balances.of(genesis_token_);
  const auto counts = window_.counts(parent);
  if (const auto count = counts.find(who); count != counts.end()) miner.mined_in_window = count->second;
  miner.stake_per_block = stake_per_block(header);
  return posw(shard_.posw_config, miner);
}

std::pair<std::uint64_t, std::uint64_t> BlockRules::mined_and_mineable(const MinorPointPtr& tip, const Recipient& who,
                                                                       const BigUint& stakes) const {
  const auto counts = window_.counts(tip);
  const auto count = counts.find(who);
  const std::uint64_t mined = count == counts.end() ? 0 : count->second;
  if (!posw_enabled(shard_.posw_config, tip->header.create_time)) return {mined, 0};
  PoswMiner miner;
  MinorBlockHeader next;
  miner.height = next.height = tip->header.height + 1;
  miner.create_time = next.create_time = tip->header.create_time + 1;
  miner.difficulty = tip->header.difficulty;
  miner.stakes = stakes;
  miner.mined_in_window = mined;
  miner.stake_per_block = stake_per_block(next);
  const auto result = posw(shard_.posw_config, miner);
  return {mined, result ? result->mineable : 0};
}

std::map<Recipient, BigUint> BlockRules::locked(const MinorPointPtr& parent,
                                                const std::optional<Recipient>& coinbase) const {
  std::map<Recipient, BigUint> stakes;
  if (!posw_enabled(shard_.posw_config, parent->header.create_time)) return stakes;
  auto counts = window_.counts(parent);
  if (coinbase) ++counts[*coinbase];
  const BigUint per_block = shard_.posw_config.total_stake_per_block;
  for (const auto& [miner, count] : counts) stakes.emplace(miner, per_block * count);
  return stakes;
}

TokenBalances BlockRules::coinbase(std::uint64_t height, const Execution& execution) const {
  TokenBalances all = execution.fees;
  all.add(genesis_token_, reward(height));
  return all;
}

BigUint BlockRules::reward(std::uint64_t height) const { return block_reward(config_, shard_, height); }

void BlockRules::check(const MinorBlock& block, const Execution& execution, const XshardTxCursorInfo& cursor) const {
  const MinorBlockMeta& meta = block.meta;
  if (meta.xshard_tx_cursor_info != cursor)
    refuse(Rule::cursor, fmt::format("Cross-shard transaction cursor info mismatches!: header {} computed {}",
                                     text(meta.xshard_tx_cursor_info), text(cursor)));
  if (meta.hash_evm_state_root != execution.state_root)
    refuse(Rule::state_root, fmt::format("state root mismatch: header {} computed {}", meta.hash_evm_state_root.hex(),
                                         execution.state_root.hex()));
  if (meta.hash_evm_receipt_root != execution.receipt_root)
    refuse(Rule::receipt_root, fmt::format("receipt root mismatch: header {} computed {}",
                                           meta.hash_evm_receipt_root.hex(), execution.receipt_root.hex()));
  if (meta.evm_gas_used != Uint256(execution.gas_used))
    refuse(Rule::gas_used,
           fmt::format("gas used mismatch: header {} computed {}", text(meta.evm_gas_used), execution.gas_used));
  if (meta.evm_cross_shard_receive_gas_used != Uint256(execution.xshard_gas_used))
    refuse(Rule::xshard_gas_used, fmt::format("x-shard gas used mismatch: header {} computed {}",
                                              text(meta.evm_cross_shard_receive_gas_used), execution.xshard_gas_used));
  const TokenBalances paid = coinbase(block.header.height, execution);
  if (block.header.coinbase_amount_map.balance_map != paid)
    refuse(Rule::coinbase_amount, fmt::format("coinbase reward incorrect: header {} computed {}",
                                              text(block.header.coinbase_amount_map.balance_map), text(paid)));
  if (block.header.bloom != execution.bloom)
    refuse(Rule::bloom, "bloom mismatch: the header's is not that of the logs");
}

} // namespace trunkline::quarkchain
