// The honest program as a test. First that it is never broken off and that a seed is one run; then that its checkers
// would notice: a rule that broke honest trunks before is planted in the library, and has to be caught.
#include "tests/sim/honest_run.hpp"

#include "tests/support/planted_bug.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

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

bool says(const RunReport& report, const std::vector<std::string>& complaints) {
  for (const std::string& violation : report.violations)
    for (const std::string& complaint : complaints)
      if (violation.find(complaint) != std::string::npos) return true;
  return false;
}

/// The first seed at which a checker has one of the complaints with a bug in the library, and none at all without it;
/// 0 when there is none among 200.
std::uint64_t caught(const char* bug, const std::vector<std::string>& complaints) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    RunReport with_bug;
    {
      const test::PlantedBug planted(bug);
      with_bug = run(seed, 20s);
    }
    if (says(with_bug, complaints) && run(seed, 20s).violations_count == 0) return seed;
  }
  return 0;
}

} // namespace

TEST_CASE("honest program: a trunk that breaks at 200 cancelled opens a second is caught") {
  CHECK(caught("cancelled opens", {"ended, and nobody wanted it"}) != 0);
}

TEST_CASE("honest program: a trunk that keeps no credit for circuits that read is caught") {
  CHECK(caught("reserve", {"stalled", "got its answer after"}) != 0);
}

#endif

} // namespace trunkline::sim
