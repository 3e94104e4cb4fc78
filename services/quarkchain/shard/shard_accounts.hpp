// What accounts of a shard have, and what calls would come to, after any canonical block.
#pragma once

#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/shard/shard_cl.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::quarkchain {

/// Heights: nothing for the tip. Where there is no such block, what is returned is empty.
class ShardAccounts {
 public:
  /// `shard` must outlive it.
  explicit ShardAccounts(const ShardCL& shard) : shard_(shard) {}

  AccountBranchData data(const Recipient& who, std::optional<std::uint64_t> height) const;
  std::string code(const Recipient& who, std::optional<std::uint64_t> height) const;
  std::optional<Hash256> storage(const Recipient& who, const Uint256& key, std::optional<std::uint64_t> height) const;

  /// What the transaction would give back if `from` had signed it with its next nonce; nothing when it would fail.
  /// Errors: CapabilityMissing.
  std::optional<std::string> call(const TypedTransaction& transaction, const Address& from,
                                  std::optional<std::uint64_t> height) const;
  /// The least gas with which it would succeed at the tip. Errors: CapabilityMissing.
  std::optional<std::uint64_t> least_gas(const TypedTransaction& transaction, const Address& from) const;

  /// What an account has staked for root blocks after a block that is held, and who signs for it. Errors:
  /// CapabilityMissing when there is a contract to be asked; StoreFailure when the block is not held.
  std::pair<BigUint, Recipient> root_chain_stakes(const Recipient& who, const Hash256& minor) const;

 private:
  MinorPointPtr at(std::optional<std::uint64_t> height) const;
  std::optional<std::string> call(SignedTransaction transaction, const MinorPointPtr& after, const BigUint& gas) const;
  static SignedTransaction unsigned_from(const TypedTransaction& typed, const Address& from);

  const ShardCL& shard_;
};

} // namespace trunkline::quarkchain
