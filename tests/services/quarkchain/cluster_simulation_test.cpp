// That the simulated clusters find what is wrong, and are the same each time. Many seeds: trunkline-cluster-sim.
#include "tests/services/quarkchain/cluster_simulation.hpp"

#include <doctest/doctest.h>

using namespace trunkline::quarkchain::test;

namespace {

ClusterRunReport run(std::uint64_t seed, PlantedBug bug = PlantedBug::none) {
  ClusterRunOptions options;
  options.seed = seed;
  options.seconds = 60;
  options.bug = bug;
  return simulate_cluster(options);
}

} // namespace

TEST_CASE(
    "cluster simulation: faults happen, blocks and lists come through, and nothing that was promised is missing") {
  ClusterRunReport sum;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const ClusterRunReport report = run(seed);
    CAPTURE(seed);
    for (const std::string& violation : report.violations) CHECK_MESSAGE(false, violation);
    sum.add(report);
  }
  CHECK(sum.minor_blocks > 100);
  CHECK(sum.root_blocks > 15);
  CHECK(sum.root_switches > 2);
  CHECK(sum.deposits > 20);
  CHECK(sum.transfers > 20);
  CHECK(sum.crashes >= 2);
  CHECK(sum.boots >= 2);
  CHECK(sum.redials > 5);
}

TEST_CASE("cluster simulation: the same seed is the same run") {
  CHECK(run(3).trace_hash == run(3).trace_hash);
  CHECK(run(3).trace_hash != run(4).trace_hash);
}

TEST_CASE("cluster simulation: a slave that forgets what it has acknowledged is found out, also over a restart") {
  for (const PlantedBug bug : {PlantedBug::forget, PlantedBug::unwritten}) {
    std::uint64_t found = 0;
    for (std::uint64_t seed = 1; seed <= 4; ++seed) found += run(seed, bug).violations_count > 0;
    CHECK(found >= 2);
  }
}
