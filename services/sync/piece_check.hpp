// Whether what comes for a file fits into it: the pieces of a delta, and of a file that comes whole. No I/O.
#pragma once

#include <cstdint>
#include <string>

namespace trunkline::sync {

/// Believes nothing: end <= file_bytes whatever the far side says, and no copy reaches beyond the basis.
class PieceCheck {
 public:
  PieceCheck(std::uint64_t file_bytes, std::uint64_t basis_bytes, bool in_place)
      : file_bytes_(file_bytes), basis_bytes_(basis_bytes), in_place_(in_place) {}

  /// What is wrong with bytes that are to lie at an offset; empty: nothing, and they count.
  std::string wrong_with_data(std::uint64_t to, std::uint64_t size);
  /// The same of a run of the basis.
  std::string wrong_with_copy(std::uint64_t to, std::uint64_t from, std::uint64_t size);

  /// Up to here something has come, or is a hole.
  std::uint64_t end() const noexcept { return end_; }
  std::uint64_t file_bytes() const noexcept { return file_bytes_; }

 private:
  bool fits(std::uint64_t to, std::uint64_t size) const noexcept {
    return to >= end_ && to <= file_bytes_ && size <= file_bytes_ - to;
  }
  std::string misfit(std::uint64_t to, std::uint64_t size) const;

  const std::uint64_t file_bytes_;
  const std::uint64_t basis_bytes_;
  const bool in_place_; // the basis is what the file overwrites: what lies before its end is gone
  std::uint64_t end_ = 0;
};

} // namespace trunkline::sync
