#include "fragment/json_line.hpp"

#include <doctest/doctest.h>

#include <cstdint>

using trunkline::JsonLine;
using trunkline::JsonList;

TEST_CASE("json: one object on one line, whatever is in it") {
  JsonLine line;

  line.add("text", "a\"b\\c\nd\x1b")
      .add("number", std::uint64_t{18446744073709551615u})
      .add("share", 0.5)
      .add("yes", true);

  CHECK(
      line.take() ==
      "{\"text\": \"a\\\"b\\\\c\\u000ad\\u001b\", \"number\": 18446744073709551615, \"share\": 0.500, \"yes\": true}");
  CHECK(line.take() == "{}");
}

TEST_CASE("json: a path that is not UTF-8 comes in hexadecimal, too") {
  JsonLine line;

  CHECK(line.add_path("\xc3\xa4 b").take() == "{\"path\": \"\xc3\xa4 b\"}");
  CHECK(line.add_path("a\xff\n").take() == "{\"path\": \"a\\ufffd\\u000a\", \"path_bytes\": \"61ff0a\"}");
}

TEST_CASE("json: an object takes what is JSON already, and a list is on its line, too") {
  JsonLine line;
  JsonList list;

  CHECK(list.add("a\"").add(std::uint64_t{7}).add_json("{}").take() == "[\"a\\\"\", 7, {}]");
  CHECK(list.take() == "[]");
  line.add_members("").add_members("\"a\": 1, \"b\": 2").add_json("c", "[3]").add_null("d").add_members("\"e\": 4");
  CHECK(line.take() == "{\"a\": 1, \"b\": 2, \"c\": [3], \"d\": null, \"e\": 4}");
}
