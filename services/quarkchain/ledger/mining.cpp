// The next block of a shard, as it is given to whoever mines it. Nothing is executed: the state's root is that of the
// block before, and gas is not counted.
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/state.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t works_max = 64;         // given out and not solved, for each shard
constexpr std::size_t transactions_max = 256; // in a block that we make

/// Of what is added up here. A store may hold blocks of before that was checked.
BigUint capped(const BigUint& value) {
  static const BigUint most = *BigUint::from_bytes(std::vector<std::byte>(Uint256::size, std::byte{0xFF}));
  return std::min(value, most);
}

void require_remote_mining(const LedgerShard& of) {
  if (!of.config.consensus_config.remote_mine)
    throw Refused(Refusal::failed, "REMOTE_MINE is false for " + shard_text(of.config.full_shard_id));
}

} // namespace

/// As Ethereum's: up when blocks come faster than cutoff, down when slower; never below genesis.
BigUint LedgerState::next_difficulty(const LedgerShard& of, std::uint64_t create_time) const {
  const std::uint64_t cutoff = std::max<std::uint64_t>(of.config.difficulty_adjustment_cutoff_time, 1);
  const std::uint64_t factor = std::max<std::uint64_t>(of.config.difficulty_adjustment_factor, 1);
  const std::uint64_t periods = (create_time - std::min(create_time, of.tip.create_time)) / cutoff;
  const BigUint before = capped(of.tip.difficulty);
  const BigUint step = BigUint::scaled(before, 1, factor);
  if (periods == 0) return capped(before + step);
  const BigUint down = BigUint::scaled(step, std::min<std::uint64_t>(periods - 1, 99), 1);
  const BigUint least = capped(of.config.genesis.difficulty);
  if (before < least + down) return least;
  return before - down;
}

std::uint64_t LedgerState::next_create_time(const LedgerShard& of) const {
  return std::max(now(), std::max(of.tip.create_time, of.tip.create_time + 1)); // it does not wrap
}

BigUint LedgerState::next_coinbase(const LedgerShard& of) const {
  const Fraction& tax = options_.config.reward_tax_rate;
  const Fraction& decay = options_.config.block_reward_decay_factor;
  BigUint amount = BigUint::scaled(of.config.coinbase_amount, tax.denominator - tax.numerator, tax.denominator);
  const std::uint64_t epoch = (of.tip.height + 1) / std::max<std::uint64_t>(of.config.epoch_interval, 1);
  for (std::uint64_t i = 0; i < epoch && !amount.is_zero() && decay.numerator < decay.denominator; ++i)
    amount = BigUint::scaled(amount, decay.numerator, decay.denominator);
  return amount;
}

MinorBlock LedgerState::next_block(LedgerShard& of, const Address& coinbase) {
  const std::uint32_t branch = of.config.full_shard_id;
  MinorBlock block;
  if (const std::optional<MinorBlock> parent = minor_block(branch, of.tip_hash)) block.meta = parent->meta;
  block.meta.evm_gas_used = Uint256();
  block.meta.evm_cross_shard_receive_gas_used = Uint256();
  for (const auto& [hash, queued] : of.queue) {
    if (block.tx_list.size() >= transactions_max) break;
    block.tx_list.push_back(queued.typed);
  }
  block.meta.hash_merkle_root = merkle_root(block.tx_list);
  MinorBlockHeader& header = block.header;
  header.version = of.tip.version;
  header.branch.value = branch;
  header.height = of.tip.height + 1;
  header.coinbase_address = address_in_branch(coinbase, branch);
  if (const auto token = token_id(options_.config.genesis_token))
    header.coinbase_amount_map.balance_map.set(BigUint(*token), next_coinbase(of));
  header.hash_prev_minor_block = of.tip_hash;
  header.hash_prev_root_block = root_tip_hash_;
  header.evm_gas_limit = of.tip.evm_gas_limit;
  header.hash_meta = hash_of(block.meta);
  header.create_time = next_create_time(of);
  header.difficulty = next_difficulty(of, header.create_time);
  return block;
}

awaitable<std::vector<EcoInfo>> LedgerState::get_eco_info_list() {
  std::vector<EcoInfo> infos;
  for (const std::uint32_t id : shards()) {
    LedgerShard& of = shards_.at(id);
    EcoInfo info;
    info.branch.value = id;
    info.height = of.tip.height + 1;
    info.coinbase_amount = Uint256::from_bytes(bytes_of(next_coinbase(of).bytes())).value_or(Uint256());
    info.difficulty = next_difficulty(of, next_create_time(of));
    const auto token = token_id(options_.config.genesis_token);
    BigUint amount;
    for (const MinorBlockHeader& header : unconfirmed(of))
      if (token) amount = capped(amount + capped(header.coinbase_amount_map.balance_map.of(BigUint(*token))));
    info.unconfirmed_headers_coinbase_amount = Uint256::from_bytes(bytes_of(amount.bytes())).value_or(Uint256());
    infos.push_back(std::move(info));
  }
  co_return infos;
}

awaitable<MinorBlock> LedgerState::get_next_block_to_mine(std::uint32_t branch, Address coinbase,
                                                          ArtificialTxConfig artificial) {
  artificial_ = artificial;
  co_return next_block(shard(branch), coinbase);
}

/// There are no miners here: whoever mines asks for work.
awaitable<void> LedgerState::mine(ArtificialTxConfig artificial, bool mining) {
  artificial_ = artificial;
  if (mining) log(LogLevel::info, "told to mine; this backend gives out work and does not mine itself");
  co_return;
}

awaitable<Work> LedgerState::get_work(std::uint32_t branch, std::optional<Address> coinbase) {
  LedgerShard& of = shard(branch);
  require_remote_mining(of);
  const Address& to = coinbase ? *coinbase : of.config.coinbase_address;
  MinorBlock block = next_block(of, to);
  Work work;
  work.header_hash = mining_hash_of(block.header);
  work.height = block.header.height;
  work.difficulty = block.header.difficulty;
  if (of.works.size() >= works_max) of.works.pop_front();
  of.works.emplace_back(work.header_hash, std::move(block));
  co_return work;
}

awaitable<bool> LedgerState::submit_work(Solution solution) {
  LedgerShard& of = shard(solution.branch);
  require_remote_mining(of);
  const auto found =
      std::ranges::find_if(of.works, [&](const auto& work) { return work.first == solution.header_hash; });
  if (found == of.works.end()) co_return false;
  MinorBlock block = std::move(found->second);
  of.works.erase(found);
  block.header.nonce = solution.nonce;
  block.header.mixhash = solution.mixhash;
  const bool added = co_await take_block(solution.branch, std::move(block));
  if (added) co_await announce(of, 0);
  co_return added;
}

} // namespace trunkline::quarkchain
