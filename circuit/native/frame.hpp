// The parts of the native wire that are encoded by hand: frame headers, varints, the heads of data frames, and the one
// field of most control frames. docs/wire.md is the specification. All control frames are protobuf (proto/trunk.proto),
// also those encoded here.
#pragma once

#include "fragment/fragment.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::wire {

inline constexpr std::array<std::uint8_t, 8> preface{0x89, 'T', 'R', 'N', 'K', '\r', '\n', 0x01};
inline constexpr std::size_t header_bytes = 5;
inline constexpr std::size_t varint_bytes_max = 10;
/// Header and varints of a data frame, without its metadata.
inline constexpr std::size_t data_head_bytes_max = header_bytes + 5 * varint_bytes_max;

enum class FrameType : std::uint8_t {
  data = 0x01,
  hello = 0x02,
  open = 0x03,
  accept = 0x04,
  refuse = 0x05,
  credit = 0x06,
  finish = 0x07,
  finish_acknowledged = 0x08,
  close = 0x09,
  close_received = 0x0A,
  reset = 0x0B,
  peer_metadata = 0x0C,
  peer_ended = 0x0D,
  ping = 0x0E,
  pong = 0x0F,
  drain = 0x10,
  goodbye = 0x11,
};
inline constexpr std::uint8_t optional_type_bit = 0x80;

inline constexpr std::uint8_t flag_metadata = 0x01;
inline constexpr std::uint8_t flag_first_of_more = 0x02;
inline constexpr std::uint8_t flag_continues = 0x04;
inline constexpr std::uint8_t flag_last = 0x08;

/// The head of a data frame: everything before its payload.
struct DataHead {
  CircuitId circuit = 0;
  std::uint8_t flags = 0;
  std::int32_t op = 0;
  std::int64_t part = 0;
  std::uint64_t total = 0; // flag_first_of_more
  std::span<const std::byte> metadata; // flag_metadata; views the input
  std::size_t payload_bytes = 0; // in this frame
};

enum class Parsed : std::uint8_t { complete, incomplete, malformed };

inline std::byte* put_varint(std::byte* at, std::uint64_t value) noexcept {
  while (value >= 0x80) {
    *at++ = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<std::byte>(value);
  return at;
}
inline std::uint64_t zigzag(std::int64_t value) noexcept {
  return static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
}
inline std::int64_t unzigzag(std::uint64_t value) noexcept {
  return static_cast<std::int64_t>(value >> 1 ^ (~(value & 1) + 1));
}

Parsed get_long_varint(const std::byte*& at, const std::byte* end, std::uint64_t& value) noexcept;

/// Reads the shortest form only; moves `at` past it when complete.
inline Parsed get_varint(const std::byte*& at, const std::byte* end, std::uint64_t& value) noexcept {
  if (at == end || *at >= std::byte{0x80}) return get_long_varint(at, end, value);
  value = static_cast<std::uint64_t>(*at++);
  return Parsed::complete;
}

inline std::byte* put_header(std::byte* at, std::size_t length, FrameType type, std::uint8_t flags) noexcept {
  at[0] = static_cast<std::byte>(length);
  at[1] = static_cast<std::byte>(length >> 8);
  at[2] = static_cast<std::byte>(length >> 16);
  at[3] = static_cast<std::byte>(type);
  at[4] = static_cast<std::byte>(flags);
  return at + header_bytes;
}

/// Field 1 of the control frames that are about one circuit: most say no more.
inline constexpr std::byte circuit_tag{0x08};
inline constexpr std::byte open_remaining_ms_tag{0x50}; // field 10 of an OPEN
inline constexpr std::size_t circuit_frame_bytes_max = header_bytes + 1 + varint_bytes_max;

/// A whole control frame; `rest` are its other fields, as protobuf writes them. Needs circuit_frame_bytes_max and
/// those.
inline std::byte* put_circuit_frame(std::byte* at, FrameType type, std::uint64_t circuit,
                                    std::string_view rest) noexcept {
  std::byte* const body = at + header_bytes;
  *body = circuit_tag;
  std::byte* const end = put_varint(body + 1, circuit);
  if (!rest.empty()) std::memcpy(end, rest.data(), rest.size());
  put_header(at, static_cast<std::size_t>(end - body) + rest.size(), type, 0);
  return end + rest.size();
}

/// Reads field 1 of such a frame's body; `rest` is what follows it. False when the body begins with anything else.
inline bool get_circuit(std::span<const std::byte> body, std::uint64_t& circuit, std::string_view& rest) noexcept {
  if (body.empty() || body.front() != circuit_tag) return false;
  const std::byte* at = body.data() + 1;
  const std::byte* const end = body.data() + body.size();
  if (get_varint(at, end, circuit) != Parsed::complete) return false;
  rest = {reinterpret_cast<const char*>(at), static_cast<std::size_t>(end - at)};
  return true;
}

/// Writes header and head of a data frame to `at`, which has room for data_head_bytes_max plus the metadata; returns
/// the end. `head.payload_bytes` of payload must follow.
std::byte* put_data_head(std::byte* at, const DataHead& head) noexcept;

/// Reads the head of a data frame from the start of its body, of which `body` may hold only the beginning; `length` is
/// the body's full size. Sets `consumed` to the head's size when complete; `why` when malformed.
Parsed get_data_head(std::span<const std::byte> body, std::size_t length, std::uint8_t flags, DataHead& head,
                     std::size_t& consumed, const char*& why) noexcept;

/// Bytes of the fragment's metadata (a FragmentMetadata of proto/trunk.proto); 0 when all of it is empty.
std::size_t metadata_bytes(const Fragment& fragment) noexcept;
/// Appends exactly metadata_bytes(). A deadline is written as the time that is left of it now.
void put_metadata(std::vector<std::byte>& into, const Fragment& fragment,
                  std::chrono::steady_clock::time_point now = {});
/// Sets subject, args, err and the deadline. Unknown fields are skipped. False when malformed.
bool get_metadata(std::span<const std::byte> bytes, Fragment& fragment, std::chrono::steady_clock::time_point now = {});
/// The time that is left until a deadline, as the wire has it: at least a millisecond.
std::uint32_t remaining_ms(std::chrono::steady_clock::time_point deadline,
                           std::chrono::steady_clock::time_point now) noexcept;

} // namespace trunkline::wire
