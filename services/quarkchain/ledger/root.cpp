// The root chain as a slave keeps it, and the shards that begin with it.
#include "fragment/quote.hpp"
#include "async/all_at_once.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/state.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

[[noreturn]] void refuse(const RootBlockHeader& header, const std::string& why) {
  throw Refused(Refusal::bad_message,
                fmt::format("root block {} at height {}: {}", hash_of(header).hex(), header.height, why));
}

} // namespace

std::optional<RootBlock> LedgerState::root_block(const Hash256& hash) const {
  const std::optional<std::string> kept = store_->get(keys::root_block(hash));
  if (!kept) return std::nullopt;
  return decoded<RootBlock>(bytes_of(*kept));
}

std::optional<RootBlockHeader> LedgerState::root_header(const Hash256& hash) const {
  const std::optional<std::string> kept = store_->get(keys::root_block(hash));
  if (!kept) return std::nullopt;
  return decoded<RootBlockHeader>(bytes_of(*kept)); // the header comes first
}

bool LedgerState::on_root_chain(const RootBlockHeader& header, const Hash256& hash) const {
  if (!root_tip_ || header.height > root_tip_->height) return false;
  return store_->get(keys::root_at(header.height)) == keys::hash(hash);
}

bool LedgerState::descends(Hash256 from, std::uint32_t height, const Hash256& below) const {
  for (std::optional<RootBlockHeader> header = root_header(from); header && header->height >= height;
       header = root_header(from)) {
    if (on_root_chain(*header, from)) return store_->get(keys::root_at(height)) == keys::hash(below);
    if (header->height == height) return from == below;
    from = header->hash_prev_block;
  }
  return false;
}

void LedgerState::take_genesis(const RootBlock& block) {
  const Hash256 hash = hash_of(block.header);
  StoreBatch batch;
  batch.put(keys::genesis, keys::hash(hash));
  batch.put(keys::root_block(hash), keys::value(block));
  batch.put(keys::root_at(block.header.height), keys::hash(hash));
  batch.put(keys::root_tip, keys::hash(hash));
  store_->write(batch);
  root_tip_ = block.header;
  root_tip_hash_ = hash;
}

awaitable<void> LedgerState::create_shards(RootBlock root_tip) {
  const Mutex::Lock lock = co_await mutex_.lock();
  const Hash256 hash = hash_of(root_tip.header);
  if (!store_->has(keys::root_block(hash))) {
    // A slave that has been away for one block may still catch up; the genesis must be the configured one.
    if (!store_->has(keys::root_block(root_tip.header.hash_prev_block)))
      throw std::runtime_error(
          fmt::format("the master's root tip {} at height {} is not known here, whose tip is {} at {}", hash.hex(),
                      root_tip.header.height, root_tip_hash_.hex(), root_tip_->height));
    keep_root_block(root_tip, hash);
  }
  if (hash != root_tip_hash_) switch_root(root_tip, hash);
  co_await create_due_shards(root_tip.header, hash);
}

awaitable<bool> LedgerState::add_root_block(RootBlock block) {
  const Mutex::Lock lock = co_await mutex_.lock();
  const Hash256 hash = hash_of(block.header);
  if (!store_->has(keys::root_block(hash))) {
    keep_root_block(block, hash);
    ++counters_.root_blocks;
  }
  const bool heavier = block.header.total_difficulty > root_tip_->total_difficulty;
  if (heavier) switch_root(block, hash);
  try {
    co_await create_due_shards(block.header, hash);
  } catch (const boost::system::system_error& failure) {
    refuse(block.header, "a shard that is due cannot be reported: " + trunkline::text_of(failure));
  }
  co_return heavier;
}

void LedgerState::keep_root_block(const RootBlock& block, const Hash256& hash) {
  const RootBlockHeader& header = block.header;
  const std::optional<RootBlockHeader> parent = root_header(header.hash_prev_block);
  if (!parent) refuse(header, fmt::format("its parent {} is not known", header.hash_prev_block.hex()));
  if (header.height != parent->height + 1) refuse(header, fmt::format("expected height {}", parent->height + 1));
  if (!(header.total_difficulty > parent->total_difficulty))
    refuse(header, fmt::format("total difficulty {} is not above its parent's {}", header.total_difficulty.to_decimal(),
                               parent->total_difficulty.to_decimal()));
  if (header.hash_merkle_root != merkle_root(block.minor_block_header_list))
    refuse(header, "its merkle root is not that of its minor headers");
  StoreBatch batch;
  batch.put(keys::root_block(hash), keys::value(block));
  check_minor_headers(block, hash, batch);
  store_->write(batch);
}

/// Those of our shards must continue what is confirmed; for those of others we must have their cross-shard lists.
void LedgerState::check_minor_headers(const RootBlock& block, const Hash256& hash, StoreBatch& batch) {
  const RootBlockHeader& root = block.header;
  std::map<std::uint32_t, Hash256> confirmed;
  for (const auto& [id, of] : shards_) {
    const auto kept = store_->get(keys::confirmed(id, root.hash_prev_block));
    if (kept) confirmed[id] = keys::to_hash(*kept);
  }
  for (const MinorBlockHeader& header : block.minor_block_header_list) {
    const Hash256 minor = hash_of(header);
    const std::uint32_t branch = header.branch.value;
    const auto ours = shards_.find(branch);
    if (ours == shards_.end() || !ours->second.exists) {
      for (auto& [id, of] : shards_)
        if (of.exists) require_list(of, header, minor);
      continue;
    }
    const std::optional<MinorBlock> known = minor_block(branch, minor);
    if (!known)
      refuse(root, fmt::format("minor block {} at height {} of {} is not known", minor.hex(), header.height,
                               shard_text(branch)));
    if (!is_committed(branch, header.height, minor)) { // reported, and we ended before it was committed
      StoreBatch late;
      commit(ours->second, *known, minor, late);
      store_->write(late);
    }
    const auto before = confirmed.find(branch);
    const bool first = before == confirmed.end();
    if (first ? header.height != ours->second.config.genesis.height : header.hash_prev_minor_block != before->second)
      refuse(root,
             fmt::format("minor block {} of {} does not continue what is confirmed", minor.hex(), shard_text(branch)));
    const std::optional<RootBlockHeader> before_it = root_header(header.hash_prev_root_block);
    if (!before_it || !descends(root.hash_prev_block, before_it->height, header.hash_prev_root_block))
      refuse(root, fmt::format("minor block {} of {} is on another root chain", minor.hex(), shard_text(branch)));
    confirmed[branch] = minor;
  }
  for (const auto& [branch, minor] : confirmed) batch.put(keys::confirmed(branch, hash), keys::hash(minor));
}

/// Blocks whose previous root block came after our shard's beginning have a list for it, be it empty.
void LedgerState::require_list(LedgerShard& of, const MinorBlockHeader& header, const Hash256& hash) const {
  const std::optional<RootBlockHeader> before = root_header(header.hash_prev_root_block);
  if (!before || before->height <= of.config.genesis.root_height) return;
  const std::size_t initialized = options_.config.shards_initialized_before(before->height).size();
  const std::uint32_t own = of.config.full_shard_id;
  if (!are_neighbours(header.branch.value, own, initialized)) return;
  if (!store_->has(keys::xshard(own, hash)))
    throw Refused(Refusal::bad_message,
                  fmt::format("there is no cross-shard list for {} of minor block {} at height {} of {}",
                              shard_text(own), hash.hex(), header.height, shard_text(header.branch.value)));
}

void LedgerState::switch_root(const RootBlock& block, const Hash256& hash) {
  StoreBatch batch;
  for (std::uint32_t height = root_tip_->height; height > block.header.height; --height)
    batch.erase(keys::root_at(height));
  batch.put(keys::root_at(block.header.height), keys::hash(hash));
  bool forked = block.header.hash_prev_block != root_tip_hash_;
  Hash256 at = block.header.hash_prev_block;
  for (std::optional<RootBlockHeader> header = root_header(at); header; header = root_header(at)) {
    if (store_->get(keys::root_at(header->height)) == keys::hash(at)) break;
    batch.put(keys::root_at(header->height), keys::hash(at));
    at = header->hash_prev_block;
  }
  batch.put(keys::root_tip, keys::hash(hash));
  store_->write(batch);
  root_tip_ = block.header;
  root_tip_hash_ = hash;
  if (forked) {
    ++counters_.root_switches;
    log(LogLevel::info, fmt::format("the root chain ends at {} at height {} now", hash.hex(), block.header.height));
  }
  for (auto& [id, of] : shards_)
    if (of.exists) choose_tip(of, block.header, hash);
}

/// All that are due at the same time: each waits for the master.
awaitable<void> LedgerState::create_due_shards(RootBlockHeader root, Hash256 hash) {
  std::vector<awaitable<void>> due;
  for (auto& [id, of] : shards_) { // the set of ours never changes
    if (of.config.genesis.root_height == root.height) {
      due.push_back(create_genesis(of, root, hash));
    } else if (!of.exists && of.config.genesis.root_height < root.height) {
      // Not created when its root block came, or the store was lost: its genesis follows from the root chain.
      const auto at = store_->get(keys::root_at(of.config.genesis.root_height));
      const auto below = at ? root_header(keys::to_hash(*at)) : std::nullopt;
      if (!below)
        throw std::runtime_error(fmt::format("the root block at height {}, where {} begins, is not known",
                                             of.config.genesis.root_height, shard_text(id)));
      due.push_back(create_genesis(of, *below, keys::to_hash(*at)));
    }
  }
  co_await all_at_once(std::move(due));
}

awaitable<void> LedgerState::create_genesis(LedgerShard& of, RootBlockHeader root, Hash256 hash) {
  const std::uint32_t branch = of.config.full_shard_id;
  const MinorBlock block = genesis_minor_block(options_.config, of.config, root);
  const Hash256 minor = hash_of(block.header);
  StoreBatch written;
  written.put(keys::minor_block(branch, minor), keys::value(block));
  written.put(keys::genesis_of(branch, hash), keys::hash(minor));
  store_->write(written);

  // For shards that began before this root block, an empty list each; the master learns of the block last.
  const std::vector<std::uint32_t> initialized = options_.config.shards_initialized_before(root.height);
  const std::shared_ptr<BackendHost> surroundings = around();
  for (const std::uint32_t other : initialized) {
    if (other == branch || !are_neighbours(branch, other, initialized.size())) continue;
    XshardList list;
    list.branch = other;
    list.minor_block_hash = minor;
    if (shards_.contains(other)) {
      StoreBatch own;
      own.put(keys::xshard(other, minor), keys::value(list.list));
      store_->write(own);
    }
    co_await surroundings->add_xshard_tx_list(std::move(list));
  }
  MinorBlockReport report;
  report.header = block.header;
  report.coinbase_amount_map = block.header.coinbase_amount_map;
  report.shard_stats.branch.value = branch;
  report.shard_stats.height = block.header.height;
  report.shard_stats.difficulty = block.header.difficulty;
  report.shard_stats.coinbase_address = block.header.coinbase_address;
  report.shard_stats.timestamp = block.header.create_time;
  artificial_ = co_await surroundings->add_minor_block_header(std::move(report));

  StoreBatch batch;
  commit(of, block, minor, batch);
  const bool first = !of.exists;
  if (first) set_tip(of, block.header, minor, batch);
  store_->write(batch);
  of.exists = true;
  if (first) log(LogLevel::info, fmt::format("shard {} begins with {}", shard_text(branch), minor.hex()));
  choose_tip(of, *root_tip_, root_tip_hash_);
}

} // namespace trunkline::quarkchain
