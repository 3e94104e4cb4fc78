// What follows the tip: which block is canonical at a height, where a transaction is, what an account did. Blocks come
// and go; facts about them stay.
#pragma once

#include "services/quarkchain/execution/signed_transaction.hpp"
#include "services/quarkchain/shard/shard_database.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace trunkline::quarkchain {

struct IndexedBlock {
  Hash256 hash;
  std::shared_ptr<const MinorBlock> block;
  std::vector<Hash256> transactions; // their hashes, in the order of the block
};

/// How the canonical chain changes when the tip moves.
struct ChainChange {
  std::vector<IndexedBlock> leaving;  // those above the new tip ascending, the rest descending
  std::vector<IndexedBlock> entering; // descending
};

class ChainIndex {
 public:
  using SignedOf = std::function<SignedTransactionPtr(const TypedTransaction&, const Hash256&)>;

  /// All must outlive it. `signed_of`: asked only while history is on, for who sent a transaction.
  ChainIndex(const ShardDatabase& database, std::uint32_t full_shard_id, SignedOf signed_of)
      : database_(database), full_shard_id_(full_shard_id), signed_of_(std::move(signed_of)) {}

  /// From the canonical chain as it is to the one that ends with `tip`. `at_hand`: a block that need not be read again,
  /// or null. Errors: StoreFailure.
  ChainChange change_to(const MinorPointPtr& tip, const IndexedBlock* at_hand) const;
  /// Removals first: a key that the new branch writes again survives.
  void write(const ChainChange& change, StoreBatch& into) const;

 private:
  using Touch = std::function<void(std::string key, std::string value)>;

  void each_key(const IndexedBlock& indexed, const Touch& touch) const;
  void each_history_key(const IndexedBlock& indexed, const Touch& touch) const;

  const ShardDatabase& database_;
  std::uint32_t full_shard_id_;
  SignedOf signed_of_;
};

} // namespace trunkline::quarkchain
