#include "services/sync/plan.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace trunkline::sync;

namespace {

Entry file(std::string path, std::uint64_t size = 1, std::int64_t mtime = 100, std::uint32_t mode = 0644) {
  Entry entry;
  entry.path = std::move(path);
  entry.size = size;
  entry.mtime = {mtime, 0};
  entry.mode = mode;
  return entry;
}

Entry directory(std::string path, std::uint32_t mode = 0755) {
  Entry entry = file(std::move(path), 0, 100, mode);
  entry.type = EntryType::directory;
  return entry;
}

Entry symlink_to(std::string path, std::string target) {
  Entry entry = file(std::move(path), 0, 100, 0);
  entry.type = EntryType::symlink;
  entry.target = std::move(target);
  return entry;
}

} // namespace

TEST_CASE("plan: each pair of entries has its step") {
  struct Row {
    const char* name;
    Entry wanted;
    Entry here;
    bool checksum;
    Decision decision;
  };
  const std::vector<Row> rows = {
      {"equal file", file("a"), file("a"), false, {Step::none}},
      {"other size", file("a", 2), file("a"), false, {Step::send_file}},
      {"other time", file("a", 1, 101), file("a"), false, {Step::send_file}},
      {"other mode", file("a", 1, 100, 0600), file("a"), false, {Step::set_attributes}},
      {"setuid that is to be kept is set", file("a", 1, 100, 04755), file("a", 1, 100, 0755), false, {Step::set_attributes}},
      {"setuid here is taken away", file("a", 1, 100, 0755), file("a", 1, 100, 04755), false, {Step::set_attributes}},
      {"checksum, equal", file("a"), file("a"), true, {Step::compare_file}},
      {"checksum, other time", file("a", 1, 101), file("a"), true, {Step::compare_file, InTheWay::nothing, true}},
      {"checksum, other size", file("a", 2), file("a"), true, {Step::send_file}},
      {"equal directory", directory("a"), directory("a"), false, {Step::none}},
      {"other directory mode", directory("a", 0700), directory("a"), false, {Step::set_attributes}},
      {"equal symlink", symlink_to("a", "t"), symlink_to("a", "t"), false, {Step::none}},
      {"other target", symlink_to("a", "t"), symlink_to("a", "u"), false, {Step::make_symlink}},
      {"file for symlink", file("a"), symlink_to("a", "t"), false, {Step::send_file, InTheWay::other}},
      {"symlink for file", symlink_to("a", "t"), file("a"), false, {Step::make_symlink, InTheWay::other}},
      {"directory for file", directory("a"), file("a"), false, {Step::make_directory, InTheWay::other}},
      {"directory for symlink", directory("a"), symlink_to("a", "t"), false, {Step::make_directory, InTheWay::other}},
      {"file for directory", file("a"), directory("a"), false, {Step::send_file, InTheWay::empty_directory}},
      {"symlink for directory",
       symlink_to("a", "t"),
       directory("a"),
       false,
       {Step::make_symlink, InTheWay::empty_directory}},
  };

  for (const Row& row : rows) {
    const Plan made = plan({row.wanted}, {row.here}, row.checksum);

    CAPTURE(row.name);
    REQUIRE(made.decisions.size() == 1);
    CHECK(made.decisions[0] == row.decision);
    CHECK(made.extras.empty());
  }
}

TEST_CASE("plan: what is not here is made or sent, what is only here is extra") {
  const std::vector<Entry> wanted = {directory(""), directory("d"), file("d/f"), symlink_to("s", "t")};
  const std::vector<Entry> have = {directory(""),    file("b"),     directory("d"),
                                   directory("d/e"), file("d/e/x"), file("z")};

  const Plan made = plan(wanted, have, false);

  CHECK(made.decisions == std::vector<Decision>{{Step::none}, {Step::none}, {Step::send_file}, {Step::make_symlink}});
  CHECK(made.extras == std::vector<std::string>{"b", "d/e", "d/e/x", "z"});
}

TEST_CASE("plan: a file that takes the place of a full directory has its content as extras") {
  const std::vector<Entry> have = {directory("a"), file("a/x"), file("a.b")};

  const Plan made = plan({file("a"), file("a.b")}, have, false);

  CHECK(made.decisions[0] == Decision{Step::send_file, InTheWay::full_directory});
  CHECK(made.decisions[1] == Decision{Step::none});
  CHECK(made.extras == std::vector<std::string>{"a/x"});
}

TEST_CASE("plan: a directory that takes the place of a file finds nothing in it") {
  const Plan made = plan({directory("a"), file("a/x")}, {file("a"), file("b")}, false);

  CHECK(made.decisions[0] == Decision{Step::make_directory, InTheWay::other});
  CHECK(made.decisions[1] == Decision{Step::send_file});
  CHECK(made.extras == std::vector<std::string>{"b"});
}

TEST_CASE("plan: nothing wanted makes everything extra, nothing here makes everything new") {
  const std::vector<Entry> tree = {directory("a"), file("a/b"), file("c")};

  CHECK(plan({}, tree, false).extras == std::vector<std::string>{"a", "a/b", "c"});
  CHECK(plan(tree, {}, true).decisions ==
        std::vector<Decision>{{Step::make_directory}, {Step::send_file}, {Step::send_file}});
  CHECK(plan({}, {}, false).decisions.empty());
}
