#include "async/log_rate.hpp"

#include <doctest/doctest.h>

using namespace trunkline;
using namespace std::chrono_literals;

TEST_CASE("log rate: a window lets so many lines through, and the next one says how many it left out") {
  LogRate rate(2, 10s);
  const TimePoint now{1h};

  CHECK(rate.pass("a", now) == "a");
  CHECK(rate.pass("b", now + 1s) == "b");
  for (int i = 0; i < 3; ++i) CHECK_FALSE(rate.pass("c", now + 9s));
  CHECK(rate.pass("d", now + 10s) == "d (after 3 more like it)");
  CHECK(rate.pass("e", now + 11s) == "e");
}

TEST_CASE("log rate: a window begins with its first line, not with the end of the last window") {
  LogRate rate(1, 10s);
  const TimePoint now{1h};

  CHECK(rate.pass("a", now));
  CHECK(rate.pass("b", now + 25s));
  CHECK_FALSE(rate.pass("c", now + 34s));
  CHECK(rate.pass("d", now + 35s));
}
