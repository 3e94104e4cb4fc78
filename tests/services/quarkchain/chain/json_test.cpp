#include "services/quarkchain/chain/json.hpp"

#include "fragment/json_text.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace trunkline;
using namespace trunkline::quarkchain;

TEST_CASE("json: a number stays as it is written") {
  const Json json = Json::parse(R"( [120000000000000000000, 0.5, -1e3, 18446744073709551616, 0] )");

  REQUIRE(json.items.size() == 5);
  CHECK(json.items[0].text == "120000000000000000000");
  CHECK(json.items[1].text == "0.5");
  CHECK(json.items[2].text == "-1e3");
  CHECK(json.items[3].text == "18446744073709551616");
  CHECK(json.items[4].text == "0");
  const std::string long_number(5000, '7');
  CHECK(Json::parse(long_number).text == long_number);
}

TEST_CASE("json: members keep their order, and the last of a name counts") {
  const Json json = Json::parse(R"({"b": 1, "a": {"c": [true, null, "\u00e9\n"]}, "b": 2})");

  REQUIRE(json.members.size() == 3);
  CHECK(json.members[0].name == "b");
  CHECK(json.find("b")->text == "2");
  CHECK(json.find("a")->find("c")->items[2].text == "\xc3\xa9\n");
  CHECK(json.find("a")->find("c")->items[0].boolean);
  CHECK_FALSE(json.find("c"));
}

TEST_CASE("json: what is wrong says where") {
  CHECK_THROWS_AS(Json::parse(""), JsonError);
  CHECK_THROWS_AS(Json::parse("{\"a\": }"), JsonError);
  CHECK_THROWS_AS(Json::parse("[1] 2"), JsonError);
  CHECK_THROWS_AS(Json::parse("\"\xff\""), JsonError);
  CHECK_THROWS_AS(Json::parse(std::string(100, '[') + std::string(100, ']')), JsonError);
  CHECK_NOTHROW(Json::parse(std::string(60, '[') + std::string(60, ']')));
  try {
    Json::parse("[1, 2, x]");
    FAIL("accepted");
  } catch (const JsonError& error) {
    CHECK(std::string(error.what()).starts_with("JSON at byte 7: "));
  }
}

TEST_CASE("json: a text is quoted so that it is read back") {
  std::string out;
  append_json_text(out, "a\"b\\c\n\x01 d");
  CHECK(out == R"("a\"b\\c\u000a\u0001 d")");
  CHECK(Json::parse(out).text == "a\"b\\c\n\x01 d");
}
