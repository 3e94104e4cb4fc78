// Cross-shard lists: those of our blocks, made, and those that other slaves send, kept.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/ledger/root_view.hpp"
#include "services/quarkchain/store/store.hpp"
#include "services/quarkchain/protocol/cluster_messages.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace trunkline::quarkchain {

class XshardLists {
 public:
  /// What it is given must outlive it.
  XshardLists(Store& store, const RootView& root, const QuarkChainConfig& config);

  /// What the transactions of a block ask for, as if each had succeeded; an empty list for each other neighbour.
  std::vector<AddXshardTxListRequest> of(const MinorBlock& block, const Hash256& hash) const;
  /// Empty ones, for the neighbours of a shard that begins on top of a root block at this height.
  std::vector<AddXshardTxListRequest> of_genesis(std::uint32_t branch, const Hash256& hash, std::uint32_t height) const;

  static void put(const AddXshardTxListRequest& list, StoreBatch& batch);
  /// Says whether it is new. Errors: Refused when another list for the same block is kept.
  bool keep(const AddXshardTxListRequest& list);
  bool has(std::uint32_t branch, const Hash256& minor_block) const;
  std::optional<CrossShardTransactionList> find(std::uint32_t branch, const Hash256& minor_block) const;
  /// Blocks of others whose previous root block came after our shard's beginning have a list for it, be it empty.
  /// Errors: Refused when there is none.
  void require(const ShardConfig& ours, const MinorBlockHeader& header, const Hash256& hash) const;

 private:
  Store& store_;
  const RootView& root_;
  const QuarkChainConfig& config_;
};

} // namespace trunkline::quarkchain
