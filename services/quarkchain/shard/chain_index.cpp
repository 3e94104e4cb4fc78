#include "services/quarkchain/shard/chain_index.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

using shard_keys::Listed;

IndexedBlock held(const ShardDatabase& database, const Hash256& hash) {
  IndexedBlock indexed{hash, database.minor_block(hash), {}};
  if (!indexed.block) throw StoreFailure(fmt::format("block {} is missing", hash.hex()));
  indexed.transactions = hashes_of(indexed.block->tx_list);
  return indexed;
}

} // namespace

ChainChange ChainIndex::change_to(const MinorPointPtr& tip, const IndexedBlock* at_hand) const {
  ChainChange change;
  for (std::uint64_t height = tip->header.height + 1;; ++height) {
    const auto above = database_.minor_at(height);
    if (!above) break;
    change.leaving.push_back(held(database_, *above));
  }
  Hash256 hash = tip->hash;
  for (std::uint64_t height = tip->header.height;; --height) {
    const auto canonical = database_.minor_at(height);
    if (canonical == hash) break;
    change.entering.push_back(at_hand && at_hand->hash == hash ? *at_hand : held(database_, hash));
    if (canonical) change.leaving.push_back(held(database_, *canonical));
    if (height == 0) break;
    hash = change.entering.back().block->header.hash_prev_minor_block;
  }
  return change;
}

void ChainIndex::write(const ChainChange& change, StoreBatch& into) const {
  for (const IndexedBlock& leaving : change.leaving)
    each_key(leaving, [&](std::string key, std::string) { into.erase(std::move(key)); });
  for (const IndexedBlock& entering : change.entering)
    each_key(entering, [&](std::string key, std::string value) { into.put(std::move(key), std::move(value)); });
}

void ChainIndex::each_key(const IndexedBlock& indexed, const Touch& touch) const {
  const MinorBlock& block = *indexed.block;
  const auto height = static_cast<std::uint32_t>(block.header.height);
  touch(shard_keys::minor_at(block.header.height), std::string(text_of(indexed.hash.bytes)));
  std::uint32_t index = 0;
  for (const Hash256& transaction : indexed.transactions)
    touch(shard_keys::transaction(transaction), shard_keys::number(height) + shard_keys::number(index++));
  for (const Hash256& deposit : database_.deposits_taken_hashes(indexed.hash))
    touch(shard_keys::transaction(deposit), shard_keys::number(height) + shard_keys::number(index++));
  if (database_.history()) each_history_key(indexed, touch);
}

void ChainIndex::each_history_key(const IndexedBlock& indexed, const Touch& touch) const {
  const auto height = static_cast<std::uint32_t>(indexed.block->header.height);
  std::uint32_t index = 0;
  for (const TypedTransaction& typed : indexed.block->tx_list) {
    const SignedTransactionPtr transaction = signed_of_(typed, indexed.transactions[index]);
    const std::string place = shard_keys::place(height, Listed::transaction, index++);
    touch(shard_keys::of_all() + place, {});
    touch(shard_keys::of_address(transaction->sender) + place, {});
    if (transaction->tx.to && contains_key(full_shard_id_, transaction->tx.to_full_shard_key))
      touch(shard_keys::of_address(*transaction->tx.to) + place, {});
  }
  index = 0;
  for (const CrossShardTransactionDeposit& deposit : database_.deposits_taken(indexed.hash)) {
    const std::string place = shard_keys::place(height, Listed::deposit, index++);
    if (deposit.is_from_root_chain && deposit.value.is_zero()) continue;
    touch(shard_keys::of_address(deposit.to_address.recipient) + place, {});
    if (!deposit.is_from_root_chain) touch(shard_keys::of_all() + place, {});
  }
}

} // namespace trunkline::quarkchain
