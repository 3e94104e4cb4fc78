// Numbers beyond 64 bits. They are kept as they travel, big-endian, so that neither decoding nor comparing one converts
// anything. In JSON all are decimal.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// From 0 to 2^2040 - 1: what fits behind a length of one byte.
class BigUint {
 public:
  static constexpr std::size_t bytes_max = 255;

  BigUint() = default;
  BigUint(std::uint64_t value);
  /// Big-endian; leading zeros are dropped. Nothing when more than bytes_max bytes remain.
  static std::optional<BigUint> from_bytes(std::span<const std::byte> bytes);
  /// Digits only. Nothing for anything else, and for what is too large.
  static std::optional<BigUint> from_decimal(std::string_view digits);

  /// Big-endian without leading zeros: zero is no bytes at all.
  std::string_view bytes() const noexcept { return bytes_; }
  std::string to_decimal() const;
  /// Nothing when it is larger.
  std::optional<std::uint64_t> to_u64() const noexcept;
  bool is_zero() const noexcept { return bytes_.empty(); }

  friend bool operator==(const BigUint&, const BigUint&) = default;
  friend std::strong_ordering operator<=>(const BigUint& a, const BigUint& b) noexcept {
    if (a.bytes_.size() != b.bytes_.size()) return a.bytes_.size() <=> b.bytes_.size();
    return a.bytes_.compare(b.bytes_) <=> 0;
  }

  // Arithmetic is for what a node adds up, not for the data path. Errors: std::overflow_error beyond the range.
  friend BigUint operator+(const BigUint& a, const BigUint& b);
  friend BigUint operator-(const BigUint& a, const BigUint& b);
  friend BigUint operator*(const BigUint& a, const BigUint& b);
  /// Rounded down. Errors: std::domain_error for a divisor of 0.
  friend BigUint operator/(const BigUint& a, const BigUint& b);
  /// value * numerator / denominator, rounded down. Errors: std::domain_error for a denominator of 0.
  static BigUint scaled(const BigUint& value, std::uint64_t numerator, std::uint64_t denominator);

 private:
  std::string bytes_; // numbers of up to 15 bytes, which is all amounts that exist, need no memory of their own
};

/// A number of exactly `Size` bytes on the wire.
template <std::size_t Size> class FixedUint {
 public:
  static constexpr std::size_t size = Size;

  FixedUint() = default;
  FixedUint(std::uint64_t value) noexcept;
  /// Digits only. Nothing for anything else, and for what is too large.
  static std::optional<FixedUint> from_decimal(std::string_view digits);
  /// Big-endian, at most `Size` bytes after leading zeros. Nothing otherwise.
  static std::optional<FixedUint> from_bytes(std::span<const std::byte> bytes) noexcept;

  std::span<const std::byte, Size> bytes() const noexcept { return bytes_; }
  std::span<std::byte, Size> writable() noexcept { return bytes_; }
  std::string to_decimal() const;
  std::optional<std::uint64_t> to_u64() const noexcept;
  BigUint to_big() const
    requires(Size <= BigUint::bytes_max)
  {
    return *BigUint::from_bytes(bytes_);
  }
  bool is_zero() const noexcept { return bytes_ == std::array<std::byte, Size>{}; }

  friend bool operator==(const FixedUint&, const FixedUint&) = default;
  friend std::strong_ordering operator<=>(const FixedUint& a, const FixedUint& b) noexcept {
    return std::memcmp(a.bytes_.data(), b.bytes_.data(), Size) <=> 0;
  }

 private:
  std::array<std::byte, Size> bytes_{};
};

using Uint128 = FixedUint<16>;
using Uint256 = FixedUint<32>;
using Uint2048 = FixedUint<256>;

extern template class FixedUint<16>;
extern template class FixedUint<32>;
extern template class FixedUint<256>;

} // namespace trunkline::quarkchain
