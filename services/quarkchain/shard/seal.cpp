#include "services/quarkchain/shard/seal.hpp"

#include "services/quarkchain/chain/big_endian.hpp"

#include "services/quarkchain/shard/qkchash.hpp"

#include <crypto++/sha.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace trunkline::quarkchain {
namespace {

Hash256 sha256(std::span<const std::byte> bytes) {
  Hash256 hash;
  CryptoPP::SHA256().CalculateDigest(reinterpret_cast<unsigned char*>(hash.bytes.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  return hash;
}

/// The largest hash plus one that a difficulty lets pass, or nearly: see those who compare.
BigUint target_of(const BigUint& difficulty) {
  static const BigUint all =
      *BigUint::from_decimal("115792089237316195423570985008687907853269984665640564039457584007913129639936"); // 2^256
  return all / std::max(difficulty, BigUint(1));
}

bool is_double_sha256(const Seal& seal) {
  std::array<std::byte, Hash256::size + 8> bytes;
  std::copy(seal.mining_hash.bytes.begin(), seal.mining_hash.bytes.end(), bytes.begin());
  put_big(bytes.data() + Hash256::size, seal.nonce);
  const Hash256 hash = sha256(sha256(bytes).bytes);
  return *BigUint::from_bytes(hash.bytes) + BigUint(1) < target_of(seal.difficulty);
}

/// Caches of the last epochs that were asked for.
template <class Cache> class Caches {
 public:
  std::shared_ptr<const Cache> of(std::uint64_t height) {
    const std::uint64_t epoch = height / Cache::epoch_blocks;
    for (const auto& [known, cache] : kept_)
      if (known == epoch) return cache;
    if (kept_.size() == kept_max) kept_.pop_front();
    return kept_.emplace_back(epoch, std::make_shared<const Cache>(epoch)).second;
  }

 private:
  static constexpr std::size_t kept_max = 2; // one epoch ends while the next begins

  std::deque<std::pair<std::uint64_t, std::shared_ptr<const Cache>>> kept_;
};

// One for each thread: they are the same for all shards, and large.
thread_local Caches<EthashCache> ethash_caches;
thread_local Caches<QkchashCache> qkchash_caches;

bool is_worked(ConsensusType type, const Seal& seal, bool rotation) {
  const WorkResult work = work_of(type, seal, rotation);
  return work.mixhash == seal.mixhash && *BigUint::from_bytes(work.result.bytes) <= target_of(seal.difficulty);
}

} // namespace

const char* name_of(ConsensusType type) noexcept {
  switch (type) {
    case ConsensusType::none: return "NONE";
    case ConsensusType::pow_ethash: return "POW_ETHASH";
    case ConsensusType::pow_doublesha256: return "POW_DOUBLESHA256";
    case ConsensusType::pow_simulate: return "POW_SIMULATE";
    case ConsensusType::pow_qkchash: return "POW_QKCHASH";
  }
  return "?";
}

WorkResult work_of(ConsensusType type, const Seal& seal, bool rotation) {
  if (type == ConsensusType::pow_ethash) return ethash_caches.of(seal.height)->work(seal.mining_hash, seal.nonce);
  if (type == ConsensusType::pow_qkchash)
    return qkchash_caches.of(seal.height)->work(seal.mining_hash, seal.nonce, rotation);
  throw std::domain_error(std::string("there is no mixhash of ") + name_of(type));
}

bool is_sealed(ConsensusType type, const Seal& seal, bool rotation) {
  switch (type) {
    case ConsensusType::none:
    case ConsensusType::pow_simulate: return true;
    case ConsensusType::pow_doublesha256: return is_double_sha256(seal);
    case ConsensusType::pow_ethash:
    case ConsensusType::pow_qkchash: return is_worked(type, seal, rotation);
  }
  throw std::domain_error("a seal of no known kind");
}

} // namespace trunkline::quarkchain
