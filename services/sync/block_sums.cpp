#include "services/sync/block_sums.hpp"

#include "services/sync/xxh3.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#if defined(__x86_64__) && defined(__GNUC__)
#define TRUNKLINE_WIDE_SUMS
#include <immintrin.h>
#endif

namespace trunkline::sync {
namespace {

/// In groups, whose inner loop a compiler turns into a few vector instructions.
constexpr std::size_t group = 32;

constexpr auto weights = [] {
  struct {
    std::int16_t of[group]{};
  } made;
  for (std::size_t i = 0; i < group; ++i) made.of[i] = static_cast<std::int16_t>(group - i);
  return made;
}();

void put(std::uint64_t value, std::span<std::byte> into) {
  for (std::byte& byte : into) {
    byte = static_cast<std::byte>(value);
    value >>= 8;
  }
}

std::uint64_t take(std::span<const std::byte> from) {
  std::uint64_t value = 0;
  for (std::size_t i = from.size(); i-- > 0;) value = value << 8 | static_cast<std::uint64_t>(from[i]);
  return value;
}

#ifdef TRUNKLINE_WIDE_SUMS
/// The two sums of a window in groups of 32 bytes. Of each group the bytes and the weighted bytes are added up in the
/// lanes of two vectors; what a group adds by the bytes before it is 32 times their sum, which a third one adds up.
__attribute__((target("avx2"))) void add_widely(const unsigned char* bytes, std::size_t groups, std::uint32_t& plain,
                                                std::uint32_t& weighted) noexcept {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i falling = _mm256_setr_epi8(32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14,
                                           13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
  __m256i sums = zero;     // 4 of 64 bits
  __m256i before = zero;   // likewise: the sums in front of each group
  __m256i products = zero; // 8 of 32 bits
  for (; groups > 0; --groups, bytes += group) {
    const __m256i some = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    before = _mm256_add_epi64(before, sums);
    sums = _mm256_add_epi64(sums, _mm256_sad_epu8(some, zero));
    products = _mm256_add_epi32(products, _mm256_madd_epi16(_mm256_maddubs_epi16(some, falling), ones));
  }
  alignas(32) std::uint64_t of_sums[4];
  alignas(32) std::uint64_t of_before[4];
  alignas(32) std::uint32_t of_products[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(of_sums), sums);
  _mm256_store_si256(reinterpret_cast<__m256i*>(of_before), before);
  _mm256_store_si256(reinterpret_cast<__m256i*>(of_products), products);
  for (const std::uint64_t sum : of_sums) plain += static_cast<std::uint32_t>(sum);
  for (const std::uint64_t sum : of_before) weighted += static_cast<std::uint32_t>(group * sum);
  for (const std::uint32_t product : of_products) weighted += product;
}
#endif

} // namespace

void RollingSum::start(std::span<const std::byte> window) noexcept {
#ifdef TRUNKLINE_WIDE_SUMS
  if (__builtin_cpu_supports("avx2")) {
    size_ = static_cast<std::uint32_t>(window.size());
    plain_ = 0;
    weighted_ = 0;
    const auto* const bytes = reinterpret_cast<const unsigned char*>(window.data());
    add_widely(bytes, window.size() / group, plain_, weighted_);
    for (std::size_t i = window.size() / group * group; i < window.size(); ++i) {
      plain_ += bytes[i];
      weighted_ += plain_;
    }
    return;
  }
#endif
  start_plainly(window);
}

void RollingSum::start_plainly(std::span<const std::byte> window) noexcept {
  size_ = static_cast<std::uint32_t>(window.size());
  std::uint32_t plain = 0;
  std::uint32_t weighted = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(window.data());
  std::size_t left = window.size();
  for (; left >= group; left -= group, bytes += group) {
    std::int32_t of_plain = 0;
    std::int32_t of_weighted = 0;
    for (std::size_t i = 0; i < group; ++i) {
      of_plain += bytes[i];
      of_weighted += std::int32_t{weights.of[i]} * std::int32_t{bytes[i]};
    }
    weighted += static_cast<std::uint32_t>(group) * plain + static_cast<std::uint32_t>(of_weighted);
    plain += static_cast<std::uint32_t>(of_plain);
  }
  for (; left > 0; --left, ++bytes) {
    plain += *bytes;
    weighted += plain;
  }
  plain_ = plain;
  weighted_ = weighted;
}

std::uint64_t strong_sum(std::span<const std::byte> block, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(block.data(), block.size(), seed);
}

std::size_t BlockSums::block_bytes_for(std::uint64_t file_bytes) noexcept {
  const auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(file_bytes)) / 4);
  std::uint64_t bytes = std::bit_floor(std::max<std::uint64_t>(root, block_bytes_min));
  while (bytes < block_bytes_max && file_bytes / bytes > blocks_max) bytes *= 2;
  return static_cast<std::size_t>(std::min<std::uint64_t>(bytes, block_bytes_max));
}

bool BlockSums::is_block_size(std::uint64_t bytes) noexcept {
  return bytes >= block_bytes_min && bytes <= block_bytes_max && std::has_single_bit(bytes);
}

bool BlockSums::append(std::span<const std::byte> encoded, std::size_t sums_max) {
  const std::size_t count = encoded.size() / sum_bytes;
  if (encoded.size() % sum_bytes != 0 || count > sums_max || sums.size() > sums_max - count) return false;
  for (; !encoded.empty(); encoded = encoded.subspan(sum_bytes)) {
    BlockSum sum;
    sum.weak = static_cast<std::uint32_t>(sync::take(encoded.first(4)));
    sum.strong = sync::take(encoded.subspan(4, 8));
    sums.push_back(sum);
  }
  return true;
}

void BlockSums::encode(std::size_t first, std::size_t count, std::span<std::byte> into) const {
  for (std::size_t i = first; i < first + count; ++i, into = into.subspan(sum_bytes)) {
    put(sums[i].weak, into.first(4));
    put(sums[i].strong, into.subspan(4, 8));
  }
}

BlockSummer::BlockSummer(std::size_t block_bytes, std::uint64_t seed) {
  sums_.block_bytes = block_bytes;
  sums_.seed = seed;
}

void BlockSummer::add_block(std::span<const std::byte> block) {
  RollingSum weak;
  weak.start(block);
  sums_.sums.push_back({weak.value(), strong_sum(block, sums_.seed)});
}

void BlockSummer::add(std::span<const std::byte> bytes) {
  if (!partial_.empty()) {
    const std::size_t count = std::min(bytes.size(), sums_.block_bytes - partial_.size());
    partial_.insert(partial_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (partial_.size() < sums_.block_bytes) return;
    add_block(partial_);
    partial_.clear();
  }
  for (; bytes.size() >= sums_.block_bytes; bytes = bytes.subspan(sums_.block_bytes))
    add_block(bytes.first(sums_.block_bytes));
  partial_.assign(bytes.begin(), bytes.end());
}

} // namespace trunkline::sync
