// Unsigned integers as QuarkChain writes them.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace trunkline::quarkchain {

template <std::unsigned_integral Number> constexpr Number swap_unless_big(Number value) noexcept {
  if constexpr (std::endian::native == std::endian::big || sizeof(Number) == 1) return value;
  else if constexpr (sizeof(Number) == 2) return __builtin_bswap16(value);
  else if constexpr (sizeof(Number) == 4) return __builtin_bswap32(value);
  else return __builtin_bswap64(value);
}

/// Reads sizeof(Number) bytes.
template <std::unsigned_integral Number> Number get_big(const std::byte* at) noexcept {
  Number value;
  std::memcpy(&value, at, sizeof value);
  return swap_unless_big(value);
}

/// Writes sizeof(Number) bytes and returns their end.
template <std::unsigned_integral Number> std::byte* put_big(std::byte* at, Number value) noexcept {
  value = swap_unless_big(value);
  std::memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

} // namespace trunkline::quarkchain
