// Hashes that are made next to each other, held to those that are made one by one.
#include "services/quarkchain/chain/keccak.hpp"
#include "services/quarkchain/chain/keccak_many.hpp"
#include "tests/support/seed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;

TEST_CASE("keccak: many texts have the hashes that each has by itself, whatever their lengths and their number") {
  std::mt19937_64 random(test::test_seed());
  std::vector<std::string> texts;
  // Every length around the ends of the first five blocks, in an order of their own.
  for (std::size_t size = 0; size <= 700; ++size) {
    std::string& text = texts.emplace_back(size, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
  }
  std::shuffle(texts.begin(), texts.end(), random);
  const std::vector<std::string_view> all(texts.begin(), texts.end());

  for (std::size_t begin = 0, count = 0; begin + count <= all.size(); begin += count, ++count) {
    const std::span<const std::string_view> some = std::span(all).subspan(begin, count);
    const std::vector<Hash256> hashes = keccak256_of_each(some);

    REQUIRE(hashes.size() == count);
    for (std::size_t i = 0; i < count; ++i) REQUIRE(hashes[i] == keccak256(bytes_of(some[i])));
  }
  const std::vector<Hash256> hashes = keccak256_of_each(all);
  for (std::size_t i = 0; i < all.size(); ++i) REQUIRE(hashes[i] == keccak256(bytes_of(all[i])));
}
