#include "services/quarkchain/ledger/minor_chain.hpp"

#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/ledger/keys.hpp"
#include "services/quarkchain/rpc/refusal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint64_t seconds_ahead_max = 15; // of our clock, as in pyquarkchain

} // namespace

void refuse(const MinorBlockHeader& header, const std::string& why) {
  throw Refused(Refusal::invalid, fmt::format("minor block {} at height {} of {}: {}", hash_of(header).hex(),
                                              header.height, shard_text(header.branch.value), why));
}

MinorChain::MinorChain(Store& store, const RootView& root, const ShardConfig& config)
    : store_(store), root_(root), config_(config) {
  const std::optional<std::string> tip = store_.get(keys::tip(branch()));
  if (!tip) return;
  tip_hash_ = keys::to_hash(*tip);
  const std::optional<MinorBlockHeader> header = this->header(tip_hash_);
  if (!header) throw StoreFailure("the store has no tip of shard " + shard_text(branch()));
  tip_ = *header;
  exists_ = true;
}

bool MinorChain::has(const Hash256& hash) const { return store_.has(keys::minor_block(branch(), hash)); }

std::optional<MinorBlock> MinorChain::block(const Hash256& hash) const {
  const std::optional<std::string> kept = store_.get(keys::minor_block(branch(), hash));
  if (!kept) return std::nullopt;
  return decoded<MinorBlock>(bytes_of(*kept));
}

std::optional<MinorBlockHeader> MinorChain::header(const Hash256& hash) const {
  const std::optional<std::string> kept = store_.get(keys::minor_block(branch(), hash));
  if (!kept) return std::nullopt;
  return decoded<MinorBlockHeader>(bytes_of(*kept)); // the header comes first
}

bool MinorChain::is_committed(const MinorBlockHeader& header, const Hash256& hash) const {
  return store_.has(keys::committed(branch(), header.height, hash));
}

std::optional<Hash256> MinorChain::at(std::uint64_t height) const {
  const std::optional<std::string> hash = store_.get(keys::minor_at(branch(), height));
  if (!hash) return std::nullopt;
  return keys::to_hash(*hash);
}

std::optional<Hash256> MinorChain::confirmed_by(const Hash256& root) const {
  const std::optional<std::string> hash = store_.get(keys::confirmed(branch(), root));
  if (!hash) return std::nullopt;
  return keys::to_hash(*hash);
}

// Which block is the tip.

/// What the root chain confirms last, else the genesis of the shard on it; zero for none.
Hash256 MinorChain::base() const {
  if (const std::optional<Hash256> confirmed = confirmed_by(root_.tip_hash())) return *confirmed;
  if (root_.tip().height < config_.genesis.root_height) return Hash256();
  const std::optional<Hash256> begin = root_.at(config_.genesis.root_height);
  const auto genesis = begin ? store_.get(keys::genesis_of(branch(), *begin)) : std::nullopt;
  return genesis ? keys::to_hash(*genesis) : Hash256();
}

/// Whether a block descends from the base, and all root blocks that are named on the way are on the best root chain.
bool MinorChain::leads_to(MinorBlockHeader header, Hash256 hash, std::uint64_t base_height, const Hash256& base) const {
  while (header.height > base_height) {
    const std::optional<RootBlockHeader> root = root_.header(header.hash_prev_root_block);
    if (!root || !root_.is_best(*root, header.hash_prev_root_block)) return false;
    hash = header.hash_prev_minor_block;
    std::optional<MinorBlockHeader> parent = this->header(hash);
    if (!parent) return false;
    header = std::move(*parent);
  }
  return hash == base;
}

void MinorChain::choose_tip() {
  const Hash256 base = this->base();
  const std::optional<MinorBlockHeader> base_header = header(base);
  if (!base_header) return; // the root chain has gone back before the shard's beginning: what there is stays
  std::vector<std::pair<std::uint64_t, Hash256>> candidates; // heights ascend
  const std::string prefix = keys::committed(branch());
  store_.scan(prefix, keys::committed(branch(), base_header->height), [&](std::string_view key, std::string_view) {
    key.remove_prefix(prefix.size());
    if (key.size() == sizeof(std::uint64_t) + Hash256::size)
      candidates.emplace_back(keys::to_number<std::uint64_t>(key.substr(0, sizeof(std::uint64_t))),
                              keys::to_hash(key.substr(sizeof(std::uint64_t))));
    return true;
  });
  std::ranges::sort(candidates, [&](const auto& a, const auto& b) {
    if (a.first != b.first) return a.first > b.first;
    if ((a.second == tip_hash_) != (b.second == tip_hash_)) return a.second == tip_hash_;
    return a.second < b.second;
  });
  for (const auto& [height, candidate] : candidates) {
    const std::optional<MinorBlockHeader> header = this->header(candidate);
    if (!header || !leads_to(*header, candidate, base_header->height, base)) continue;
    if (candidate == tip_hash_) return;
    StoreBatch batch;
    set_tip(*header, candidate, batch);
    store_.write(batch);
    return;
  }
}

void MinorChain::set_tip(const MinorBlockHeader& header, const Hash256& hash, StoreBatch& batch) {
  for (std::uint64_t height = tip_.height; exists_ && height > header.height; --height)
    batch.erase(keys::minor_at(branch(), height));
  batch.put(keys::minor_at(branch(), header.height), keys::hash(hash));
  Hash256 below = header.hash_prev_minor_block;
  for (std::optional<MinorBlockHeader> parent = this->header(below); parent; parent = this->header(below)) {
    if (is_best(parent->height, below)) break;
    batch.put(keys::minor_at(branch(), parent->height), keys::hash(below));
    below = parent->hash_prev_minor_block;
  }
  batch.put(keys::tip(branch()), keys::hash(hash));
  tip_ = header;
  tip_hash_ = hash;
}

// What it is asked.

std::vector<MinorBlockHeader> MinorChain::unconfirmed(std::size_t max) const {
  const Hash256 base = this->base();
  const bool confirmed = store_.has(keys::confirmed(branch(), root_.tip_hash()));
  std::vector<MinorBlockHeader> headers;
  Hash256 at = tip_hash_;
  for (auto header = this->header(at); header; header = this->header(at)) {
    if (at == base && confirmed) break;
    const bool genesis = at == base;
    at = header->hash_prev_minor_block;
    headers.push_back(std::move(*header));
    if (genesis) break; // the root chain has to confirm it, too
  }
  std::ranges::reverse(headers);
  if (headers.size() > max) headers.resize(max);
  return headers;
}

std::vector<MinorBlockHeader> MinorChain::headers(const GetMinorBlockHeaderListWithSkipRequest& request) const {
  const HeaderQuery query = HeaderQuery::of(request);
  std::vector<MinorBlockHeader> headers;
  std::optional<MinorBlockHeader> next;
  if (query.hash) {
    next = header(*query.hash);
    const bool steps = query.skip > 0 || query.towards_tip; // these walk along the best chain
    if (next && steps && !is_best(next->height, *query.hash)) next.reset();
  } else if (const auto height = query.height.to_u64()) {
    const std::optional<Hash256> hash = at(*height);
    if (hash) next = header(*hash);
  }
  const std::uint64_t step = std::uint64_t{query.skip} + 1;
  while (next && headers.size() < query.limit) {
    const std::uint64_t height = next->height;
    const Hash256 before = next->hash_prev_minor_block;
    headers.push_back(std::move(*next));
    next.reset();
    if (!query.towards_tip && step == 1) {
      if (height > config_.genesis.height) next = header(before);
      continue;
    }
    if (query.towards_tip ? tip_.height - std::min(tip_.height, height) < step : height < step) break;
    const std::optional<Hash256> hash = at(query.towards_tip ? height + step : height - step);
    if (hash) next = header(*hash);
  }
  return headers;
}

std::uint64_t MinorChain::transactions_count() const {
  return keys::to_number<std::uint64_t>(
      store_.get(keys::committed(branch(), tip_.height, tip_hash_)).value_or(std::string()));
}

// A new block.

/// What the next block is computed from, and what is added up: difficulties and amounts of more bytes than the protocol
/// has for them elsewhere, and a time after which there is none, would fail whoever asks for the next block.
void MinorChain::check_numbers(const MinorBlockHeader& header, std::uint64_t now) const {
  if (header.difficulty.bytes().size() > Uint256::size)
    refuse(header, fmt::format("its difficulty has {} bytes, expected at most {}", header.difficulty.bytes().size(),
                               Uint256::size));
  for (const auto& [token, amount] : header.coinbase_amount_map.balance_map)
    if (amount.bytes().size() > Uint256::size)
      refuse(header, fmt::format("its coinbase amount has {} bytes, expected at most {}", amount.bytes().size(),
                                 Uint256::size));
  const std::uint64_t last = now + seconds_ahead_max;
  if (header.create_time > last)
    refuse(header, fmt::format("its create_time is {}, expected at most {}", header.create_time, last));
}

void MinorChain::check(const MinorBlock& block, std::uint64_t now) const {
  const MinorBlockHeader& header = block.header;
  check_numbers(header, now);
  const std::optional<MinorBlockHeader> parent = this->header(header.hash_prev_minor_block);
  if (!parent) refuse(header, fmt::format("its parent {} is not known", header.hash_prev_minor_block.hex()));
  if (header.height != parent->height + 1) refuse(header, fmt::format("expected height {}", parent->height + 1));
  if (header.hash_meta != hash_of(block.meta)) refuse(header, "hash_meta is not that of its meta");
  if (block.meta.hash_merkle_root != merkle_root(block.tx_list))
    refuse(header, "its merkle root is not that of its transactions");
  const std::optional<RootBlockHeader> root = root_.header(header.hash_prev_root_block);
  if (!root) refuse(header, fmt::format("root block {} is not known", header.hash_prev_root_block.hex()));
  const std::optional<RootBlockHeader> root_before = root_.header(parent->hash_prev_root_block);
  if (root_before && root->height < root_before->height)
    refuse(header,
           fmt::format("its root block is at height {}, its parent's at {}", root->height, root_before->height));
}

void MinorChain::put(const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const {
  batch.put(keys::minor_block(branch(), hash), keys::value(block));
}

void MinorChain::put_genesis(const MinorBlock& block, const Hash256& hash, const Hash256& root,
                             StoreBatch& batch) const {
  put(block, hash, batch);
  batch.put(keys::genesis_of(branch(), root), keys::hash(hash));
}

void MinorChain::commit(const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const {
  const MinorBlockHeader& header = block.header;
  std::uint64_t transactions = block.tx_list.size();
  if (header.height > config_.genesis.height)
    transactions += keys::to_number<std::uint64_t>(
        store_.get(keys::committed(branch(), header.height - 1, header.hash_prev_minor_block)).value_or(std::string()));
  batch.put(keys::committed(branch(), header.height, hash), keys::number(transactions));
}

} // namespace trunkline::quarkchain
