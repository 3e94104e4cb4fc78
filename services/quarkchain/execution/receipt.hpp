// What is left of a transaction or deposit that ran: whether it succeeded, its gas and its logs.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/chain/hashes.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

struct ReceiptLog {
  Recipient recipient;
  std::vector<Hash256> topics;
  std::string data;
  friend bool operator==(const ReceiptLog&, const ReceiptLog&) = default;
};

struct Receipt {
  bool success = false;
  std::uint64_t cumulative_gas = 0; // of the block, in the order in which things ran, with this one
  Uint2048 bloom;
  std::vector<ReceiptLog> logs;
  std::optional<Recipient> contract;
  std::uint32_t full_shard_key = 0;
  friend bool operator==(const Receipt&, const Receipt&) = default;

  std::string to_rlp() const;
};

/// The root of the trie of a block's receipts: transactions first, then deposits.
Hash256 receipts_root(std::span<const Receipt> receipts);
/// All blooms in one.
Uint2048 bloom_of(std::span<const Receipt> receipts);

/// All receipts of a block in one value, and back. Errors: RlpFailure.
std::string encoded_receipts(std::span<const Receipt> receipts);
std::vector<Receipt> decoded_receipts(std::string_view bytes);

} // namespace trunkline::quarkchain
