// What a shard knows of blocks, lists and deposits: facts about a hash, which never change, and which blocks are
// canonical, which does. Reads go through here; writes are batches that others put together.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/execution/receipt.hpp"
#include "services/quarkchain/execution/recent.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// A root block without its list, and what it says about our shard.
struct RootPoint {
  Hash256 hash;
  RootBlockHeader header;
  std::optional<Hash256> last_minor; // confirmed by it or before it
};

/// A minor block without its transactions.
struct MinorPoint {
  Hash256 hash;
  MinorBlockHeader header;
  MinorBlockMeta meta;
};

using RootPointPtr = std::shared_ptr<const RootPoint>;
using MinorPointPtr = std::shared_ptr<const MinorPoint>;

/// Errors of each: StoreFailure, also for what is there and cannot be decoded.
class ShardDatabase {
 public:
  /// `store` must outlive it. `history`: what accounts did is written and can be asked for.
  ShardDatabase(Store& store, bool history) : store_(store), history_(history) {}

  bool history() const noexcept { return history_; }
  const Store& store() const noexcept { return store_; }
  void write(const StoreBatch& batch) { store_.write(batch); }

  // Root blocks. Null when it is not held.
  RootPointPtr root(const Hash256& hash) const;
  std::shared_ptr<const RootBlock> root_block(const Hash256& hash) const;
  /// The one of this height on the chain that ends with `from`; null above it and where the chain begins.
  RootPointPtr root_at(const RootPointPtr& from, std::uint64_t height) const;
  /// Whether `upper` is `lower` or descends from it.
  bool is_on_root_chain(const RootPointPtr& upper, const RootPointPtr& lower) const;

  // Minor blocks. Null when it is not held.
  MinorPointPtr minor(const Hash256& hash) const;
  std::shared_ptr<const MinorBlock> minor_block(const Hash256& hash) const;
  bool holds_minor(const Hash256& hash) const;
  bool is_on_minor_chain(const MinorPointPtr& upper, const MinorPointPtr& lower) const;
  std::shared_ptr<const MinorBlock> genesis_of(const Hash256& root) const;
  std::uint32_t transactions_count(const Hash256& minor) const;
  bool is_committed(const Hash256& minor) const;
  /// Other blocks of a height that are held, canonical or not, are not known by height: see ChainIndex.
  std::optional<Hash256> minor_at(std::uint64_t height) const;

  // Deposits.
  bool holds_deposits_from(const Hash256& source) const;
  std::shared_ptr<const std::vector<CrossShardTransactionDeposit>> deposits_from(const Hash256& source) const;
  std::vector<CrossShardTransactionDeposit> deposits_taken(const Hash256& minor) const;
  std::vector<Hash256> deposits_taken_hashes(const Hash256& minor) const;
  std::vector<Receipt> receipts(const Hash256& minor) const;
  /// Height of the canonical block and place in it.
  std::optional<std::pair<std::uint32_t, std::uint32_t>> transaction_place(const Hash256& hash) const;

 private:
  Store& store_;
  bool history_;
  mutable Recent<Hash256, RootPointPtr> roots_{4096};
  mutable Recent<Hash256, std::shared_ptr<const RootBlock>> root_blocks_{16};
  mutable Recent<Hash256, MinorPointPtr> minors_{8192};
  mutable Recent<Hash256, std::shared_ptr<const std::vector<CrossShardTransactionDeposit>>> lists_{64};
};

} // namespace trunkline::quarkchain
