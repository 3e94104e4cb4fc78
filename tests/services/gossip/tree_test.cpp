// The arithmetic of the tree against the published tables, and against what floating point would make of it.
#include "services/gossip/strategy.hpp"
#include "services/gossip/tree.hpp"
#include "tests/services/gossip/tables.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::gossip;
using namespace trunkline::test;

TEST_CASE("tree: the number of levels is the ceiling of log3, exactly") {
  const std::vector<std::array<std::uint32_t, 2>> expected = {
      {1, 0},  {2, 1},  {3, 1},   {4, 2},   {9, 2},   {10, 3},  {27, 3},     {28, 4},
      {81, 4}, {82, 5}, {243, 5}, {244, 6}, {729, 6}, {730, 7}, {59049, 10}, {59050, 11}};
  for (const auto& [size, levels] : expected) {
    CAPTURE(size);
    CHECK(levels_of(size) == levels);
  }
}

TEST_CASE("tree: list lengths and targets of 1 to 27 members are the published ones") {
  for (const PublishedSize& published : published_sizes) {
    CAPTURE(published.size);
    REQUIRE(levels_of(published.size) == published.levels);
    for (std::uint32_t below = 0; below < published.levels; ++below) {
      CAPTURE(below);
      CHECK(list_length(published.size, published.levels - below) == published.lists[below]);
      CHECK(target_offsets(published.size, published.levels - below) == published.targets[below]);
    }
  }
}

TEST_CASE("tree: list lengths are exact where floating point falls below them") {
  // All list lengths from the top level down, worked out by hand as floor(N 2^k / 3^k).
  const std::vector<std::pair<std::uint32_t, std::vector<std::uint32_t>>> expected = {
      {54, {54, 36, 24, 16}},
      {81, {81, 54, 36, 24}},
      {243, {243, 162, 108, 72, 48}},
      {486, {486, 324, 216, 144, 96, 64}},
      {729, {729, 486, 324, 216, 144, 96}},
      {2187, {2187, 1458, 972, 648, 432, 288, 192}},
  };
  std::size_t wrong_in_floating_point = 0;
  for (const auto& [size, lists] : expected) {
    const std::uint32_t levels = levels_of(size);
    REQUIRE(levels == lists.size());
    for (std::uint32_t below = 0; below < levels; ++below) {
      CAPTURE(size);
      CAPTURE(below);
      CHECK(list_length(size, levels - below) == lists[below]);
      const auto floating = static_cast<std::uint32_t>(size * std::pow(2.0 / 3.0, below));
      wrong_in_floating_point += floating != lists[below];
    }
  }
  CHECK(wrong_in_floating_point > 0); // these sizes do show the difference
}

TEST_CASE("tree: each list length is the largest that integers allow") {
  for (std::uint32_t size = 2; size <= 3000; ++size) {
    const std::uint32_t levels = levels_of(size);
    std::uint64_t numerator = size;
    std::uint64_t denominator = 1;
    for (std::uint32_t level = levels; level >= 1; --level, numerator *= 2, denominator *= 3) {
      const std::uint64_t length = list_length(size, level);
      if (length * denominator > numerator || (length + 1) * denominator <= numerator) {
        CAPTURE(size);
        CAPTURE(level);
        FAIL_CHECK(length);
      }
    }
  }
}

TEST_CASE("tree: the targets of the published examples with letters are met") {
  // Six members A to F seen from A, nine from A, and 27 from O in a book that wraps from [ to A.
  const std::string six = "ABCDEF";
  const std::string nine = "ABCDEFGHI";
  const std::string book = "OPQRSTUVWXYZ[ABCDEFGHIJKLMN";
  const auto letters = [](const std::string& names, std::uint32_t level) {
    std::string found;
    for (const std::uint32_t offset : target_offsets(static_cast<std::uint32_t>(names.size()), level))
      found += names[offset];
    return found;
  };
  CHECK(letters(six, 2) == "CE");
  CHECK(letters(six, 1) == "BC");
  CHECK(letters(nine, 2) == "DG");
  CHECK(letters(nine, 1) == "CE");
  CHECK(letters(book, 3) == "XF");
  CHECK(letters(book, 2) == "U[");
  CHECK(letters(book, 1) == "SW");
}

TEST_CASE("strategy: names are joined by +, and an unknown one is refused with those that there are") {
  CHECK(Strategy::parse("adopt+cleanup")->layers().adopts);
  CHECK(Strategy::parse("adopt+cleanup")->layers().cleans);
  CHECK_FALSE(Strategy::parse("plain")->layers().cleans);
  CHECK(Strategy::parse("plain")->layers().repeats);
  CHECK(Strategy::parse("redundancy")->layers().redundant);
  CHECK(Strategy::parse("exact+cleanup")->name() == "exact+cleanup");
  for (const char* wrong : {"", "+", "adopt+", "Plain", "plane", "plain+exact", "plain+adopt"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(Strategy::parse(wrong), std::invalid_argument);
  }
  try {
    Strategy::parse("plane");
  } catch (const std::invalid_argument& refused) {
    CHECK(std::string(refused.what()).find("plane") != std::string::npos);
    CHECK(std::string(refused.what()).find("plain, adopt, redundancy, cleanup, exact") != std::string::npos);
  }
}

TEST_CASE("strategy: a level above the book's own, a span beyond the book and a member outside of it are impossible") {
  for (const char* name : {"plain", "exact"}) {
    CAPTURE(name);
    const auto strategy = Strategy::parse(name);
    CHECK(strategy->is_possible(27, {26, 3, 0}));
    CHECK_FALSE(strategy->is_possible(27, {27, 3, 0}));
    CHECK_FALSE(strategy->is_possible(27, {5, 4, 0}));
    CHECK_FALSE(strategy->is_possible(27, {5, 0xFFFFFFFF, 0}));
    CHECK_FALSE(strategy->is_possible(27, {5, 3, 28}));
    CHECK_FALSE(strategy->is_possible(0, {0, 0, 0}));
    CHECK_FALSE(strategy->is_possible(1, {0, 1, 0}));
  }
  CHECK(Strategy::parse("exact")->is_possible(27, {5, 3, 9}));
  CHECK_FALSE(Strategy::parse("exact")->is_possible(27, {5, 1, 9})); // more members than its level reaches
}

TEST_CASE("strategy: whoever has served a level serves only those above it") {
  const auto tree = Strategy::parse("adopt");
  std::vector<Hop> all;
  std::vector<Hop> above;

  tree->relay(81, {40, 4, 0}, 0, all);
  tree->relay(81, {40, 4, 0}, 2, above);

  CHECK(all.size() == 6);
  CHECK(above == std::vector<Hop>(all.begin(), all.begin() + 2));
  above.clear();
  tree->relay(81, {40, 4, 0}, 3, above);
  CHECK(above.empty());
}
