// A shard's chain, its transactions and what is asked about them have their own files. What is here: what a new block
// goes through, and who is told.
//
// Who changes something holds the mutex. A minor block is written before its cross-shard lists are sent and it is
// reported, and is committed (becomes a candidate for the tip) only after both: what is in the chain has its lists
// where they belong.
#include "services/quarkchain/ledger/ledger.hpp"

#include "async/all_at_once.hpp"
#include "async/limited_log.hpp"
#include "async/mutex.hpp"
#include "async/tasks.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/ledger/genesis_accounts.hpp"
#include "services/quarkchain/ledger/keys.hpp"
#include "services/quarkchain/ledger/mining.hpp"
#include "services/quarkchain/ledger/minor_chain.hpp"
#include "services/quarkchain/backend/peer_blocks.hpp"
#include "services/quarkchain/backend/tell_one.hpp"
#include "services/quarkchain/ledger/root_view.hpp"
#include "services/quarkchain/ledger/transaction_index.hpp"
#include "services/quarkchain/ledger/transaction_queue.hpp"
#include "services/quarkchain/ledger/xshard_lists.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <map>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint64_t recent_seconds = 60;
constexpr std::size_t blocks_per_sync_request = 100;
constexpr std::size_t blocks_per_request = 50;
constexpr std::size_t announcements_max = 1024; // under way; more are not made

/// One of our shards.
struct Shard {
  Shard(Store& store, const RootView& root, const LedgerOptions& options, const ShardConfig& with)
      : config(with), chain(store, root, config), accounts(config),
        index(store, chain, queue, options.config, options.page_max),
        mining(options.config, config, root, chain, queue) {}
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  const ShardConfig config;
  MinorChain chain;
  GenesisAccounts accounts;
  TransactionQueue queue;
  TransactionIndex index;
  Mining mining;
  std::deque<std::pair<std::uint64_t, std::uint32_t>> recent; // blocks of the last minute: when, transactions
  std::uint32_t stale = 0;
  bool syncing = false; // with a peer

  void commit(const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const {
    chain.commit(block, hash, batch);
    index.add(block, hash, batch);
  }
  ShardStats stats(std::uint64_t now);
};

ShardStats Shard::stats(std::uint64_t now) {
  const std::uint64_t since = now - std::min(now, recent_seconds);
  while (!recent.empty() && recent.front().first < since) recent.pop_front();
  const MinorBlockHeader& tip = chain.tip();
  ShardStats stats;
  stats.branch.value = chain.branch();
  stats.height = tip.height;
  stats.difficulty = tip.difficulty;
  stats.coinbase_address = tip.coinbase_address;
  stats.timestamp = tip.create_time;
  for (const auto& [when, transactions] : recent) stats.tx_count60s += transactions;
  stats.pending_tx_count = static_cast<std::uint32_t>(queue.size());
  stats.total_tx_count = static_cast<std::uint32_t>(chain.transactions_count());
  stats.block_count60s = static_cast<std::uint32_t>(recent.size());
  stats.stale_block_count60s = stale;
  const std::optional<MinorBlockHeader> before = chain.header(tip.hash_prev_minor_block);
  if (before && tip.create_time > before->create_time)
    stats.last_block_time = static_cast<std::uint32_t>(tip.create_time - before->create_time);
  return stats;
}

void require_height(std::optional<std::uint64_t> height, const MinorBlockHeader& tip) {
  if (height && *height > tip.height)
    throw Refused(Refusal::failed, fmt::format("height {} is above the tip's {}", *height, tip.height));
}

class EmbeddedLedger final : public Ledger {
 public:
  EmbeddedLedger(LedgerOptions options, std::unique_ptr<Store> store);

  void attach(std::weak_ptr<BackendHost> host) override { host_ = std::move(host); }
  std::vector<std::uint32_t> shards() const override;

  // The root chain.
  awaitable<void> create_shards(RootBlock root_tip) override;
  awaitable<AddRootBlockResponse> on(AddRootBlockRequest request) override;

  // Blocks from elsewhere.
  awaitable<AddMinorBlockResponse> on(AddMinorBlockRequest request) override;
  awaitable<SyncMinorBlockListResponse> on(SyncMinorBlockListRequest request) override;
  awaitable<void> on(PeerShard from, NewMinorBlockHeaderListCommand command) override;
  awaitable<void> on(PeerShard from, NewBlockMinorCommand command) override;
  awaitable<AddXshardTxListResponse> on(AddXshardTxListRequest request) override;

  // Mining and transactions.
  awaitable<GetEcoInfoListResponse> on(GetEcoInfoListRequest request) override;
  awaitable<GetNextBlockToMineResponse> on(GetNextBlockToMineRequest request) override;
  awaitable<MineResponse> on(MineRequest request) override;
  awaitable<GetWorkResponse> on(GetWorkRequest request) override;
  awaitable<SubmitWorkResponse> on(SubmitWorkRequest request) override;
  awaitable<AddTransactionResponse> on(AddTransactionRequest request) override;
  awaitable<void> on(PeerShard from, NewTransactionListCommand command) override;

  // Reads.
  awaitable<GetTransactionResponse> on(GetTransactionRequest request) override;
  awaitable<GetTransactionListByAddressResponse> on(GetTransactionListByAddressRequest request) override;
  awaitable<GetAllTransactionsResponse> on(GetAllTransactionsRequest request) override;
  awaitable<GetUnconfirmedHeadersResponse> on(GetUnconfirmedHeadersRequest request) override;
  awaitable<GetAccountDataResponse> on(GetAccountDataRequest request) override;
  awaitable<GetMinorBlockResponse> on(GetMinorBlockRequest request) override;
  awaitable<GetStorageResponse> on(GetStorageRequest request) override;
  awaitable<GetCodeResponse> on(GetCodeRequest request) override;
  awaitable<GasPriceResponse> on(GasPriceRequest request) override;
  awaitable<CheckMinorBlockResponse> on(CheckMinorBlockRequest request) override;
  awaitable<GetTotalBalanceResponse> on(GetTotalBalanceRequest request) override;
  awaitable<GetMinorBlockListResponse> on(PeerShard from, GetMinorBlockListRequest request) override;
  awaitable<GetMinorBlockHeaderListResponse> on(PeerShard from,
                                                GetMinorBlockHeaderListWithSkipRequest request) override;

  bool has_xshard_tx_list(std::uint32_t branch, const Hash256& minor_block_hash) const override {
    return lists_.has(branch, minor_block_hash);
  }
  std::optional<CrossShardTransactionList> xshard_tx_list(std::uint32_t branch,
                                                          const Hash256& minor_block_hash) const override {
    return lists_.find(branch, minor_block_hash);
  }
  std::optional<RootBlockHeader> root_tip() const override { return root_.tip(); }
  std::optional<MinorBlockHeader> tip_of(std::uint32_t full_shard_id) const override;
  const LedgerCounters& counters() const noexcept override { return counters_; }

 private:
  void log(LogLevel level, std::string_view text) noexcept { lines_.write(level, text); }
  /// A line that far sides can cause as often as they like.
  void log(const char* kind, LogLevel level, std::string_view text) {
    lines_.write(kind, level, text, TimePoint(std::chrono::seconds(now())));
  }
  std::uint64_t now() const { return options_.unix_time(); }
  std::shared_ptr<BackendHost> host() const;
  /// Ours and existing, or Refused.
  Shard& shard(std::uint32_t branch);
  /// The existing one that an address belongs to, or Refused.
  Shard& shard_of(const Address& address);

  /// Checks and writes it, without looking at tips. Errors: Refused.
  void keep_root_block(const RootBlock& block, const Hash256& hash);
  void check_minor_headers(const RootBlock& block, const Hash256& hash, StoreBatch& batch);
  /// The best chain ends here from now on; all shards follow.
  void switch_root(const RootBlock& block, const Hash256& hash);
  awaitable<void> create_due_shards(RootBlockHeader root, Hash256 hash);
  awaitable<void> create_genesis(Shard& of, RootBlockHeader root, Hash256 hash);

  void check_block(const Shard& of, const MinorBlock& block) const;
  /// Writes a block and its lists for shards of ours, and returns all its lists.
  std::vector<AddXshardTxListRequest> write(const Shard& of, const MinorBlock& block, const Hash256& hash);
  /// Sends the lists, reports, commits, under the mutex. True when it became the tip.
  awaitable<bool> extend(Shard& of, MinorBlock block);
  awaitable<bool> take_block(std::uint32_t branch, MinorBlock block);
  awaitable<SyncMinorBlockListResponse> take_blocks(std::uint32_t branch, std::vector<MinorBlock> blocks);
  awaitable<SyncMinorBlockListResponse> fetch(PeerShard from, std::vector<Hash256> hashes, std::size_t batch);
  awaitable<void> follow(PeerShard from, MinorBlockHeader tip);
  awaitable<void> announce(const Shard& of, std::uint64_t except);
  /// Says whether it is new. Errors: Refused.
  bool enqueue(const TypedTransaction& transaction);

  LedgerOptions options_;
  LimitedLog lines_{options_.log};
  std::unique_ptr<Store> store_;
  RootView root_;
  XshardLists lists_;
  std::map<std::uint32_t, Shard> shards_; // ours, by full shard id
  std::weak_ptr<BackendHost> host_;
  ArtificialTxConfig artificial_;
  LedgerCounters counters_;
  Mutex changing_;
  std::unique_ptr<Tasks> announcements_;
};

EmbeddedLedger::EmbeddedLedger(LedgerOptions options, std::unique_ptr<Store> store)
    : options_(std::move(options)), store_(std::move(store)),
      root_(*store_, genesis_root_block(options_.config.root.genesis)), lists_(*store_, root_, options_.config) {
  if (!options_.unix_time)
    options_.unix_time = [] {
      const auto since = std::chrono::system_clock::now().time_since_epoch();
      return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
    };
  for (const std::uint32_t id : options_.full_shard_ids) {
    const ShardConfig* const config = options_.config.find_shard(id);
    if (!config) throw ConfigFailure("ledger: shard " + shard_text(id) + " is in no chain");
    shards_.try_emplace(id, *store_, root_, options_, *config);
  }
}

std::vector<std::uint32_t> EmbeddedLedger::shards() const {
  std::vector<std::uint32_t> existing;
  for (const std::uint32_t id : options_.full_shard_ids)
    if (shards_.at(id).chain.exists()) existing.push_back(id);
  return existing;
}

std::shared_ptr<BackendHost> EmbeddedLedger::host() const {
  std::shared_ptr<BackendHost> live = host_.lock();
  if (!live) throw Refused(Refusal::failed, "the slave is not running");
  return live;
}

Shard& EmbeddedLedger::shard(std::uint32_t branch) {
  const auto found = shards_.find(branch);
  if (found == shards_.end() || !found->second.chain.exists())
    throw Refused(Refusal::bad_message, fmt::format("branch {} is not run here", shard_text(branch)));
  return found->second;
}

Shard& EmbeddedLedger::shard_of(const Address& address) {
  const auto id = options_.config.full_shard_id_of_key(address.full_shard_key);
  if (!id) throw Refused(Refusal::failed, fmt::format("key {} is of no chain", shard_text(address.full_shard_key)));
  return shard(*id);
}

std::optional<MinorBlockHeader> EmbeddedLedger::tip_of(std::uint32_t full_shard_id) const {
  const auto found = shards_.find(full_shard_id);
  if (found == shards_.end() || !found->second.chain.exists()) return std::nullopt;
  return found->second.chain.tip();
}

// The root chain, and the shards that begin with it.

awaitable<void> EmbeddedLedger::create_shards(RootBlock root_tip) {
  const Mutex::Lock lock = co_await changing_.lock();
  const Hash256 hash = hash_of(root_tip.header);
  if (!root_.has(hash)) {
    // A slave that has been away for one block may still catch up; the genesis must be the configured one.
    if (!root_.has(root_tip.header.hash_prev_block))
      throw std::runtime_error(
          fmt::format("the master's root tip {} at height {} is not known here, whose tip is {} at {}", hash.hex(),
                      root_tip.header.height, root_.tip_hash().hex(), root_.tip().height));
    keep_root_block(root_tip, hash);
  }
  if (hash != root_.tip_hash()) switch_root(root_tip, hash);
  co_await create_due_shards(root_tip.header, hash);
}

awaitable<AddRootBlockResponse> EmbeddedLedger::on(AddRootBlockRequest request) {
  const RootBlock& block = request.root_block;
  const Mutex::Lock lock = co_await changing_.lock();
  const Hash256 hash = hash_of(block.header);
  if (!root_.has(hash)) {
    keep_root_block(block, hash);
    ++counters_.root_blocks;
  }
  AddRootBlockResponse reply;
  reply.switched = block.header.total_difficulty > root_.tip().total_difficulty;
  if (reply.switched) switch_root(block, hash);
  try {
    co_await create_due_shards(block.header, hash);
  } catch (const boost::system::system_error& failure) {
    refuse(block.header, "a shard that is due cannot be reported: " + trunkline::text_of(failure));
  }
  co_return reply;
}

void EmbeddedLedger::keep_root_block(const RootBlock& block, const Hash256& hash) {
  root_.check(block);
  StoreBatch batch;
  RootView::put(block, hash, batch);
  check_minor_headers(block, hash, batch);
  store_->write(batch);
}

/// Those of our shards must continue what is confirmed; for those of others we must have their cross-shard lists.
void EmbeddedLedger::check_minor_headers(const RootBlock& block, const Hash256& hash, StoreBatch& batch) {
  const RootBlockHeader& root = block.header;
  std::map<std::uint32_t, Hash256> confirmed;
  for (const auto& [id, of] : shards_)
    if (const std::optional<Hash256> before = of.chain.confirmed_by(root.hash_prev_block)) confirmed[id] = *before;
  for (const MinorBlockHeader& header : block.minor_block_header_list) {
    const Hash256 minor = hash_of(header);
    const std::uint32_t branch = header.branch.value;
    const auto ours = shards_.find(branch);
    if (ours == shards_.end() || !ours->second.chain.exists()) {
      for (const auto& [id, of] : shards_)
        if (of.chain.exists()) lists_.require(of.config, header, minor);
      continue;
    }
    const Shard& of = ours->second;
    const std::optional<MinorBlock> known = of.chain.block(minor);
    if (!known)
      refuse(root, fmt::format("minor block {} at height {} of {} is not known", minor.hex(), header.height,
                               shard_text(branch)));
    if (!of.chain.is_committed(header, minor)) { // reported, and we ended before it was committed
      StoreBatch late;
      of.commit(*known, minor, late);
      store_->write(late);
    }
    const auto before = confirmed.find(branch);
    const bool first = before == confirmed.end();
    if (first ? header.height != of.config.genesis.height : header.hash_prev_minor_block != before->second)
      refuse(root,
             fmt::format("minor block {} of {} does not continue what is confirmed", minor.hex(), shard_text(branch)));
    const std::optional<RootBlockHeader> before_it = root_.header(header.hash_prev_root_block);
    if (!before_it || !root_.descends(root.hash_prev_block, before_it->height, header.hash_prev_root_block))
      refuse(root, fmt::format("minor block {} of {} is on another root chain", minor.hex(), shard_text(branch)));
    confirmed[branch] = minor;
  }
  for (const auto& [branch, minor] : confirmed) batch.put(keys::confirmed(branch, hash), keys::hash(minor));
}

void EmbeddedLedger::switch_root(const RootBlock& block, const Hash256& hash) {
  if (root_.switch_to(block, hash)) {
    ++counters_.root_switches;
    log("root chain", LogLevel::info,
        fmt::format("the root chain ends at {} at height {} now", hash.hex(), block.header.height));
  }
  for (auto& [id, of] : shards_)
    if (of.chain.exists()) of.chain.choose_tip();
}

/// All that are due at the same time: each waits for the master.
awaitable<void> EmbeddedLedger::create_due_shards(RootBlockHeader root, Hash256 hash) {
  std::vector<awaitable<void>> due;
  for (auto& [id, of] : shards_) { // the set of ours never changes
    const std::uint32_t begin = of.config.genesis.root_height;
    if (begin == root.height) {
      due.push_back(create_genesis(of, root, hash));
    } else if (!of.chain.exists() && begin < root.height) {
      // Not created when its root block came, or the store was lost: its genesis follows from the root chain.
      const std::optional<Hash256> at = root_.at(begin);
      const auto below = at ? root_.header(*at) : std::nullopt;
      if (!below)
        throw std::runtime_error(
            fmt::format("the root block at height {}, where {} begins, is not known", begin, shard_text(id)));
      due.push_back(create_genesis(of, *below, *at));
    }
  }
  co_await all_at_once(std::move(due));
}

/// For shards that began before this root block, an empty list each; the master learns of the block last.
awaitable<void> EmbeddedLedger::create_genesis(Shard& of, RootBlockHeader root, Hash256 hash) {
  const std::uint32_t branch = of.chain.branch();
  const MinorBlock block = genesis_minor_block(options_.config, of.config, root);
  const Hash256 minor = hash_of(block.header);
  StoreBatch written;
  of.chain.put_genesis(block, minor, hash, written);
  store_->write(written);

  const std::shared_ptr<BackendHost> host = this->host();
  std::vector<AddXshardTxListRequest> lists = lists_.of_genesis(branch, minor, root.height);
  for (AddXshardTxListRequest& list : lists) {
    if (shards_.contains(list.branch.value)) {
      StoreBatch own;
      XshardLists::put(list, own);
      store_->write(own);
    }
    co_await host->add_xshard_tx_list(std::move(list));
  }
  AddMinorBlockHeaderRequest report;
  report.minor_block_header = block.header;
  report.coinbase_amount_map = block.header.coinbase_amount_map;
  report.shard_stats.branch.value = branch;
  report.shard_stats.height = block.header.height;
  report.shard_stats.difficulty = block.header.difficulty;
  report.shard_stats.coinbase_address = block.header.coinbase_address;
  report.shard_stats.timestamp = block.header.create_time;
  artificial_ = co_await host->add_minor_block_header(std::move(report));

  StoreBatch batch;
  of.commit(block, minor, batch);
  const bool first = !of.chain.exists();
  if (first) of.chain.set_tip(block.header, minor, batch);
  store_->write(batch);
  of.chain.begin();
  if (first) log(LogLevel::info, fmt::format("shard {} begins with {}", shard_text(branch), minor.hex()));
  of.chain.choose_tip();
}

// A new block.

void EmbeddedLedger::check_block(const Shard& of, const MinorBlock& block) const {
  of.chain.check(block, now());
  try {
    for (const TypedTransaction& transaction : block.tx_list)
      (void)InspectedTransaction::of(transaction, options_.config, of.chain.branch());
  } catch (const Refused& refused) {
    refuse(block.header, refused.what());
  }
}

std::vector<AddXshardTxListRequest> EmbeddedLedger::write(const Shard& of, const MinorBlock& block,
                                                          const Hash256& hash) {
  std::vector<AddXshardTxListRequest> lists = lists_.of(block, hash);
  StoreBatch batch;
  of.chain.put(block, hash, batch);
  for (const AddXshardTxListRequest& list : lists)
    if (shards_.contains(list.branch.value)) XshardLists::put(list, batch);
  store_->write(batch);
  return lists;
}

awaitable<bool> EmbeddedLedger::extend(Shard& of, MinorBlock block) {
  const Hash256 hash = hash_of(block.header);
  if (of.chain.is_committed(block.header, hash)) co_return hash == of.chain.tip_hash();
  if (block.header.hash_prev_minor_block != of.chain.tip_hash()) {
    ++of.stale;
    ++counters_.minor_blocks_stale;
    co_return false;
  }
  check_block(of, block);
  const std::vector<AddXshardTxListRequest> lists = write(of, block, hash);

  const std::shared_ptr<BackendHost> host = this->host();
  try {
    for (const AddXshardTxListRequest& list : lists) co_await host->add_xshard_tx_list(list);
    AddMinorBlockHeaderRequest report;
    report.minor_block_header = block.header;
    report.tx_count = static_cast<std::uint32_t>(block.tx_list.size());
    for (const AddXshardTxListRequest& list : lists)
      report.x_shard_tx_count += static_cast<std::uint32_t>(list.tx_list.tx_list.size());
    report.coinbase_amount_map = block.header.coinbase_amount_map;
    report.shard_stats = of.stats(now());
    report.shard_stats.height = block.header.height;
    artificial_ = co_await host->add_minor_block_header(std::move(report));
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed,
                  fmt::format("minor block {} is not added: {}", hash.hex(), trunkline::text_of(failure)));
  }

  StoreBatch batch;
  of.commit(block, hash, batch);
  of.chain.set_tip(block.header, hash, batch);
  store_->write(batch);
  of.queue.remove(block);
  of.recent.emplace_back(now(), static_cast<std::uint32_t>(block.tx_list.size()));
  ++counters_.minor_blocks;
  co_return true;
}

awaitable<bool> EmbeddedLedger::take_block(std::uint32_t branch, MinorBlock block) {
  Shard& of = shard(branch);
  const Mutex::Lock lock = co_await changing_.lock();
  co_return co_await extend(of, std::move(block));
}

/// In their order, with one batch of lists for all of them and one report.
awaitable<SyncMinorBlockListResponse> EmbeddedLedger::take_blocks(std::uint32_t branch,
                                                                  std::vector<MinorBlock> blocks) {
  Shard& of = shard(branch);
  const Mutex::Lock lock = co_await changing_.lock();
  std::vector<AddXshardTxListRequest> lists;
  AddMinorBlockHeaderListRequest reports;
  SyncMinorBlockListResponse synced;
  for (const MinorBlock& block : blocks) {
    const Hash256 hash = hash_of(block.header);
    synced.block_coinbase_map[hash] = block.header.coinbase_amount_map;
    reports.minor_block_header_list.push_back(block.header);
    reports.coinbase_amount_map_list.push_back(block.header.coinbase_amount_map);
    if (of.chain.is_committed(block.header, hash)) continue;
    if (block.header.branch.value != branch)
      throw Refused(Refusal::invalid,
                    fmt::format("minor block {} is of another branch than {}", hash.hex(), shard_text(branch)));
    check_block(of, block);
    std::vector<AddXshardTxListRequest> of_block = write(of, block, hash);
    lists.insert(lists.end(), std::make_move_iterator(of_block.begin()), std::make_move_iterator(of_block.end()));
  }
  const std::shared_ptr<BackendHost> host = this->host();
  try {
    co_await host->batch_add_xshard_tx_list(std::move(lists));
    co_await host->add_minor_block_header_list(std::move(reports));
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed, trunkline::text_of(failure));
  }
  for (const MinorBlock& block : blocks) {
    const Hash256 hash = hash_of(block.header);
    if (of.chain.is_committed(block.header, hash)) continue;
    StoreBatch batch;
    of.commit(block, hash, batch);
    store_->write(batch);
    of.queue.remove(block);
    ++counters_.minor_blocks;
  }
  of.chain.choose_tip();
  synced.shard_stats = of.stats(now());
  co_return synced;
}

// Blocks from elsewhere: what the master hands over, what peers announce, and what is fetched from them.

awaitable<AddMinorBlockResponse> EmbeddedLedger::on(AddMinorBlockRequest request) {
  MinorBlock block;
  DecodeError error;
  if (!decode(bytes_of(request.minor_block_data), block, error)) throw Refused(Refusal::bad_message, error.text());
  const std::uint32_t branch = block.header.branch.value;
  const bool added = co_await take_block(branch, std::move(block));
  if (added) co_await announce(shard(branch), 0);
  AddMinorBlockResponse reply;
  co_return reply;
}

awaitable<void> EmbeddedLedger::on(PeerShard from, NewBlockMinorCommand command) {
  const bool known = store_->has(keys::minor_block(from.branch, hash_of(command.block.header)));
  if (known) co_return;
  MinorBlock block = command.block;
  bool added = false;
  try {
    added = co_await take_block(from.branch, std::move(block));
  } catch (const Refused& refused) {
    if (refused.code() != static_cast<std::uint32_t>(Refusal::failed)) throw; // its fault: its circuit is closed
    log("refused", LogLevel::warning, refused.what());
  }
  if (!added) co_return;
  for (const PeerShard& peer : host()->peers_of(from.branch)) {
    if (peer.cluster_peer_id == from.cluster_peer_id) continue;
    co_await sent(host()->tell(peer, command));
    co_await throw_if_cancelled();
  }
}

awaitable<void> EmbeddedLedger::announce(const Shard& of, std::uint64_t except) {
  if (!announcements_) announcements_ = std::make_unique<Tasks>(co_await asio::this_coro::executor);
  const std::shared_ptr<BackendHost> host = this->host();
  NewMinorBlockHeaderListCommand tip;
  tip.root_block_header = root_.tip();
  tip.minor_block_header_list.push_back(of.chain.tip());
  for (const PeerShard& peer : host->peers_of(of.chain.branch()))
    if (peer.cluster_peer_id != except && announcements_->running() < announcements_max)
      announcements_->spawn(tell_one(host_, peer, tip));
}

/// Each batch is in the chain before the next one is asked for.
awaitable<SyncMinorBlockListResponse> EmbeddedLedger::fetch(PeerShard from, std::vector<Hash256> hashes,
                                                            std::size_t batch) {
  SyncMinorBlockListResponse synced;
  for (std::size_t at = 0; at < hashes.size(); at += batch) {
    const auto begin = hashes.begin() + static_cast<std::ptrdiff_t>(at);
    std::vector<Hash256> some(begin, begin + static_cast<std::ptrdiff_t>(std::min(batch, hashes.size() - at)));
    std::vector<MinorBlock> blocks = co_await PeerBlocks(host(), from).blocks(std::move(some));
    SyncMinorBlockListResponse taken = co_await take_blocks(from.branch, std::move(blocks));
    synced.block_coinbase_map.merge(taken.block_coinbase_map);
    synced.shard_stats = std::move(taken.shard_stats);
  }
  co_return synced;
}

awaitable<SyncMinorBlockListResponse> EmbeddedLedger::on(SyncMinorBlockListRequest request) {
  const PeerShard from{request.branch.value, request.cluster_peer_id};
  (void)shard(from.branch);
  const std::vector<PeerShard> peers = host()->peers_of(from.branch);
  if (std::ranges::find(peers, from) == peers.end())
    throw Refused(Refusal::bad_message,
                  fmt::format("there is no peer {} on {}", from.cluster_peer_id, shard_text(from.branch)));
  try {
    co_return co_await fetch(from, std::move(request.minor_block_hash_list), blocks_per_sync_request);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed, trunkline::text_of(failure));
  }
}

awaitable<void> EmbeddedLedger::on(PeerShard from, NewMinorBlockHeaderListCommand command) {
  MinorBlockHeader tip = std::move(command.minor_block_header_list.at(0));
  Shard& of = shard(from.branch);
  // One whose root block is not known is told again, when it is.
  if (of.syncing || tip.height <= of.chain.tip().height || !root_.has(hash_of(command.root_block_header))) co_return;
  if (!root_.has(tip.hash_prev_root_block)) co_return;
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
    log("refused", LogLevel::warning, refused.what());
  }
}

/// Back from a peer's tip to a block that is known here, then forward.
awaitable<void> EmbeddedLedger::follow(PeerShard from, MinorBlockHeader tip) {
  Shard& of = shard(from.branch);
  std::function<bool(const Hash256&)> knows = [&of](const Hash256& hash) { return of.chain.has(hash); };
  std::vector<Hash256> missing = co_await PeerBlocks(host(), from).missing_up_to(std::move(tip), std::move(knows));
  (void)co_await fetch(from, std::move(missing), blocks_per_request);
  co_await announce(of, from.cluster_peer_id);
}

awaitable<AddXshardTxListResponse> EmbeddedLedger::on(AddXshardTxListRequest request) {
  const std::uint32_t branch = request.branch.value;
  const std::size_t deposits = request.tx_list.tx_list.size();
  if (!shards_.contains(branch))
    throw Refused(Refusal::not_found, fmt::format("branch {} is not run here", shard_text(branch)));
  if (deposits > options_.xshard_deposits_max)
    throw Refused(Refusal::failed, fmt::format("a list of {} deposits, xshard_deposits_max is {}", deposits,
                                               options_.xshard_deposits_max));
  if (lists_.keep(request)) ++counters_.xshard_lists;
  AddXshardTxListResponse reply;
  co_return reply;
}

// Mining and transactions.

awaitable<GetEcoInfoListResponse> EmbeddedLedger::on(GetEcoInfoListRequest) {
  GetEcoInfoListResponse reply;
  for (const std::uint32_t id : shards()) reply.eco_info_list.push_back(shards_.at(id).mining.eco_info(now()));
  co_return reply;
}

awaitable<GetNextBlockToMineResponse> EmbeddedLedger::on(GetNextBlockToMineRequest request) {
  artificial_ = request.artificial_tx_config;
  GetNextBlockToMineResponse reply;
  reply.block = shard(request.branch.value).mining.next_block(request.address, now());
  co_return reply;
}

/// There are no miners here: whoever mines asks for work.
awaitable<MineResponse> EmbeddedLedger::on(MineRequest request) {
  artificial_ = request.artificial_tx_config;
  if (request.mining) log(LogLevel::info, "told to mine; this backend gives out work and does not mine itself");
  MineResponse reply;
  co_return reply;
}

awaitable<GetWorkResponse> EmbeddedLedger::on(GetWorkRequest request) {
  co_return shard(request.branch.value).mining.give_out(request.coinbase_addr, now());
}

awaitable<SubmitWorkResponse> EmbeddedLedger::on(SubmitWorkRequest request) {
  Shard& of = shard(request.branch.value);
  SubmitWorkResponse reply;
  std::optional<MinorBlock> block = of.mining.take_back(request);
  if (!block) co_return reply;
  reply.success = co_await take_block(request.branch.value, std::move(*block));
  if (reply.success) co_await announce(of, 0);
  co_return reply;
}

bool EmbeddedLedger::enqueue(const TypedTransaction& transaction) {
  std::uint32_t key = 0;
  try {
    key = EvmTransaction::from(transaction).from_full_shard_key;
  } catch (const TransactionFailure& failure) {
    throw Refused(Refusal::failed, failure.what());
  }
  const auto id = options_.config.full_shard_id_of_key(key);
  if (!id) throw Refused(Refusal::failed, fmt::format("the sender's key {} is of no chain", shard_text(key)));
  const auto found = shards_.find(*id);
  if (found == shards_.end() || !found->second.chain.exists())
    throw Refused(Refusal::failed, fmt::format("{} is not run here", shard_text(*id)));
  Shard& of = found->second;
  const Hash256 hash = hash_of(transaction);
  if (of.queue.has(hash)) return false;
  const std::uint32_t max = options_.config.transaction_queue_size_limit_per_shard;
  if (of.queue.size() >= max)
    throw Refused(Refusal::failed,
                  fmt::format("{} transactions wait for {}, TRANSACTION_QUEUE_SIZE_LIMIT_PER_SHARD is {}",
                              of.queue.size(), shard_text(*id), max));
  InspectedTransaction inspected = InspectedTransaction::of(transaction, options_.config, *id);
  if (inspected.inside.nonce < BigUint(of.index.count(inspected.sender, of.chain.tip().height)))
    throw Refused(Refusal::failed, fmt::format("nonce {} was used before", inspected.inside.nonce.to_decimal()));
  of.queue.push(hash, std::move(inspected));
  ++counters_.transactions;
  return true;
}

awaitable<AddTransactionResponse> EmbeddedLedger::on(AddTransactionRequest request) {
  try {
    (void)enqueue(request.tx);
  } catch (const Refused&) {
    ++counters_.transactions_refused;
    throw;
  }
  AddTransactionResponse reply;
  co_return reply;
}

/// Valid ones are kept and passed on; the rest is dropped.
awaitable<void> EmbeddedLedger::on(PeerShard from, NewTransactionListCommand command) {
  NewTransactionListCommand fresh;
  for (TypedTransaction& transaction : command.transaction_list) {
    try {
      if (enqueue(transaction)) fresh.transaction_list.push_back(std::move(transaction));
    } catch (const Refused&) {
      ++counters_.transactions_refused;
    }
  }
  if (fresh.transaction_list.empty()) co_return;
  for (const PeerShard& peer : host()->peers_of(from.branch)) {
    if (peer.cluster_peer_id == from.cluster_peer_id) continue;
    co_await sent(host()->tell(peer, fresh));
    co_await throw_if_cancelled();
  }
}

// Reads.

awaitable<GetTransactionResponse> EmbeddedLedger::on(GetTransactionRequest request) {
  std::optional<GetTransactionResponse> found = shard(request.branch.value).index.find(request.tx_hash);
  if (!found) throw NotFound(fmt::format("transaction {} is not held", request.tx_hash.hex()));
  co_return std::move(*found);
}

awaitable<GetTransactionListByAddressResponse> EmbeddedLedger::on(GetTransactionListByAddressRequest request) {
  const Shard& of = shard_of(request.address);
  GetTransactionListByAddressResponse reply;
  if (!options_.transaction_history) co_return reply;
  TransactionIndex::Page page = of.index.of_address(request);
  reply.tx_list = std::move(page.details);
  reply.next = std::move(page.next);
  co_return reply;
}

awaitable<GetAllTransactionsResponse> EmbeddedLedger::on(GetAllTransactionsRequest request) {
  const Shard& of = shard(request.branch.value);
  GetAllTransactionsResponse reply;
  if (!options_.transaction_history) co_return reply;
  TransactionIndex::Page page = of.index.all(request.start, request.limit);
  reply.tx_list = std::move(page.details);
  reply.next = std::move(page.next);
  co_return reply;
}

awaitable<GetUnconfirmedHeadersResponse> EmbeddedLedger::on(GetUnconfirmedHeadersRequest) {
  GetUnconfirmedHeadersResponse reply;
  for (const std::uint32_t id : shards()) {
    const Shard& of = shards_.at(id);
    HeadersInfo& info = reply.headers_info_list.emplace_back();
    info.branch.value = id;
    info.header_list = of.chain.unconfirmed(options_.config.minor_headers_max(of.config));
  }
  co_return reply;
}

awaitable<GetAccountDataResponse> EmbeddedLedger::on(GetAccountDataRequest request) {
  const Address& address = request.address;
  GetAccountDataResponse reply;
  for (const std::uint32_t id : shards()) {
    const Shard& of = shards_.at(id);
    const MinorBlockHeader& tip = of.chain.tip();
    if (contains_key(id, address.full_shard_key)) require_height(request.block_height, tip);
    AccountBranchData& data = reply.account_branch_data_list.emplace_back();
    data.branch.value = id;
    const std::uint64_t height = std::min(request.block_height.value_or(tip.height), tip.height);
    data.transaction_count = Uint256(of.index.count(address.recipient, height));
    if (const GenesisAccounts::Account* const held = of.accounts.find(address.recipient)) {
      data.token_balances.balance_map = held->balances;
      data.is_contract = !held->code.empty();
    }
  }
  co_return reply;
}

/// By its hash, else by its height on the best chain.
awaitable<GetMinorBlockResponse> EmbeddedLedger::on(GetMinorBlockRequest request) {
  const MinorChain& chain = shard(request.branch.value).chain;
  std::optional<Hash256> hash = request.minor_block_hash;
  if (hash->is_zero()) hash = chain.at(request.height);
  std::optional<MinorBlock> block = hash ? chain.block(*hash) : std::nullopt;
  if (!block) throw NotFound("the minor block is not held");
  GetMinorBlockResponse reply;
  reply.minor_block = std::move(*block);
  co_return reply;
}

awaitable<GetStorageResponse> EmbeddedLedger::on(GetStorageRequest request) {
  const Shard& of = shard_of(request.address);
  require_height(request.block_height, of.chain.tip());
  GetStorageResponse reply;
  if (const GenesisAccounts::Account* const held = of.accounts.find(request.address.recipient)) {
    const auto found = held->storage.find(request.key);
    if (found != held->storage.end()) reply.result = *Hash256::from_bytes(found->second.bytes());
  }
  co_return reply;
}

awaitable<GetCodeResponse> EmbeddedLedger::on(GetCodeRequest request) {
  const Shard& of = shard_of(request.address);
  require_height(request.block_height, of.chain.tip());
  GetCodeResponse reply;
  if (const GenesisAccounts::Account* const held = of.accounts.find(request.address.recipient))
    reply.result = held->code;
  co_return reply;
}

/// The least that is taken: nobody has paid anything here.
awaitable<GasPriceResponse> EmbeddedLedger::on(GasPriceRequest request) {
  (void)shard(request.branch.value);
  GasPriceResponse reply;
  reply.result = options_.config.min_tx_pool_gas_price.to_u64().value_or(0);
  co_return reply;
}

awaitable<CheckMinorBlockResponse> EmbeddedLedger::on(CheckMinorBlockRequest request) {
  const MinorBlockHeader& header = request.minor_block_header;
  const Shard& of = shard(header.branch.value);
  const Hash256 hash = hash_of(header);
  const std::optional<MinorBlock> block = of.chain.block(hash);
  if (!block) throw Refused(Refusal::bad_message, fmt::format("minor block {} is not held", hash.hex()));
  CheckMinorBlockResponse reply;
  if (header.height == of.config.genesis.height) co_return reply;
  if (header.hash_meta != hash_of(block->meta) || block->meta.hash_merkle_root != merkle_root(block->tx_list) ||
      !of.chain.has(header.hash_prev_minor_block))
    throw Refused(Refusal::bad_message, fmt::format("minor block {} does not fit together", hash.hex()));
  co_return reply;
}

awaitable<GetTotalBalanceResponse> EmbeddedLedger::on(GetTotalBalanceRequest request) {
  const Shard& of = shard(request.branch.value);
  if (!of.chain.has(request.minor_block_hash))
    throw Refused(Refusal::failed, fmt::format("minor block {} is not held", request.minor_block_hash.hex()));
  co_return of.accounts.total(request);
}

awaitable<GetMinorBlockListResponse> EmbeddedLedger::on(PeerShard from, GetMinorBlockListRequest request) {
  const Shard& of = shard(from.branch);
  GetMinorBlockListResponse reply;
  for (const Hash256& hash : request.minor_block_hash_list)
    if (std::optional<MinorBlock> block = of.chain.block(hash)) reply.minor_block_list.push_back(std::move(*block));
  co_return reply;
}

awaitable<GetMinorBlockHeaderListResponse> EmbeddedLedger::on(PeerShard from,
                                                              GetMinorBlockHeaderListWithSkipRequest request) {
  const Shard& of = shard(from.branch);
  GetMinorBlockHeaderListResponse reply;
  reply.root_tip = root_.tip();
  reply.shard_tip = of.chain.tip();
  reply.block_header_list = of.chain.headers(request);
  co_return reply;
}

} // namespace

LedgerOptions LedgerOptions::of(const ClusterConfig& config, std::string_view slave_id) {
  LedgerOptions options;
  options.config = config.quarkchain;
  options.full_shard_ids = config.slave(slave_id).full_shard_id_list;
  options.transaction_history = config.enable_transaction_history;
  return options;
}

std::shared_ptr<Ledger> make_ledger(LedgerOptions options, std::unique_ptr<Store> store) {
  return std::make_shared<EmbeddedLedger>(std::move(options), std::move(store));
}

} // namespace trunkline::quarkchain
