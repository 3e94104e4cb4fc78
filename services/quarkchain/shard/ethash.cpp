#include "services/quarkchain/shard/ethash.hpp"

#include "services/quarkchain/chain/keccak.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace trunkline::quarkchain {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are hashed as they lie in memory");

constexpr std::uint64_t row_bytes = 64;
constexpr std::uint64_t page_bytes = 2 * row_bytes;
constexpr std::uint64_t cache_bytes_first = std::uint64_t{1} << 24;
constexpr std::uint64_t cache_bytes_growth = std::uint64_t{1} << 17;
constexpr std::uint64_t data_bytes_first = std::uint64_t{1} << 30;
constexpr std::uint64_t data_bytes_growth = std::uint64_t{1} << 23;
constexpr unsigned cache_rounds = 3;
constexpr unsigned parents = 256;
constexpr unsigned accesses = 64;

std::uint32_t fnv(std::uint32_t a, std::uint32_t b) { return a * 0x01000193u ^ b; }

bool is_prime(std::uint64_t number) {
  if (number % 2 == 0) return number == 2;
  for (std::uint64_t divisor = 3; divisor * divisor <= number; divisor += 2)
    if (number % divisor == 0) return false;
  return number > 1;
}

/// The largest prime number of units below so many bytes.
std::uint64_t prime_units(std::uint64_t bytes, std::uint64_t unit) {
  std::uint64_t units = bytes / unit - 1;
  while (!is_prime(units)) units -= 2;
  return units;
}

template <class Into> Into hashed(std::span<const std::byte> bytes) {
  Into into;
  const FixedBytes<64> hash = keccak512(bytes);
  static_assert(sizeof into == sizeof hash.bytes);
  std::memcpy(&into, hash.bytes.data(), sizeof into);
  return into;
}

template <class Words> std::span<const std::byte> bytes_in(const Words& words) {
  return std::as_bytes(std::span(&words, 1));
}

} // namespace

EthashCache::EthashCache(std::uint64_t epoch)
    : data_pages_(prime_units(data_bytes_first + data_bytes_growth * epoch, page_bytes)) {
  const std::uint64_t count = prime_units(cache_bytes_first + cache_bytes_growth * epoch, row_bytes);
  Hash256 seed;
  for (std::uint64_t i = 0; i < epoch; ++i) seed = keccak256(seed.bytes);
  rows_.reserve(count);
  rows_.push_back(hashed<Row>(seed.bytes));
  while (rows_.size() < count) rows_.push_back(hashed<Row>(bytes_in(rows_.back())));
  for (unsigned round = 0; round < cache_rounds; ++round) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const Row& before = rows_[(i + count - 1) % count];
      const Row& other = rows_[rows_[i].words[0] % count];
      Row mixed;
      for (unsigned w = 0; w < 16; ++w) mixed.words[w] = before.words[w] ^ other.words[w];
      rows_[i] = hashed<Row>(bytes_in(mixed));
    }
  }
}

EthashCache::Row EthashCache::data_row(std::uint32_t index) const {
  Row mix = rows_[index % rows_.size()];
  mix.words[0] ^= index;
  mix = hashed<Row>(bytes_in(mix));
  for (std::uint32_t j = 0; j < parents; ++j) {
    const Row& parent = rows_[fnv(index ^ j, mix.words[j % 16]) % rows_.size()];
    for (unsigned w = 0; w < 16; ++w) mix.words[w] = fnv(mix.words[w], parent.words[w]);
  }
  return hashed<Row>(bytes_in(mix));
}

WorkResult EthashCache::work(const Hash256& mining_hash, std::uint64_t nonce) const {
  std::byte seeded[Hash256::size + sizeof nonce]; // the nonce least significant byte first
  std::memcpy(seeded, mining_hash.bytes.data(), Hash256::size);
  std::memcpy(seeded + Hash256::size, &nonce, sizeof nonce);
  const Row seed = hashed<Row>(seeded);
  std::uint32_t mix[32];
  for (unsigned w = 0; w < 32; ++w) mix[w] = seed.words[w % 16];
  for (std::uint32_t i = 0; i < accesses; ++i) {
    const std::uint64_t page = fnv(i ^ seed.words[0], mix[i % 32]) % data_pages_;
    for (unsigned half = 0; half < 2; ++half) {
      const Row row = data_row(static_cast<std::uint32_t>(2 * page + half));
      for (unsigned w = 0; w < 16; ++w) mix[16 * half + w] = fnv(mix[16 * half + w], row.words[w]);
    }
  }
  std::uint32_t pressed[8];
  for (unsigned w = 0; w < 8; ++w)
    pressed[w] = fnv(fnv(fnv(mix[4 * w], mix[4 * w + 1]), mix[4 * w + 2]), mix[4 * w + 3]);
  WorkResult result;
  std::memcpy(result.mixhash.bytes.data(), pressed, sizeof pressed);
  result.result = keccak256(bytes_in(seed), result.mixhash.bytes);
  return result;
}

} // namespace trunkline::quarkchain
