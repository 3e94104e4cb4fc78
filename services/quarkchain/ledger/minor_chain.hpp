// The blocks of one shard: which are committed (candidates for the tip), and which of those are the best chain.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/ledger/root_view.hpp"
#include "services/quarkchain/store/store.hpp"
#include "services/quarkchain/protocol/p2p_messages.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

class MinorChain {
 public:
  /// Takes up what the store holds of it. What it is given must outlive it. Errors: StoreFailure.
  MinorChain(Store& store, const RootView& root, const ShardConfig& config);

  std::uint32_t branch() const noexcept { return config_.full_shard_id; }
  /// Once it has a genesis; then `tip` and `tip_hash` mean something.
  bool exists() const noexcept { return exists_; }
  const MinorBlockHeader& tip() const noexcept { return tip_; }
  const Hash256& tip_hash() const noexcept { return tip_hash_; }

  bool has(const Hash256& hash) const;
  std::optional<MinorBlock> block(const Hash256& hash) const;
  std::optional<MinorBlockHeader> header(const Hash256& hash) const;
  bool is_committed(const MinorBlockHeader& header, const Hash256& hash) const;
  /// Of the best chain.
  std::optional<Hash256> at(std::uint64_t height) const;
  bool is_best(std::uint64_t height, const Hash256& hash) const { return at(height) == hash; }
  /// The last block that the root chain up to this block confirms; nothing where it confirms none.
  std::optional<Hash256> confirmed_by(const Hash256& root) const;
  /// Those that the root chain has not confirmed, ascending, at most as many.
  std::vector<MinorBlockHeader> unconfirmed(std::size_t max) const;
  /// From the first that is asked for, along the best chain or from parent to parent.
  std::vector<MinorBlockHeader> headers(const GetMinorBlockHeaderListWithSkipRequest& request) const;
  /// Of the best chain up to the tip.
  std::uint64_t transactions_count() const;

  /// Errors: Refused for a block that does not continue its parent, or whose numbers cannot be computed with. Its
  /// transactions are not looked at.
  void check(const MinorBlock& block, std::uint64_t now) const;
  void put(const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const;
  /// The same for a genesis on top of a root block.
  void put_genesis(const MinorBlock& block, const Hash256& hash, const Hash256& root, StoreBatch& batch) const;
  void commit(const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const;
  void set_tip(const MinorBlockHeader& header, const Hash256& hash, StoreBatch& batch);
  /// Its genesis is the tip, and written.
  void begin() noexcept { exists_ = true; }
  /// The highest committed block that descends from what the root chain confirms becomes the tip; the present tip where
  /// it is as high.
  void choose_tip();

 private:
  Hash256 base() const;
  bool leads_to(MinorBlockHeader header, Hash256 hash, std::uint64_t base_height, const Hash256& base) const;
  void check_numbers(const MinorBlockHeader& header, std::uint64_t now) const;

  Store& store_;
  const RootView& root_;
  const ShardConfig& config_;
  bool exists_ = false;
  MinorBlockHeader tip_;
  Hash256 tip_hash_;
};

[[noreturn]] void refuse(const MinorBlockHeader& header, const std::string& why);

} // namespace trunkline::quarkchain
