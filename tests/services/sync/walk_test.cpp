#include "services/sync/walk.hpp"

#include "tests/services/sync/scratch.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::sync;

namespace {

struct Seen {
  std::vector<Entry> entries;
  std::vector<std::string> errors, skipped, stale, vanished;
  bool complete = true;

  std::vector<std::string> paths() const {
    std::vector<std::string> paths;
    for (const Entry& entry : entries) paths.push_back(entry.path);
    return paths;
  }
};

Seen walk(const std::shared_ptr<Root>& root, const std::vector<std::string>& exclude = {}) {
  Seen seen;
  WalkListener listener;
  listener.on_error = [&](const std::string& path, const std::string&) { seen.errors.push_back(path); };
  listener.on_skipped = [&](const std::string& path, const std::string& text) {
    seen.skipped.push_back(path + ": " + text);
  };
  listener.on_vanished = [&](const std::string& path) { seen.vanished.push_back(path); };
  listener.on_temporary = [&](const std::string& path) { seen.stale.push_back(path); };
  const Filter filter(excluding(exclude));
  Walk walk(root, filter, listener);
  while (!walk.ended())
    if (auto entry = walk.next()) seen.entries.push_back(std::move(*entry));
  seen.complete = walk.complete();
  return seen;
}

using Paths = std::vector<std::string>;

} // namespace

TEST_CASE("walk: everything is listed in order, with what it is") {
  const test::Scratch scratch;
  scratch.write("b/file", "12345", 0640);
  scratch.write("b.c", "");
  scratch.make_symlink("a", "no/where");
  scratch.make_directory("empty", 0700);
  scratch.write("\xff\n name", "x");
  scratch.set_mtime("b/file", 1234567890, 987654321);
  scratch.set_mtime("a", -5);

  const Seen seen = walk(Root::open(scratch.path()));

  CHECK(seen.complete);
  CHECK(seen.paths() == Paths{"", "a", "b", "b/file", "b.c", "empty", "\xff\n name"});
  CHECK(seen.entries[0].type == EntryType::directory);
  CHECK(seen.entries[1].type == EntryType::symlink);
  CHECK(seen.entries[1].target == "no/where");
  CHECK(seen.entries[1].mtime == FileTime{-5, 0});
  CHECK(seen.entries[3].type == EntryType::file);
  CHECK(seen.entries[3].size == 5);
  CHECK(seen.entries[3].mode == 0640);
  CHECK(seen.entries[3].mtime == FileTime{1234567890, 987654321});
  CHECK(seen.entries[5].mode == 0700);
}

TEST_CASE("walk: an excluded directory is left out with everything in it") {
  const test::Scratch scratch;
  scratch.write("build/a.o", "");
  scratch.write("src/build/x", "");
  scratch.write("src/a.c", "");
  scratch.write("src/a.o", "");

  const Seen seen = walk(Root::open(scratch.path()), {"/build/", "*.o"});

  CHECK(seen.paths() == Paths{"", "src", "src/a.c", "src/build", "src/build/x"});
}

TEST_CASE("walk: what is neither file, directory nor symlink is skipped with a word") {
  const test::Scratch scratch;
  REQUIRE(::mkfifo(scratch.path("pipe").c_str(), 0600) == 0);
  scratch.write("file", "");

  const Seen seen = walk(Root::open(scratch.path()));

  CHECK(seen.paths() == Paths{"", "file"});
  CHECK(seen.skipped == Paths{"pipe: fifo"});
  CHECK(seen.complete);
}

TEST_CASE("walk: temporary files are no part of a tree") {
  const test::Scratch scratch;
  scratch.write(".a.trunkline-abcdefgh", "");
  scratch.write(".a.trunkline-ABCDEFGH", "");
  scratch.write("a.trunkline-abcdefgh", "");
  scratch.make_directory(".d.trunkline-abcdefgh");

  const Seen seen = walk(Root::open(scratch.path()));

  CHECK(seen.paths() == Paths{"", ".a.trunkline-ABCDEFGH", ".d.trunkline-abcdefgh", "a.trunkline-abcdefgh"});
  CHECK(seen.stale == Paths{".a.trunkline-abcdefgh"});
}

TEST_CASE("walk: the temporary files of a directory are met before anything else in it") {
  const test::Scratch scratch;
  scratch.write("!", "");
  scratch.write(".z.trunkline-abcdefgh", "");
  scratch.write("d/!", "");
  scratch.write("d/.z.trunkline-abcdefgh", "");
  Paths order;
  WalkListener listener;
  listener.on_temporary = [&](const std::string& path) { order.push_back("temporary " + path); };
  const Filter filter(std::vector<Rule>{});
  Walk walk(Root::open(scratch.path()), filter, listener);

  while (!walk.ended())
    if (const auto entry = walk.next()) order.push_back(entry->path);

  CHECK(order == Paths{"", "temporary .z.trunkline-abcdefgh", "!", "d", "temporary d/.z.trunkline-abcdefgh", "d/!"});
}

TEST_CASE("walk: what cannot be read is reported, the rest goes on, and the listing is not complete") {
  const test::Scratch scratch;
  for (const char* path : {"a/1", "b/2", "c/3", "d"}) scratch.write(path, "");

  for (const auto& [failing, call, paths] : std::vector<std::tuple<std::string, DiskCall, Paths>>{
           {"b", DiskCall::open, {"", "a", "a/1", "b", "c", "c/3", "d"}},
           {"b", DiskCall::status, {"", "a", "a/1", "c", "c/3", "d"}},
           {"2", DiskCall::status, {"", "a", "a/1", "b", "c", "c/3", "d"}}}) {
    const auto disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall seen, std::string_view name) {
      return seen == call && name == failing ? EACCES : 0;
    });
    const Seen seen = walk(Root::open(scratch.path(), disk));

    CAPTURE(failing);
    CHECK(seen.paths() == paths);
    CHECK(seen.errors.size() == 1);
    CHECK_FALSE(seen.complete);
  }
}

TEST_CASE("walk: what vanishes is named, and the listing is complete without it") {
  const test::Scratch scratch;
  for (const char* path : {"a/1", "b/2", "c", ".c.trunkline-abcdefgh"}) scratch.write(path, "");

  for (const auto& [failing, call] :
       std::vector<std::pair<std::string, DiskCall>>{{"b", DiskCall::open},
                                                     {"2", DiskCall::status},
                                                     {"c", DiskCall::status},
                                                     {".c.trunkline-abcdefgh", DiskCall::status}}) {
    const auto disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall seen, std::string_view name) {
      return seen == call && name == failing ? ENOENT : 0;
    });
    const Seen seen = walk(Root::open(scratch.path(), disk));

    CAPTURE(failing);
    CHECK(seen.errors.empty());
    CHECK(seen.vanished.size() == (failing.size() == 1 ? 1 : 0)); // temporary files come and go
    CHECK(seen.complete);
  }
}

TEST_CASE("walk: a path that is too long is one trouble in words, and is not entered") {
  const test::Scratch scratch;
  scratch.write("f", "");
  const int start = ::open(scratch.path().c_str(), O_RDONLY | O_DIRECTORY);
  int at = ::dup(start);
  const std::string name(200, 'd');
  for (int i = 0; i < 24; ++i) {
    REQUIRE(::mkdirat(at, name.c_str(), 0755) == 0);
    const int below = ::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY);
    ::close(at);
    at = below;
  }
  ::close(at);
  ::close(start);
  std::vector<std::string> errors;
  WalkListener listener;
  listener.on_error = [&](const std::string&, const std::string& text) { errors.push_back(text); };
  const Filter filter;
  Walk walk(Root::open(scratch.path()), filter, listener);

  std::size_t entries = 0;
  while (!walk.ended()) entries += walk.next().has_value();

  CHECK(entries == 22); // the top, f, and what can be named
  CHECK_FALSE(walk.complete());
  REQUIRE(errors.size() == 1);
  CHECK(errors.front().ends_with("its path has 4220 bytes, more than 4095"));
}

TEST_CASE("walk: names that are left out give others their turn, too") {
  const test::Scratch scratch;
  for (std::size_t i = 0; i < 3 * Walk::names_between_yields; ++i) scratch.write("f" + std::to_string(i) + ".o", "");
  scratch.write("z", "");
  const Filter filter(excluding({"*.o"}));
  Walk walk(Root::open(scratch.path()), filter, {});

  std::size_t turns = 0;
  std::vector<std::string> listed;
  while (!walk.ended()) {
    if (const auto entry = walk.next()) {
      listed.push_back(entry->path);
    } else {
      ++turns;
    }
  }

  CHECK(listed == Paths{"", "z"});
  CHECK(turns >= 3);
}

TEST_CASE("walk: patterns that take long give others their turn after a few names") {
  const test::Scratch scratch;
  const std::string deep = std::string(200, 'd') + "/" + std::string(200, 'd');
  for (int i = 0; i < 20; ++i) scratch.write(deep + "/" + std::to_string(i), "");
  const Filter filter(excluding(std::vector<std::string>(500, "/a*/**/?[b-z]*a")));
  Walk walk(Root::open(scratch.path()), filter, {});

  std::size_t turns = 0;
  std::size_t listed = 0;
  while (!walk.ended()) (walk.next() ? listed : turns) += 1;

  CHECK(listed == 23);
  CHECK(turns >= 10);
}

TEST_CASE("walk: one file alone is listed without its directory") {
  const test::Scratch scratch;
  scratch.write("file", "12");
  scratch.write("other", "");
  const Filter filter;

  Walk walk(Root::open(scratch.path()), filter, {}, "file");
  const auto first = walk.next();
  const auto second = walk.next();

  REQUIRE(first);
  CHECK(first->path == "file");
  CHECK_FALSE(second);
}

TEST_CASE("walk: a temporary name fits beside any name and is known again") {
  for (const std::string& name : {std::string("a"), std::string(255, 'n'), std::string("\xff\n")}) {
    const std::string temporary = temporary_name(name, 0x123456789abcdef0);
    CHECK(temporary.size() <= 255);
    CHECK(is_temporary_name(temporary));
  }
  CHECK_FALSE(is_temporary_name(""));
  CHECK_FALSE(is_temporary_name(".trunkline-"));
  CHECK_FALSE(is_temporary_name(".a.trunkline-abcdefg1"));
  CHECK(temporary_name("a", 0) == ".a.trunkline-aaaaaaaa");
}
