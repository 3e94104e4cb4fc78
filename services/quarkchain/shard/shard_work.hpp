// Blocks that somebody else seals: offered as hashes, kept until they come back with a nonce.
#pragma once

#include "services/quarkchain/shard/shard_cl.hpp"

#include <cstdint>
#include <list>
#include <optional>

namespace trunkline::quarkchain {

struct OfferedWork {
  Hash256 mining_hash;
  std::uint64_t height = 0;
  BigUint difficulty; // what the seal has to meet, staked work counted
};

class ShardWork {
 public:
  /// A block is offered again for so long, while the tip stays.
  static constexpr std::uint64_t seconds_reused_max = 10;
  static constexpr std::size_t offers_max = 128;

  /// `shard` must outlive it.
  explicit ShardWork(ShardCL& shard) : shard_(shard) {}

  /// The block that pays this address; without one, that of the shard's configuration.
  OfferedWork offer(std::uint64_t now, const std::optional<Address>& coinbase);
  /// The offered block with its seal. Nothing for a hash that was not offered, for a block whose parent is the tip no
  /// more, which is forgotten, and for a seal that is none, after which a better one may come.
  std::optional<MinorBlock> solve(const Hash256& mining_hash, std::uint64_t nonce, const Hash256& mixhash);
  /// It has been added.
  void forget(const Hash256& mining_hash);

 private:
  struct Offer {
    OfferedWork work;
    Address coinbase;
    MinorBlock block;
  };

  ShardCL& shard_;
  std::list<Offer> offers_; // the one that was used last is first
};

} // namespace trunkline::quarkchain
