// What a Taker has of a file, as sums of its blocks: little enough to send, and enough for the Giver to find the same
// bytes in another file, wherever they lie there. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace trunkline::sync {

/// A sum that a window can slide over: what leaves at one end and enters at the other changes it in a few steps.
class RollingSum {
 public:
  /// Of these bytes; earlier ones are forgotten. By wide vectors where the processor has them.
  void start(std::span<const std::byte> window) noexcept;
  /// The same on every machine.
  void start_plainly(std::span<const std::byte> window) noexcept;
  /// The window moves on by one byte.
  void roll(std::byte leaves, std::byte enters) noexcept {
    const auto out = static_cast<std::uint32_t>(leaves);
    plain_ += static_cast<std::uint32_t>(enters) - out;
    weighted_ += plain_ - size_ * out;
  }
  std::uint32_t value() const noexcept { return weighted_ + plain_ * 0x9E3779B1u; }

 private:
  std::uint32_t size_ = 0;
  std::uint32_t plain_ = 0;    // of the bytes
  std::uint32_t weighted_ = 0; // of the bytes, each as often as it is from the window's end
};

/// 64 bits of XXH3 with a secret seed: nobody who only writes files can make two blocks that have the same one.
std::uint64_t strong_sum(std::span<const std::byte> block, std::uint64_t seed) noexcept;

struct BlockSum {
  std::uint32_t weak = 0;
  std::uint64_t strong = 0;

  friend bool operator==(const BlockSum&, const BlockSum&) = default;
};

/// How a file is summed.
struct SumSizes {
  std::size_t block_bytes = 0; // a power of two
  std::size_t strong_bytes = 0; // of each strong sum, from its low end

  /// The sizes with which the sums of so large a basis and what a few changes cost are about balanced, and with which
  /// hardly ever a file of `file_bytes` has a window that is taken for a block and is none.
  static SumSizes for_basis(std::uint64_t basis_bytes, std::uint64_t file_bytes) noexcept;
  /// Whether the far side may say so.
  bool valid() const noexcept;
};

/// The sums of a file's blocks, in order; what is left of the file behind the last whole block has none.
struct BlockSums {
  static constexpr std::size_t block_bytes_min = 512;
  static constexpr std::size_t block_bytes_max = 1 << 20;
  static constexpr std::size_t blocks_max = 4 << 20;
  static constexpr std::size_t weak_bytes = 4;
  static constexpr std::size_t strong_bytes_min = 2;
  static constexpr std::size_t strong_bytes_max = 8;

  SumSizes sizes{block_bytes_min, strong_bytes_max};
  std::uint64_t seed = 0;
  std::vector<BlockSum> sums; // <= blocks_max

  std::uint64_t bytes() const noexcept { return std::uint64_t{sizes.block_bytes} * sums.size(); }
  /// Of one sum on the wire.
  std::size_t sum_bytes() const noexcept { return weak_bytes + sizes.strong_bytes; }
  /// The part of a strong sum that is known of the blocks'.
  std::uint64_t known_of(std::uint64_t strong) const noexcept {
    return strong & (~std::uint64_t{0} >> (64 - 8 * sizes.strong_bytes));
  }

  /// Appends sums as they travel: for each the bytes of the weak one, then those of the strong one, little endian.
  /// False when they are not a whole number of sums, or become more than `sums_max`.
  bool append(std::span<const std::byte> encoded, std::size_t sums_max);
  /// The sums [first, first + count) as they travel.
  void encode(std::size_t first, std::size_t count, std::span<std::byte> into) const;
};

/// Makes the sums of a file that is read piece by piece.
class BlockSummer {
 public:
  BlockSummer(SumSizes sizes, std::uint64_t seed);

  void add(std::span<const std::byte> bytes);
  /// What is left over of the last block is dropped: another file may begin.
  void end_file() noexcept { partial_.clear(); }
  BlockSums take() { return std::move(sums_); }
  const BlockSums& sums() const noexcept { return sums_; }

 private:
  void add_block(std::span<const std::byte> block);

  BlockSums sums_;
  std::vector<std::byte> partial_; // of a block, < block_bytes
};

} // namespace trunkline::sync
