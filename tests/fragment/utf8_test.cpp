#include "fragment/utf8.hpp"

#include <doctest/doctest.h>

namespace trunkline::test {

TEST_CASE("utf8: a character is as long as its first byte says") {
  CHECK(utf8_bytes("a\xff") == 1);
  CHECK(utf8_bytes("\xc3\xa4\xff") == 2);
  CHECK(utf8_bytes("\xe6\xbc\xa2\xff") == 3);
  CHECK(utf8_bytes("\xf0\x9f\x98\x80\xff") == 4);
  CHECK(is_utf8("a\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80"));
  CHECK(is_utf8(""));
}

TEST_CASE("utf8: what is cut, overlong, a surrogate or too large is no character") {
  for (const char* text : {"", "\x80", "\xc3", "\xc3z", "\xc0\x80", "\xe6\xbc", "\xe0\x80\x80", "\xed\xa0\x80",
                           "\xf0\x9f\x98", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xff"}) {
    CHECK_MESSAGE(utf8_bytes(text) == 0, text);
    if (*text) CHECK_FALSE_MESSAGE(is_utf8(text), text);
  }
  CHECK_FALSE(is_utf8("a\xff"));
}

TEST_CASE("utf8: a prefix ends between two characters") {
  CHECK(utf8_prefix("abc", 3) == "abc");
  CHECK(utf8_prefix("ab\xc3\xa4", 3) == "ab");
  CHECK(utf8_prefix("ab\xc3\xa4", 4) == "ab\xc3\xa4");
  CHECK(utf8_prefix("\xe6\xbc\xa2", 2) == "");
}

} // namespace trunkline::test
