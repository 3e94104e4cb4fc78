// Structures to JSON and back: fields by name, in their order; bytes in hexadecimal; numbers up to 2^53 as numbers and
// larger ones as decimal texts (both are read); maps as lists of [key, value]; what is absent as null.
#pragma once

#include "fragment/byte_buffer.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/json.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// Appends the fields of a structure as one JSON object without line ends.
template <class T> void append_json(std::string& out, const T& value);

/// Reads what append_json writes. Every field must be there and no other. Says false, and in `why` which field, what
/// was expected and what was seen.
template <class T> bool from_json(const Json& json, T& into, std::string& why);

/// A type of the protocol, for programs that learn at run time what they deal with; see protocol/types.hpp.
struct TypeInfo {
  std::string_view name;
  std::size_t bytes_min;
  /// Decodes, appends the fields as JSON and the value encoded again; says false and why when `bytes` are no such
  /// value.
  bool (*to_json)(std::span<const std::byte> bytes, std::string& fields, ByteBuffer& encoded_again, DecodeError& error);
  /// Encodes JSON fields; says false and why when they are no such value.
  bool (*from_json)(const Json& fields, ByteBuffer& into, std::string& why);
  /// Decodes and throws away: what the bytes would cost.
  bool (*check)(std::span<const std::byte> bytes, DecodeError& error);
  /// Appends the fields of a new value as JSON: zero, empty or absent.
  void (*blank)(std::string& fields);
};

} // namespace trunkline::quarkchain
