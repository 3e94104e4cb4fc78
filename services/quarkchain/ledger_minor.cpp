// The chains of our shards: which block is the tip, and what a new block goes through.
#include "peer/quote.hpp"
#include "services/quarkchain/hashes.hpp"
#include "services/quarkchain/ledger_state.hpp"
#include "services/quarkchain/shard.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <exception>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t blocks_per_sync_request = 100;
constexpr std::size_t blocks_per_request = 50;
constexpr std::uint32_t headers_per_request = 100;
constexpr std::size_t headers_followed_max = 2000; // back from a peer's tip
constexpr std::size_t announcements_max = 1024;    // under way; more are not made
constexpr std::uint64_t recent_seconds = 60;

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

void LedgerState::check_block(LedgerShard& of, const MinorBlock& block) {
  const MinorBlockHeader& header = block.header;
  const std::uint32_t branch = of.config.full_shard_id;
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

/// What the transactions ask for, as if each had succeeded; an empty list for each other neighbour.
std::vector<XshardList> LedgerState::lists_of(const LedgerShard& of, const MinorBlock& block,
                                              const Hash256& hash) const {
  constexpr std::uint64_t gas_transfer = 21000;
  constexpr std::uint64_t gas_xshard = 9000;
  constexpr std::uint8_t refund_all = 100;
  const std::optional<RootBlockHeader> root = root_header(block.header.hash_prev_root_block);
  const std::vector<std::uint32_t> initialized = options_.config.shards_initialized_before(root ? root->height : 0);
  const std::uint32_t branch = of.config.full_shard_id;
  std::map<std::uint32_t, XshardList> lists;
  for (const std::uint32_t other : initialized) {
    if (other == branch || !are_neighbours(branch, other, initialized.size())) continue;
    lists[other].branch = other;
    lists[other].minor_block_hash = hash;
  }
  for (const TypedTransaction& typed : block.tx_list) {
    const QueuedTransaction transaction = inspect(of, typed);
    const auto to = options_.config.full_shard_id_of_key(transaction.inside.to_full_shard_key);
    const auto list = to ? lists.find(*to) : lists.end();
    if (list == lists.end()) continue;
    CrossShardTransactionDeposit deposit;
    deposit.tx_hash = hash_of(typed);
    deposit.from_address.recipient = transaction.sender;
    deposit.from_address.full_shard_key = transaction.inside.from_full_shard_key;
    deposit.to_address.recipient = transaction.inside.to.value_or(Recipient());
    deposit.to_address.full_shard_key = transaction.inside.to_full_shard_key;
    deposit.value = Uint256::from_bytes(bytes_of(transaction.inside.value.bytes())).value_or(Uint256());
    deposit.gas_price = Uint256::from_bytes(bytes_of(transaction.inside.gasprice.bytes())).value_or(Uint256());
    deposit.gas_token_id = transaction.inside.gas_token_id;
    deposit.transfer_token_id = transaction.inside.transfer_token_id;
    const std::uint64_t gas = transaction.inside.startgas.to_u64().value_or(0);
    deposit.gas_remained = Uint256(gas > gas_transfer + gas_xshard ? gas - gas_transfer - gas_xshard : 0);
    deposit.message_data = transaction.inside.data;
    deposit.create_contract = !transaction.inside.to;
    deposit.refund_rate = refund_all;
    list->second.list.tx_list.push_back(std::move(deposit));
  }
  std::vector<XshardList> all;
  for (auto& [id, list] : lists) all.push_back(std::move(list));
  return all;
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

  const std::shared_ptr<Surroundings> surroundings = around();
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

awaitable<bool> LedgerState::take_block(std::uint32_t branch, MinorBlock block) {
  LedgerShard& of = shard(branch);
  const Turn::Held held = co_await turn_.take();
  co_return co_await extend(of, std::move(block));
}

awaitable<void> LedgerState::add_minor_block(MinorBlock block) {
  const std::uint32_t branch = block.header.branch.value;
  const bool added = co_await take_block(branch, std::move(block));
  if (added) co_await announce(shard(branch), 0);
}

awaitable<void> LedgerState::on_new_block_minor(PeerShard from, MinorBlock block) {
  const bool known = store_->has(keys::minor_block(from.branch, hash_of(block.header)));
  if (known) co_return;
  const MinorBlock relayed = block;
  bool added = false;
  try {
    added = co_await take_block(from.branch, std::move(block));
  } catch (const Refused& refused) {
    if (refused.code() != static_cast<std::uint32_t>(Refusal::failed)) throw; // its fault: its circuit is closed
    log(LogLevel::warning, refused.what());
  }
  if (!added) co_return;
  const std::shared_ptr<Surroundings> surroundings = around();
  for (const PeerShard& peer : surroundings->peers_of(from.branch))
    if (peer.cluster_peer_id != from.cluster_peer_id) co_await surroundings->new_block_minor(peer, relayed);
}

awaitable<void> LedgerState::announce(const LedgerShard& of, std::uint64_t except) {
  if (!announcements_) announcements_ = std::make_unique<Tasks>(co_await asio::this_coro::executor);
  const std::shared_ptr<Surroundings> surroundings = around();
  for (const PeerShard& peer : surroundings->peers_of(of.config.full_shard_id)) {
    if (peer.cluster_peer_id == except || announcements_->running() >= announcements_max) continue;
    announcements_->spawn(announce_to(shared_from_this(), peer, *root_tip_, of.tip));
  }
}

awaitable<void> LedgerState::announce_to(Pointer self, PeerShard to, RootBlockHeader root, MinorBlockHeader tip) {
  try {
    co_await self->around()->new_minor_block_header(to, std::move(root), std::move(tip));
  } catch (const std::exception&) { // the peer has gone: nobody to tell
  }
}

// From peers.

awaitable<std::vector<MinorBlock>> LedgerState::download(PeerShard from, std::vector<Hash256> hashes,
                                                         std::size_t batch) {
  std::vector<MinorBlock> blocks;
  for (std::size_t at = 0; at < hashes.size(); at += batch) {
    const std::size_t end = std::min(at + batch, hashes.size());
    std::vector<Hash256> wanted(hashes.begin() + static_cast<std::ptrdiff_t>(at),
                                hashes.begin() + static_cast<std::ptrdiff_t>(end));
    std::vector<MinorBlock> some = co_await around()->get_minor_block_list(from, std::move(wanted));
    if (some.size() != end - at)
      throw Refused(Refusal::invalid, fmt::format("peer {} has {} of {} blocks that were asked for",
                                                  from.cluster_peer_id, some.size(), end - at));
    for (MinorBlock& block : some) {
      if (hash_of(block.header) != hashes[blocks.size()])
        throw Refused(Refusal::invalid, fmt::format("peer {} sent block {}, expected {}", from.cluster_peer_id,
                                                    hash_of(block.header).hex(), hashes[blocks.size()].hex()));
      blocks.push_back(std::move(block));
    }
  }
  co_return blocks;
}

awaitable<SyncedBlocks> LedgerState::sync_minor_block_list(PeerShard from, std::vector<Hash256> hashes) {
  (void)shard(from.branch);
  const std::vector<PeerShard> peers = around()->peers_of(from.branch);
  if (std::ranges::find(peers, from) == peers.end())
    throw Refused(Refusal::bad_message,
                  fmt::format("there is no peer {} on {}", from.cluster_peer_id, shard_text(from.branch)));
  std::vector<MinorBlock> blocks;
  try {
    blocks = co_await download(from, std::move(hashes), blocks_per_sync_request);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed, trunkline::text_of(failure));
  }
  co_return co_await take_blocks(from.branch, std::move(blocks));
}

/// In their order, with one batch of lists for all of them and one report.
awaitable<SyncedBlocks> LedgerState::take_blocks(std::uint32_t branch, std::vector<MinorBlock> blocks) {
  LedgerShard& of = shard(branch);
  const Turn::Held held = co_await turn_.take();
  std::vector<XshardList> lists;
  std::vector<MinorBlockHeader> headers;
  std::vector<TokenBalanceMap> coinbase;
  SyncedBlocks synced;
  for (const MinorBlock& block : blocks) {
    const Hash256 hash = hash_of(block.header);
    synced.coinbase[hash] = block.header.coinbase_amount_map;
    headers.push_back(block.header);
    coinbase.push_back(block.header.coinbase_amount_map);
    if (is_committed(branch, block.header.height, hash)) continue;
    if (block.header.branch.value != branch) refuse(block.header, "it is of another branch than " + shard_text(branch));
    check_block(of, block);
    StoreBatch written;
    written.put(keys::minor_block(branch, hash), keys::value(block));
    for (XshardList& list : lists_of(of, block, hash)) {
      if (shards_.contains(list.branch)) written.put(keys::xshard(list.branch, hash), keys::value(list.list));
      lists.push_back(std::move(list));
    }
    store_->write(written);
  }
  const std::shared_ptr<Surroundings> surroundings = around();
  try {
    co_await surroundings->batch_add_xshard_tx_list(std::move(lists));
    co_await surroundings->add_minor_block_header_list(std::move(headers), std::move(coinbase));
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed, trunkline::text_of(failure));
  }
  for (const MinorBlock& block : blocks) {
    const Hash256 hash = hash_of(block.header);
    if (is_committed(branch, block.header.height, hash)) continue;
    StoreBatch batch;
    commit(of, block, hash, batch);
    store_->write(batch);
    unqueue(of, block);
    ++counters_.minor_blocks;
  }
  choose_tip(of, *root_tip_, root_tip_hash_);
  synced.stats = stats_of(of);
  co_return synced;
}

awaitable<void> LedgerState::on_new_minor_block_header(PeerShard from, RootBlockHeader root, MinorBlockHeader tip) {
  LedgerShard& of = shard(from.branch);
  // One whose root block is not known is told again, when it is.
  if (of.syncing || tip.height <= of.tip.height || !store_->has(keys::root_block(hash_of(root)))) co_return;
  if (!store_->has(keys::root_block(tip.hash_prev_root_block))) co_return;
  struct Syncing {
    bool& flag;
    explicit Syncing(bool& of) : flag(of) { flag = true; }
    ~Syncing() { flag = false; }
  };
  const Syncing syncing(of.syncing);
  try {
    co_await follow(from, std::move(tip));
  } catch (const Refused& refused) {
    if (refused.code() != static_cast<std::uint32_t>(Refusal::failed)) throw;
    log(LogLevel::warning, refused.what());
  }
}

/// Back from a peer's tip to a block that is known here, then forward.
awaitable<void> LedgerState::follow(PeerShard from, MinorBlockHeader tip) {
  std::vector<Hash256> missing; // newest first
  missing.push_back(hash_of(tip));
  Hash256 below = tip.hash_prev_minor_block;
  while (!store_->has(keys::minor_block(from.branch, below))) {
    if (missing.size() >= headers_followed_max)
      throw Refused(Refusal::invalid,
                    fmt::format("peer {} is more than {} blocks ahead", from.cluster_peer_id, headers_followed_max));
    HeaderQuery query;
    query.hash = below;
    query.limit = headers_per_request;
    MinorHeaderPage page = co_await around()->get_minor_block_header_list(from, std::move(query));
    if (page.headers.empty()) throw Refused(Refusal::invalid, "a peer does not know its own blocks");
    for (const MinorBlockHeader& header : page.headers) {
      if (hash_of(header) != below) throw Refused(Refusal::invalid, "a peer's headers are no chain");
      if (store_->has(keys::minor_block(from.branch, below)) || missing.size() >= headers_followed_max) break;
      missing.push_back(below);
      below = header.hash_prev_minor_block;
    }
  }
  std::ranges::reverse(missing);
  std::vector<MinorBlock> blocks = co_await download(from, std::move(missing), blocks_per_request);
  co_await take_blocks(from.branch, std::move(blocks));
  co_await announce(shard(from.branch), from.cluster_peer_id);
}

// Cross-shard lists.

awaitable<void> LedgerState::add_xshard_tx_list(XshardList list) {
  if (!shards_.contains(list.branch))
    throw Refused(Refusal::not_found, fmt::format("branch {} is not run here", shard_text(list.branch)));
  if (list.list.tx_list.size() > options_.xshard_deposits_max)
    throw Refused(Refusal::failed, fmt::format("a list of {} deposits, xshard_deposits_max is {}",
                                               list.list.tx_list.size(), options_.xshard_deposits_max));
  const std::string key = keys::xshard(list.branch, list.minor_block_hash);
  const std::string value = keys::value(list.list);
  const std::optional<std::string> kept = store_->get(key);
  if (kept && *kept != value)
    throw Refused(Refusal::invalid, fmt::format("another list of minor block {} for {} is kept",
                                                list.minor_block_hash.hex(), shard_text(list.branch)));
  if (kept) co_return;
  StoreBatch batch;
  batch.put(key, value);
  store_->write(batch);
  ++counters_.xshard_lists;
}

bool LedgerState::has_xshard_tx_list(std::uint32_t branch, const Hash256& minor_block_hash) const {
  return store_->has(keys::xshard(branch, minor_block_hash));
}

std::optional<CrossShardTransactionList> LedgerState::xshard_tx_list(std::uint32_t branch,
                                                                     const Hash256& minor_block_hash) const {
  const std::optional<std::string> kept = store_->get(keys::xshard(branch, minor_block_hash));
  if (!kept) return std::nullopt;
  return decoded<CrossShardTransactionList>(bytes_of(*kept));
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
