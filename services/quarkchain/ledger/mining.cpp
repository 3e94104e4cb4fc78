#include "services/quarkchain/ledger/mining.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/rpc/refusal.hpp"

#include <algorithm>
#include <vector>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t works_max = 64;         // given out and not solved, for each shard
constexpr std::size_t transactions_max = 256; // in a block that we make

/// Of what is added up here. A store may hold blocks of before that was checked.
BigUint capped(const BigUint& value) {
  static const BigUint most = *BigUint::from_bytes(std::vector<std::byte>(Uint256::size, std::byte{0xFF}));
  return std::min(value, most);
}

Uint256 to_256(const BigUint& value) { return Uint256::from_bytes(bytes_of(value.bytes())).value_or(Uint256()); }

} // namespace

Mining::Mining(const QuarkChainConfig& config, const ShardConfig& shard, const RootView& root, const MinorChain& chain,
               const TransactionQueue& queue)
    : config_(config), shard_(shard), root_(root), chain_(chain), queue_(queue) {}

void Mining::require_remote_mining() const {
  if (!shard_.consensus_config.remote_mine)
    throw Refused(Refusal::failed, "REMOTE_MINE is false for " + shard_text(shard_.full_shard_id));
}

/// As Ethereum's: up when blocks come faster than cutoff, down when slower; never below genesis.
BigUint Mining::next_difficulty(std::uint64_t create_time) const {
  const std::uint64_t cutoff = std::max<std::uint64_t>(shard_.difficulty_adjustment_cutoff_time, 1);
  const std::uint64_t factor = std::max<std::uint64_t>(shard_.difficulty_adjustment_factor, 1);
  const std::uint64_t periods = (create_time - std::min(create_time, chain_.tip().create_time)) / cutoff;
  const BigUint before = capped(chain_.tip().difficulty);
  const BigUint step = BigUint::scaled(before, 1, factor);
  if (periods == 0) return capped(before + step);
  const BigUint down = BigUint::scaled(step, std::min<std::uint64_t>(periods - 1, 99), 1);
  const BigUint least = capped(shard_.genesis.difficulty);
  if (before < least + down) return least;
  return before - down;
}

std::uint64_t Mining::next_create_time(std::uint64_t now) const {
  const std::uint64_t last = chain_.tip().create_time;
  return std::max(now, std::max(last, last + 1)); // it does not wrap
}

BigUint Mining::next_coinbase() const {
  const Fraction& tax = config_.reward_tax_rate;
  const Fraction& decay = config_.block_reward_decay_factor;
  BigUint amount = BigUint::scaled(shard_.coinbase_amount, tax.denominator - tax.numerator, tax.denominator);
  const std::uint64_t epoch = (chain_.tip().height + 1) / std::max<std::uint64_t>(shard_.epoch_interval, 1);
  for (std::uint64_t i = 0; i < epoch && !amount.is_zero() && decay.numerator < decay.denominator; ++i)
    amount = BigUint::scaled(amount, decay.numerator, decay.denominator);
  return amount;
}

MinorBlock Mining::next_block(const Address& coinbase, std::uint64_t now) const {
  const std::uint32_t branch = chain_.branch();
  const MinorBlockHeader& tip = chain_.tip();
  MinorBlock block;
  if (const std::optional<MinorBlock> parent = chain_.block(chain_.tip_hash())) block.meta = parent->meta;
  block.meta.evm_gas_used = Uint256();
  block.meta.evm_cross_shard_receive_gas_used = Uint256();
  for (const auto& [hash, queued] : queue_) {
    if (block.tx_list.size() >= transactions_max) break;
    block.tx_list.push_back(queued.typed);
  }
  block.meta.hash_merkle_root = merkle_root(block.tx_list);
  MinorBlockHeader& header = block.header;
  header.version = tip.version;
  header.branch.value = branch;
  header.height = tip.height + 1;
  header.coinbase_address = address_in_branch(coinbase, branch);
  if (const auto token = token_id(config_.genesis_token))
    header.coinbase_amount_map.balance_map.set(BigUint(*token), next_coinbase());
  header.hash_prev_minor_block = chain_.tip_hash();
  header.hash_prev_root_block = root_.tip_hash();
  header.evm_gas_limit = tip.evm_gas_limit;
  header.hash_meta = hash_of(block.meta);
  header.create_time = next_create_time(now);
  header.difficulty = next_difficulty(header.create_time);
  return block;
}

EcoInfo Mining::eco_info(std::uint64_t now) const {
  EcoInfo info;
  info.branch.value = chain_.branch();
  info.height = chain_.tip().height + 1;
  info.coinbase_amount = to_256(next_coinbase());
  info.difficulty = next_difficulty(next_create_time(now));
  const auto token = token_id(config_.genesis_token);
  BigUint amount;
  for (const MinorBlockHeader& header : chain_.unconfirmed(config_.minor_headers_max(shard_)))
    if (token) amount = capped(amount + capped(header.coinbase_amount_map.balance_map.of(BigUint(*token))));
  info.unconfirmed_headers_coinbase_amount = to_256(amount);
  return info;
}

GetWorkResponse Mining::give_out(const std::optional<Address>& coinbase, std::uint64_t now) {
  require_remote_mining();
  MinorBlock block = next_block(coinbase ? *coinbase : shard_.coinbase_address, now);
  GetWorkResponse work;
  work.header_hash = mining_hash_of(block.header);
  work.height = block.header.height;
  work.difficulty = block.header.difficulty;
  if (works_.size() >= works_max) works_.pop_front();
  works_.emplace_back(work.header_hash, std::move(block));
  return work;
}

std::optional<MinorBlock> Mining::take_back(const SubmitWorkRequest& solution) {
  require_remote_mining();
  const auto found = std::ranges::find_if(works_, [&](const auto& work) { return work.first == solution.header_hash; });
  if (found == works_.end()) return std::nullopt;
  MinorBlock block = std::move(found->second);
  works_.erase(found);
  block.header.nonce = solution.nonce;
  block.header.mixhash = solution.mixhash;
  return block;
}

} // namespace trunkline::quarkchain
