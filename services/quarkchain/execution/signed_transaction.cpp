#include "services/quarkchain/execution/signed_transaction.hpp"

namespace trunkline::quarkchain {

SignedTransactionPtr SignedTransaction::of(const TypedTransaction& typed, const Hash256& hash) {
  auto transaction = std::make_shared<SignedTransaction>();
  transaction->typed = typed;
  transaction->hash = hash;
  transaction->tx = EvmTransaction::from(typed);
  transaction->sender = transaction->tx.sender();
  return transaction;
}

std::vector<Hash256> hashes_of(const std::vector<TypedTransaction>& transactions) {
  std::vector<Hash256> hashes;
  hashes.reserve(transactions.size());
  for (const TypedTransaction& typed : transactions) hashes.push_back(hash_of(typed));
  return hashes;
}

std::string SignedTransaction::text() const {
  return "<Transaction(" + keccak256(bytes_of(tx.to_rlp())).hex().substr(0, 4) + ")>";
}

} // namespace trunkline::quarkchain
