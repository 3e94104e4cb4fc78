// Unsigned integers as QuarkChain writes them, in bytes that are std::byte.
#pragma once

#include <boost/endian/conversion.hpp>

#include <concepts>
#include <cstddef>

namespace trunkline::quarkchain {

/// Reads sizeof(Number) bytes.
template <std::unsigned_integral Number> Number get_big(const std::byte* at) noexcept {
  using namespace boost::endian;
  return endian_load<Number, sizeof(Number), order::big>(reinterpret_cast<const unsigned char*>(at));
}

/// Writes sizeof(Number) bytes and returns their end.
template <std::unsigned_integral Number> std::byte* put_big(std::byte* at, Number value) noexcept {
  using namespace boost::endian;
  endian_store<Number, sizeof(Number), order::big>(reinterpret_cast<unsigned char*>(at), value);
  return at + sizeof value;
}

} // namespace trunkline::quarkchain
