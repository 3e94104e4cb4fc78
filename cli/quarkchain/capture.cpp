#include "cli/quarkchain/capture.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::cli {
namespace {

constexpr std::uint32_t magic_microseconds = 0xa1b2c3d4;
constexpr std::uint32_t magic_nanoseconds = 0xa1b23c4d;
constexpr std::uint32_t magic_next_generation = 0x0a0d0d0a; // pcapng, the same either way round

constexpr std::uint16_t protocol_ip4 = 0x0800;
constexpr std::uint16_t protocol_ip6 = 0x86dd;
constexpr std::uint8_t next_header_tcp = 6;

std::uint16_t big16(const std::byte* at) {
  return static_cast<std::uint16_t>(static_cast<unsigned>(at[0]) << 8 | static_cast<unsigned>(at[1]));
}
std::uint32_t big32(const std::byte* at) { return static_cast<std::uint32_t>(big16(at)) << 16 | big16(at + 2); }

std::string ip4_text(const std::byte* at) {
  return fmt::format("{}.{}.{}.{}", static_cast<unsigned>(at[0]), static_cast<unsigned>(at[1]),
                     static_cast<unsigned>(at[2]), static_cast<unsigned>(at[3]));
}

std::string ip6_text(const std::byte* at) {
  std::string text = "[";
  for (int i = 0; i < 8; ++i) text += fmt::format("{}{:x}", i == 0 ? "" : ":", big16(at + 2 * i));
  return text + "]";
}

struct TcpPacket {
  std::string from;
  std::string to;
  std::span<const std::byte> bytes; // TCP header and payload, as far as recorded
  std::size_t size = 0;             // of both, as sent
};

/// False for anything that is no unfragmented TCP.
bool tcp_in_ip4(std::span<const std::byte> ip, TcpPacket& into) {
  if (ip.size() < 20 || static_cast<unsigned>(ip[0]) >> 4 != 4) return false;
  const std::size_t head = (static_cast<std::size_t>(ip[0]) & 15) * 4;
  const std::size_t total = big16(&ip[2]);
  if (head < 20 || ip.size() < head || static_cast<std::uint8_t>(ip[9]) != next_header_tcp) return false;
  if ((big16(&ip[6]) & 0x3fff) != 0) return false; // a fragment
  if (total != 0 && total < head) return false;
  into.from = ip4_text(&ip[12]);
  into.to = ip4_text(&ip[16]);
  into.size = total == 0 ? ip.size() - head : total - head; // 0: the network card was to cut it
  into.bytes = ip.subspan(head, std::min(into.size, ip.size() - head));
  return true;
}

bool tcp_in_ip6(std::span<const std::byte> ip, TcpPacket& into) {
  if (ip.size() < 40 || static_cast<unsigned>(ip[0]) >> 4 != 6 || static_cast<std::uint8_t>(ip[6]) != next_header_tcp)
    return false;
  const std::size_t size = big16(&ip[4]);
  into.from = ip6_text(&ip[8]);
  into.to = ip6_text(&ip[24]);
  into.size = size == 0 ? ip.size() - 40 : size;
  into.bytes = ip.subspan(40, std::min(into.size, ip.size() - 40));
  return true;
}

bool segment_of(const TcpPacket& packet, TcpSegment& into) {
  const auto tcp = packet.bytes;
  if (tcp.size() < 20) return false;
  const std::size_t head = (static_cast<std::size_t>(tcp[12]) >> 4) * 4;
  if (head < 20 || tcp.size() < head || packet.size < head) return false;
  into.from_port = big16(&tcp[0]);
  into.to_port = big16(&tcp[2]);
  into.from = fmt::format("{}:{}", packet.from, into.from_port);
  into.to = fmt::format("{}:{}", packet.to, into.to_port);
  into.sequence = big32(&tcp[4]);
  into.begins = (static_cast<unsigned>(tcp[13]) & 2) != 0;
  into.payload = tcp.subspan(head);
  into.missing = packet.size - head - into.payload.size();
  return into.begins || packet.size > head;
}

} // namespace

bool CaptureReader::recognizes(std::span<const std::byte> first) noexcept {
  if (first.size() < 4) return false;
  const std::uint32_t magic = big32(first.data());
  return magic == magic_microseconds || magic == magic_nanoseconds || magic == magic_next_generation ||
         __builtin_bswap32(magic) == magic_microseconds || __builtin_bswap32(magic) == magic_nanoseconds;
}

CaptureReader::CaptureReader(std::span<const std::byte> first, std::istream& input) : input_(input) {
  if (!recognizes(first)) throw CaptureFailure("this is no pcap");
  const std::uint32_t magic = big32(first.data());
  if (magic == magic_next_generation)
    throw CaptureFailure(
        "the recording is a pcapng, which is not read here: editcap -F pcap IN OUT makes a pcap of it");
  swapped_ = magic != magic_microseconds && magic != magic_nanoseconds;
  std::byte rest[20];
  read(rest, sizeof rest, false);
  link_type_ = number(rest + 16) & 0x0fffffff;
}

bool CaptureReader::read(std::byte* into, std::size_t count, bool may_end) {
  input_.read(reinterpret_cast<char*>(into), static_cast<std::streamsize>(count));
  const auto got = static_cast<std::size_t>(input_.gcount());
  if (got == count) return true;
  if (got == 0 && may_end) return false;
  throw CaptureFailure(fmt::format("the recording ends within packet {}", packet_number_));
}

std::uint32_t CaptureReader::number(const std::byte* at) const noexcept {
  return swapped_ ? __builtin_bswap32(big32(at)) : big32(at);
}

/// What is behind the link's own header; empty for what is no IP.
std::span<const std::byte> CaptureReader::network_packet(std::uint16_t& protocol) const {
  const std::span<const std::byte> packet = packet_;
  const auto by_version = [&](std::size_t head) -> std::span<const std::byte> {
    if (packet.size() <= head) return {};
    protocol = static_cast<unsigned>(packet[head]) >> 4 == 6 ? protocol_ip6 : protocol_ip4;
    return packet.subspan(head);
  };
  const auto behind = [&](std::size_t protocol_at, std::size_t head) -> std::span<const std::byte> {
    if (packet.size() < head) return {};
    protocol = big16(&packet[protocol_at]);
    while (protocol == 0x8100 && packet.size() >= head + 4) { // a virtual network's tag
      protocol = big16(&packet[head + 2]);
      head += 4;
    }
    return packet.subspan(head);
  };
  switch (link_type_) {
    case 0: return by_version(4);      // loopback of the BSDs
    case 1: return behind(12, 14);     // Ethernet
    case 12:
    case 101: return by_version(0);    // no header at all
    case 113: return behind(14, 16);   // Linux, "any"
    case 276: return behind(0, 20);    // Linux, "any", second version
    default:
      throw CaptureFailure(
          fmt::format("the recording has link type {}; 0, 1, 12, 101, 113 and 276 are read", link_type_));
  }
}

bool CaptureReader::next(TcpSegment& into) {
  std::byte head[16];
  for (;;) {
    if (!read(head, sizeof head, true)) return false;
    ++packet_number_;
    const std::size_t recorded = number(head + 8);
    if (recorded > packet_bytes_max)
      throw CaptureFailure(
          fmt::format("packet {} of {} bytes exceeds packet_bytes_max {}", packet_number_, recorded, packet_bytes_max));
    packet_.resize(recorded);
    if (recorded > 0) read(packet_.data(), recorded, false);
    std::uint16_t protocol = 0;
    const auto ip = network_packet(protocol);
    TcpPacket packet;
    if (protocol == protocol_ip4 ? !tcp_in_ip4(ip, packet) : protocol != protocol_ip6 || !tcp_in_ip6(ip, packet))
      continue;
    if (segment_of(packet, into)) return true;
  }
}

bool TcpStream::add(const TcpSegment& segment, ByteBuffer& into) {
  std::uint32_t sequence = segment.sequence;
  if (segment.begins) ++sequence;
  if (!begun_ || segment.begins) {
    // A recording that starts in the middle starts where it can.
    begun_ = true;
    next_ = (std::uint64_t{1} << 32) + sequence;
    early_.clear();
    early_bytes_ = 0;
  }
  // Sequence numbers wrap; what is less than half a turn away is meant.
  const auto away = static_cast<std::int32_t>(sequence - static_cast<std::uint32_t>(next_));
  if (!take(next_ + static_cast<std::uint64_t>(static_cast<std::int64_t>(away)), segment.payload, into)) return false;
  for (auto first = early_.begin(); first != early_.end() && first->first <= next_; first = early_.begin()) {
    const auto entry = early_.extract(first);
    early_bytes_ -= entry.mapped().size();
    take(entry.key(), entry.mapped(), into);
  }
  return segment.missing == 0;
}

bool TcpStream::take(std::uint64_t place, std::span<const std::byte> bytes, ByteBuffer& into) {
  if (bytes.empty()) return true;
  if (place <= next_) {
    const std::uint64_t known = next_ - place;
    if (known >= bytes.size()) return true; // sent again
    into.append(bytes.subspan(static_cast<std::size_t>(known)));
    next_ = place + bytes.size();
    return true;
  }
  std::vector<std::byte>& waiting = early_[place];
  if (waiting.size() >= bytes.size()) return true;
  early_bytes_ += bytes.size() - waiting.size();
  waiting.assign(bytes.begin(), bytes.end());
  return early_bytes_ <= early_bytes_max;
}

} // namespace trunkline::cli
