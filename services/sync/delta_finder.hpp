// Finds in a file what the far side has already, from the sums of its blocks. No I/O: bytes of the file in, pieces of
// it out.
#pragma once

#include "circuit/invariant.hpp"
#include "services/sync/block_sums.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace trunkline::sync {

/// A run of a file: bytes that the far side lacks, or a run of what it has.
struct DeltaPiece {
  bool is_copy = false;
  std::uint64_t to = 0;   // in the file; each piece begins where the one before it ended
  std::uint64_t size = 0; // > 0
  std::uint64_t from = 0; // of a copy: in the blocks, from <= BlockSums::bytes() - size
  std::span<const std::byte> bytes; // of what is no copy; valid until the next call
};

/// Takes a file from beginning to end. Fill `space`, then take pieces until there is none; after `end` the last ones.
/// What it costs is bounded whatever the sums are: about two steps for each byte and a digest for each block, with
/// false_matches_max digests beyond.
class DeltaFinder {
 public:
  /// in_place: the far side overwrites the blocks with the file, so that of them only those are left that do not lie
  /// before what a piece is for.
  DeltaFinder(std::shared_ptr<const BlockSums> sums, bool in_place);
  DeltaFinder(const DeltaFinder&) = delete;
  DeltaFinder& operator=(const DeltaFinder&) = delete;

  /// Where the next bytes of the file go; never empty when `next` has returned nothing.
  std::span<std::byte> space();
  void filled(std::size_t count) noexcept { filled_ += count; }
  void end() noexcept { ended_ = true; }
  /// The next piece; nothing when more bytes are needed, or all have been given out.
  std::optional<DeltaPiece> next();

  static constexpr std::uint64_t false_matches_max = 4096; // whose weak sum is right and whose strong one is not
  static constexpr std::uint64_t copy_bytes_max = 8 << 20; // of one piece
  static constexpr std::size_t literal_bytes_max = 256 * 1024;

  /// literal_ <= at_ <= filled_ <= size of the buffer; a copy that grows ends where the literal begins, and is made of
  /// whole blocks that there are.
  void check() const;

 private:
  static constexpr std::uint32_t none = 0xffffffff;

  std::span<const std::byte> window() const noexcept { return std::span(buffer_).subspan(at_, block_bytes_); }
  std::uint64_t offset() const noexcept { return base_ + at_; }
  bool allowed(std::uint32_t block) const noexcept {
    const std::uint32_t counted = block + static_cast<std::uint32_t>(off_by_one("delta in place"));
    return !in_place_ || from_of(counted) >= offset();
  }
  std::uint64_t from_of(std::uint32_t block) const noexcept { return std::uint64_t{block} * block_bytes_; }
  std::uint32_t weak();
  std::uint64_t strong() const { return sums_->known_of(strong_sum(window(), sums_->seed)); }
  std::uint32_t find_expected(std::optional<std::uint64_t>& strong_of_window);
  std::uint32_t find_block();
  std::uint32_t look_up(std::optional<std::uint64_t>& strong_of_window);
  void skip_strangers();
  std::optional<DeltaPiece> take_copy();
  std::optional<DeltaPiece> take_literal();
  std::optional<DeltaPiece> take_match(std::uint32_t block);
  std::optional<DeltaPiece> take_rest();

  std::shared_ptr<const BlockSums> sums_;
  const std::size_t block_bytes_;
  const bool in_place_;
  std::vector<std::uint32_t> heads_; // by weak sum: the first block; a power of two of them
  std::vector<std::uint64_t> known_; // a bit for some of the bits of each weak sum: most windows need no look at heads_
  std::vector<std::uint32_t> nexts_; // of each block: the next one with the same head

  std::vector<std::byte> buffer_;
  std::uint64_t base_ = 0; // of the buffer, in the file
  std::size_t filled_ = 0; // of the buffer
  std::size_t literal_ = 0; // from here to at_ nothing has been found
  std::size_t at_ = 0; // where the window begins
  bool ended_ = false;
  std::optional<std::uint32_t> missed_; // a weak sum that no block has; a run of equal bytes has it at every offset
  bool rolls_ = false; // rolling_ is the sum of the window
  RollingSum rolling_;
  std::uint32_t expected_ = 0; // the block behind the one that was found last
  std::uint64_t copy_to_ = 0; // a copy that may grow yet: [copy_to_, copy_to_ + copy_size_)
  std::uint64_t copy_from_ = 0;
  std::uint64_t copy_size_ = 0;
  std::uint64_t false_matches_ = 0;
};

} // namespace trunkline::sync
