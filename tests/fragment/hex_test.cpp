#include "fragment/hex.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

namespace trunkline::test {

TEST_CASE("hex: bytes are two digits each, and digits of either case are bytes again") {
  const std::string bytes("\x00\x7f\x80\xff", 4);
  CHECK(to_hex(bytes) == "007f80ff");
  CHECK(from_hex("007f80ff") == bytes);
  CHECK(from_hex("007F80fF") == bytes);
  CHECK(from_hex("") == "");

  std::string text = "%";
  append_hex(text, 0xAB, true);
  append_hex(text, 0xAB);
  CHECK(text == "%ABab");
}

TEST_CASE("hex: what is not made of whole bytes is nothing") {
  for (const char* digits : {"0", "000", "0g", "0x00", " 00", "0 "}) CHECK_FALSE_MESSAGE(from_hex(digits), digits);
  for (const char digit : {'/', ':', '@', 'G', '`', 'g', '\0', '\xff'}) CHECK(hex_value(digit) == -1);

  std::array<std::byte, 2> into{};
  CHECK(from_hex("0102", into));
  CHECK(into == std::array{std::byte{1}, std::byte{2}});
  CHECK_FALSE(from_hex("01", into));
  CHECK_FALSE(from_hex("010203", into));
}

} // namespace trunkline::test
