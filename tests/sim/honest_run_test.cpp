// The honest program as a test. First that it is never broken off and that a seed is one run; then that its checkers
// would notice: a rule that broke honest trunks before is planted in the library, and has to be caught.
#include "tests/sim/honest_run.hpp"

#include "tests/support/planted_bug.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace trunkline::sim {
namespace {

using namespace std::chrono_literals;

RunReport run(std::uint64_t seed, Duration time) {
  RunOptions options;
  options.seed = seed;
  options.time = time;
  return simulate_honest(options);
}

std::string first_of(const RunReport& report) {
  return report.violations.empty() ? "no violation" : report.violations.front() + "; " + report.world;
}

} // namespace

TEST_CASE("honest program: nothing of it is broken off, and a seed is the same run each time") {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    const RunReport one = run(seed, 10s);
    CHECK_MESSAGE(one.violations_count == 0, "seed ", seed, ": ", first_of(one));
    if (seed <= 5) CHECK_MESSAGE(run(seed, 10s).trace_hash == one.trace_hash, "seed ", seed);
  }
}

#ifdef TRUNKLINE_PLANTED_BUGS

namespace {

/// The first seed at which a checker says so, with a bug in the library; 0 when none of 200 does.
std::uint64_t caught(const char* bug, const std::string& complaint) {
  const test::PlantedBug planted(bug);
  for (std::uint64_t seed = 1; seed <= 200; ++seed)
    for (const std::string& violation : run(seed, 20s).violations)
      if (violation.find(complaint) != std::string::npos) return seed;
  return 0;
}

} // namespace

TEST_CASE("honest program: a trunk that breaks at 200 cancelled opens a second is caught") {
  CHECK(caught("cancelled opens", "ended, and nobody wanted it") != 0);
}

// In whatever words: an answer that is late, or a circuit that is read and called stalled.
TEST_CASE("honest program: a trunk that keeps no credit for circuits that read is caught") {
  CHECK(caught("reserve", "") != 0);
}

#endif

} // namespace trunkline::sim
