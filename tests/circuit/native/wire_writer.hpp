// A second reading of docs/wire.md: everything here was written from that page and from the numbers in
// proto/trunk.proto, without protobuf and without the library's codec, so that a mistake in either of those
// cannot agree with itself. Frames are std::strings; `a + b` is both in one packet.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::test::say {

using Bytes = std::string;

enum Type : std::uint8_t {
  DATA = 0x01,
  HELLO = 0x02,
  OPEN = 0x03,
  ACCEPT = 0x04,
  REFUSE = 0x05,
  CREDIT = 0x06,
  FINISH = 0x07,
  FINISH_ACKNOWLEDGED = 0x08,
  CLOSE = 0x09,
  CLOSE_RECEIVED = 0x0A,
  RESET = 0x0B,
  PEER_METADATA = 0x0C,
  PEER_ENDED = 0x0D,
  PING = 0x0E,
  PONG = 0x0F,
  DRAIN = 0x10,
  GOODBYE = 0x11,
};

enum Flag : std::uint8_t { METADATA = 0x01, FIRST_OF_MORE = 0x02, CONTINUES = 0x04, LAST = 0x08 };

inline constexpr std::size_t body_bytes_max = 73728;
inline constexpr std::size_t control_body_bytes_max = 8192;
inline constexpr std::size_t payload_bytes_max = 65536;
inline constexpr std::int64_t circuit_window = 262144;
inline constexpr std::int64_t trunk_window = 1048576;
inline constexpr std::int64_t fragment_overhead = 256;

inline Bytes varint(std::uint64_t value) {
  Bytes bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes += static_cast<char>(value);
}

inline Bytes svarint(std::int64_t value) {
  return varint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
}

/// A protobuf message, field by field; proto3 leaves out what is zero or empty, and so does this.
class Fields {
 public:
  Fields& number(unsigned field, std::uint64_t value) {
    if (value != 0) bytes_ += varint(field << 3) + varint(value);
    return *this;
  }
  Fields& text(unsigned field, std::string_view value) {
    if (!value.empty()) bytes_ += varint(field << 3 | 2) + varint(value.size()) + Bytes(value);
    return *this;
  }
  /// As `text`, also when empty: for an element of a repeated field.
  Fields& element(unsigned field, std::string_view value) {
    bytes_ += varint(field << 3 | 2) + varint(value.size()) + Bytes(value);
    return *this;
  }
  const Bytes& bytes() const { return bytes_; }
  operator Bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

inline Bytes header(std::size_t length, unsigned type, unsigned flags = 0) {
  Bytes bytes;
  for (int shift = 0; shift < 24; shift += 8) bytes += static_cast<char>(length >> shift);
  bytes += static_cast<char>(type);
  return bytes += static_cast<char>(flags);
}

inline Bytes frame(unsigned type, const Bytes& body = {}, unsigned flags = 0) {
  return header(body.size(), type, flags) + body;
}

inline Bytes preface() { return Bytes("\x89TRNK\r\n\x01", 8); }

struct Hello {
  std::uint32_t version_min = 1;
  std::uint32_t version_max = 1;
  Bytes node_id = "node-of-far-side";
  Bytes node_name = "far";
  std::vector<Bytes> addresses = {"tcp://10.0.0.7:7000"};
  std::vector<Bytes> features = {};
  std::vector<Bytes> mandatory_features = {};
  std::uint64_t fragment_bytes_max = 4 << 20;
  std::map<unsigned, std::uint64_t> limits = {}; // by their field numbers; others are not said
};

inline Bytes hello(const Hello& said = Hello()) {
  Fields body;
  body.number(1, said.version_min).number(2, said.version_max).text(3, said.node_id).text(4, said.node_name);
  for (const Bytes& address : said.addresses) body.element(5, address);
  for (const Bytes& feature : said.features) body.element(6, feature);
  for (const Bytes& feature : said.mandatory_features) body.element(7, feature);
  body.number(8, said.fragment_bytes_max);
  for (const auto& [field, limit] : said.limits) body.number(field, limit);
  return frame(HELLO, body);
}

/// What every side says first.
inline Bytes introduction(const Hello& said = Hello()) { return preface() + hello(said); }

struct Open {
  std::uint32_t mode = 0;
  Bytes from_peer = "peer-of-far-side";
  Bytes from_service = "feed";
  Bytes to_peer = "peer-of-our-side";
  Bytes to_service = "store";
  Bytes name = {};
  Bytes user_string = {};
  bool wants_answer = false;
  std::uint64_t remaining_ms = 0;
};

inline Bytes open(std::uint64_t circuit, const Open& said = Open()) {
  return frame(OPEN, Fields()
                         .number(1, circuit)
                         .number(2, said.mode)
                         .text(3, said.from_peer)
                         .text(4, said.from_service)
                         .text(5, said.to_peer)
                         .text(6, said.to_service)
                         .text(7, said.name)
                         .text(8, said.user_string)
                         .number(9, said.wants_answer)
                         .number(10, said.remaining_ms));
}

/// Everything in a data frame beside circuit and payload.
struct Said {
  std::int64_t op = 1;
  std::int64_t part = 0;
  Bytes subject = {};
  std::vector<std::pair<Bytes, Bytes>> args = {};
  Bytes err = {};

  Bytes metadata() const {
    Fields fields;
    fields.text(1, subject);
    for (const auto& [key, value] : args) fields.element(2, Fields().text(1, key).text(2, value).bytes());
    return fields.text(3, err);
  }
};

inline Bytes data_head(std::uint64_t circuit, const Said& said, bool more, std::uint64_t total) {
  const Bytes metadata = said.metadata();
  return varint(circuit) + svarint(said.op) + svarint(said.part) + (more ? varint(total) : Bytes()) +
         (metadata.empty() ? Bytes() : varint(metadata.size()) + metadata);
}

/// A whole fragment in one frame.
inline Bytes data(std::uint64_t circuit, std::string_view payload = {}, const Said& said = Said()) {
  return frame(DATA, data_head(circuit, said, false, 0) + Bytes(payload), said.metadata().empty() ? 0 : METADATA);
}

inline Bytes first_of_more(std::uint64_t circuit, std::uint64_t total, std::string_view payload,
                           const Said& said = Said()) {
  return frame(DATA, data_head(circuit, said, true, total) + Bytes(payload),
               FIRST_OF_MORE | (said.metadata().empty() ? 0 : METADATA));
}

inline Bytes continues(std::uint64_t circuit, std::string_view payload) {
  return frame(DATA, varint(circuit) + Bytes(payload), CONTINUES);
}

inline Bytes continues_last(std::uint64_t circuit, std::string_view payload) {
  return frame(DATA, varint(circuit) + Bytes(payload), CONTINUES | LAST);
}

/// The frames of one fragment of any size, each with at most `chunk` bytes of payload.
inline std::vector<Bytes> fragment(std::uint64_t circuit, std::string_view payload, const Said& said = Said(),
                                   std::size_t chunk = payload_bytes_max) {
  if (payload.size() <= chunk) return {data(circuit, payload, said)};
  std::vector<Bytes> frames{first_of_more(circuit, payload.size(), payload.substr(0, chunk), said)};
  for (std::size_t at = chunk; at < payload.size(); at += chunk) {
    const std::string_view piece = payload.substr(at, chunk);
    frames.push_back(at + piece.size() == payload.size() ? continues_last(circuit, piece) : continues(circuit, piece));
  }
  return frames;
}

inline Bytes accept(std::uint64_t circuit, std::string_view peer = "peer-of-far-side",
                    std::string_view service = "store") {
  return frame(ACCEPT, Fields().number(1, circuit).text(2, peer).text(3, service));
}
inline Bytes refuse(std::uint64_t circuit, unsigned reason, std::string_view text = {},
                    std::string_view existing = {}) {
  return frame(REFUSE, Fields().number(1, circuit).number(2, reason).text(3, text).text(4, existing));
}
inline Bytes credit(std::uint64_t circuit, std::uint64_t bytes) {
  return frame(CREDIT, Fields().number(1, circuit).number(2, bytes));
}
inline Bytes finish(std::uint64_t circuit) { return frame(FINISH, Fields().number(1, circuit)); }
inline Bytes finish_acknowledged(std::uint64_t circuit) {
  return frame(FINISH_ACKNOWLEDGED, Fields().number(1, circuit));
}
inline Bytes close(std::uint64_t circuit, unsigned reason = 0, std::string_view text = {}) {
  return frame(CLOSE, Fields().number(1, circuit).number(2, reason).text(3, text));
}
inline Bytes close_received(std::uint64_t circuit) { return frame(CLOSE_RECEIVED, Fields().number(1, circuit)); }
inline Bytes reset(std::uint64_t circuit, unsigned reason = 2, std::string_view text = {}) {
  return frame(RESET, Fields().number(1, circuit).number(2, reason).text(3, text));
}
inline Bytes peer_metadata(std::string_view peer, const std::vector<std::pair<Bytes, Bytes>>& values) {
  Fields body;
  body.text(1, peer);
  for (const auto& [key, value] : values) body.element(2, Fields().text(1, key).text(2, value).bytes());
  return frame(PEER_METADATA, body);
}
inline Bytes peer_ended(std::string_view peer, unsigned reason = 0, std::string_view text = {}) {
  return frame(PEER_ENDED, Fields().text(1, peer).number(2, reason).text(3, text));
}
inline Bytes ping(std::uint64_t number) { return frame(PING, Fields().number(1, number)); }
inline Bytes pong(std::uint64_t number) { return frame(PONG, Fields().number(1, number)); }
inline Bytes drain() { return frame(DRAIN); }
inline Bytes goodbye(unsigned reason = 0, std::string_view text = {}) {
  return frame(GOODBYE, Fields().number(1, reason).text(2, text));
}

/// What a fragment with this payload and metadata costs the sender's credit.
inline std::int64_t cost(std::size_t payload, std::size_t metadata = 0) {
  return static_cast<std::int64_t>(payload + metadata) + fragment_overhead;
}

} // namespace trunkline::test::say
