#include "services/sync/delta_finder.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::size_t buffer_bytes = 256 * 1024;
/// Blocks with one weak sum that are tried; who has more of them has made them.
constexpr int chain_max = 16;
constexpr std::size_t known_bits_per_block = 16;

/// Both ends of a weak sum are as good as random; heads_ uses the lower one.
std::size_t bit_of(std::uint32_t weak, std::size_t bits) noexcept {
  return static_cast<std::size_t>((std::uint64_t{weak * 0x85EBCA77u} * bits) >> 32);
}

} // namespace

DeltaFinder::DeltaFinder(std::shared_ptr<const BlockSums> sums, bool in_place)
    : sums_(std::move(sums)), block_bytes_(sums_->sizes.block_bytes), in_place_(in_place),
      heads_(std::bit_ceil(std::max<std::size_t>(16, 2 * sums_->sums.size())), none),
      known_(heads_.size() / 2 * known_bits_per_block / 64), nexts_(sums_->sums.size(), none),
      buffer_(std::max(buffer_bytes, 4 * block_bytes_)) {
  // From the last to the first, so that the first of several equal blocks is found first.
  for (std::size_t i = sums_->sums.size(); i-- > 0;) {
    std::uint32_t& head = heads_[sums_->sums[i].weak & (heads_.size() - 1)];
    // A run of equal blocks would make long chains, of which the first block says as much as all of them.
    const bool same = head != none && sums_->sums[head] == sums_->sums[i];
    nexts_[i] = same ? nexts_[head] : head;
    head = static_cast<std::uint32_t>(i);
    const std::size_t bit = bit_of(sums_->sums[i].weak, known_.size() * 64);
    known_[bit / 64] |= std::uint64_t{1} << bit % 64;
  }
}

void DeltaFinder::check() const {
  invariant(literal_ <= at_ && at_ <= filled_ && filled_ <= buffer_.size(), "delta: literal <= at <= filled <= buffer");
  if (copy_size_ == 0) return;
  invariant(copy_to_ + copy_size_ == base_ + literal_, "delta: a copy that grows ends where the literal begins");
  invariant(copy_from_ % block_bytes_ == 0 && copy_from_ + copy_size_ <= sums_->bytes(),
            "delta: a copy is made of whole blocks that there are");
}

std::span<std::byte> DeltaFinder::space() {
  if (literal_ > 0 && buffer_.size() - filled_ < buffer_.size() / 2) {
    std::memmove(buffer_.data(), buffer_.data() + literal_, filled_ - literal_);
    base_ += literal_;
    at_ -= literal_;
    filled_ -= literal_;
    literal_ = 0;
  }
  return std::span(buffer_).subspan(filled_);
}

/// Of the window. The sum that rolls is made anew behind each match, once somebody needs it.
std::uint32_t DeltaFinder::weak() {
  if (!rolls_) rolling_.start(window());
  rolls_ = true;
  return rolling_.value();
}

/// Files change in places: behind a block that was found the next one is likely, and so is the one at the same offset.
/// Either is asked by its strong sum, which most of them pass, and then by the weak one: half of a sum says too little.
std::uint32_t DeltaFinder::find_expected(std::optional<std::uint64_t>& strong_of_window) {
  const std::uint64_t same = offset() % block_bytes_ == 0 ? offset() / block_bytes_ : none;
  for (const std::uint64_t block : {std::uint64_t{expected_}, same}) {
    if (block >= sums_->sums.size() || !allowed(static_cast<std::uint32_t>(block))) continue;
    if (!strong_of_window) strong_of_window = strong();
    if (sums_->sums[block].strong == *strong_of_window && sums_->sums[block].weak == weak())
      return static_cast<std::uint32_t>(block);
    if (same == expected_) break;
  }
  return none;
}

std::uint32_t DeltaFinder::look_up(std::optional<std::uint64_t>& strong_of_window) {
  const std::uint32_t sum = weak();
  std::uint32_t block = heads_[sum & (heads_.size() - 1)];
  bool was_near = false;
  for (int tried = 0; block != none && tried < chain_max; block = nexts_[block], ++tried) {
    if (sums_->sums[block].weak != sum || !allowed(block)) continue;
    if (!strong_of_window) strong_of_window = strong();
    if (sums_->sums[block].strong == *strong_of_window) return block;
    was_near = true;
  }
  if (was_near) {
    ++false_matches_;
  } else {
    missed_ = sum;
  }
  return none;
}

std::uint32_t DeltaFinder::find_block() {
  std::optional<std::uint64_t> strong_of_window; // once somebody needs it
  if (!rolls_ || offset() % block_bytes_ == 0)
    if (const std::uint32_t found = find_expected(strong_of_window); found != none) return found;
  if (false_matches_ >= false_matches_max) return none;
  return look_up(strong_of_window);
}

/// Moves the window on, by one byte at least, to where it may be a block: all that most bytes of a new file cost.
void DeltaFinder::skip_strangers() {
  RollingSum rolling = rolling_;
  const std::byte* const bytes = buffer_.data();
  const std::size_t bits = known_.size() * 64;
  const std::size_t end = std::min(filled_ - block_bytes_, literal_ + literal_bytes_max);
  constexpr std::uint64_t nothing = std::uint64_t{1} << 32; // is no weak sum
  const std::uint64_t missed = missed_ ? *missed_ : nothing;
  std::size_t at = at_;
  do {
    rolling.roll(bytes[at], bytes[at + block_bytes_]);
    ++at;
    const std::size_t bit = bit_of(rolling.value(), bits);
    if ((known_[bit / 64] >> bit % 64 & 1) && rolling.value() != missed) break;
  } while (at < end && ((base_ + at) & (block_bytes_ - 1)) != 0); // see find_block
  at_ = at;
  rolling_ = rolling;
}

std::optional<DeltaPiece> DeltaFinder::next() {
  while (filled_ - at_ >= block_bytes_) {
    const std::uint32_t block = find_block();
    if (block != none) {
      if (std::optional<DeltaPiece> piece = take_match(block)) return piece;
      continue;
    }
    if (filled_ - at_ == block_bytes_) break; // the byte that enters is not here yet
    skip_strangers();
    if (at_ - literal_ < literal_bytes_max) continue;
    if (std::optional<DeltaPiece> copy = take_copy()) return copy;
    return take_literal();
  }
#ifndef NDEBUG
  check();
#endif
  if (ended_) return take_rest();
  // The buffer is full of what was not found: make room.
  if (literal_ < at_ && filled_ == buffer_.size()) {
    if (std::optional<DeltaPiece> copy = take_copy()) return copy;
    return take_literal();
  }
  return std::nullopt;
}

/// What comes before the match, and is finished by it; nothing when it only adds to the copy that grows.
std::optional<DeltaPiece> DeltaFinder::take_match(std::uint32_t block) {
  if (literal_ < at_) {
    if (std::optional<DeltaPiece> copy = take_copy()) return copy;
    return take_literal(); // the window is found again
  }
  std::optional<DeltaPiece> piece;
  if (copy_size_ > 0 && (copy_from_ + copy_size_ != from_of(block) || copy_size_ >= copy_bytes_max))
    piece = take_copy();
  if (copy_size_ == 0) {
    copy_to_ = offset();
    copy_from_ = from_of(block) + static_cast<std::uint64_t>(off_by_one("delta finder"));
  }
  copy_size_ += block_bytes_;
  expected_ = block + 1;
  at_ += block_bytes_;
  literal_ = at_;
  rolls_ = false;
  return piece;
}

std::optional<DeltaPiece> DeltaFinder::take_copy() {
  if (copy_size_ == 0) return std::nullopt;
  DeltaPiece piece;
  piece.is_copy = true;
  piece.to = copy_to_;
  piece.from = copy_from_;
  piece.size = std::exchange(copy_size_, 0);
  return piece;
}

std::optional<DeltaPiece> DeltaFinder::take_literal() {
  DeltaPiece piece;
  piece.to = base_ + literal_;
  piece.size = at_ - literal_;
  piece.bytes = std::span(buffer_).subspan(literal_, at_ - literal_);
  literal_ = at_;
  return piece;
}

std::optional<DeltaPiece> DeltaFinder::take_rest() {
  if (std::optional<DeltaPiece> copy = take_copy()) return copy;
  at_ = std::min(filled_, literal_ + literal_bytes_max);
  rolls_ = false;
  if (literal_ == at_) return std::nullopt;
  return take_literal();
}

} // namespace trunkline::sync
