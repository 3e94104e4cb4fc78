// A transaction with all that its bytes say once: its hash, its fields, who signed it. Finding the signer is most of
// what a plain transfer costs, so what is in the queue is not looked at again in a block.
#pragma once

#include "services/quarkchain/chain/evm_transaction.hpp"

#include <memory>
#include <vector>

namespace trunkline::quarkchain {

struct SignedTransaction {
  TypedTransaction typed;
  Hash256 hash;
  EvmTransaction tx;
  Recipient sender;

  /// Errors: TransactionFailure.
  static std::shared_ptr<const SignedTransaction> of(const TypedTransaction& typed) {
    return of(typed, hash_of(typed));
  }
  /// The same where its hash is known.
  static std::shared_ptr<const SignedTransaction> of(const TypedTransaction& typed, const Hash256& hash);
  /// "<Transaction(95d5)>", as pyquarkchain's logs name it.
  std::string text() const;
};

using SignedTransactionPtr = std::shared_ptr<const SignedTransaction>;

/// What the transactions of a block are known by, in its order: leaves of its merkle root, and keys of its index.
std::vector<Hash256> hashes_of(const std::vector<TypedTransaction>& transactions);

} // namespace trunkline::quarkchain
