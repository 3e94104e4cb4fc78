#include "fragment/ids.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>
#include <string>
#include <unordered_set>

#include "tests/support/seed.hpp"

namespace {

using trunkline::RandomId;

RandomId id_of(std::uint8_t first, std::uint8_t last) {
  std::string bytes(16, '\0');
  bytes.front() = static_cast<char>(first);
  bytes.back() = static_cast<char>(last);
  return *RandomId::from_bytes(bytes);
}

TEST_CASE("ids: the text of an id is 22 characters of unpadded base64url") {
  CHECK(RandomId().to_string() == "AAAAAAAAAAAAAAAAAAAAAA");
  CHECK(id_of(0xFF, 0).to_string() == "_wAAAAAAAAAAAAAAAAAAAA");
  CHECK(id_of(0, 0xFF).to_string() == "AAAAAAAAAAAAAAAAAAAA_w");
  CHECK(id_of(0xFB, 1).to_string() == "-wAAAAAAAAAAAAAAAAAAAQ");
}

TEST_CASE("ids: every id is read back from its own text and its own bytes") {
  std::mt19937_64 random(trunkline::test::test_seed());
  for (int round = 0; round < 1000; ++round) {
    const RandomId id = RandomId::draw([&] { return random(); });

    CHECK(RandomId::parse(id.to_string()) == id);
    CHECK(RandomId::from_bytes(id.bytes()) == id);
  }
}

TEST_CASE("ids: exactly one text is read as an id") {
  const std::string text = id_of(0x12, 0x34).to_string();

  CHECK_FALSE(RandomId::parse("").has_value());
  CHECK_FALSE(RandomId::parse(text.substr(1)).has_value());
  CHECK_FALSE(RandomId::parse(text + "A").has_value());
  CHECK_FALSE(RandomId::parse(text.substr(0, 21) + "=").has_value());
  CHECK_FALSE(RandomId::parse(text.substr(0, 21) + "+").has_value());
  CHECK_FALSE(RandomId::parse(text.substr(0, 21) + std::string(1, '\0')).has_value());
  // The last character holds two bits of the id; one with any of the other four set would be a second text of
  // it.
  int accepted = 0;
  for (const char last : std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
    accepted += RandomId::parse(text.substr(0, 21) + last).has_value();
  CHECK(accepted == 4);
}

TEST_CASE("ids: only 16 bytes are an id") {
  CHECK_FALSE(RandomId::from_bytes("").has_value());
  CHECK_FALSE(RandomId::from_bytes(std::string(15, 'x')).has_value());
  CHECK_FALSE(RandomId::from_bytes(std::string(17, 'x')).has_value());
  CHECK(RandomId::from_bytes(std::string(16, 'x'))->bytes() == std::string(16, 'x'));
}

TEST_CASE("ids: a drawn id is never the empty one, even from a source of zeros") {
  const RandomId id = RandomId::draw([] { return std::uint64_t{0}; });

  CHECK_FALSE(id.empty());
  CHECK(RandomId().empty());
}

TEST_CASE("ids: the order and the hash agree with equality") {
  const RandomId a = id_of(1, 2);
  const RandomId b = id_of(1, 3);

  CHECK(a < b);
  CHECK(a == id_of(1, 2));
  CHECK(std::hash<RandomId>()(a) == std::hash<RandomId>()(id_of(1, 2)));
  CHECK(std::set<RandomId>{a, b, a}.size() == 2);
  CHECK(std::unordered_set<RandomId>{a, b, a}.size() == 2);
}

}  // namespace
