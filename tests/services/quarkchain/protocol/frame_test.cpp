#include "services/quarkchain/protocol/frame.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;

namespace {

std::vector<std::byte> bytes_of(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

constexpr Framing framings[] = {Framing::cluster, Framing::slave, Framing::p2p};

} // namespace

TEST_CASE("frame header: each field lies where the protocol says") {
  FrameHeader header;
  header.length = 3;
  header.branch = 1;
  header.cluster_peer_id = 0x1122334455667788;
  header.opcode = 0x42;
  header.rpc_id = 0xDEADBEEFCAFEBABE;

  ByteBuffer cluster, slave, p2p;
  append_frame_header(cluster, Framing::cluster, header);
  append_frame_header(slave, Framing::slave, header);
  append_frame_header(p2p, Framing::p2p, header);

  const auto of = [](std::vector<int> numbers) {
    std::vector<std::byte> bytes;
    for (const int number : numbers) bytes.push_back(static_cast<std::byte>(number));
    return bytes;
  };
  CHECK(bytes_of(cluster) == of({0,    0,    0,    3,    0,    0,    0,    1,    0x11, 0x22, 0x33, 0x44, 0x55,
                                 0x66, 0x77, 0x88, 0x42, 0xDE, 0xAD, 0xBE, 0xEF, 0xCA, 0xFE, 0xBA, 0xBE}));
  CHECK(bytes_of(slave) == of({0, 0, 0, 3, 0x42, 0xDE, 0xAD, 0xBE, 0xEF, 0xCA, 0xFE, 0xBA, 0xBE}));
  CHECK(bytes_of(p2p) == of({0, 0, 0, 3, 0, 0, 0, 1, 0x42, 0xDE, 0xAD, 0xBE, 0xEF, 0xCA, 0xFE, 0xBA, 0xBE}));
}

TEST_CASE("frame header: what was written is read, and nothing less than all of it") {
  FrameHeader header;
  header.length = 0x01020304;
  header.opcode = 0xC4;
  header.rpc_id = ~std::uint64_t{0};
  for (const Framing framing : framings) {
    CAPTURE(to_string(framing));
    header.branch = framing == Framing::slave ? 0 : 0x00020003;
    header.cluster_peer_id = framing == Framing::cluster ? ~std::uint64_t{0} - 1 : 0;
    ByteBuffer bytes;
    append_frame_header(bytes, framing, header);
    REQUIRE(bytes.size() == frame_header_bytes(framing));

    for (std::size_t count = 0; count < bytes.size(); ++count) {
      FrameHeader seen;
      const std::vector<std::byte> prefix(bytes.data(), bytes.data() + count); // a sanitizer sees a read beyond it
      CHECK(parse_frame_header(prefix, framing, 0x01020304, seen) == FrameParsed::incomplete);
    }
    FrameHeader seen;
    CHECK(parse_frame_header(bytes, framing, 0x01020304, seen) == FrameParsed::complete);
    CHECK(seen == header);
  }
}

TEST_CASE("frame header: a length beyond the limit is refused before the rest has come") {
  const std::vector<std::byte> length(4, std::byte{0xff});
  for (const Framing framing : framings) {
    FrameHeader seen;
    CHECK(parse_frame_header(length, framing, 0xfffffffe, seen) == FrameParsed::too_large);
    CHECK(too_large_text(seen, 0xfffffffe) ==
          "frame with 4294967295 bytes of payload exceeds payload_bytes_max 4294967294");
    CHECK(parse_frame_header(length, framing, 0xffffffff, seen) == FrameParsed::incomplete);
  }
}
