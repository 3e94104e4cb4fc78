// Frames of the cluster protocol as a test writes and reads them.
#pragma once

#include "fragment/hex.hpp"
#include "services/quarkchain/protocol/frame.hpp"
#include "tests/support/bytes.hpp"

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace trunkline::quarkchain::test {

using trunkline::test::as_bytes;

/// Blanks and bars between the digits are for the reader.
inline std::string from_spaced_hex(std::string_view hex) {
  std::string digits;
  for (const char letter : hex)
    if (letter != ' ' && letter != '|') digits += letter;
  return trunkline::from_hex(digits).value();
}

struct Frame {
  std::uint8_t op = 0;
  std::uint64_t rpc_id = 0;
  std::string payload;
  std::uint32_t branch = 0;
  std::uint64_t cluster_peer_id = 0;
};

inline std::string encode(Framing framing, const Frame& frame) {
  FrameHeader header;
  header.length = static_cast<std::uint32_t>(frame.payload.size());
  header.branch = frame.branch;
  header.cluster_peer_id = frame.cluster_peer_id;
  header.opcode = frame.op;
  header.rpc_id = frame.rpc_id;
  ByteBuffer buffer;
  append_frame_header(buffer, framing, header);
  return std::string(reinterpret_cast<const char*>(buffer.data()), buffer.size()) + frame.payload;
}

/// The frames at the start of `bytes`, which are taken away; the beginning of another one stays.
inline std::vector<Frame> decode(Framing framing, std::string& bytes) {
  std::vector<Frame> frames;
  for (;;) {
    FrameHeader header;
    const FrameParsed parsed = parse_frame_header(as_bytes(bytes), framing, std::size_t{1} << 30, header);
    const std::size_t head = frame_header_bytes(framing);
    if (parsed == FrameParsed::too_large)
      throw std::logic_error("a frame of " + std::to_string(header.length) + " bytes was said");
    if (parsed == FrameParsed::incomplete || bytes.size() < head + header.length) return frames;
    frames.push_back(
        Frame{header.opcode, header.rpc_id, bytes.substr(head, header.length), header.branch, header.cluster_peer_id});
    bytes.erase(0, head + header.length);
  }
}

/// "131 #2 "abc"", with "@00010001/7 " before it where it is not the control circuit's.
inline std::string to_string(const Frame& frame) {
  std::string text;
  if (frame.branch != 0 || frame.cluster_peer_id != 0)
    text = fmt::format("@{:08x}/{} ", frame.branch, frame.cluster_peer_id);
  text += fmt::format("{} #{}", frame.op, frame.rpc_id);
  if (frame.payload.size() > 64) return text + fmt::format(" {} bytes", frame.payload.size());
  return frame.payload.empty() ? text : text + " \"" + frame.payload + "\"";
}

inline std::string to_string(const std::vector<Frame>& frames) {
  std::string text;
  for (const Frame& frame : frames) text += (text.empty() ? "" : "; ") + to_string(frame);
  return text;
}

} // namespace trunkline::quarkchain::test
