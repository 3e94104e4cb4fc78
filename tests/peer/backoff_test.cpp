// How long to wait after failures: arithmetic alone.
#include "peer/backoff.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <set>
#include <stdexcept>

using namespace trunkline;
using namespace std::chrono_literals;

namespace {

std::uint64_t lowest() { return 0; }
std::uint64_t highest() { return std::numeric_limits<std::uint64_t>::max(); }

} // namespace

TEST_CASE("backoff: it grows by its multiplier up to its maximum, and stays there") {
  Backoff backoff;
  backoff.multiplier = 3;

  CHECK(backoff.after(1, lowest) == 100ms);
  CHECK(backoff.after(2, lowest) == 300ms);
  CHECK(backoff.after(3, lowest) == 900ms);
  CHECK(backoff.after(5, lowest) == 8100ms);
  CHECK(backoff.after(6, lowest) == 10s);
  CHECK(backoff.after(std::numeric_limits<std::uint32_t>::max(), lowest) == 10s);
  backoff.multiplier = 1;
  CHECK(backoff.after(std::numeric_limits<std::uint32_t>::max(), lowest) == 100ms);
}

TEST_CASE("backoff: its random share makes it longer, by less than jitter_percent") {
  Backoff backoff;
  backoff.jitter_percent = 50;

  CHECK(backoff.after(1, highest) > 149ms);
  CHECK(backoff.after(1, highest) < 150ms);
  CHECK(backoff.after(30, highest) < 15s);
  std::set<Duration> different;
  for (std::uint64_t i = 0; i < 256; ++i) different.insert(backoff.after(4, [i] { return i; }));
  CHECK(different.size() == 256);
  backoff.jitter_percent = 0;
  CHECK(backoff.after(1, highest) == 100ms);
}

TEST_CASE("backoff: without a maximum it grows until it is never, and no sum overflows") {
  Backoff backoff;
  backoff.maximum = std::chrono::milliseconds::max();
  backoff.jitter_percent = 100;
  backoff.check("redial");

  CHECK(backoff.after(20, lowest) == 100ms * (1 << 19));
  const Duration longest = backoff.after(std::numeric_limits<std::uint32_t>::max(), highest);
  CHECK(longest > std::chrono::hours(24 * 365));
  CHECK(std::chrono::steady_clock::now() + longest > std::chrono::steady_clock::now());
}

TEST_CASE("backoff: fields that cannot be are refused by name") {
  const auto refusal = [](auto change) {
    Backoff backoff;
    change(backoff);
    std::string text = "(good)";
    try {
      backoff.check("redial");
    } catch (const std::invalid_argument& thrown) {
      text = thrown.what();
    }
    return text;
  };

  CHECK(refusal([](Backoff&) {}) == "(good)");
  CHECK(refusal([](Backoff& b) { b.initial = 0ms; }) == "(good)");
  CHECK(refusal([](Backoff& b) { b.initial = -1ms; }) == "redial.initial is -1, expected 0 milliseconds to 365 days");
  CHECK(refusal([](Backoff& b) { b.maximum = 99ms; }) ==
        "redial.maximum is 99, expected at least initial, at most 365 days, or the longest for none");
  CHECK(refusal([](Backoff& b) { b.multiplier = 0.5; }) == "redial.multiplier is 0.5, expected 1 to 1000");
  CHECK(refusal([](Backoff& b) { b.jitter_percent = 101; }) == "redial.jitter_percent is 101, expected at most 100");
}
