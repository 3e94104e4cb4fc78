// Ethash, light: the proof of work of Ethereum before it staked, checked from a cache instead of the data set.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"

#include <cstdint>
#include <vector>

namespace trunkline::quarkchain {

/// What mining or checking one nonce comes to.
struct WorkResult {
  Hash256 mixhash;
  Hash256 result; // a number: the smaller, the more work
};

class EthashCache {
 public:
  static constexpr std::uint64_t epoch_blocks = 30000;

  /// Of all blocks of this epoch. Takes about a second, and 16 MiB that become more with each epoch.
  explicit EthashCache(std::uint64_t epoch);

  WorkResult work(const Hash256& mining_hash, std::uint64_t nonce) const;

 private:
  struct Row {
    std::uint32_t words[16];
  };

  Row data_row(std::uint32_t index) const;

  std::vector<Row> rows_;
  std::uint64_t data_pages_; // of two rows
};

} // namespace trunkline::quarkchain
