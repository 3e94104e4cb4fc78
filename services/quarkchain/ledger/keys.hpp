// The keys under which a ledger keeps things. All numbers are big-endian, so that keys ascend with them.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/store/key_number.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::quarkchain::keys {

inline std::string hash(const Hash256& value) { return std::string(text_of(value.bytes)); }
inline Hash256 to_hash(std::string_view text) { return Hash256::from_bytes(bytes_of(text)).value_or(Hash256()); }

inline const std::string genesis = "Mg";  // hash of the root genesis
inline const std::string root_tip = "Mt"; // hash

inline std::string root_block(const Hash256& h) { return "R" + hash(h); }
inline std::string root_at(std::uint32_t height) { return "C" + number(height); } // hash, on the best chain
/// The last minor block of a shard that the root chain up to this block confirms.
inline std::string confirmed(std::uint32_t branch, const Hash256& root) { return "K" + number(branch) + hash(root); }
/// The genesis of a shard on top of a root block.
inline std::string genesis_of(std::uint32_t branch, const Hash256& root) { return "G" + number(branch) + hash(root); }

inline std::string minor_block(std::uint32_t branch, const Hash256& h) { return "B" + number(branch) + hash(h); }
/// Committed blocks by height; the value is how many transactions there are up to here, u64.
inline std::string committed(std::uint32_t branch) { return "H" + number(branch); }
inline std::string committed(std::uint32_t branch, std::uint64_t height) { return committed(branch) + number(height); }
inline std::string committed(std::uint32_t branch, std::uint64_t height, const Hash256& h) {
  return committed(branch, height) + hash(h);
}
inline std::string minor_at(std::uint32_t branch, std::uint64_t height) {
  return "N" + number(branch) + number(height);
}
inline std::string tip(std::uint32_t branch) { return "T" + number(branch); }

inline std::string xshard(std::uint32_t branch, const Hash256& from) { return "X" + number(branch) + hash(from); }
/// Where a transaction is: the value is its index, u32.
inline std::string transaction(std::uint32_t branch, const Hash256& tx) { return "I" + number(branch) + hash(tx); }
inline std::string transaction(std::uint32_t branch, const Hash256& tx, const Hash256& block) {
  return transaction(branch, tx) + hash(block);
}
/// What an account sent and was sent, newest first: the value is the block's hash and the transaction's index.
inline std::string account(std::uint32_t branch, const Recipient& who) {
  return "A" + number(branch) + std::string(text_of(who.bytes));
}
inline std::string account(std::uint32_t branch, const Recipient& who, std::uint64_t height, std::uint32_t index) {
  return account(branch, who) + number(~height) + number(~index);
}

template <class T> std::string value(const T& of) { return std::string(encoded(of).text()); }

} // namespace trunkline::quarkchain::keys
