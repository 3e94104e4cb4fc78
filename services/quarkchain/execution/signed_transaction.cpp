#include "services/quarkchain/execution/signed_transaction.hpp"

namespace trunkline::quarkchain {

SignedTransactionPtr SignedTransaction::of(const TypedTransaction& typed) {
  auto transaction = std::make_shared<SignedTransaction>();
  transaction->typed = typed;
  transaction->hash = hash_of(typed);
  transaction->tx = EvmTransaction::from(typed);
  transaction->sender = transaction->tx.sender();
  return transaction;
}

std::string SignedTransaction::text() const {
  return "<Transaction(" + keccak256(bytes_of(tx.to_rlp())).hex().substr(0, 4) + ")>";
}

} // namespace trunkline::quarkchain
