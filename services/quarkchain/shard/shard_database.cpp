#include "services/quarkchain/shard/shard_database.hpp"

#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

template <class T> T read(std::string_view key, std::string_view bytes) {
  T value;
  DecodeError error;
  if (!decode(bytes_of(bytes), value, error))
    throw StoreFailure(fmt::format("the record {} cannot be read: {}", to_hex(key), error.text()));
  return value;
}

/// Null when there is no such record.
template <class T> std::shared_ptr<const T> find(const Store& store, const std::string& key) {
  const auto bytes = store.get(key);
  return bytes ? std::make_shared<const T>(read<T>(key, *bytes)) : nullptr;
}

template <class Number> Number number_in(const std::string& key, std::string_view bytes, std::size_t at = 0) {
  if (bytes.size() < at + sizeof(Number))
    throw StoreFailure(fmt::format("the record {} has {} bytes", to_hex(key), bytes.size()));
  return get_big<Number>(bytes_of(bytes).data() + at);
}

} // namespace

RootPointPtr ShardDatabase::root(const Hash256& hash) const {
  if (const auto* known = roots_.find(hash)) return *known;
  const auto block = root_block(hash);
  if (!block) return nullptr;
  const auto last = store_.get(shard_keys::last_minor(hash));
  auto point = std::make_shared<RootPoint>(RootPoint{hash, block->header, std::nullopt});
  if (last && !last->empty()) point->last_minor = Hash256::from_bytes(bytes_of(*last));
  roots_.keep(hash, point);
  return point;
}

std::shared_ptr<const RootBlock> ShardDatabase::root_block(const Hash256& hash) const {
  if (const auto* known = root_blocks_.find(hash)) return *known;
  auto block = find<RootBlock>(store_, shard_keys::root_block(hash));
  if (block) root_blocks_.keep(hash, block);
  return block;
}

RootPointPtr ShardDatabase::root_at(const RootPointPtr& from, std::uint64_t height) const {
  RootPointPtr at = from;
  if (height > at->header.height) return nullptr;
  while (at && at->header.height != height) at = root(at->header.hash_prev_block);
  return at;
}

bool ShardDatabase::is_on_root_chain(const RootPointPtr& upper, const RootPointPtr& lower) const {
  const RootPointPtr at = root_at(upper, lower->header.height);
  return at && at->hash == lower->hash;
}

MinorPointPtr ShardDatabase::minor(const Hash256& hash) const {
  if (const auto* known = minors_.find(hash)) return *known;
  const auto block = minor_block(hash);
  if (!block) return nullptr;
  auto point = std::make_shared<const MinorPoint>(MinorPoint{hash, block->header, block->meta});
  minors_.keep(hash, point);
  return point;
}

std::shared_ptr<const MinorBlock> ShardDatabase::minor_block(const Hash256& hash) const {
  return find<MinorBlock>(store_, shard_keys::minor_block(hash));
}

bool ShardDatabase::holds_minor(const Hash256& hash) const {
  return minors_.find(hash) || store_.has(shard_keys::minor_block(hash));
}

bool ShardDatabase::is_on_minor_chain(const MinorPointPtr& upper, const MinorPointPtr& lower) const {
  MinorPointPtr at = upper;
  while (at && at->header.height > lower->header.height) at = minor(at->header.hash_prev_minor_block);
  return at && at->hash == lower->hash;
}

std::shared_ptr<const MinorBlock> ShardDatabase::genesis_of(const Hash256& root) const {
  return find<MinorBlock>(store_, shard_keys::genesis(root));
}

std::uint32_t ShardDatabase::transactions_count(const Hash256& minor) const {
  const std::string key = shard_keys::transactions_count(minor);
  const auto bytes = store_.get(key);
  return bytes ? number_in<std::uint32_t>(key, *bytes) : 0;
}

bool ShardDatabase::is_committed(const Hash256& minor) const { return store_.has(shard_keys::committed(minor)); }

std::optional<Hash256> ShardDatabase::minor_at(std::uint64_t height) const {
  const auto bytes = store_.get(shard_keys::minor_at(height));
  return bytes ? Hash256::from_bytes(bytes_of(*bytes)) : std::nullopt;
}

bool ShardDatabase::holds_deposits_from(const Hash256& source) const {
  return lists_.find(source) || store_.has(shard_keys::deposits_from(source));
}

std::shared_ptr<const std::vector<CrossShardTransactionDeposit>> ShardDatabase::deposits_from(
    const Hash256& source) const {
  if (const auto* known = lists_.find(source)) return *known;
  const std::string key = shard_keys::deposits_from(source);
  const auto bytes = store_.get(key);
  if (!bytes) return nullptr;
  auto list = std::make_shared<const std::vector<CrossShardTransactionDeposit>>(
      read<CrossShardTransactionList>(key, *bytes).tx_list);
  lists_.keep(source, list);
  return list;
}

std::vector<CrossShardTransactionDeposit> ShardDatabase::deposits_taken(const Hash256& minor) const {
  const auto list = find<CrossShardTransactionList>(store_, shard_keys::deposits_taken(minor));
  return list ? list->tx_list : std::vector<CrossShardTransactionDeposit>();
}

std::vector<Hash256> ShardDatabase::deposits_taken_hashes(const Hash256& minor) const {
  const auto list = find<HashList>(store_, shard_keys::deposits_taken_hashes(minor));
  return list ? list->hlist : std::vector<Hash256>();
}

std::vector<Receipt> ShardDatabase::receipts(const Hash256& minor) const try {
  const auto bytes = store_.get(shard_keys::receipts(minor));
  return bytes ? decoded_receipts(*bytes) : std::vector<Receipt>();
} catch (const RlpFailure& failure) {
  throw StoreFailure(fmt::format("the receipts of block {} cannot be read: {}", minor.hex(), failure.what()));
}

std::optional<std::pair<std::uint32_t, std::uint32_t>> ShardDatabase::transaction_place(const Hash256& hash) const {
  const std::string key = shard_keys::transaction(hash);
  const auto bytes = store_.get(key);
  if (!bytes) return std::nullopt;
  return std::pair(number_in<std::uint32_t>(key, *bytes), number_in<std::uint32_t>(key, *bytes, 4));
}

} // namespace trunkline::quarkchain
