// Structures to bytes and back, exactly as pyquarkchain has them. `T` is any structure of core_types.hpp,
// cluster_messages.hpp and p2p_messages.hpp.
//
// What is read is never believed: a length or count is compared with the bytes that are left before anything is
// allocated, and what is allocated ahead of the elements themselves is at most twice the bytes that are left.
#pragma once

#include "fragment/byte_buffer.hpp"
#include "fragment/payload.hpp"

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

namespace trunkline::quarkchain {

/// Why bytes are no value of a type.
struct DecodeError {
  std::string path;       // "Ping.root_tip.header.version"
  std::size_t offset = 0; // of the first byte that could not be used
  std::string reason;     // "needs 4 bytes, 2 are left"

  /// "Ping.root_tip.header.version at byte 14: needs 4 bytes, 2 are left".
  std::string text() const;
};

/// Decoding failed; thrown only by `decoded`.
class DecodeFailure : public std::runtime_error {
 public:
  explicit DecodeFailure(const DecodeError& error) : std::runtime_error(error.text()) {}
};

/// The value has no encoding: our own mistake, never that of whoever sent something. Names type, field, expected and
/// seen.
class EncodeFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads a T from the start of `bytes`; says false, and why, when there is none. What follows it is left alone, as
/// Python does: `consumed` is how many bytes the value took. `into` should be new; it is in no useful state after a
/// false.
template <class T>
bool decode(std::span<const std::byte> bytes, T& into, DecodeError& error, std::size_t* consumed = nullptr);

/// The same as an exception. Errors: DecodeFailure.
template <class T> T decoded(std::span<const std::byte> bytes) {
  T value;
  DecodeError error;
  if (!decode(bytes, value, error)) throw DecodeFailure(error);
  return value;
}

/// The size of its encoding. Errors: EncodeFailure.
template <class T> std::size_t encoded_bytes(const T& value);
/// Appends its encoding. Errors: EncodeFailure, and nothing was appended.
template <class T> void encode(const T& value, ByteBuffer& into);
/// As a payload of exactly that size. Errors: EncodeFailure.
template <class T> Payload encoded(const T& value);

} // namespace trunkline::quarkchain
