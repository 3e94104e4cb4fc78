// The root chain as a slave keeps it: all blocks that it was given, and which of them are the best chain.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace trunkline::quarkchain {

class RootView {
 public:
  /// Takes up what the store holds, else begins with `genesis`. The store must outlive it. Errors: StoreFailure;
  /// ConfigFailure when the store is of another genesis.
  RootView(Store& store, const RootBlock& genesis);

  const RootBlockHeader& tip() const noexcept { return tip_; }
  const Hash256& tip_hash() const noexcept { return tip_hash_; }
  bool has(const Hash256& hash) const;
  std::optional<RootBlockHeader> header(const Hash256& hash) const;
  /// Of the best chain.
  std::optional<Hash256> at(std::uint32_t height) const;
  bool is_best(const RootBlockHeader& header, const Hash256& hash) const;
  /// Whether a root block is this one, or above it: `below` is at `height`.
  bool descends(Hash256 from, std::uint32_t height, const Hash256& below) const;

  /// Errors: Refused when it does not continue its parent.
  void check(const RootBlock& block) const;
  static void put(const RootBlock& block, const Hash256& hash, StoreBatch& batch);
  /// The best chain ends here from now on. True when it has left the old tip aside.
  bool switch_to(const RootBlock& block, const Hash256& hash);

 private:
  Store& store_;
  RootBlockHeader tip_;
  Hash256 tip_hash_;
};

[[noreturn]] void refuse(const RootBlockHeader& header, const std::string& why);

} // namespace trunkline::quarkchain
