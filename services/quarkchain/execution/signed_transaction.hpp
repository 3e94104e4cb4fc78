// A transaction with all that its bytes say once: its hash, its fields, who signed it. Finding the signer is most of
// what a plain transfer costs, so what is in the queue is not looked at again in a block.
#pragma once

#include "services/quarkchain/chain/evm_transaction.hpp"

#include <memory>

namespace trunkline::quarkchain {

struct SignedTransaction {
  TypedTransaction typed;
  Hash256 hash;
  EvmTransaction tx;
  Recipient sender;

  /// Errors: TransactionFailure.
  static std::shared_ptr<const SignedTransaction> of(const TypedTransaction& typed);
  /// "<Transaction(95d5)>", as pyquarkchain's logs name it.
  std::string text() const;
};

using SignedTransactionPtr = std::shared_ptr<const SignedTransaction>;

} // namespace trunkline::quarkchain
