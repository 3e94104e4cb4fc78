#include "tests/sim/contents.hpp"

#include "tests/sim/stream_checker.hpp"
#include "transport/sim/random.hpp"

#include <cstring>
#include <memory>
#include <vector>

namespace trunkline::sim {
namespace {

constexpr std::size_t offset_max = 1 << 20;

/// Payloads are cut from one block of noise, so that making and comparing them costs next to nothing.
const std::shared_ptr<const std::vector<std::byte>>& noise() {
  static const auto block = [] {
    auto bytes = std::make_shared<std::vector<std::byte>>(offset_max + contents_bytes_max);
    Random random(1);
    for (std::size_t i = 0; i + 8 <= bytes->size(); i += 8) {
      const std::uint64_t word = random();
      std::memcpy(bytes->data() + i, &word, 8);
    }
    return std::shared_ptr<const std::vector<std::byte>>(std::move(bytes));
  }();
  return block;
}

/// Everything about a fragment but its size, which travels with it.
struct Features {
  Features(const std::string& stream, int way, std::uint64_t position) {
    Random random = Random::derived(position * 4 + static_cast<std::uint64_t>(way), stream);
    op = static_cast<std::int32_t>(random.below(1000));
    offset = random.below(offset_max);
    if (random.one_in(3)) subject = "about " + std::to_string(random.below(1'000'000));
    if (random.one_in(5)) argument = std::string(random.below(200), static_cast<char>('a' + random.below(26)));
  }

  std::int32_t op;
  std::size_t offset;
  std::string subject;
  std::string argument;
};

std::string complaint_at(std::uint64_t position) { return "complaint " + std::to_string(position); }

std::span<const std::byte> payload_of(const Features& features, std::size_t bytes) {
  return std::span(*noise()).subspan(features.offset, bytes);
}

} // namespace

Fragment make_fragment(const std::string& stream, int way, std::uint64_t position, std::size_t bytes) {
  const Features features(stream, way, position);
  const auto content = payload_of(features, bytes);
  // Every other one shares its memory with the sender, the others are copies of their own.
  Fragment fragment(features.op, position % 2 == 0 ? Payload::shared(noise(), content) : Payload(content));
  fragment.part = static_cast<std::int64_t>(position);
  fragment.subject = features.subject;
  if (!features.argument.empty()) fragment.args.set("argument", features.argument);
  if (way == complaints) fragment.err = complaint_at(position);
  return fragment;
}

std::string difference(const Fragment& received, const std::string& stream, int way, std::uint64_t position) {
  if (received.part != static_cast<std::int64_t>(position))
    return "position " + std::to_string(received.part) + " arrived, expected " + std::to_string(position);
  const Features features(stream, way, position);
  const std::string where = " of position " + std::to_string(position) + " is not what was sent";
  if (received.err != (way == complaints ? complaint_at(position) : std::string())) return "err" + where;
  if (received.op != features.op) return "op" + where;
  if (received.subject != features.subject) return "subject" + where;
  const std::optional<std::string_view> argument = received.args.find("argument");
  if (argument.value_or(std::string_view()) != features.argument) return "argument" + where;
  const auto bytes = received.payload.bytes();
  if (bytes.size() > contents_bytes_max) return "size" + where;
  const auto expected = payload_of(features, bytes.size());
  if (!bytes.empty() && std::memcmp(bytes.data(), expected.data(), bytes.size()) != 0) return "payload" + where;
  return {};
}

} // namespace trunkline::sim
