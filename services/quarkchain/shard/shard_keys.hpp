// The keys of a shard's database: names and encodings of pyquarkchain, so that dumps can be compared. Numbers are
// big-endian, hashes raw.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"
#include "services/quarkchain/store/key_number.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::quarkchain::shard_keys {

using keys::number;

inline std::string of_hash(const char* family, const Hash256& hash) {
  return std::string(family).append(text_of(hash.bytes));
}

inline std::string root_block(const Hash256& root) { return of_hash("rblock_", root); }
/// The last minor block that the root chain up to this block confirms: its hash, or nothing.
inline std::string last_minor(const Hash256& root) { return of_hash("r_last_m", root); }
inline std::string genesis(const Hash256& root) { return of_hash("genesis_", root); }
inline std::string minor_block(const Hash256& minor) { return of_hash("mblock_", minor); }
/// How many transactions there are up to this block, 4 bytes.
inline std::string transactions_count(const Hash256& minor) { return of_hash("tx_count_", minor); }
/// The deposits that a block of another shard sent here.
inline std::string deposits_from(const Hash256& source) { return of_hash("xShard_", source); }
/// The deposits that a block took, and their hashes.
inline std::string deposits_taken(const Hash256& minor) { return of_hash("xr_", minor); }
inline std::string deposits_taken_hashes(const Hash256& minor) { return of_hash("xd_", minor); }
inline std::string receipts(const Hash256& minor) { return of_hash("rc_", minor); }
inline std::string committed(const Hash256& minor) { return of_hash("commit_", minor); }
/// The hash of the canonical block of a height.
inline std::string minor_at(std::uint64_t height) { return "mi_" + std::to_string(height); }
/// Height and index of a transaction, 4 bytes each; deposits are behind the transactions.
inline std::string transaction(const Hash256& hash) { return of_hash("txindex_", hash); }

enum class Listed : char { deposit = 0, transaction = 1 };
inline std::string place(std::uint32_t height, Listed what, std::uint32_t index) {
  return number(height) + static_cast<char>(what) + number(index);
}
inline std::string of_address(const Recipient& who) { return "index_addr_" + std::string(text_of(who.bytes)); }
inline std::string of_all() { return "index_alltx_"; }

/// Whose database this is: see Identity.
inline std::string meta(std::string_view name) { return "meta_" + std::string(name); }

} // namespace trunkline::quarkchain::shard_keys
