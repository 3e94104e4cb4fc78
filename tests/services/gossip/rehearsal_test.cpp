// Whole broadcasts on paper: the published tables, who is reached at which cost, and dead members.
#include "services/gossip/rehearsal.hpp"
#include "tests/services/gossip/tables.hpp"
#include "tests/support/seed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::gossip;
using namespace trunkline::test;

namespace {

Rehearsal play(const char* strategy, std::uint32_t size, Position origin = 0, const std::vector<bool>& dead = {}) {
  return rehearse(*Strategy::parse(strategy), size, origin, dead);
}

Sends numbered(const Rehearsal& played) {
  Sends sends;
  for (const auto& sent : played.sends) sends.emplace(sent.from + 1, sent.to + 1, sent.level);
  return sends;
}

std::vector<bool> dead_of(std::uint32_t size, std::initializer_list<Position> members) {
  std::vector<bool> dead(size);
  for (const Position member : members) dead[member] = true;
  return dead;
}

} // namespace

TEST_CASE("plain: the sends are those of the published tables, wherever in the book the originator stands") {
  for (const PublishedSends& table : published_sends)
    for (const std::uint32_t origin : {0u, table.size / 2, table.size - 1}) {
      CAPTURE(table.size);
      CAPTURE(origin);
      CHECK(numbered(play("plain", table.size, origin)) == sends_of(table, origin));
    }
}

TEST_CASE("plain: every member reads and writes as often as published") {
  for (const PublishedCounts& table : published_counts) {
    CAPTURE(table.size);
    REQUIRE(table.counts.size() == table.size);
    const Rehearsal played = play("plain", table.size);
    std::vector<std::uint32_t> writes(table.size);
    for (const auto& sent : played.sends) ++writes[sent.from];
    for (std::uint32_t member = 0; member < table.size; ++member) {
      CAPTURE(member);
      CHECK(played.reads[member] == table.counts[member][0]);
      CHECK(writes[member] == table.counts[member][1]);
    }
  }
}

TEST_CASE("plain: sends, most reads, reads of the originator and who is missed are as published for 1 to 27") {
  for (const PublishedSize& published : published_sizes) {
    CAPTURE(published.size);
    const Rehearsal played = play("plain", published.size);
    std::vector<std::uint32_t> missed;
    for (const Position member : played.missed) missed.push_back(member + 1);
    CHECK(played.sends.size() == published.sends);
    CHECK(*std::max_element(played.reads.begin() + (published.size > 1), played.reads.end()) == published.reads_max);
    CHECK(played.reads[0] == published.reads_of_originator);
    CHECK(missed == published.missed);
  }
}

TEST_CASE("plain: the sizes up to 120 that are covered completely are the published ones") {
  const std::vector<std::array<std::uint32_t, 2>> complete = {
      {1, 7},   {9, 16},  {18, 18}, {21, 21}, {27, 30}, {32, 33}, {35, 37},   {41, 43},   {45, 45},   {54, 54},
      {63, 63}, {72, 72}, {81, 87}, {90, 90}, {92, 97}, {99, 99}, {102, 103}, {105, 105}, {108, 109}, {113, 114}};
  for (std::uint32_t size = 1; size <= 120; ++size) {
    CAPTURE(size);
    const bool expected = std::any_of(complete.begin(), complete.end(),
                                      [&](const auto& range) { return range[0] <= size && size <= range[1]; });
    CHECK(play("plain", size).missed.empty() == expected);
  }
  CHECK(play("plain", 1000).missed.size() == 85);
}

TEST_CASE("plain: powers of three are covered with one send for each member, which floating point does not achieve") {
  for (const std::uint32_t size : {81u, 243u, 729u, 2187u}) {
    CAPTURE(size);
    const Rehearsal played = play("plain", size);
    CHECK(played.missed.empty());
    CHECK(played.sends.size() == size - 1);
  }
}

TEST_CASE("plain: one dead member costs the live ones that were published") {
  const auto lost = [](std::uint32_t size, Position dead) {
    return play("plain", size, 0, dead_of(size, {dead})).missed.size();
  };
  for (Position dead = 1; dead < 9; ++dead) CHECK(lost(9, dead) == (dead == 3 || dead == 6 ? 2 : 0));
  std::map<std::size_t, int> of_27;
  std::map<std::size_t, int> of_81;
  for (Position dead = 1; dead < 27; ++dead) ++of_27[lost(27, dead)];
  for (Position dead = 1; dead < 81; ++dead) ++of_81[lost(81, dead)];
  CHECK(of_27 == std::map<std::size_t, int>{{8, 2}, {2, 6}, {0, 18}});
  CHECK(of_81 == std::map<std::size_t, int>{{26, 2}, {8, 6}, {2, 18}, {0, 54}});
}

TEST_CASE("adopt: one dead member costs no live one, at the same number of sends") {
  for (const std::uint32_t size : {9u, 27u, 81u})
    for (Position dead = 1; dead < size; ++dead) {
      const Rehearsal played = play("adopt", size, 0, dead_of(size, {dead}));
      if (!played.missed.empty() || played.sends.size() != size - 1) {
        CAPTURE(size);
        CAPTURE(dead);
        FAIL_CHECK(played.sends.size());
      }
    }
}

TEST_CASE("adopt: a fifth of all members dead costs no live one of 27 or 81") {
  std::mt19937_64 random(test_seed());
  for (const std::uint32_t size : {27u, 81u})
    for (int run = 0; run < 2000; ++run) {
      std::vector<bool> dead(size);
      for (std::uint32_t member = 1; member < size; ++member) dead[member] = random() % 5 == 0;
      const Rehearsal played = play("adopt", size, 0, dead);
      REQUIRE(played.missed.empty());
      REQUIRE(played.sends.size() <= size - 1);
    }
}

TEST_CASE("adopt: served levels and the spared originator keep the coverage and save sends") {
  for (std::uint32_t size = 1; size <= 400; ++size) {
    const Rehearsal plain = play("plain", size);
    const Rehearsal thrifty = play("adopt", size);
    if (plain.missed != thrifty.missed || thrifty.sends.size() > plain.sends.size() || thrifty.reads[0] != 0) {
      CAPTURE(size);
      FAIL_CHECK(thrifty.missed.size());
    }
  }
  CHECK(play("plain", 82).sends.size() == 242);
  CHECK(play("adopt", 82).sends.size() <= 216);
}

TEST_CASE("default: every member of 1 to 200 is reached, whoever originates, and everybody gets at least one read") {
  for (std::uint32_t size = 1; size <= 200; ++size)
    for (const Position origin : {0u, size / 2, size - 1}) {
      const Rehearsal played = play("adopt+cleanup", size, origin);
      bool all = played.missed.empty() && played.reads[origin] == 0;
      for (Position member = 0; member < size; ++member) all = all && (member == origin || played.reads[member] >= 1);
      if (!all) {
        CAPTURE(size);
        CAPTURE(origin);
        FAIL_CHECK(played.missed.size());
      }
      // What the tree sends, at most, one message for each member it misses, and two questions each at least.
      std::uint64_t most = 1;
      for (std::uint32_t level = 0; level < levels_of(size); ++level) most *= 3;
      CHECK(played.sends.size() <= most - 1 + play("plain", size, origin).missed.size());
      CHECK(played.questions == (size > 1 ? 2u * size : 0));
    }
}

TEST_CASE("default: with any fifth of the members dead all others are reached, at every size up to 200") {
  std::mt19937_64 random(test_seed());
  for (std::uint32_t size = 2; size <= 200; ++size) {
    std::vector<bool> dead(size);
    const auto origin = static_cast<Position>(random() % size);
    for (std::uint32_t member = 0; member < size; ++member) dead[member] = member != origin && random() % 5 == 0;
    CAPTURE(size);
    CHECK(play("adopt+cleanup", size, origin, dead).missed.empty());
  }
}

TEST_CASE("redundancy: everybody is reached at the cost of one more send each") {
  for (const std::uint32_t size : {8u, 24u, 27u, 100u}) {
    CAPTURE(size);
    const Rehearsal played = play("redundancy", size);
    CHECK(played.missed.empty());
    CHECK(played.sends.size() == play("adopt", size).sends.size() + size - 1);
  }
}

TEST_CASE("exact: every member gets the message once, in N - 1 sends and at most log3 N hops, for every N below 3000") {
  for (std::uint32_t size = 1; size < 3000; ++size) {
    const Rehearsal played = play("exact", size, size / 3);
    bool exact = played.missed.empty() && played.sends.size() == size - 1 && played.depth <= levels_of(size);
    for (Position member = 0; member < size; ++member)
      exact = exact && played.reads[member] == (member == size / 3 ? 0u : 1u);
    if (!exact) {
      CAPTURE(size);
      FAIL_CHECK(played.depth);
    }
  }
}

TEST_CASE("exact: with adoption, dead members cost no live one and no send") {
  std::mt19937_64 random(test_seed());
  for (std::uint32_t size = 2; size < 500; ++size) {
    std::vector<bool> dead(size);
    for (std::uint32_t member = 1; member < size; ++member) dead[member] = random() % 3 == 0;
    const Rehearsal played = play("exact+adopt", size, 0, dead);
    CAPTURE(size);
    CHECK(played.missed.empty());
    CHECK(played.sends.size() == size - 1);
  }
}

TEST_CASE("rehearsal: ten thousand members are arithmetic") {
  std::mt19937_64 random(test_seed());
  std::vector<bool> dead(10'000);
  for (std::uint32_t member = 1; member < dead.size(); ++member) dead[member] = random() % 5 == 0;

  const Rehearsal tree = play("adopt+cleanup", 10'000);
  const Rehearsal tree_with_dead = play("adopt+cleanup", 10'000, 0, dead);
  const Rehearsal exact = play("exact", 10'000);
  const Rehearsal exact_with_dead = play("exact+adopt", 10'000, 0, dead);

  CHECK(tree.missed.empty());
  CHECK(tree_with_dead.missed.empty());
  CHECK(tree.sends.size() < 59'048); // 3^10 - 1
  CHECK(exact.missed.empty());
  CHECK(exact.sends.size() == 9'999);
  CHECK(exact.depth == 9);
  CHECK(exact_with_dead.missed.empty());
}

TEST_CASE("rehearsal: a dead originator sends nothing, and everybody alive is missed") {
  const Rehearsal played = play("adopt+cleanup", 9, 4, dead_of(9, {4, 5}));
  CHECK(played.sends.empty());
  CHECK(played.missed.size() == 7);
}

TEST_CASE("rehearsal: sizes and origins that make no sense are refused") {
  const auto strategy = Strategy::parse("plain");
  CHECK_THROWS_AS(rehearse(*strategy, 0, 0), std::invalid_argument);
  CHECK_THROWS_AS(rehearse(*strategy, 5, 5), std::invalid_argument);
  CHECK_THROWS_AS(rehearse(*strategy, 0xFFFFFFFF, 0), std::invalid_argument);
}
