// A block as an execution layer knows it, and what of it travels in a minor block: everybody who has the minor block, its
// parent and the deposits makes the same payload again.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/chain/json.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

/// A credit without a transaction.
struct Withdrawal {
  std::uint64_t index = 0;
  Recipient who;
  std::uint64_t gwei = 0;
  friend bool operator==(const Withdrawal&, const Withdrawal&) = default;
};
std::string json_of(const std::vector<Withdrawal>& withdrawals);

struct EnginePayload {
  Hash256 parent_hash;
  Recipient fee_recipient;
  Hash256 state_root;
  Hash256 receipts_root;
  Uint2048 bloom;
  Hash256 prev_randao;
  std::uint64_t number = 0;
  std::uint64_t gas_limit = 0;
  std::uint64_t gas_used = 0;
  std::uint64_t timestamp = 0;
  std::string extra_data;
  Uint256 base_fee;
  Hash256 block_hash;
  std::vector<std::string> transactions; // as they were signed
  std::vector<Withdrawal> withdrawals;

  std::string to_json() const;
  /// Errors: ExecutorDown.
  static EnginePayload from_json(const Json& json);
};

/// What a minor block's extra_data says of its payload: a 1, the hash of the block, the base fee, and the payload's own
/// extra data, which is at most 32 bytes.
struct PayloadMark {
  static constexpr std::size_t bytes_max = 97;

  Hash256 block_hash;
  Uint256 base_fee;
  std::string extra_data;

  std::string text() const;
  /// Nothing for what is no mark.
  static std::optional<PayloadMark> from(std::string_view text);
};

} // namespace trunkline::quarkchain
