#include "services/sync/path.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace trunkline::sync;
using namespace std::string_literals;

TEST_CASE("path: only relative paths of plain components can be used below a root") {
  const std::string longest(255, 'n');

  for (const std::string& path :
       {""s, "a"s, "a/b/c"s, ".hidden"s, "..."s, "a b/c\nd"s, "\xff\xfe"s, longest, "a/" + longest})
    CHECK_MESSAGE(wrong_with_path(path).empty(), printable(path));

  CHECK(wrong_with_path("..") == "has a component \"..\"");
  CHECK(wrong_with_path("a/../b") == "has a component \"..\"");
  CHECK(wrong_with_path("a/.") == "has a component \".\"");
  CHECK(wrong_with_path("/etc") == "is absolute");
  CHECK(wrong_with_path("a//b") == "has an empty component");
  CHECK(wrong_with_path("a/") == "has an empty component");
  CHECK(wrong_with_path("a\0b"s) == "holds a zero byte");
  CHECK(wrong_with_path(longest + "n") == "has a component of 256 bytes, more than 255");
  std::string deep = "a";
  while (deep.size() <= 4095) deep += "/a";
  CHECK(wrong_with_path(deep) == "has 4097 bytes, more than 4095");
}

TEST_CASE("path: a directory is followed by everything in it, then by its next sibling") {
  std::vector<std::string> paths = {"a.b", "b", "a/x", "a", "", "a/x/y", "a\x01", "a/", "\xff"};

  std::sort(paths.begin(), paths.end(), [](const auto& a, const auto& b) { return compare_paths(a, b) < 0; });

  CHECK(paths == std::vector<std::string>{"", "a", "a/", "a/x", "a/x/y", "a\x01", "a.b", "b", "\xff"});
  CHECK(compare_paths("a/x", "a/x") == 0);
}

TEST_CASE("path: below, parent, name and join agree") {
  CHECK(is_below("a/b", "a"));
  CHECK(is_below("a", ""));
  CHECK_FALSE(is_below("a", "a"));
  CHECK_FALSE(is_below("ab", "a"));
  CHECK_FALSE(is_below("", ""));
  CHECK(parent_of("a/b/c") == "a/b");
  CHECK(parent_of("a") == "");
  CHECK(name_of("a/b/c") == "c");
  CHECK(name_of("a") == "a");
  CHECK(join("", "a") == "a");
  CHECK(join("a/b", "c") == "a/b/c");
  CHECK(join("a", "") == "a");
}

TEST_CASE("path: a printable name neither breaks a line nor talks to the terminal") {
  CHECK(printable("plain \xc3\xa4/\xe6\xbc\xa2") == "plain \xc3\xa4/\xe6\xbc\xa2");
  CHECK(printable("a\nb\tc\rd\\") == "a\\nb\\tc\\rd\\\\");
  CHECK(printable("\x1b[2J\x07\x7f") == "\\x1b[2J\\x07\\x7f");
  CHECK(printable("\xff\xc0\x80\xed\xa0\x80") == "\\xff\\xc0\\x80\\xed\\xa0\\x80");
  CHECK(printable("\xc2\x9b"
                  "31m") ==
        "\\xc2\\x9b"
        "31m");
  CHECK(printable("gpj.\xe2\x80\xae"
                  "exe") ==
        "gpj.\\xe2\\x80\\xae"
        "exe");
}
