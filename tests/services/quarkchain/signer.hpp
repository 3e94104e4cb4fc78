// Accounts that tests have the keys of.
#pragma once

#include "services/quarkchain/chain/evm_transaction.hpp"

#include <cstdint>

namespace trunkline::quarkchain::test {

/// Whoever can sign. Two of one number are the same.
struct Signer {
  explicit Signer(std::uint8_t number);
  Hash256 key;
  Recipient address;

  EvmTransaction& sign(EvmTransaction& tx) const;
};

} // namespace trunkline::quarkchain::test
