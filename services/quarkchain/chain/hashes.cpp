#include "services/quarkchain/chain/hashes.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/keccak_many.hpp"

#include <algorithm>
#include <string_view>

namespace trunkline::quarkchain {
namespace {

template <class T> Hash256 hash_encoding(const T& value) {
  ByteBuffer bytes;
  encode(value, bytes);
  return keccak256(bytes);
}

template <class T> std::vector<Hash256> leaves_of(const std::vector<T>& items) {
  std::vector<Hash256> leaves;
  leaves.reserve(items.size());
  for (const T& item : items) leaves.push_back(hash_of(item));
  return leaves;
}

constexpr std::size_t nonce_bytes = 8;

} // namespace

Hash256 hash_of(const RootBlockHeader& header) { return hash_encoding(header); }
Hash256 hash_of(const MinorBlockHeader& header) { return hash_encoding(header); }
Hash256 hash_of(const MinorBlockMeta& meta) { return hash_encoding(meta); }
Hash256 hash_of(const TypedTransaction& transaction) { return hash_encoding(transaction); }
Hash256 hash_of(const TokenBalanceMap& balances) { return hash_encoding(balances); }

Hash256 mining_hash_of(const RootBlockHeader& header) {
  // At the end: nonce, extra_data behind its length, mixhash, signature.
  ByteBuffer bytes;
  encode(header, bytes);
  const std::span<const std::byte> all = bytes;
  const std::size_t extra_bytes = 2 + header.extra_data.size();
  const std::size_t extra_at = all.size() - Signature65::size - Hash256::size - extra_bytes;
  return keccak256(all.first(extra_at - nonce_bytes), all.subspan(extra_at, extra_bytes));
}

Hash256 mining_hash_of(const MinorBlockHeader& header) {
  // At the end: nonce, bloom, extra_data behind its length, mixhash.
  ByteBuffer bytes;
  encode(header, bytes);
  const std::span<const std::byte> all = bytes;
  const std::size_t kept_bytes = Uint2048::size + 2 + header.extra_data.size();
  const std::size_t kept_at = all.size() - Hash256::size - kept_bytes;
  return keccak256(all.first(kept_at - nonce_bytes), all.subspan(kept_at, kept_bytes));
}

Hash256 merkle_root(std::vector<Hash256> leaves) {
  const std::size_t count = leaves.size();
  Hash256 zero;
  if (leaves.empty()) leaves.push_back(zero);
  std::vector<std::string_view> pairs;
  while (leaves.size() > 1) {
    if (leaves.size() % 2 == 1) leaves.push_back(zero);
    static_assert(sizeof(Hash256) == Hash256::size); // two that stand together are their bytes one behind the other
    pairs.clear();
    for (std::size_t i = 0; i < leaves.size(); i += 2)
      pairs.emplace_back(reinterpret_cast<const char*>(&leaves[i]), 2 * Hash256::size);
    leaves = keccak256_of_each(pairs);
    zero = keccak256(zero.bytes, zero.bytes);
  }
  std::byte counted[8];
  put_big(counted, static_cast<std::uint64_t>(count));
  return keccak256(leaves.front().bytes, counted);
}

Hash256 merkle_root(const std::vector<TypedTransaction>& transactions) { return merkle_root(leaves_of(transactions)); }
Hash256 merkle_root(const std::vector<MinorBlockHeader>& headers) { return merkle_root(leaves_of(headers)); }

} // namespace trunkline::quarkchain
