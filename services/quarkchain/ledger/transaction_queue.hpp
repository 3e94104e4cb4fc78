// The transactions of one shard that wait for a block, oldest first.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/chain/evm_transaction.hpp"

#include <cstdint>
#include <list>
#include <unordered_map>
#include <utility>

namespace trunkline::quarkchain {

/// A transaction, as far as one can look into it without executing it.
struct InspectedTransaction {
  TypedTransaction typed;
  EvmTransaction inside;
  Recipient sender;

  /// Errors: Refused for one that is none, or that is not of this shard and network.
  static InspectedTransaction of(const TypedTransaction& transaction, const QuarkChainConfig& config,
                                 std::uint32_t branch);
};

class TransactionQueue {
 public:
  using Entries = std::list<std::pair<Hash256, InspectedTransaction>>;

  bool has(const Hash256& hash) const { return places_.contains(hash); }
  /// Null for one that does not wait.
  const InspectedTransaction* find(const Hash256& hash) const;
  void push(const Hash256& hash, InspectedTransaction transaction);
  /// Those that a block has.
  void remove(const MinorBlock& block);

  std::size_t size() const noexcept { return entries_.size(); }
  Entries::const_iterator begin() const noexcept { return entries_.begin(); }
  Entries::const_iterator end() const noexcept { return entries_.end(); }

 private:
  Entries entries_;
  std::unordered_map<Hash256, Entries::iterator> places_;
};

} // namespace trunkline::quarkchain
