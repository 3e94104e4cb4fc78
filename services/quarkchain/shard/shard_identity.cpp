#include "services/quarkchain/shard/shard_identity.hpp"

#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

constexpr const char* schema = "1";
constexpr const char* root_genesis = "root_genesis"; // databases that were made before it was kept have none

std::string text(const std::optional<std::uint64_t>& number) { return number ? std::to_string(*number) : "none"; }

/// Everything that decides which blocks are valid.
std::string rules_text(const QuarkChainConfig& config, const ShardConfig& shard) {
  std::string all = fmt::format(
      "network {} eth {} token {} {} tax {}/{} decay {}/{} coinbase {} epoch {} consensus {} gas {} cutoff {} factor "
      "{}",
      config.network_id, shard.eth_chain_id, config.genesis_token, shard.default_chain_token,
      config.reward_tax_rate.numerator, config.reward_tax_rate.denominator, config.block_reward_decay_factor.numerator,
      config.block_reward_decay_factor.denominator, shard.coinbase_amount.to_decimal(), shard.epoch_interval,
      static_cast<int>(shard.consensus_type), shard.genesis.gas_limit.to_decimal(),
      shard.difficulty_adjustment_cutoff_time, shard.difficulty_adjustment_factor);
  all += fmt::format(" tx {} evm {} eip155 {} qkchashx {} decay {} ddos {}", text(config.enable_tx_timestamp),
                     text(config.enable_evm_timestamp), text(config.enable_eip155_signer_timestamp),
                     text(config.enable_qkchashx_height), text(config.enable_posw_staking_decay_timestamp),
                     config.xshard_gas_ddos_fix_root_height);
  const PoswConfig& posw = shard.posw_config;
  all += fmt::format(" posw {} {} {} {} {} {} {} {} {}", posw.enabled, posw.enable_timestamp, posw.diff_divider,
                     posw.window_size, posw.total_stake_per_block.to_decimal(), posw.boost_timestamp,
                     posw.boost_multiplier_per_step, posw.boost_steps, posw.boost_step_interval);
  for (const ShardConfig& other : config.shards)
    all += fmt::format(" {}@{}", shard_text(other.full_shard_id), other.genesis.root_height);
  return all;
}

} // namespace

ShardIdentity::ShardIdentity(const QuarkChainConfig& config, const ShardConfig& shard, const Executor& executor) {
  facts_.emplace_back("schema", schema);
  facts_.emplace_back("shard", shard_text(shard.full_shard_id));
  facts_.emplace_back("executor", executor.name());
  // The genesis on a root block without a name: what all geneses of this shard have in common.
  facts_.emplace_back("genesis", hash_of(genesis_minor_block(config, shard, RootBlockHeader()).header).hex());
  facts_.emplace_back(root_genesis, hash_of(genesis_root_block(config.root.genesis).header).hex());
  facts_.emplace_back("rules", keccak256(bytes_of(rules_text(config, shard))).hex());
}

void ShardIdentity::check(const Store& store) const {
  if (!store.has(shard_keys::meta(facts_.front().first))) return;
  for (const auto& [name, expected] : facts_) {
    const auto kept = store.get(shard_keys::meta(name));
    if (!kept && name == root_genesis) continue;
    if (const std::string seen = kept.value_or("nothing"); seen != expected)
      throw AnotherDatabase(
          fmt::format("the database of another shard: {}: expected {}, seen {}", name, expected, seen));
  }
}

void ShardIdentity::write(StoreBatch& into) const {
  for (const auto& [name, value] : facts_) into.put(shard_keys::meta(name), value);
}

} // namespace trunkline::quarkchain
