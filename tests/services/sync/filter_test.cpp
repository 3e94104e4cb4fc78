#include "services/sync/filter.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace trunkline::sync;

namespace {

bool excludes(const std::string& pattern, const std::string& path, bool is_directory = false) {
  return Pattern(pattern).matches(path, is_directory);
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
  CHECK(excludes("\\[x", "[x"));
  CHECK(excludes("\\*", "*"));
  CHECK_FALSE(excludes("\\*", "a"));
  CHECK(excludes("\xff*", "\xff\xfe"));
  CHECK(excludes("[\xf0-\xff]", "\xf8"));
}

TEST_CASE("filter: named classes are rsync's") {
  CHECK(excludes("[[:digit:]]", "7"));
  CHECK_FALSE(excludes("[[:digit:]]", "x"));
  CHECK(excludes("[[:alpha:]]*.key", "a.key"));
  CHECK(excludes("[![:alpha:]_]x", "7x"));
  CHECK_FALSE(excludes("[![:alpha:]_]x", "_x"));
  CHECK(excludes("[[:upper:][:digit:]-]", "-"));
  CHECK(excludes("[[:]", "["));
  CHECK(excludes("[[:x]", ":"));
  for (const char* name :
       {"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"})
    CHECK_NOTHROW(Pattern(std::string("[[:") + name + ":]]"));
}

TEST_CASE("filter: a pattern that would have to be guessed is refused") {
  for (const char* pattern : {"", "/", "[x", "[]", "a[", "[[:digits:]]", "[[:alpha:]", "*\\"})
    CHECK_THROWS_AS(Pattern{pattern}, std::invalid_argument);
}

TEST_CASE("filter: three stars at the end mean the directory and what is below it") {
  CHECK(excludes("a/***", "a", true));
  CHECK_FALSE(excludes("a/***", "a", false));
  CHECK(excludes("a/***", "a/b/c"));
  CHECK(excludes("/a/***", "a/b"));
  CHECK_FALSE(excludes("/a/***", "x/a/b"));
  CHECK(excludes("/a/***/", "a", true)); // as rsync has it, which takes the slash off first
}

TEST_CASE("filter: two stars in front, with a slash, mean the top, too") {
  CHECK(excludes("**/a", "a"));
  CHECK(excludes("**/a", "x/y/a"));
  CHECK_FALSE(excludes("**/a", "xa"));
}

TEST_CASE("filter: a backslash is itself in a pattern without * ? [") {
  CHECK(excludes("q\\", "q\\"));
  CHECK(excludes("q\\\\*", "q\\x"));
}

TEST_CASE("filter: the first rule that matches decides, for its side") {
  const auto filter = [](const std::vector<std::string>& texts, bool delete_excluded = false) {
    std::vector<Rule> rules;
    for (const std::string& text : texts) rules.push_back(parse_rule(text).rule);
    return Filter(rules, delete_excluded);
  };
  struct Row {
    std::vector<std::string> rules;
    bool delete_excluded;
    bool hides;
    bool protects;
  };
  const Row rows[] = {
      {{"+ a.o", "- *.o"}, false, false, false},
      {{"- *.o", "+ a.o"}, false, true, true},
      {{"H *.o"}, false, true, false},
      {{"P *.o"}, false, false, true},
      {{"S a.o", "- *.o"}, false, false, true},
      {{"R a.o", "- *.o"}, false, true, false},
      {{"- *.o"}, true, true, false},
      {{"P *.o"}, true, false, true},
      {{"-! *.o"}, false, false, false},
      {{"-! *.c"}, false, true, true},
      {{"exclude,s *.o"}, false, true, false},
      {{"include,r a.o", "-_*.o"}, false, true, false},
  };

  for (const Row& row : rows) {
    const Filter made = filter(row.rules, row.delete_excluded);
    const DirectoryRules local(made);
    CAPTURE(row.rules.front());
    CHECK(made.hides("d/a.o", false, local) == row.hides);
    CHECK(made.protects("d/a.o", false, local, false) == row.protects);
  }
  const Filter perishable = filter({"-p *.o"});
  const DirectoryRules local(perishable);
  CHECK(perishable.protects("d/a.o", false, local, false));
  CHECK_FALSE(perishable.protects("d/a.o", false, local, true));
}

TEST_CASE("filter: a file with the rules of a directory decides there and below, nearest first") {
  std::vector<Rule> rules{parse_rule(": .rules").rule, parse_rule("- last").rule};
  const Filter filter(rules);
  DirectoryRules local(filter);
  const auto read = [](const std::string& directory, const std::string&) -> std::optional<std::string> {
    if (directory.empty()) return "- *.o\n- /top\n# nothing\n";
    if (directory == "a") return "+ keep.o\n- /here\n";
    if (directory == "a/b") return "!\n- own\n";
    return std::nullopt;
  };

  local.enter("", read);
  CHECK(filter.hides("x.o", false, local));
  CHECK(filter.hides("top", false, local));
  CHECK(filter.hides("last", false, local));
  local.enter("a", read);
  CHECK_FALSE(filter.hides("a/keep.o", false, local));
  CHECK(filter.hides("a/x.o", false, local));
  CHECK(filter.hides("a/here", false, local));
  CHECK_FALSE(filter.hides("a/top", false, local));
  local.enter("a/b", read);
  CHECK_FALSE(filter.hides("a/b/x.o", false, local));
  CHECK(filter.hides("a/b/own", false, local));
  local.enter("a", read);
  CHECK_FALSE(filter.hides("a/own", false, local));
  // Who does not know what the files say decides nothing by what comes behind them.
  CHECK_FALSE(filter.hides("last", false));
  CHECK_FALSE(filter.leaves_alone("last", false));
}

TEST_CASE("filter: what a file with rules says must be understood") {
  const Filter filter({parse_rule(":n .rules").rule});
  for (const char* content : {"*.o", "x foo", "-z foo", ". other", ": other", "- [x"}) {
    DirectoryRules local(filter);
    CAPTURE(content);
    CHECK_THROWS_AS(
        local.enter("d", [&](const std::string&, const std::string&) { return std::optional<std::string>(content); }),
        std::invalid_argument);
  }
}

TEST_CASE("rule: what rsync reads is read, and what would have to be guessed is refused") {
  CHECK(parse_rule("- *.o").rule.kind == Rule::Kind::exclude);
  CHECK(parse_rule("include,! a b").rule.negated);
  CHECK(parse_rule("include,! a b").rule.pattern == "a b");
  CHECK(parse_rule("dir-merge,e .rules").rule.hides_file);
  CHECK(parse_rule("merge /tmp/x").file == "/tmp/x");
  CHECK(parse_rule(".- list").patterns_only);
  CHECK(parse_rule("clear").what == RuleLine::What::clear);
  CHECK(parse_pattern_rule("+ a", Rule::Kind::exclude).rule.kind == Rule::Kind::include);
  CHECK(parse_pattern_rule("-a", Rule::Kind::exclude).rule.pattern == "-a");
  CHECK(parse_pattern_rule("!", Rule::Kind::exclude).what == RuleLine::What::clear);
  for (const char* text : {"", "*.o", "x y", "-", "- ", "-q a", "-/ a", "-C", "Hs a", "! a", "clear x", "excludes a",
                           ":- list", ": a/b", "."})
    CHECK_THROWS_AS(parse_rule(text), std::invalid_argument);
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
  const Filter filter(excluding(patterns));
  const DirectoryRules local(filter);
  const std::string path(4095, 'a');

  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) CHECK_FALSE(filter.hides(path, false, local));

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

TEST_CASE("filter: more rules or longer ones than are allowed are refused") {
  CHECK_THROWS_AS(Filter(excluding({std::string(513, 'a')})), std::invalid_argument);
  CHECK_THROWS_AS(Filter(excluding(std::vector<std::string>(1001, "a"))), std::invalid_argument);
  CHECK_NOTHROW(Filter(excluding(std::vector<std::string>(32, std::string(512, 'a')))));
  try {
    const Filter too_long(excluding(std::vector<std::string>(33, std::string(512, 'a'))));
    FAIL("patterns of more than 16 KiB are taken");
  } catch (const std::invalid_argument& refused) {
    CHECK(std::string(refused.what()).starts_with("filter rules of more than 16384 bytes together, at \"aaa"));
  }
}
