#include "tests/sim/old_side.hpp"

#include "circuit/native/frame.hpp"
#include "tests/support/passing_medium.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sim {
namespace {

constexpr std::size_t preface_bytes = 8;
constexpr std::size_t head_bytes = 5;

std::uint64_t take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; !rest.empty() && shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) break;
  }
  return value;
}

/// Calls `act(tag, position of the tag, its value's bytes)` for each field of a protobuf message whose tags have one
/// byte.
template <class Act> void for_each_field(std::string_view message, Act act) {
  std::string_view rest = message;
  while (!rest.empty()) {
    const std::size_t at = message.size() - rest.size();
    const auto tag = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    std::size_t bytes = 0;
    std::string_view value;
    switch (tag & 7) {
      case 0: take_varint(rest); break;
      case 1: bytes = 8; break;
      case 2: bytes = take_varint(rest); break;
      case 5: bytes = 4; break;
      default: return;
    }
    value = rest.substr(0, bytes);
    rest.remove_prefix(std::min(bytes, rest.size()));
    act(tag, at, value);
  }
}

/// The feature names become others that nobody knows.
void forget_features(std::string& hello) {
  constexpr unsigned char features = 6 << 3 | 2;
  const std::string before = hello;
  for_each_field(before, [&](unsigned char tag, std::size_t, std::string_view name) {
    if (tag == features && !name.empty()) hello[static_cast<std::size_t>(name.data() - before.data())] = '-';
  });
}

/// The field becomes another one of its type that nobody knows.
void forget_field(std::string& bytes, std::size_t from, std::size_t size, unsigned char known, unsigned char unknown) {
  const std::string message = bytes.substr(from, size);
  for_each_field(message, [&](unsigned char tag, std::size_t at, std::string_view) {
    if (tag == known) bytes[from + at] = static_cast<char>(unknown);
  });
}

/// `remaining_ms` of the metadata in a body of DATA.
void forget_deadline(std::string& body, std::size_t flags) {
  std::string_view rest = body;
  for (int numbers = (flags & wire::flag_first_of_more) != 0 ? 4 : 3; numbers > 0; --numbers) take_varint(rest);
  const std::size_t size = take_varint(rest);
  forget_field(body, body.size() - rest.size(), size, 4 << 3 | 5, 14 << 3 | 5);
}

/// One direction of a connection. Frames go on when they are whole.
class Forgetting {
 public:
  void pass(std::span<const std::byte> bytes, std::string& on) {
    held_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::size_t at = 0;
    if (!begun_ && held_.size() >= preface_bytes) {
      begun_ = true;
      at = preface_bytes;
    }
    while (begun_ && held_.size() - at >= head_bytes) {
      const auto byte = [&](std::size_t index) { return std::size_t{static_cast<unsigned char>(held_[at + index])}; };
      const std::size_t size = byte(0) | byte(1) << 8 | byte(2) << 16;
      if (held_.size() - at < head_bytes + size) break;
      const auto type = static_cast<wire::FrameType>(byte(3));
      const bool is_told = type == wire::FrameType::hello || type == wire::FrameType::open ||
                           (type == wire::FrameType::data && (byte(4) & wire::flag_metadata) != 0);
      if (is_told) forget(type, byte(4), at + head_bytes, size);
      at += head_bytes + size;
    }
    on.append(held_, 0, at);
    held_.erase(0, at);
  }

 private:
  void forget(wire::FrameType type, std::size_t flags, std::size_t at, std::size_t size) {
    std::string body = held_.substr(at, size);
    if (type == wire::FrameType::hello) forget_features(body);
    else if (type == wire::FrameType::open) forget_field(body, 0, size, 10 << 3, 14 << 3);
    else forget_deadline(body, flags);
    held_.replace(at, size, body);
  }

  std::string held_;
  bool begun_ = false; // the preface has passed
};

struct Nothing {};

class OldTransport final : public test::PassingTransport {
 public:
  OldTransport(std::unique_ptr<Transport> transport, const std::shared_ptr<Nothing>&)
      : PassingTransport(std::move(transport)), ways_(std::make_shared<Ways>()) {}

  awaitable<std::size_t> read_some(std::span<std::byte> into) override { return read(*transport_, ways_, into); }
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return write(*transport_, ways_, pieces);
  }

 private:
  struct Ways {
    Forgetting in;
    Forgetting out;
    std::string read; // and not yet taken
    std::vector<std::byte> buffer = std::vector<std::byte>(64 * 1024);
  };

  static awaitable<std::size_t> read(Transport& transport, std::shared_ptr<Ways> ways, std::span<std::byte> into) {
    while (ways->read.empty()) {
      const std::size_t size = co_await transport.read_some(ways->buffer);
      if (size == 0) co_return 0;
      ways->in.pass(std::span(ways->buffer).first(size), ways->read);
    }
    const std::size_t size = std::min(into.size(), ways->read.size());
    std::memcpy(into.data(), ways->read.data(), size);
    ways->read.erase(0, size);
    co_return size;
  }
  static awaitable<void> write(Transport& transport, std::shared_ptr<Ways> ways,
                               std::span<const std::span<const std::byte>> pieces) {
    std::string on;
    for (const auto& piece : pieces) ways->out.pass(piece, on);
    const auto bytes = std::as_bytes(std::span(on));
    const std::span<const std::byte> whole(bytes);
    co_await transport.write(std::span(&whole, 1));
  }

  std::shared_ptr<Ways> ways_;
};

} // namespace

std::shared_ptr<Medium> of_old_side(std::shared_ptr<Medium> medium) {
  return std::make_shared<test::PassingMedium<OldTransport, Nothing>>(std::move(medium), std::make_shared<Nothing>());
}

} // namespace trunkline::sim
