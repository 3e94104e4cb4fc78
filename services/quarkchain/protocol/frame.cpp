#include "services/quarkchain/protocol/frame.hpp"

#include "services/quarkchain/chain/big_endian.hpp"

namespace trunkline::quarkchain {

FrameParsed parse_frame_header(std::span<const std::byte> bytes, Framing framing, std::size_t payload_bytes_max,
                               FrameHeader& into) noexcept {
  if (bytes.size() < 4) return FrameParsed::incomplete;
  const std::byte* at = bytes.data();
  into.length = get_big<std::uint32_t>(at);
  if (into.length > payload_bytes_max) return FrameParsed::too_large;
  if (bytes.size() < frame_header_bytes(framing)) return FrameParsed::incomplete;
  at += 4;
  into.branch = framing == Framing::slave ? 0 : get_big<std::uint32_t>(at);
  into.cluster_peer_id = framing == Framing::cluster ? get_big<std::uint64_t>(at + 4) : 0;
  at += metadata_bytes(framing);
  into.opcode = static_cast<std::uint8_t>(*at);
  into.rpc_id = get_big<std::uint64_t>(at + 1);
  return FrameParsed::complete;
}

std::string too_large_text(const FrameHeader& header, std::size_t payload_bytes_max) {
  return "frame with " + std::to_string(header.length) + " bytes of payload exceeds payload_bytes_max " +
         std::to_string(payload_bytes_max);
}

std::byte* put_frame_header(std::byte* at, Framing framing, const FrameHeader& header) noexcept {
  at = put_big(at, header.length);
  if (framing != Framing::slave) at = put_big(at, header.branch);
  if (framing == Framing::cluster) at = put_big(at, header.cluster_peer_id);
  *at++ = static_cast<std::byte>(header.opcode);
  return put_big(at, header.rpc_id);
}

void append_frame_header(ByteBuffer& into, Framing framing, const FrameHeader& header) {
  std::byte* const at = into.prepare(frame_header_bytes(framing));
  into.commit(static_cast<std::size_t>(put_frame_header(at, framing, header) - at));
}

std::string_view to_string(Framing framing) noexcept {
  switch (framing) {
    case Framing::cluster: return "cluster";
    case Framing::slave: return "slave";
    case Framing::p2p: return "p2p";
  }
  return "unknown";
}

} // namespace trunkline::quarkchain
