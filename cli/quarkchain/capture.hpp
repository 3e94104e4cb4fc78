// TCP streams out of a recording of tcpdump (pcap): segments in the order of the recording, and what they were when put
// together.
#pragma once

#include "fragment/byte_buffer.hpp"

#include <cstddef>
#include <cstdint>
#include <istream>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace trunkline::cli {

/// The recording itself is broken, or of a kind that is not read.
class CaptureFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What one packet says of one direction of a connection.
struct TcpSegment {
  std::string from; // "10.0.0.1:38000", "[::1]:38000"
  std::string to;
  std::uint16_t from_port = 0;
  std::uint16_t to_port = 0;
  std::uint32_t sequence = 0;
  bool begins = false; // SYN
  std::size_t missing = 0; // bytes of the payload that the recording left out
  std::span<const std::byte> payload; // until the next segment is read
};

class CaptureReader {
 public:
  static constexpr std::size_t packet_bytes_max = 16 << 20;

  /// Whether these first four bytes begin a recording of this kind.
  static bool recognizes(std::span<const std::byte> first) noexcept;
  /// Reads the head of the file, of which the first four bytes were read before. Errors: CaptureFailure.
  CaptureReader(std::span<const std::byte> first, std::istream& input);
  /// The next TCP segment; packets of other kinds are passed over. False at the end. Errors: CaptureFailure.
  bool next(TcpSegment& into);

 private:
  bool read(std::byte* into, std::size_t count, bool may_end);
  std::uint32_t number(const std::byte* at) const noexcept;
  std::span<const std::byte> network_packet(std::uint16_t& protocol) const;

  std::istream& input_;
  bool swapped_ = false;
  std::uint32_t link_type_ = 0;
  std::uint64_t packet_number_ = 0;
  std::vector<std::byte> packet_;
};

/// One direction of a connection: bytes in their order, however often and in whatever order they came.
class TcpStream {
 public:
  static constexpr std::size_t early_bytes_max = 64 << 20;

  /// Says false once bytes are missing for good: nothing after them can be understood.
  bool add(const TcpSegment& segment, ByteBuffer& into);
  /// Bytes that came and wait for missing ones.
  std::size_t early_bytes() const noexcept { return early_bytes_; }

 private:
  bool take(std::uint64_t place, std::span<const std::byte> bytes, ByteBuffer& into);

  bool begun_ = false;
  std::uint64_t next_ = 0; // the sequence number that comes next, unwrapped
  std::map<std::uint64_t, std::vector<std::byte>> early_;
  std::size_t early_bytes_ = 0;
};

} // namespace trunkline::cli
