#include "services/sync/block_sums.hpp"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

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

} // namespace

void RollingSum::start(std::span<const std::byte> window) noexcept {
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
