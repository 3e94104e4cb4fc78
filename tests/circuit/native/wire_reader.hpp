// The reading half of the second reading of docs/wire.md. It is strict where the library is tolerant: whatever
// the machine under test writes must be exactly what the page says, or a Violation is thrown. A frame prints itself in
// one phrase, so that a test can compare what was said as text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/circuit/native/wire_writer.hpp"

namespace trunkline::test::say {

/// What was written is not what docs/wire.md says.
struct Violation : std::logic_error {
  using logic_error::logic_error;
};

inline void demand(bool holds, const std::string& otherwise) {
  if (!holds) throw Violation(otherwise);
}

/// Takes numbers and bytes from the front.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : left_(bytes) {}

  bool empty() const { return left_.empty(); }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (std::size_t at = 0;; ++at) {
      demand(at < left_.size(), "a varint is cut off");
      const auto byte = static_cast<std::uint8_t>(left_[at]);
      demand(at < 9 || (at == 9 && byte <= 1), "a varint is larger than 64 bits");
      value |= std::uint64_t{byte & 0x7Fu} << (7 * at);
      if (byte < 0x80) {
        demand(byte != 0 || at == 0, "a varint is longer than it must be");
        left_.remove_prefix(at + 1);
        return value;
      }
    }
  }
  std::int64_t svarint() {
    const std::uint64_t value = varint();
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }
  std::string_view take(std::uint64_t size) {
    demand(size <= left_.size(), "a length of " + std::to_string(size) + " goes beyond its message");
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  std::string_view rest() { return take(left_.size()); }

 private:
  std::string_view left_;
};

/// The values of a protobuf message by field, in the order of their coming.
class Read {
 public:
  Read() = default;
  explicit Read(std::string_view bytes) {
    Cursor cursor(bytes);
    while (!cursor.empty()) {
      const std::uint64_t tag = cursor.varint();
      const auto field = static_cast<unsigned>(tag >> 3);
      switch (tag & 7) {
        case 0: numbers_[field] = cursor.varint(); break;
        case 2: texts_[field].emplace_back(cursor.take(cursor.varint())); break;
        default: throw Violation("protobuf wire type " + std::to_string(tag & 7) + " is in no message of trunk.proto");
      }
    }
  }

  std::uint64_t number(unsigned field) const {
    const auto found = numbers_.find(field);
    return found == numbers_.end() ? 0 : found->second;
  }
  Bytes text(unsigned field) const {
    const auto found = texts_.find(field);
    return found == texts_.end() ? Bytes() : found->second.back();
  }
  std::vector<Bytes> elements(unsigned field) const {
    const auto found = texts_.find(field);
    return found == texts_.end() ? std::vector<Bytes>() : found->second;
  }

 private:
  std::map<unsigned, std::uint64_t> numbers_;
  std::map<unsigned, std::vector<Bytes>> texts_;
};

struct Frame {
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  Bytes body;

  // Of a control frame.
  Read fields;
  // Of a control frame that is about one circuit, and of a data frame.
  std::uint64_t circuit = 0;
  // Of a data frame.
  std::int64_t op = 0;
  std::int64_t part = 0;
  std::uint64_t total = 0;
  Bytes metadata;
  Bytes payload;

  bool is_data() const { return type == DATA; }
  bool has(Flag flag) const { return flags & flag; }
  std::int64_t cost() const {
    return static_cast<std::int64_t>(payload.size() + metadata.size()) + (has(CONTINUES) ? 0 : fragment_overhead);
  }
  Bytes bytes() const { return frame(type, body, flags); }
  std::string to_string() const;
};

inline void parse_data(Frame& frame) {
  demand((frame.flags & ~0x0F) == 0, "a data frame has an unknown flag");
  Cursor cursor(frame.body);
  frame.circuit = cursor.varint();
  demand(frame.circuit != 0, "a data frame is for circuit 0");
  if (frame.has(CONTINUES)) {
    demand(!frame.has(METADATA) && !frame.has(FIRST_OF_MORE), "a frame that continues has a head");
  } else {
    demand(!frame.has(LAST), "a first frame is the last");
    frame.op = cursor.svarint();
    demand(frame.op == static_cast<std::int32_t>(frame.op), "an op has more than 32 bits");
    frame.part = cursor.svarint();
    if (frame.has(FIRST_OF_MORE)) frame.total = cursor.varint();
    if (frame.has(METADATA)) {
      frame.metadata = cursor.take(cursor.varint());
      demand(!frame.metadata.empty(), "METADATA is set without any");
      demand(frame.metadata.size() <= control_body_bytes_max, "metadata is too large");
    }
  }
  frame.payload = cursor.rest();
  demand(frame.payload.size() <= payload_bytes_max, "a data frame has too much payload");
  demand(!frame.payload.empty() || !(frame.flags & (FIRST_OF_MORE | CONTINUES)), "a piece of a fragment is empty");
}

inline std::string quoted(const Bytes& text) {
  if (text.size() > 40) return std::to_string(text.size()) + " bytes";
  std::string result = "\"";
  for (const char c : text) {
    static const char digits[] = "0123456789abcdef";
    if (c >= 0x20 && c < 0x7F) {
      result += c;
    } else {
      result += {'\\', 'x', digits[static_cast<std::uint8_t>(c) >> 4], digits[c & 15]};
    }
  }
  return result + "\"";
}

inline const char* type_name(unsigned type) {
  static constexpr const char* names[] = {"?",
                                          "DATA",
                                          "HELLO",
                                          "OPEN",
                                          "ACCEPT",
                                          "REFUSE",
                                          "CREDIT",
                                          "FINISH",
                                          "FINISH_ACKNOWLEDGED",
                                          "CLOSE",
                                          "CLOSE_RECEIVED",
                                          "RESET",
                                          "PEER_METADATA",
                                          "PEER_ENDED",
                                          "PING",
                                          "PONG",
                                          "DRAIN",
                                          "GOODBYE"};
  return type < std::size(names) ? names[type] : "?";
}

/// Without texts, which are for people: "RESET 3 reason 8", "DATA 1 op 1 \"abc\"", "CREDIT trunk 700".
inline std::string Frame::to_string() const {
  std::string text = type_name(type);
  switch (type) {
    case DATA:
      text += ' ' + std::to_string(circuit);
      if (has(CONTINUES)) {
        text += has(LAST) ? " last" : " more";
      } else {
        text += " op " + std::to_string(op);
        if (part != 0) text += " part " + std::to_string(part);
        if (has(FIRST_OF_MORE)) text += " of " + std::to_string(total);
      }
      return text + ' ' + quoted(payload);
    case HELLO:
    case DRAIN: return text;
    case CREDIT:
      return text + (circuit == 0 ? " trunk" : ' ' + std::to_string(circuit)) + ' ' + std::to_string(fields.number(2));
    case REFUSE:
    case CLOSE:
    case RESET:
      text += ' ' + std::to_string(circuit);
      return fields.number(2) == 0 ? text : text + " reason " + std::to_string(fields.number(2));
    case PEER_ENDED: return text + " reason " + std::to_string(fields.number(2));
    case GOODBYE: return text + " reason " + std::to_string(fields.number(1));
    case PEER_METADATA: return text;
    case PING:
    case PONG: return text + ' ' + std::to_string(fields.number(1));
    default: return text + ' ' + std::to_string(circuit);
  }
}

inline Frame parse(std::uint8_t type, std::uint8_t flags, Bytes body) {
  Frame frame;
  frame.type = type;
  frame.flags = flags;
  frame.body = std::move(body);
  if (frame.is_data()) {
    parse_data(frame);
    return frame;
  }
  if (type & 0x80) return frame;  // optional, and unknown here
  demand(type >= HELLO && type <= GOODBYE, "frame type " + std::to_string(type) + " is not in the table");
  demand(flags == 0, std::string(type_name(type)) + " has flags");
  demand(frame.body.size() <= control_body_bytes_max, std::string(type_name(type)) + " is too large");
  frame.fields = Read(frame.body);
  const bool about_circuit = (type >= OPEN && type <= RESET);
  if (about_circuit) frame.circuit = frame.fields.number(1);
  demand(!about_circuit || frame.circuit != 0 || type == CREDIT, std::string(type_name(type)) + " is about circuit 0");
  return frame;
}

/// Cuts a stream of bytes into frames; the preface comes first.
class Reader {
 public:
  /// Appends the frames that are complete now.
  void read(std::string_view bytes, std::vector<Frame>& into) {
    held_ += bytes;
    std::size_t at = 0;
    if (!preface_seen_) {
      const Bytes expected = preface();
      demand(held_.compare(0, std::min(held_.size(), expected.size()), expected, 0,
                           std::min(held_.size(), expected.size())) == 0,
             "the stream does not begin with the preface");
      if (held_.size() < expected.size()) return;
      preface_seen_ = true;
      at = expected.size();
    }
    while (held_.size() - at >= 5) {
      const auto byte = [&](std::size_t offset) { return static_cast<std::uint8_t>(held_[at + offset]); };
      const std::size_t length = byte(0) | byte(1) << 8 | byte(2) << 16;
      demand(length <= body_bytes_max, "a frame of " + std::to_string(length) + " bytes");
      if (held_.size() - at < 5 + length) break;
      into.push_back(parse(byte(3), byte(4), held_.substr(at + 5, length)));
      at += 5 + length;
    }
    held_.erase(0, at);
  }
  /// Bytes of a frame that has not ended.
  std::size_t held_bytes() const { return held_.size(); }

 private:
  Bytes held_;
  bool preface_seen_ = false;
};

} // namespace trunkline::test::say
