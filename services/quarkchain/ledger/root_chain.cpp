#include "services/quarkchain/ledger/root_chain.hpp"

#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/keys.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

namespace trunkline::quarkchain {
namespace {

std::string reported(const Hash256& minor) { return "V" + keys::hash(minor); }

} // namespace

struct RootChain::State {
  /// Whether a root block is this one, or above it.
  bool descends(Hash256 from, const Hash256& below) const {
    const std::optional<RootBlock> target = block(below);
    for (auto at = target ? block(from) : std::nullopt; at && at->header.height >= target->header.height;
         at = block(from)) {
      if (store->get(keys::root_at(at->header.height)) == keys::hash(from))
        return store->get(keys::root_at(target->header.height)) == keys::hash(below);
      if (from == below) return true;
      from = at->header.hash_prev_block;
    }
    return false;
  }
  std::optional<RootBlock> block(const Hash256& hash) const {
    const auto kept = store->get(keys::root_block(hash));
    if (!kept) return std::nullopt;
    return decoded<RootBlock>(bytes_of(*kept));
  }
  void keep(const RootBlock& block, const Hash256& hash, bool becomes_tip);
  TokenBalanceMap coinbase(const RootBlock& block) const;
  void report(const MinorBlockHeader& header, const TokenBalanceMap& coinbase, StoreBatch& batch) const {
    batch.put(reported(hash_of(header)), keys::value(coinbase));
  }

  QuarkChainConfig config;
  std::unique_ptr<Store> store;
  LogSink log;
  std::function<std::uint64_t()> unix_time;
  RootBlock genesis;
  RootBlock tip;
  Hash256 tip_hash;
  std::map<std::uint32_t, ShardStats> stats;
  ArtificialTxConfig artificial;
};

RootChain::RootChain(const QuarkChainConfig& config, std::unique_ptr<Store> store, LogSink log,
                     std::function<std::uint64_t()> unix_time)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.config = config;
  state.store = std::move(store);
  state.log = std::move(log);
  state.unix_time = std::move(unix_time);
  if (!state.unix_time)
    state.unix_time = [] {
      const auto since = std::chrono::system_clock::now().time_since_epoch();
      return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
    };
  state.artificial.target_root_block_time = config.root.consensus_config.target_block_time;
  if (!config.shards.empty())
    state.artificial.target_minor_block_time = config.shards.front().consensus_config.target_block_time;
  state.genesis = genesis_root_block(config.root.genesis);
  const Hash256 hash = hash_of(state.genesis.header);
  const auto kept = state.store->get(keys::genesis);
  if (kept && keys::to_hash(*kept) != hash)
    throw ConfigFailure(
        fmt::format("root chain: the store is of root genesis {}, expected {}", to_hex(*kept), hash.hex()));
  if (!kept) {
    StoreBatch batch;
    batch.put(keys::genesis, keys::hash(hash));
    state.store->write(batch);
    state.keep(state.genesis, hash, true);
    return;
  }
  state.tip_hash = keys::to_hash(state.store->get(keys::root_tip).value_or(std::string()));
  const std::optional<RootBlock> tip = state.block(state.tip_hash);
  if (!tip) throw StoreFailure("the store has no root tip");
  state.tip = *tip;
}

RootChain::~RootChain() = default;

void RootChain::State::keep(const RootBlock& block_to_keep, const Hash256& hash, bool becomes_tip) {
  const RootBlockHeader& header = block_to_keep.header;
  StoreBatch batch;
  batch.put(keys::root_block(hash), keys::value(block_to_keep));
  std::map<std::uint32_t, Hash256> confirmed;
  for (const ShardConfig& shard : config.shards)
    if (const auto before = store->get(keys::confirmed(shard.full_shard_id, header.hash_prev_block)))
      confirmed[shard.full_shard_id] = keys::to_hash(*before);
  for (const MinorBlockHeader& minor : block_to_keep.minor_block_header_list)
    confirmed[minor.branch.value] = hash_of(minor);
  for (const auto& [branch, minor] : confirmed) batch.put(keys::confirmed(branch, hash), keys::hash(minor));
  if (becomes_tip) {
    for (std::uint32_t height = tip.header.height; height > header.height; --height) batch.erase(keys::root_at(height));
    batch.put(keys::root_at(header.height), keys::hash(hash));
    Hash256 at = header.hash_prev_block;
    for (auto parent = block(at); parent; parent = block(at)) {
      if (store->get(keys::root_at(parent->header.height)) == keys::hash(at)) break;
      batch.put(keys::root_at(parent->header.height), keys::hash(at));
      at = parent->header.hash_prev_block;
    }
    batch.put(keys::root_tip, keys::hash(hash));
  }
  store->write(batch);
  if (!becomes_tip) return;
  tip = block_to_keep;
  tip_hash = hash;
}

awaitable<RootBlock> RootChain::root_tip() { co_return state_->tip; }
awaitable<RootBlockHeader> RootChain::genesis() { co_return state_->genesis.header; }

awaitable<AddMinorBlockHeaderResponse> RootChain::on(std::string, AddMinorBlockHeaderRequest request) {
  StoreBatch batch;
  state_->report(request.minor_block_header, request.coinbase_amount_map, batch);
  state_->store->write(batch);
  const std::uint32_t branch = request.minor_block_header.branch.value;
  if (state_->config.find_shard(branch)) state_->stats[branch] = std::move(request.shard_stats);
  AddMinorBlockHeaderResponse reply;
  reply.artificial_tx_config = state_->artificial;
  co_return reply;
}

awaitable<AddMinorBlockHeaderListResponse> RootChain::on(std::string, AddMinorBlockHeaderListRequest request) {
  const std::vector<MinorBlockHeader>& headers = request.minor_block_header_list;
  const std::vector<TokenBalanceMap>& amounts = request.coinbase_amount_map_list;
  StoreBatch batch;
  for (std::size_t i = 0; i < headers.size() && i < amounts.size(); ++i) state_->report(headers[i], amounts[i], batch);
  state_->store->write(batch);
  AddMinorBlockHeaderListResponse reply;
  co_return reply;
}

// Nobody syncs the root chain here.
awaitable<void> RootChain::on(std::uint64_t, NewMinorBlockHeaderListCommand) { co_return; }
awaitable<void> RootChain::on(std::uint64_t, NewRootBlockCommand) { co_return; }

awaitable<GetRootBlockHeaderListResponse> RootChain::on(std::uint64_t, GetRootBlockHeaderListWithSkipRequest request) {
  const HeaderQuery query = HeaderQuery::of(request);
  const State& state = *state_;
  GetRootBlockHeaderListResponse page;
  page.root_tip = state.tip.header;
  const auto at_height = [&](std::uint64_t height) -> std::optional<RootBlock> {
    if (height > state.tip.header.height) return std::nullopt;
    const auto hash = state.store->get(keys::root_at(static_cast<std::uint32_t>(height)));
    return hash ? state.block(keys::to_hash(*hash)) : std::nullopt;
  };
  std::optional<RootBlock> block;
  if (query.hash) {
    block = state.block(*query.hash);
    const auto best = block ? at_height(block->header.height) : std::nullopt;
    if (block && (!best || hash_of(best->header) != *query.hash)) block.reset();
  } else if (const auto height = query.height.to_u64()) {
    block = at_height(*height);
  }
  const std::uint64_t step = std::uint64_t{query.skip} + 1;
  while (block && page.block_header_list.size() < query.limit) {
    const std::uint64_t height = block->header.height;
    page.block_header_list.push_back(std::move(block->header));
    block.reset();
    if (!query.towards_tip && height < step) break;
    block = at_height(query.towards_tip ? height + step : height - step);
  }
  co_return page;
}

awaitable<GetRootBlockListResponse> RootChain::on(std::uint64_t, GetRootBlockListRequest request) {
  GetRootBlockListResponse reply;
  for (const Hash256& hash : request.root_block_hash_list)
    if (std::optional<RootBlock> found = state_->block(hash)) reply.root_block_list.push_back(std::move(*found));
  co_return reply;
}

const RootBlock& RootChain::tip() const noexcept { return state_->tip; }
const RootBlock& RootChain::genesis_block() const noexcept { return state_->genesis; }
std::optional<RootBlock> RootChain::block(const Hash256& hash) const { return state_->block(hash); }
bool RootChain::is_reported(const Hash256& minor_block_hash) const {
  return state_->store->has(reported(minor_block_hash));
}
const std::map<std::uint32_t, ShardStats>& RootChain::stats() const noexcept { return state_->stats; }

RootBlock RootChain::next_block(const Hash256& parent_hash, const std::vector<HeadersInfo>& headers,
                                const Address& coinbase) const {
  const State& state = *state_;
  const std::optional<RootBlock> parent = state.block(parent_hash);
  if (!parent) throw Refused(Refusal::not_found, fmt::format("root block {} is not known", parent_hash.hex()));
  RootBlock block;
  std::map<std::uint32_t, const HeadersInfo*> by_shard; // the order in which they must stand
  for (const HeadersInfo& info : headers) by_shard[info.branch.value] = &info;
  for (const std::uint32_t branch : state.config.shards_initialized_before(parent->header.height + 1)) {
    const auto info = by_shard.find(branch);
    if (info == by_shard.end()) continue;
    const auto confirmed = state.store->get(keys::confirmed(branch, parent_hash));
    std::optional<Hash256> before;
    if (confirmed) before = keys::to_hash(*confirmed);
    for (const MinorBlockHeader& header : info->second->header_list) {
      const bool follows = before ? header.hash_prev_minor_block == *before
                                  : header.height == state.config.find_shard(branch)->genesis.height;
      if (!follows) continue;
      if (!is_reported(hash_of(header)) || !state.descends(parent_hash, header.hash_prev_root_block)) break;
      before = hash_of(header);
      block.minor_block_header_list.push_back(header);
    }
  }
  RootBlockHeader& header = block.header;
  header.version = parent->header.version;
  header.height = parent->header.height + 1;
  header.hash_prev_block = parent_hash;
  header.hash_merkle_root = merkle_root(block.minor_block_header_list);
  header.hash_evm_state_root = *Hash256::from_hex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
  header.coinbase_address = coinbase;
  header.create_time = std::max(state.unix_time(), parent->header.create_time + 1);
  header.difficulty = parent->header.difficulty;
  header.total_difficulty = parent->header.total_difficulty + header.difficulty;
  header.coinbase_amount_map = state.coinbase(block);
  return block;
}

/// What the taxes on its minor blocks come to, by what slaves have reported, and the reward of its epoch.
TokenBalanceMap RootChain::State::coinbase(const RootBlock& block) const {
  TokenBalances after_tax;
  for (const MinorBlockHeader& header : block.minor_block_header_list) {
    const auto kept = store->get(reported(hash_of(header)));
    if (!kept) continue;
    const auto amounts = decoded<TokenBalanceMap>(bytes_of(*kept));
    for (const TokenBalances::Entry& entry : amounts.balance_map) after_tax.add(entry.token, entry.amount);
  }
  const Fraction& tax = config.reward_tax_rate;
  TokenBalanceMap coinbase;
  if (tax.numerator < tax.denominator)
    for (const TokenBalances::Entry& entry : after_tax)
      coinbase.balance_map.set(entry.token,
                               BigUint::scaled(entry.amount, tax.numerator, tax.denominator - tax.numerator));
  const Fraction& decay = config.block_reward_decay_factor;
  BigUint reward = config.root.coinbase_amount;
  const std::uint64_t epochs = block.header.height / std::max<std::uint64_t>(config.root.epoch_interval, 1);
  for (std::uint64_t i = 0; i < epochs && !reward.is_zero() && decay.numerator < decay.denominator; ++i)
    reward = BigUint::scaled(reward, decay.numerator, decay.denominator);
  if (const auto token = token_id(config.genesis_token)) coinbase.balance_map.add(BigUint(*token), reward);
  return coinbase;
}

bool RootChain::add(const RootBlock& block) {
  State& state = *state_;
  const Hash256 hash = hash_of(block.header);
  if (state.store->has(keys::root_block(hash))) return hash == state.tip_hash;
  const std::optional<RootBlock> parent = state.block(block.header.hash_prev_block);
  if (!parent)
    throw Refused(Refusal::not_found, fmt::format("root block {}: its parent {} is not known", hash.hex(),
                                                  block.header.hash_prev_block.hex()));
  if (block.header.height != parent->header.height + 1)
    throw Refused(Refusal::invalid, fmt::format("root block {}: height is {}, expected {}", hash.hex(),
                                                block.header.height, parent->header.height + 1));
  if (block.header.hash_merkle_root != merkle_root(block.minor_block_header_list))
    throw Refused(Refusal::invalid,
                  fmt::format("root block {}: its merkle root is not that of its minor headers", hash.hex()));
  if (!(block.header.total_difficulty > parent->header.total_difficulty))
    throw Refused(Refusal::invalid,
                  fmt::format("root block {}: total difficulty is not above its parent's", hash.hex()));
  const bool heavier = block.header.total_difficulty > state.tip.header.total_difficulty;
  state.keep(block, hash, heavier);
  return heavier;
}

} // namespace trunkline::quarkchain
