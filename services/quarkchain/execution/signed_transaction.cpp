#include "services/quarkchain/execution/signed_transaction.hpp"

#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/keccak_many.hpp"

#include <cstddef>
#include <span>
#include <string_view>

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
  ByteBuffer bytes;
  std::vector<std::size_t> ends;
  ends.reserve(transactions.size());
  for (const TypedTransaction& typed : transactions) {
    encode(typed, bytes);
    ends.push_back(bytes.size());
  }
  const std::string_view all = text_of(std::span<const std::byte>(bytes));
  std::vector<std::string_view> texts;
  texts.reserve(transactions.size());
  for (std::size_t begin = 0; const std::size_t end : ends) {
    texts.push_back(all.substr(begin, end - begin));
    begin = end;
  }
  return keccak256_of_each(texts);
}

std::string SignedTransaction::text() const {
  return "<Transaction(" + keccak256(bytes_of(tx.to_rlp())).hex().substr(0, 4) + ")>";
}

} // namespace trunkline::quarkchain
