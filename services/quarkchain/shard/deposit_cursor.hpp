// Which deposits of other shards and of the root chain a block takes, in an order that everybody agrees on: the cursor
// goes on where the parent stopped, and not beyond the block's own root block.
//
// A position (R, m, d) says what was taken last: (R, 0, 0) nothing of root block R yet; (R, 0, 1) its coinbase;
// (R, m, d) with m >= 1, deposit d of the list of its m-th minor header. The end is (L + 1, 0, 0), where L is the
// height of the block's root block.
#pragma once

#include "services/quarkchain/execution/executor.hpp"
#include "services/quarkchain/shard/neighbourhood.hpp"
#include "services/quarkchain/shard/shard_database.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace trunkline::quarkchain {

class DepositCursor final : public Deposits {
 public:
  /// All but `from` must outlive it. `last`: the root block of the block that takes. Errors: StoreFailure when a root
  /// block or list is missing that the shard must have had before it took this root block.
  DepositCursor(const QuarkChainConfig& config, const ShardConfig& shard, const Neighbourhood& neighbourhood,
                const ShardDatabase& database, const XshardTxCursorInfo& from, RootPointPtr last);

  std::optional<DueDeposit> take() override;

  XshardTxCursorInfo position() const;
  /// What was taken, in this order: the coinbase of root blocks too.
  const std::vector<CrossShardTransactionDeposit>& taken() const noexcept { return taken_; }

 private:
  using List = std::vector<CrossShardTransactionDeposit>;

  bool advance();
  bool begin_list();
  void begin_root();
  CrossShardTransactionDeposit coinbase() const;
  std::uint64_t gas_of(const CrossShardTransactionDeposit& deposit) const;

  const QuarkChainConfig& config_;
  const ShardConfig& shard_;
  const Neighbourhood& neighbourhood_;
  const ShardDatabase& database_;
  std::uint64_t genesis_token_;
  RootPointPtr last_;
  std::vector<RootPointPtr> roots_; // from the one that is read, at the back, up to last_
  std::shared_ptr<const RootBlock> root_; // null at the end
  std::shared_ptr<const List> list_; // of minor_index_
  std::uint64_t minor_index_ = 0;
  std::uint64_t deposit_index_ = 0;
  std::vector<CrossShardTransactionDeposit> taken_;
};

} // namespace trunkline::quarkchain
