// Test cases that end badly on purpose. tests/support/runner_test.py runs them one at a time and looks at how each is
// reported.

#include "tests/support/seed.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdlib>

TEST_SUITE_BEGIN("canaries" * doctest::skip());

TEST_CASE("canary: passes") { CHECK(true); }
TEST_CASE("canary: fails") { CHECK(trunkline::test::test_seed() == 0); }
TEST_CASE("canary: aborts") { std::abort(); }
TEST_CASE("canary: hangs") {
  for (;;) ::pause();
}
TEST_CASE("canary: exits early") { std::_Exit(0); }

TEST_SUITE_END();
