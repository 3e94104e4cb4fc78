// Blocks from elsewhere: what the master hands over, what peers announce, and what is fetched from them.
#include "fragment/quote.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/state.hpp"
#include "services/quarkchain/chain/shard.hpp"

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

} // namespace

awaitable<bool> LedgerState::take_block(std::uint32_t branch, MinorBlock block) {
  LedgerShard& of = shard(branch);
  const Mutex::Lock lock = co_await mutex_.lock();
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
  for (const PeerShard& peer : around()->peers_of(from.branch)) {
    if (peer.cluster_peer_id == from.cluster_peer_id) continue;
    co_await sent(around()->new_block_minor(peer, relayed));
    co_await throw_if_cancelled();
  }
}

/// One who has gone meanwhile is not the fault of whoever sent it.
awaitable<void> LedgerState::sent(awaitable<void> announcement) {
  try {
    co_await std::move(announcement);
  } catch (const std::exception&) { // nobody to tell
  }
}

awaitable<void> LedgerState::announce(const LedgerShard& of, std::uint64_t except) {
  if (!announcements_) announcements_ = std::make_unique<Tasks>(co_await asio::this_coro::executor);
  const std::shared_ptr<BackendHost> surroundings = around();
  for (const PeerShard& peer : surroundings->peers_of(of.config.full_shard_id)) {
    if (peer.cluster_peer_id == except || announcements_->running() >= announcements_max) continue;
    announcements_->spawn(announce_to(shared_from_this(), peer, *root_tip_, of.tip));
  }
}

awaitable<void> LedgerState::announce_to(Pointer self, PeerShard to, RootBlockHeader root, MinorBlockHeader tip) {
  co_await sent(self->around()->new_minor_block_header(to, std::move(root), std::move(tip)));
}

// From peers.

/// Of one reply: what arrives together is bounded by the size of a command, whatever was asked for.
awaitable<std::vector<MinorBlock>> LedgerState::download(PeerShard from, std::vector<Hash256> hashes) {
  std::vector<Hash256> wanted = hashes;
  std::vector<MinorBlock> blocks = co_await around()->get_minor_block_list(from, std::move(wanted));
  if (blocks.size() != hashes.size())
    throw Refused(Refusal::invalid, fmt::format("peer {} has {} of {} blocks that were asked for", from.cluster_peer_id,
                                                blocks.size(), hashes.size()));
  for (std::size_t i = 0; i < blocks.size(); ++i)
    if (hash_of(blocks[i].header) != hashes[i])
      throw Refused(Refusal::invalid, fmt::format("peer {} sent block {}, expected {}", from.cluster_peer_id,
                                                  hash_of(blocks[i].header).hex(), hashes[i].hex()));
  co_return blocks;
}

/// Each batch is in the chain before the next one is asked for.
awaitable<SyncedBlocks> LedgerState::fetch(PeerShard from, std::vector<Hash256> hashes, std::size_t batch) {
  SyncedBlocks synced;
  for (std::size_t at = 0; at < hashes.size(); at += batch) {
    const auto begin = hashes.begin() + static_cast<std::ptrdiff_t>(at);
    std::vector<Hash256> some(begin, begin + static_cast<std::ptrdiff_t>(std::min(batch, hashes.size() - at)));
    std::vector<MinorBlock> blocks = co_await download(from, std::move(some));
    SyncedBlocks taken = co_await take_blocks(from.branch, std::move(blocks));
    synced.coinbase.merge(taken.coinbase);
    synced.stats = std::move(taken.stats);
  }
  co_return synced;
}

awaitable<SyncedBlocks> LedgerState::sync_minor_block_list(PeerShard from, std::vector<Hash256> hashes) {
  (void)shard(from.branch);
  const std::vector<PeerShard> peers = around()->peers_of(from.branch);
  if (std::ranges::find(peers, from) == peers.end())
    throw Refused(Refusal::bad_message,
                  fmt::format("there is no peer {} on {}", from.cluster_peer_id, shard_text(from.branch)));
  try {
    co_return co_await fetch(from, std::move(hashes), blocks_per_sync_request);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed, trunkline::text_of(failure));
  }
}

/// In their order, with one batch of lists for all of them and one report.
awaitable<SyncedBlocks> LedgerState::take_blocks(std::uint32_t branch, std::vector<MinorBlock> blocks) {
  LedgerShard& of = shard(branch);
  const Mutex::Lock lock = co_await mutex_.lock();
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
    if (block.header.branch.value != branch)
      throw Refused(Refusal::invalid,
                    fmt::format("minor block {} is of another branch than {}", hash.hex(), shard_text(branch)));
    check_block(of, block);
    StoreBatch written;
    written.put(keys::minor_block(branch, hash), keys::value(block));
    for (XshardList& list : lists_of(of, block, hash)) {
      if (shards_.contains(list.branch)) written.put(keys::xshard(list.branch, hash), keys::value(list.list));
      lists.push_back(std::move(list));
    }
    store_->write(written);
  }
  const std::shared_ptr<BackendHost> surroundings = around();
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
  (void)co_await fetch(from, std::move(missing), blocks_per_request);
  co_await announce(shard(from.branch), from.cluster_peer_id);
}

} // namespace trunkline::quarkchain
