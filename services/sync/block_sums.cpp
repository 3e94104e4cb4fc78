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

SumSizes SumSizes::for_basis(std::uint64_t basis_bytes, std::uint64_t file_bytes) noexcept {
  // With blocks of the square root of the size a sum weighs about as much as a change does to the block that it is in,
  // when there are a few changes; there are more of them in a large file, which a database of gigabytes is.
  constexpr double usual_max = 8192;
  const double root = std::sqrt(static_cast<double>(basis_bytes));
  const double wanted = std::max(std::min(root * std::sqrt(2.0), usual_max), root / 4);
  SumSizes sizes;
  sizes.block_bytes = std::clamp(std::bit_floor(static_cast<std::uint64_t>(wanted)),
                                 std::uint64_t{BlockSums::block_bytes_min}, std::uint64_t{BlockSums::block_bytes_max});
  while (sizes.block_bytes < BlockSums::block_bytes_max && basis_bytes / sizes.block_bytes > BlockSums::blocks_max)
    sizes.block_bytes *= 2;

  // Each window of the file may be each of the blocks: of so many random sums one in 2^14 files would find a false one.
  constexpr int margin_bits = 14;
  const auto bits_of = [](std::uint64_t count) { return static_cast<int>(std::bit_width(count | 1)) - 1; };
  const int bits = bits_of(std::max(basis_bytes, file_bytes)) + bits_of(basis_bytes / sizes.block_bytes) + margin_bits -
                   8 * static_cast<int>(BlockSums::weak_bytes);
  sizes.strong_bytes = std::clamp(static_cast<std::size_t>(std::max(0, bits) + 7) / 8, BlockSums::strong_bytes_min,
                                  BlockSums::strong_bytes_max);
  return sizes;
}

bool SumSizes::valid() const noexcept {
  return block_bytes >= BlockSums::block_bytes_min && block_bytes <= BlockSums::block_bytes_max &&
         std::has_single_bit(block_bytes) && strong_bytes >= BlockSums::strong_bytes_min &&
         strong_bytes <= BlockSums::strong_bytes_max;
}

bool BlockSums::append(std::span<const std::byte> encoded, std::size_t sums_max) {
  const std::size_t count = encoded.size() / sum_bytes();
  if (encoded.size() % sum_bytes() != 0 || count > sums_max || sums.size() > sums_max - count) return false;
  for (; !encoded.empty(); encoded = encoded.subspan(sum_bytes())) {
    BlockSum sum;
    sum.weak = static_cast<std::uint32_t>(sync::take(encoded.first(weak_bytes)));
    sum.strong = sync::take(encoded.subspan(weak_bytes, sizes.strong_bytes));
    sums.push_back(sum);
  }
  return true;
}

void BlockSums::encode(std::size_t first, std::size_t count, std::span<std::byte> into) const {
  for (std::size_t i = first; i < first + count; ++i, into = into.subspan(sum_bytes())) {
    put(sums[i].weak, into.first(weak_bytes));
    put(sums[i].strong, into.subspan(weak_bytes, sizes.strong_bytes));
  }
}

BlockSummer::BlockSummer(SumSizes sizes, std::uint64_t seed) {
  sums_.sizes = sizes;
  sums_.seed = seed;
}

void BlockSummer::add_block(std::span<const std::byte> block) {
  RollingSum weak;
  weak.start(block);
  sums_.sums.push_back({weak.value(), sums_.known_of(strong_sum(block, sums_.seed))});
}

void BlockSummer::add(std::span<const std::byte> bytes) {
  if (!partial_.empty()) {
    const std::size_t count = std::min(bytes.size(), sums_.sizes.block_bytes - partial_.size());
    partial_.insert(partial_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (partial_.size() < sums_.sizes.block_bytes) return;
    add_block(partial_);
    partial_.clear();
  }
  for (; bytes.size() >= sums_.sizes.block_bytes; bytes = bytes.subspan(sums_.sizes.block_bytes))
    add_block(bytes.first(sums_.sizes.block_bytes));
  partial_.assign(bytes.begin(), bytes.end());
}

} // namespace trunkline::sync
