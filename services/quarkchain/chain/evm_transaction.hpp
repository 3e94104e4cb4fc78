// What is inside a transaction of type 0. Nodes that only keep and forward transactions never look here; a master does,
// to find the shard, and whoever indexes by sender.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/chain/hashes.hpp"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// A transaction whose bytes are none, or whose signature nobody made. Names field, expected and seen.
class TransactionFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct EvmTransaction {
  BigUint nonce;
  BigUint gasprice;
  BigUint startgas;
  std::optional<Recipient> to; // nobody: it creates a contract
  BigUint value;
  std::string data;
  BigUint network_id;
  std::uint32_t from_full_shard_key = 0;
  std::uint32_t to_full_shard_key = 0;
  std::uint64_t gas_token_id = 0;
  std::uint64_t transfer_token_id = 0;
  BigUint version; // how it is signed: 0 its own hash, 1 typed data, 2 as in Ethereum (EIP-155)
  BigUint v;
  BigUint r;
  BigUint s;

  friend bool operator==(const EvmTransaction&, const EvmTransaction&) = default;

  /// Reads the RLP of all 15 items, and nothing else. Errors: TransactionFailure.
  static EvmTransaction from_rlp(std::string_view rlp);
  static EvmTransaction from(const TypedTransaction& transaction) { return from_rlp(transaction.tx.serialized_tx); }
  std::string to_rlp() const;
  TypedTransaction typed() const;

  /// The hash of everything but version and signature; for version 2, of what Ethereum would have signed.
  Hash256 hash_unsigned() const;
  /// The hash that the signature signs. Errors: TransactionFailure for a version that does not exist.
  Hash256 hash_signed() const;
  /// Who signed it. Errors: TransactionFailure when nobody did.
  Recipient sender() const;
};

} // namespace trunkline::quarkchain
