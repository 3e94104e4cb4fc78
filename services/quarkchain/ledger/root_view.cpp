#include "services/quarkchain/ledger/root_view.hpp"

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/keys.hpp"
#include "services/quarkchain/rpc/refusal.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {

void refuse(const RootBlockHeader& header, const std::string& why) {
  throw Refused(Refusal::bad_message,
                fmt::format("root block {} at height {}: {}", hash_of(header).hex(), header.height, why));
}

RootView::RootView(Store& store, const RootBlock& genesis) : store_(store) {
  const Hash256 genesis_hash = hash_of(genesis.header);
  const std::optional<std::string> kept = store_.get(keys::genesis);
  if (kept && keys::to_hash(*kept) != genesis_hash)
    throw ConfigFailure(
        fmt::format("ledger: the store is of root genesis {}, expected {}", to_hex(*kept), genesis_hash.hex()));
  if (!kept) {
    StoreBatch batch;
    batch.put(keys::genesis, keys::hash(genesis_hash));
    put(genesis, genesis_hash, batch);
    batch.put(keys::root_at(genesis.header.height), keys::hash(genesis_hash));
    batch.put(keys::root_tip, keys::hash(genesis_hash));
    store_.write(batch);
    tip_ = genesis.header;
    tip_hash_ = genesis_hash;
    return;
  }
  tip_hash_ = keys::to_hash(store_.get(keys::root_tip).value_or(std::string()));
  const std::optional<RootBlockHeader> tip = header(tip_hash_);
  if (!tip) throw StoreFailure("the store has no root tip");
  tip_ = *tip;
}

bool RootView::has(const Hash256& hash) const { return store_.has(keys::root_block(hash)); }

std::optional<RootBlockHeader> RootView::header(const Hash256& hash) const {
  const std::optional<std::string> kept = store_.get(keys::root_block(hash));
  if (!kept) return std::nullopt;
  return decoded<RootBlockHeader>(bytes_of(*kept)); // the header comes first
}

std::optional<Hash256> RootView::at(std::uint32_t height) const {
  const std::optional<std::string> hash = store_.get(keys::root_at(height));
  if (!hash) return std::nullopt;
  return keys::to_hash(*hash);
}

bool RootView::is_best(const RootBlockHeader& header, const Hash256& hash) const {
  return header.height <= tip_.height && at(header.height) == hash;
}

bool RootView::descends(Hash256 from, std::uint32_t height, const Hash256& below) const {
  for (std::optional<RootBlockHeader> header = this->header(from); header && header->height >= height;
       header = this->header(from)) {
    if (is_best(*header, from)) return at(height) == below;
    if (header->height == height) return from == below;
    from = header->hash_prev_block;
  }
  return false;
}

void RootView::check(const RootBlock& block) const {
  const RootBlockHeader& header = block.header;
  const std::optional<RootBlockHeader> parent = this->header(header.hash_prev_block);
  if (!parent) refuse(header, fmt::format("its parent {} is not known", header.hash_prev_block.hex()));
  if (header.height != parent->height + 1) refuse(header, fmt::format("expected height {}", parent->height + 1));
  if (!(header.total_difficulty > parent->total_difficulty))
    refuse(header, fmt::format("total difficulty {} is not above its parent's {}", header.total_difficulty.to_decimal(),
                               parent->total_difficulty.to_decimal()));
  if (header.hash_merkle_root != merkle_root(block.minor_block_header_list))
    refuse(header, "its merkle root is not that of its minor headers");
}

void RootView::put(const RootBlock& block, const Hash256& hash, StoreBatch& batch) {
  batch.put(keys::root_block(hash), keys::value(block));
}

bool RootView::switch_to(const RootBlock& block, const Hash256& hash) {
  StoreBatch batch;
  for (std::uint32_t height = tip_.height; height > block.header.height; --height) batch.erase(keys::root_at(height));
  batch.put(keys::root_at(block.header.height), keys::hash(hash));
  Hash256 below = block.header.hash_prev_block;
  const bool leaves = below != tip_hash_;
  for (std::optional<RootBlockHeader> header = this->header(below); header; header = this->header(below)) {
    if (at(header->height) == below) break;
    batch.put(keys::root_at(header->height), keys::hash(below));
    below = header->hash_prev_block;
  }
  batch.put(keys::root_tip, keys::hash(hash));
  store_.write(batch);
  tip_ = block.header;
  tip_hash_ = hash;
  return leaves;
}

} // namespace trunkline::quarkchain
