// Payload has three places for its bytes (inside the value, on the heap, in shared memory) and moves between
// them must keep content and owner. Every case runs over sizes around the border of the inside, so that both
// sides are met.
#include "fragment/payload.hpp"

#include <doctest/doctest.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using trunkline::Payload;

constexpr std::size_t border = Payload::inline_bytes_max;
const std::size_t sizes[] = {0, 1, border - 1, border, border + 1, 4096, 100000};

std::string letters(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t at = 0; at < size; ++at) text[at] = static_cast<char>('a' + at % 23);
  return text;
}

/// One payload of each way of making it, all with the same bytes.
std::vector<Payload> of_every_kind(const std::string& text) {
  std::vector<Payload> payloads;
  payloads.emplace_back(std::string_view(text));
  payloads.emplace_back(std::as_bytes(std::span(text)));
  payloads.emplace_back(std::string(text));
  const auto bytes = std::as_bytes(std::span(text));
  payloads.emplace_back(std::vector<std::byte>(bytes.begin(), bytes.end()));
  auto owner = std::make_shared<const std::string>(text);
  payloads.push_back(Payload::shared(owner, std::as_bytes(std::span(*owner))));
  Payload written = Payload::uninitialized(text.size());
  if (!text.empty()) std::memcpy(written.writable().data(), text.data(), text.size());
  payloads.push_back(std::move(written));
  return payloads;
}

TEST_CASE("payload: every way of making one gives the same bytes") {
  for (const std::size_t size : sizes) {
    const std::string text = letters(size);

    for (const Payload& payload : of_every_kind(text)) {
      CAPTURE(size);
      CHECK(payload.size() == size);
      CHECK(payload.empty() == (size == 0));
      CHECK(payload.text() == text);
      CHECK(payload == Payload(text));
    }
  }
}

TEST_CASE("payload: a copy is equal and lives on when the original is gone") {
  for (const std::size_t size : sizes) {
    const std::string text = letters(size);
    std::vector<Payload> originals = of_every_kind(text);

    std::vector<Payload> copies(originals);
    originals.clear();

    for (const Payload& copy : copies) CHECK(copy.text() == text);
  }
}

TEST_CASE("payload: a moved-from payload is empty and can be used again") {
  for (const std::size_t size : sizes) {
    const std::string text = letters(size);
    for (Payload& original : of_every_kind(text)) {
      const Payload moved(std::move(original));

      CHECK(moved.text() == text);
      CHECK(original.empty());  // NOLINT(bugprone-use-after-move): this is what the test is about
      original = Payload("again");
      CHECK(original.text() == "again");
    }
  }
}

TEST_CASE("payload: assignment between every pair of kinds and sizes keeps the assigned bytes") {
  for (const std::size_t from_size : sizes) {
    for (const std::size_t to_size : sizes) {
      const std::string from_text = letters(from_size);
      for (const Payload& from : of_every_kind(from_text)) {
        for (Payload& to : of_every_kind(letters(to_size))) {
          to = from;
          REQUIRE(to.text() == from_text);
          to = Payload(from);
          REQUIRE(to.text() == from_text);
        }
      }
    }
  }
}

TEST_CASE("payload: assignment to itself changes nothing") {
  for (const std::size_t size : sizes) {
    const std::string text = letters(size);
    for (Payload& payload : of_every_kind(text)) {
      Payload& same = payload;

      payload = same;
      CHECK(payload.text() == text);

      payload = std::move(same);
      CHECK(payload.text() == text);
    }
  }
}

TEST_CASE("payload: shared memory is not copied and its owner is kept exactly as long as a payload needs it") {
  auto owner = std::make_shared<const std::string>(letters(5));
  const std::weak_ptr<const std::string> watched = owner;
  const std::byte* const where = std::as_bytes(std::span(*owner)).data();

  auto first = std::make_unique<Payload>(Payload::shared(std::move(owner), {where, 5}));
  Payload second(*first);
  Payload third;
  third = std::move(*first);
  first.reset();

  CHECK(second.data() == where);
  CHECK(third.data() == where);
  second = Payload();
  CHECK_FALSE(watched.expired());
  third = Payload("else");
  CHECK(watched.expired());
}

TEST_CASE("payload: a large string or vector is taken over where it lies") {
  std::string text = letters(border + 1);
  const auto* text_at = reinterpret_cast<const std::byte*>(text.data());
  std::vector<std::byte> bytes(border + 1, std::byte{7});
  const std::byte* bytes_at = bytes.data();

  const Payload from_text(std::move(text));
  const Payload from_bytes(std::move(bytes));

  CHECK(from_text.data() == text_at);
  CHECK(from_bytes.data() == bytes_at);
}

TEST_CASE("payload: a small string is copied, so that its memory is not kept for a few bytes") {
  std::string text = letters(border);
  text.reserve(1 << 20);
  const auto* text_at = reinterpret_cast<const std::byte*>(text.data());

  const Payload payload(std::move(text));

  CHECK(payload.data() != text_at);
  CHECK(payload.text() == letters(border));
}

TEST_CASE("payload: moving a small or a large one never throws, so containers move instead of copying") {
  CHECK(std::is_nothrow_move_constructible_v<Payload>);
  CHECK(std::is_nothrow_move_assignable_v<Payload>);
  CHECK(std::is_nothrow_default_constructible_v<Payload>);
}

TEST_CASE("payload: payloads of different bytes or sizes are not equal") {
  CHECK_FALSE(Payload("a") == Payload("b"));
  CHECK_FALSE(Payload("a") == Payload("aa"));
  CHECK(Payload() == Payload(""));
}

}  // namespace
