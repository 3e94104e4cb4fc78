// Byte strings of the QuarkChain protocol: fixed ones (hashes, recipients, signatures) and those whose length is
// written before them. In JSON all are hexadecimal.
#pragma once

#include "fragment/hex.hpp"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

using trunkline::from_hex;
using trunkline::to_hex;

inline std::span<const std::byte> bytes_of(std::string_view text) noexcept { return std::as_bytes(std::span(text)); }
inline std::string_view text_of(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Exactly `Size` bytes, zero at first.
template <std::size_t Size> struct FixedBytes {
  static constexpr std::size_t size = Size;

  std::array<std::byte, Size> bytes{};

  /// Nothing but exactly two digits for each byte.
  static std::optional<FixedBytes> from_hex(std::string_view digits) {
    FixedBytes value;
    if (!quarkchain::from_hex(digits, value.bytes)) return std::nullopt;
    return value;
  }
  /// Nothing but exactly `Size` bytes.
  static std::optional<FixedBytes> from_bytes(std::span<const std::byte> from) {
    if (from.size() != Size) return std::nullopt;
    FixedBytes value;
    std::memcpy(value.bytes.data(), from.data(), Size);
    return value;
  }
  std::string hex() const { return to_hex(bytes); }
  bool is_zero() const noexcept { return bytes == std::array<std::byte, Size>{}; }
  operator std::span<const std::byte>() const noexcept { return bytes; }

  friend bool operator==(const FixedBytes&, const FixedBytes&) = default;
  friend std::strong_ordering operator<=>(const FixedBytes& a, const FixedBytes& b) noexcept {
    return std::memcmp(a.bytes.data(), b.bytes.data(), Size) <=> 0;
  }
};

using Hash256 = FixedBytes<32>;
using Recipient = FixedBytes<20>;
using Signature65 = FixedBytes<65>;

/// Bytes whose length takes four bytes on the wire are a std::string, lists whose count does are a std::vector. These
/// are the few that are shorter.
template <unsigned Prefix> struct ShortBytes : std::string {
  using std::string::string;
  ShortBytes(std::string from) : std::string(std::move(from)) {}
  static constexpr unsigned prefix_bytes = Prefix;
};
using Bytes1 = ShortBytes<1>;
using Bytes2 = ShortBytes<2>;

template <class Item> struct List1 : std::vector<Item> {
  using std::vector<Item>::vector;
  static constexpr unsigned prefix_bytes = 1;
};

} // namespace trunkline::quarkchain

template <std::size_t Size> struct std::hash<trunkline::quarkchain::FixedBytes<Size>> {
  static_assert(Size >= sizeof(std::size_t));
  /// Hashes of hostile blocks can be chosen to collide here: the tables that use it must bound their size.
  std::size_t operator()(const trunkline::quarkchain::FixedBytes<Size>& value) const noexcept {
    std::size_t first;
    std::memcpy(&first, value.bytes.data(), sizeof first);
    return first;
  }
};
