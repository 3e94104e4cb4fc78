// The proof of work of a block.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/shard/ethash.hpp"

#include <cstdint>

namespace trunkline::quarkchain {

/// What a seal proves, and the proof.
struct Seal {
  Hash256 mining_hash;
  std::uint64_t height = 0;
  std::uint64_t nonce = 0;
  Hash256 mixhash;
  BigUint difficulty; // adjusted
};

/// "POW_ETHASH".
const char* name_of(ConsensusType type) noexcept;

/// What mining this nonce comes to, by ethash or qkchash. `rotation`: qkchash with its statistics of rotations.
/// Errors: std::domain_error for another kind. The first of an epoch takes up to a few seconds: what it needs is made,
/// and kept for all shards of the thread.
WorkResult work_of(ConsensusType type, const Seal& seal, bool rotation = false);

/// NONE and POW_SIMULATE are always sealed.
bool is_sealed(ConsensusType type, const Seal& seal, bool rotation = false);

} // namespace trunkline::quarkchain
