#include "cli/nearest.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string_view>

using trunkline::cli::did_you_mean;

namespace {

constexpr std::array<std::string_view, 6> names = {
    "PING", "PONG", "GET_WORK", "GET_MINOR_BLOCK", "ADD_MINOR_BLOCK", "SUBMIT_WORK"};

std::string near(std::string_view wanted) { return did_you_mean(wanted, names); }

} // namespace

TEST_CASE("nearest: a slip of the finger is forgiven, in either case of letters") {
  CHECK(near("pign") == "; did you mean PING?");     // swapped
  CHECK(near("PINGG") == "; did you mean PING?");    // one more
  CHECK(near("GET_WOK") == "; did you mean GET_WORK?");
  CHECK(near("GET_MINOR_BOLCKS") == "; did you mean GET_MINOR_BLOCK?");
}

TEST_CASE("nearest: what is a part of names is one of them, its beginning first, and nothing else is") {
  CHECK(near("GET_M") == "; did you mean GET_MINOR_BLOCK?");
  CHECK(near("minor") == "; did you mean ADD_MINOR_BLOCK or GET_MINOR_BLOCK?");
  CHECK(near("_work") == "; did you mean GET_WORK or SUBMIT_WORK?");
}

TEST_CASE("nearest: what is near nothing is told nothing, however long it is") {
  CHECK(near("").empty());
  CHECK(near("xyzzy").empty());
  CHECK(near("42").empty());
  CHECK(near(std::string(100'000, 'z')).empty());
}
