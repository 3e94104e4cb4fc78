#include "fragment/json_text.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace trunkline;

TEST_CASE("json: a text keeps its characters, and what is not UTF-8 becomes U+FFFD") {
  std::string out;
  append_json_text(out, "\xc3\xa4\xff\x7f\"");
  CHECK(out == "\"\xc3\xa4\\ufffd\\u007f\\\"\"");
}
