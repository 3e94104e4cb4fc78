// The chains of our shards: which block is the tip, and what a new block goes through.
#include "fragment/quote.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/state.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint64_t recent_seconds = 60;
constexpr std::uint64_t seconds_ahead_max = 15; // of our clock, as in pyquarkchain

[[noreturn]] void refuse(const MinorBlockHeader& header, const std::string& why) {
  throw Refused(Refusal::invalid, fmt::format("minor block {} at height {} of {}: {}", hash_of(header).hex(),
                                              header.height, shard_text(header.branch.value), why));
}

} // namespace

std::optional<MinorBlock> LedgerState::minor_block(std::uint32_t branch, const Hash256& hash) const {
  const std::optional<std::string> kept = store_->get(keys::minor_block(branch, hash));
  if (!kept) return std::nullopt;
  return decoded<MinorBlock>(bytes_of(*kept));
}

std::optional<MinorBlockHeader> LedgerState::minor_header(std::uint32_t branch, const Hash256& hash) const {
  const std::optional<std::string> kept = store_->get(keys::minor_block(branch, hash));
  if (!kept) return std::nullopt;
  return decoded<MinorBlockHeader>(bytes_of(*kept)); // the header comes first
}

bool LedgerState::is_committed(std::uint32_t branch, std::uint64_t height, const Hash256& hash) const {
  return store_->has(keys::committed(branch, height, hash));
}

bool LedgerState::on_best_chain(std::uint32_t branch, std::uint64_t height, const Hash256& hash) const {
  return store_->get(keys::minor_at(branch, height)) == keys::hash(hash);
}

// Which block is the tip.

Hash256 LedgerState::base_of(const LedgerShard& of, const RootBlockHeader& root, const Hash256& hash) const {
  const std::uint32_t branch = of.config.full_shard_id;
  if (const auto confirmed = store_->get(keys::confirmed(branch, hash))) return keys::to_hash(*confirmed);
  if (root.height < of.config.genesis.root_height) return Hash256();
  const auto begin = store_->get(keys::root_at(of.config.genesis.root_height));
  const auto genesis = begin ? store_->get(keys::genesis_of(branch, keys::to_hash(*begin))) : std::nullopt;
  return genesis ? keys::to_hash(*genesis) : Hash256();
}

/// Whether a block descends from the base, and all root blocks that are named on the way are on the best root chain.
bool LedgerState::leads_to(const LedgerShard& of, MinorBlockHeader header, Hash256 hash, std::uint64_t base_height,
                           const Hash256& base) const {
  const std::uint32_t branch = of.config.full_shard_id;
  while (header.height > base_height) {
    const std::optional<RootBlockHeader> root = root_header(header.hash_prev_root_block);
    if (!root || !on_root_chain(*root, header.hash_prev_root_block)) return false;
    hash = header.hash_prev_minor_block;
    std::optional<MinorBlockHeader> parent = minor_header(branch, hash);
    if (!parent) return false;
    header = std::move(*parent);
  }
  return hash == base;
}

/// The highest committed block that descends from what the root chain confirms; the present tip where it is as high.
void LedgerState::choose_tip(LedgerShard& of, const RootBlockHeader& root, const Hash256& hash) {
  const std::uint32_t branch = of.config.full_shard_id;
  const Hash256 base = base_of(of, root, hash);
  const std::optional<MinorBlockHeader> base_header = minor_header(branch, base);
  if (!base_header) return; // the root chain has gone back before the shard's beginning: what there is stays
  std::vector<std::pair<std::uint64_t, Hash256>> candidates; // heights ascend
  const std::string prefix = keys::committed(branch);
  store_->scan(prefix, keys::committed(branch, base_header->height), [&](std::string_view key, std::string_view) {
    key.remove_prefix(prefix.size());
    if (key.size() == sizeof(std::uint64_t) + Hash256::size)
      candidates.emplace_back(keys::to_number<std::uint64_t>(key.substr(0, sizeof(std::uint64_t))),
                              keys::to_hash(key.substr(sizeof(std::uint64_t))));
    return true;
  });
  std::ranges::sort(candidates, [&](const auto& a, const auto& b) {
    if (a.first != b.first) return a.first > b.first;
    if ((a.second == of.tip_hash) != (b.second == of.tip_hash)) return a.second == of.tip_hash;
    return a.second < b.second;
  });
  for (const auto& [height, candidate] : candidates) {
    const std::optional<MinorBlockHeader> header = minor_header(branch, candidate);
    if (!header || !leads_to(of, *header, candidate, base_header->height, base)) continue;
    if (candidate == of.tip_hash) return;
    StoreBatch batch;
    set_tip(of, *header, candidate, batch);
    store_->write(batch);
    return;
  }
}

void LedgerState::set_tip(LedgerShard& of, const MinorBlockHeader& header, const Hash256& hash, StoreBatch& batch) {
  const std::uint32_t branch = of.config.full_shard_id;
  for (std::uint64_t height = of.tip.height; of.exists && height > header.height; --height)
    batch.erase(keys::minor_at(branch, height));
  batch.put(keys::minor_at(branch, header.height), keys::hash(hash));
  Hash256 at = header.hash_prev_minor_block;
  for (std::optional<MinorBlockHeader> parent = minor_header(branch, at); parent; parent = minor_header(branch, at)) {
    if (on_best_chain(branch, parent->height, at)) break;
    batch.put(keys::minor_at(branch, parent->height), keys::hash(at));
    at = parent->hash_prev_minor_block;
  }
  batch.put(keys::tip(branch), keys::hash(hash));
  of.tip = header;
  of.tip_hash = hash;
}

// A new block.

/// What the next block is computed from, and what is added up: difficulties and amounts of more bytes than the protocol
/// has for them elsewhere, and a time after which there is none, would fail whoever asks for the next block.
void LedgerState::check_numbers(const MinorBlockHeader& header) const {
  if (header.difficulty.bytes().size() > Uint256::size)
    refuse(header, fmt::format("its difficulty has {} bytes, expected at most {}", header.difficulty.bytes().size(),
                               Uint256::size));
  for (const auto& [token, amount] : header.coinbase_amount_map.balance_map)
    if (amount.bytes().size() > Uint256::size)
      refuse(header, fmt::format("its coinbase amount has {} bytes, expected at most {}", amount.bytes().size(),
                                 Uint256::size));
  const std::uint64_t last = now() + seconds_ahead_max;
  if (header.create_time > last)
    refuse(header, fmt::format("its create_time is {}, expected at most {}", header.create_time, last));
}

void LedgerState::check_block(LedgerShard& of, const MinorBlock& block) {
  const MinorBlockHeader& header = block.header;
  const std::uint32_t branch = of.config.full_shard_id;
  check_numbers(header);
  const std::optional<MinorBlockHeader> parent = minor_header(branch, header.hash_prev_minor_block);
  if (!parent) refuse(header, fmt::format("its parent {} is not known", header.hash_prev_minor_block.hex()));
  if (header.height != parent->height + 1) refuse(header, fmt::format("expected height {}", parent->height + 1));
  if (header.hash_meta != hash_of(block.meta)) refuse(header, "hash_meta is not that of its meta");
  if (block.meta.hash_merkle_root != merkle_root(block.tx_list))
    refuse(header, "its merkle root is not that of its transactions");
  const std::optional<RootBlockHeader> root = root_header(header.hash_prev_root_block);
  if (!root) refuse(header, fmt::format("root block {} is not known", header.hash_prev_root_block.hex()));
  const std::optional<RootBlockHeader> root_before = root_header(parent->hash_prev_root_block);
  if (root_before && root->height < root_before->height)
    refuse(header,
           fmt::format("its root block is at height {}, its parent's at {}", root->height, root_before->height));
  try {
    for (const TypedTransaction& transaction : block.tx_list) (void)inspect(of, transaction);
  } catch (const Refused& refused) {
    refuse(header, refused.what());
  }
}

void LedgerState::commit(LedgerShard& of, const MinorBlock& block, const Hash256& hash, StoreBatch& batch) {
  const std::uint32_t branch = of.config.full_shard_id;
  const MinorBlockHeader& header = block.header;
  std::uint64_t transactions = block.tx_list.size();
  if (header.height > of.config.genesis.height)
    transactions += keys::to_number<std::uint64_t>(
        store_->get(keys::committed(branch, header.height - 1, header.hash_prev_minor_block)).value_or(std::string()));
  batch.put(keys::committed(branch, header.height, hash), keys::number(transactions));
  index(of, block, hash, batch);
}

awaitable<bool> LedgerState::extend(LedgerShard& of, MinorBlock block) {
  const std::uint32_t branch = of.config.full_shard_id;
  const Hash256 hash = hash_of(block.header);
  if (is_committed(branch, block.header.height, hash)) co_return hash == of.tip_hash;
  if (block.header.hash_prev_minor_block != of.tip_hash) {
    ++of.stale;
    ++counters_.minor_blocks_stale;
    co_return false;
  }
  check_block(of, block);
  const std::vector<XshardList> lists = lists_of(of, block, hash);
  std::uint32_t deposits = 0;
  StoreBatch written;
  written.put(keys::minor_block(branch, hash), keys::value(block));
  for (const XshardList& list : lists) {
    deposits += static_cast<std::uint32_t>(list.list.tx_list.size());
    if (shards_.contains(list.branch)) written.put(keys::xshard(list.branch, hash), keys::value(list.list));
  }
  store_->write(written);

  const std::shared_ptr<BackendHost> surroundings = around();
  try {
    for (const XshardList& list : lists) co_await surroundings->add_xshard_tx_list(list);
    MinorBlockReport report;
    report.header = block.header;
    report.tx_count = static_cast<std::uint32_t>(block.tx_list.size());
    report.x_shard_tx_count = deposits;
    report.coinbase_amount_map = block.header.coinbase_amount_map;
    report.shard_stats = stats_of(of);
    report.shard_stats.height = block.header.height;
    artificial_ = co_await surroundings->add_minor_block_header(std::move(report));
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed,
                  fmt::format("minor block {} is not added: {}", hash.hex(), trunkline::text_of(failure)));
  }

  StoreBatch batch;
  commit(of, block, hash, batch);
  set_tip(of, block.header, hash, batch);
  store_->write(batch);
  unqueue(of, block);
  of.recent.emplace_back(now(), static_cast<std::uint32_t>(block.tx_list.size()));
  ++counters_.minor_blocks;
  co_return true;
}

ShardStats LedgerState::stats_of(LedgerShard& of) {
  const std::uint32_t branch = of.config.full_shard_id;
  const std::uint64_t since = now() - std::min(now(), recent_seconds);
  while (!of.recent.empty() && of.recent.front().first < since) of.recent.pop_front();
  ShardStats stats;
  stats.branch.value = branch;
  stats.height = of.tip.height;
  stats.difficulty = of.tip.difficulty;
  stats.coinbase_address = of.tip.coinbase_address;
  stats.timestamp = of.tip.create_time;
  for (const auto& [when, transactions] : of.recent) stats.tx_count60s += transactions;
  stats.pending_tx_count = static_cast<std::uint32_t>(of.queue.size());
  stats.total_tx_count = static_cast<std::uint32_t>(keys::to_number<std::uint64_t>(
      store_->get(keys::committed(branch, of.tip.height, of.tip_hash)).value_or(std::string())));
  stats.block_count60s = static_cast<std::uint32_t>(of.recent.size());
  stats.stale_block_count60s = of.stale;
  const std::optional<MinorBlockHeader> before = minor_header(branch, of.tip.hash_prev_minor_block);
  if (before && of.tip.create_time > before->create_time)
    stats.last_block_time = static_cast<std::uint32_t>(of.tip.create_time - before->create_time);
  return stats;
}

} // namespace trunkline::quarkchain
