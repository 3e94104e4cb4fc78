// pyquarkchain's own steps, taken again here: every hash, every amount, every refusal in its words.
#include "services/quarkchain/shard/golden_steps.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using trunkline::test::vectors;

namespace {

struct Checked {
  StepCounts counts;
  std::vector<StepDifference> differences;
};

Checked checked(const Json& file) {
  Checked all;
  all.counts =
      check_golden_steps(file, [&](const StepDifference& difference) { all.differences.push_back(difference); });
  return all;
}

void all_agree(const char* name, std::size_t steps) {
  const Checked all = checked(vectors((std::string("slave/") + name + ".json").c_str()));
  for (const StepDifference& difference : all.differences)
    MESSAGE(difference.step, ": ", difference.field, ": expected ", difference.expected, ", seen ", difference.seen);
  CHECK(all.counts.differ == 0);
  CHECK(all.counts.agree == steps);
}

Json& member_of(Json& object, std::string_view name) {
  for (JsonMember& member : object.members)
    if (member.name == name) return member.value;
  throw std::runtime_error("no member " + std::string(name));
}

/// The last digit is another one.
void change(Json& text) { text.text.back() = text.text.back() == '0' ? '1' : '0'; }

} // namespace

TEST_CASE("golden steps: difficulties are those of pyquarkchain") { all_agree("difficulty", 240); }
TEST_CASE("golden steps: rewards are those of pyquarkchain") { all_agree("coinbase", 60); }
TEST_CASE("golden steps: neighbours are those of pyquarkchain") { all_agree("neighbors", 120); }
TEST_CASE("golden steps: staked work is that of pyquarkchain") { all_agree("posw", 80); }
TEST_CASE("golden steps: seals are those of pyquarkchain") { all_agree("pow", 60); }
TEST_CASE("golden steps: the checks of a header come in pyquarkchain's order") { all_agree("header_checks", 48); }
TEST_CASE("golden steps: the queue takes what pyquarkchain takes") { all_agree("transactions", 20); }
TEST_CASE("golden steps: root blocks are taken and refused as by pyquarkchain") { all_agree("root_checks", 86); }
TEST_CASE("golden steps: the tip is where pyquarkchain has it") { all_agree("forks", 317); }
TEST_CASE("golden steps: deposits come in pyquarkchain's order") { all_agree("xshard", 246); }
TEST_CASE("golden steps: a genesis belongs to its root block") { all_agree("late_genesis", 6); }

TEST_CASE("golden steps: a file with one changed digit reports exactly that step") {
  Json forks = vectors("slave/forks.json");
  change(member_of(member_of(member_of(forks.items[2], "steps").items[5], "then"), "state_root"));
  Json difficulty = vectors("slave/difficulty.json");
  change(member_of(difficulty.items[17], "difficulty"));
  Json xshard = vectors("slave/xshard.json");
  change(member_of(member_of(member_of(xshard.items[1], "steps").items[3], "then"), "balances").items[0].items[1]);
  Json headers = vectors("slave/header_checks.json");
  change(member_of(member_of(member_of(headers, "cases").items[3], "expected"), "error"));

  const Checked in_forks = checked(forks), in_difficulty = checked(difficulty), in_xshard = checked(xshard),
                in_headers = checked(headers);

  REQUIRE(in_forks.differences.size() == 1);
  CHECK(in_forks.differences[0].step.starts_with("forks 2, step 5 "));
  CHECK(in_forks.differences[0].field == "state_root");
  CHECK(in_forks.counts.differ == 1);
  REQUIRE(in_difficulty.differences.size() == 1);
  CHECK(in_difficulty.differences[0].step == "item 17");
  REQUIRE(in_xshard.differences.size() == 1);
  CHECK(in_xshard.differences[0].step.starts_with("cross shard 1, step 3 "));
  CHECK(in_xshard.differences[0].field == "balances");
  REQUIRE(in_headers.differences.size() == 1);
  CHECK(in_headers.differences[0].step == "case \"unknown parent\"");
}

TEST_CASE("golden steps: a file that holds no steps is refused by name") {
  CHECK_THROWS_WITH_AS(
      checked(Json::parse("[{\"colour\": 3}]")),
      "golden steps: item 0: expected an item of difficulty, coinbase, neighbors or posw, seen an object", JsonError);
  CHECK_THROWS_AS(checked(Json::parse("7")), JsonError);
}
