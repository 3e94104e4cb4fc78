// Frames of the QuarkChain cluster protocol: a header of fixed size, then the payload. Which of the three framings it
// is belongs to the connection, is never negotiated, and cannot be seen in the bytes.
//
//   length u32 | metadata | opcode u8 | rpc_id u64 | payload of `length` bytes          (all big-endian)
#pragma once

#include "fragment/byte_buffer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// Between whom a connection runs; this decides its metadata.
enum class Framing : std::uint8_t {
  cluster, // master and slave: branch u32, cluster_peer_id u64
  slave,   // two slaves: nothing
  p2p,     // the masters of two clusters: branch u32
};

constexpr std::size_t metadata_bytes(Framing framing) noexcept {
  return framing == Framing::cluster ? 12 : framing == Framing::p2p ? 4 : 0;
}
/// Of everything before the payload.
constexpr std::size_t frame_header_bytes(Framing framing) noexcept { return 13 + metadata_bytes(framing); }
inline constexpr std::size_t frame_header_bytes_max = 25;

/// What is not in the framing's metadata is 0.
struct FrameHeader {
  std::uint32_t length = 0; // bytes of payload, nothing else
  std::uint32_t branch = 0;
  std::uint64_t cluster_peer_id = 0;
  std::uint8_t opcode = 0;
  std::uint64_t rpc_id = 0;

  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

enum class FrameParsed : std::uint8_t {
  complete,   // the header is `frame_header_bytes(framing)` bytes long
  incomplete, // more bytes are needed
  too_large,  // said as soon as the length is there, which is in `into.length`
};

/// Reads the header at the start of `bytes`, which may hold less, or more than the frame.
FrameParsed parse_frame_header(std::span<const std::byte> bytes, Framing framing, std::size_t payload_bytes_max,
                               FrameHeader& into) noexcept;
/// For the log and the far side: "frame with 70000012 bytes of payload exceeds payload_bytes_max 16777216".
std::string too_large_text(const FrameHeader& header, std::size_t payload_bytes_max);

/// Writes exactly frame_header_bytes(framing) bytes and returns their end.
std::byte* put_frame_header(std::byte* at, Framing framing, const FrameHeader& header) noexcept;
void append_frame_header(ByteBuffer& into, Framing framing, const FrameHeader& header);

/// "cluster", "slave", "p2p".
std::string_view to_string(Framing framing) noexcept;

} // namespace trunkline::quarkchain
