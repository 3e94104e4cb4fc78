// The hashes by which blocks and transactions are known.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/chain/keccak.hpp"

#include <vector>

namespace trunkline::quarkchain {

// What a header or transaction is known by: the hash of its whole encoding.
Hash256 hash_of(const RootBlockHeader& header);
Hash256 hash_of(const MinorBlockHeader& header);
Hash256 hash_of(const MinorBlockMeta& meta);
Hash256 hash_of(const TypedTransaction& transaction);
Hash256 hash_of(const TokenBalanceMap& balances);

/// What is mined, and what a signature signs: the header without nonce, mixhash and signature.
Hash256 mining_hash_of(const RootBlockHeader& header);
/// What is mined: the header without nonce and mixhash.
Hash256 mining_hash_of(const MinorBlockHeader& header);

/// Whether there is a signature at all; it is not verified.
inline bool is_signed(const RootBlockHeader& header) { return !header.signature.is_zero(); }

/// The root of the hashes of a list's items, which also says how many they are.
Hash256 merkle_root(std::vector<Hash256> leaves);
Hash256 merkle_root(const std::vector<TypedTransaction>& transactions);
Hash256 merkle_root(const std::vector<MinorBlockHeader>& headers);

} // namespace trunkline::quarkchain
