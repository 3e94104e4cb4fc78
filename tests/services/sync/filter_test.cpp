#include "services/sync/filter.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

using namespace trunkline::sync;

namespace {

bool excludes(const std::string& pattern, const std::string& path, bool is_directory = false) {
  return Filter({pattern}).excludes(path, is_directory);
}

} // namespace

TEST_CASE("filter: a pattern without a slash is a name, anywhere") {
  CHECK(excludes("*.o", "a.o"));
  CHECK(excludes("*.o", "deep/down/a.o"));
  CHECK(excludes("*.o", ".o"));
  CHECK_FALSE(excludes("*.o", "a.oo"));
  CHECK_FALSE(excludes("*.o", "dir.o/file"));
  CHECK(excludes("core", "a/core"));
  CHECK_FALSE(excludes("core", "a/score"));
  CHECK(excludes("a?c", "abc"));
  CHECK_FALSE(excludes("a?c", "ac"));
}

TEST_CASE("filter: a leading slash is the top of the tree") {
  CHECK(excludes("/top", "top"));
  CHECK_FALSE(excludes("/top", "a/top"));
  CHECK(excludes("/a/*.c", "a/x.c"));
  CHECK_FALSE(excludes("/a/*.c", "a/b/x.c"));
  CHECK_FALSE(excludes("/a/*.c", "b/a/x.c"));
}

TEST_CASE("filter: a slash inside is the end of a path, whole components") {
  CHECK(excludes("a/b", "a/b"));
  CHECK(excludes("a/b", "x/a/b"));
  CHECK_FALSE(excludes("a/b", "xa/b"));
  CHECK_FALSE(excludes("a/b", "a/b/c"));
}

TEST_CASE("filter: a slash at the end is a directory") {
  CHECK(excludes("build/", "build", true));
  CHECK(excludes("build/", "x/build", true));
  CHECK_FALSE(excludes("build/", "build", false));
}

TEST_CASE("filter: two stars go across slashes") {
  CHECK(excludes("/a/**/z", "a/b/c/z"));
  CHECK_FALSE(excludes("/a/**/z", "a/z"));
  CHECK(excludes("/a/**", "a/b"));
  CHECK_FALSE(excludes("/a/**", "a"));
  CHECK(excludes("**.tmp", "a/b/c.tmp"));
  CHECK_FALSE(excludes("/a/*/z", "a/b/c/z"));
}

TEST_CASE("filter: classes and escapes") {
  CHECK(excludes("[a-c]x", "bx"));
  CHECK_FALSE(excludes("[a-c]x", "dx"));
  CHECK(excludes("[!a-c]x", "dx"));
  CHECK_FALSE(excludes("[!a-c]x", "ax"));
  CHECK(excludes("[]]x", "]x"));
  CHECK(excludes("[\\]a]x", "]x"));
  CHECK(excludes("[x", "[x"));
  CHECK(excludes("\\*", "*"));
  CHECK_FALSE(excludes("\\*", "a"));
  CHECK(excludes("\xff*", "\xff\xfe"));
  CHECK(excludes("[\xf0-\xff]", "\xf8"));
}

TEST_CASE("filter: no pattern makes matching slow") {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  const std::string path(4000, 'a');

  const auto begin = std::chrono::steady_clock::now();
  const bool excluded = excludes(pattern + "b", path);

  CHECK_FALSE(excluded);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5)); // exponential would be never
}

TEST_CASE("filter: as many patterns as are allowed take no longer than a moment for the longest path") {
  std::vector<std::string> patterns;
  for (std::size_t bytes = 0; bytes + 512 <= Filter::patterns_bytes_max; bytes += 512)
    patterns.push_back("**" + std::string(509, 'a') + "b");
  const Filter filter(patterns);
  const std::string path(4095, 'a');

  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) CHECK_FALSE(filter.excludes(path, false));

  CHECK(filter.steps(path) < 2'000'000);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3)); // byte by byte: half a minute
}

TEST_CASE("filter: a pattern is matched across every boundary of a word of its tokens") {
  for (std::size_t size = 1; size < 200; ++size) {
    const std::string name(size, 'a');
    CHECK(excludes(name, name));
    CHECK_FALSE(excludes(name, name + "a"));
    CHECK(excludes(name + "*", name));
    CHECK(excludes(name + "*", name + "bcd"));
    CHECK(excludes("*" + name, "b" + name));
    CHECK(excludes(name + "*b", name + "ccb"));
    CHECK_FALSE(excludes(name + "*b", name + "bc"));
  }
}

TEST_CASE("filter: what cannot be meant is refused") {
  CHECK_THROWS_AS(Filter({""}), std::invalid_argument);
  CHECK_THROWS_AS(Filter({"/"}), std::invalid_argument);
  CHECK_THROWS_AS(Filter({std::string(513, 'a')}), std::invalid_argument);
  CHECK_THROWS_AS(Filter(std::vector<std::string>(1001, "a")), std::invalid_argument);
  CHECK_NOTHROW(Filter(std::vector<std::string>(32, std::string(512, 'a'))));
  try {
    const Filter too_long(std::vector<std::string>(33, std::string(512, 'a')));
    FAIL("patterns of more than 16 KiB are taken");
  } catch (const std::invalid_argument& refused) {
    CHECK(std::string(refused.what()).starts_with("exclude patterns of more than 16384 bytes together, at \"aaa"));
  }
}
