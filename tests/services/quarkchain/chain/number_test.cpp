#include "services/quarkchain/chain/number.hpp"
#include "services/quarkchain/chain/token_balance_map.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::test;

TEST_CASE("big number: decimal digits and bytes are the same number") {
  const std::string digits = "115792089237316195423570985008687907853269984665640564039457584007913129639936"; // 2^256

  const auto number = BigUint::from_decimal(digits);

  REQUIRE(number);
  CHECK(to_hex(number->bytes()) == "01" + std::string(64, '0'));
  CHECK(number->to_decimal() == digits);
  CHECK_FALSE(number->to_u64());
  CHECK_FALSE(Uint256::from_decimal(digits));
  CHECK(BigUint::from_decimal("000255") == BigUint(255));
  CHECK(BigUint::from_decimal("0") == BigUint());
  for (const char* wrong : {"", "-1", "1e3", " 1", "0x10", "1.0"}) CHECK_FALSE(BigUint::from_decimal(wrong));
  CHECK_FALSE(BigUint::from_decimal(std::string(100'000, '9')));
  CHECK(BigUint(std::numeric_limits<std::uint64_t>::max()).to_u64() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("big number: 255 bytes are the most it has") {
  std::string bytes(256, '\xff');

  CHECK_FALSE(BigUint::from_bytes(bytes_of(bytes)));
  bytes[0] = 0;
  const auto largest = BigUint::from_bytes(bytes_of(bytes));
  REQUIRE(largest);
  CHECK_THROWS_AS(*largest + BigUint(1), std::overflow_error);
  CHECK(*largest - *largest == BigUint());
  CHECK_THROWS_AS(BigUint(1) - BigUint(2), std::overflow_error);
}

TEST_CASE("big number: order is that of the values, not of the bytes") {
  CHECK(BigUint(0xff) < BigUint(0x100));
  CHECK(BigUint() < BigUint(1));
  CHECK(BigUint(0x80) > BigUint(0x7f));
  CHECK(Uint256(255) < Uint256(256));
}

TEST_CASE("big number: a share is rounded down") {
  CHECK(BigUint::scaled(*BigUint::from_decimal("120000000000000000001"), 1, 2).to_decimal() == "60000000000000000000");
  CHECK_THROWS_AS(BigUint::scaled(BigUint(1), 1, 0), std::domain_error);
}

TEST_CASE("fixed number: holds what fits and shows it in decimal") {
  const auto ip = Uint128::from_decimal("340282366920938463463374607431768211455");
  REQUIRE(ip);
  CHECK(to_hex(ip->bytes()) == std::string(32, 'f'));
  CHECK_FALSE(Uint128::from_decimal("340282366920938463463374607431768211456"));
  CHECK(Uint128(3232235777).to_u64() == 3232235777);
  CHECK(Uint256(7).to_big() == BigUint(7));
}

TEST_CASE("token balances: zero is the same as nothing") {
  TokenBalances balances{{BigUint(300), BigUint(1)}, {BigUint(2), BigUint(9)}, {BigUint(256), BigUint()}};

  CHECK(balances.size() == 2);
  CHECK(balances.begin()->token == BigUint(2));
  CHECK(balances.of(BigUint(256)).is_zero());
  balances.add(BigUint(2), BigUint(1));
  CHECK(balances.of(BigUint(2)) == BigUint(10));
  balances.set(BigUint(2), BigUint());
  CHECK(balances == TokenBalances{{BigUint(300), BigUint(1)}});
}

TEST_CASE("token id: names and numbers as Python has them") {
  for (const Json& vector : at(vectors("hashes.json"), "token_id").items) {
    const std::string& name = text_at(vector, "name");
    CAPTURE(name);
    const std::uint64_t id = std::stoull(at(vector, "id").text);

    CHECK(token_id(name) == id);
    CHECK(token_name(id) == name);
  }
  for (const char* wrong : {"", "qkc", "Q KC", "ZZZZZZZZZZZZZ"}) CHECK_FALSE(token_id(wrong));
  CHECK_FALSE(token_name(4873763662273663092));
}

TEST_CASE("numbers: arithmetic is the same on both sides of 128 bits") {
  // What holds for all numbers, tried where one way of computing ends and the other begins.
  std::vector<BigUint> numbers{0, 1, 2, 255, 256, BigUint(UINT64_MAX)};
  for (const int bits : {63, 64, 65, 119, 120, 121, 127, 128, 129, 250}) {
    BigUint power = 1;
    for (int i = 0; i < bits; ++i) power = power + power;
    for (const BigUint& near : {power - BigUint(1), power, power + BigUint(1)}) numbers.push_back(near);
  }

  for (const BigUint& a : numbers)
    for (const BigUint& b : numbers) {
      CAPTURE(a.to_decimal());
      CAPTURE(b.to_decimal());
      CHECK(a + b == b + a);
      CHECK((a + b) - b == a);
      CHECK(a * b == b * a);
      CHECK(a * (b + BigUint(1)) == a * b + a);
      if (a < b) CHECK_THROWS_AS(a - b, std::overflow_error);
      if (b.is_zero()) {
        CHECK_THROWS_AS(a / b, std::domain_error);
        continue;
      }
      CHECK((a * b) / b == a);
      const BigUint quotient = a / b;
      CHECK(quotient * b <= a);
      CHECK(a - quotient * b < b);
      CHECK(BigUint::scaled(a, 3, 2) == a * BigUint(3) / BigUint(2));
    }
}
