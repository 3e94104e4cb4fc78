// Runs clusters of one master and four slaves in simulated worlds, one for each seed, and says which seeds broke a
// promise.
#include "tests/services/quarkchain/cluster_simulation.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>

using namespace trunkline::quarkchain::test;

namespace {

unsigned long long number(std::uint64_t value) { return value; }

} // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 20;
  std::uint64_t first = 1;
  std::optional<std::uint64_t> one;
  ClusterRunOptions options;
  std::string plant = "none";
  bool verbose = false;
  bool traces = false;
  CLI::App app("Runs clusters of one master and four slaves in simulated worlds and checks their promises.");
  app.add_option("--seeds", seeds, "how many worlds")->capture_default_str();
  app.add_option("--first", first, "the seed of the first one")->capture_default_str();
  app.add_option("--seed", one, "runs this one only and prints its trace hash");
  app.add_flag("--traces", traces, "prints a line \"SEED TRACE-HASH\" for each seed instead of a summary")
      ->excludes("--seed");
  app.add_option("--seconds", options.seconds, "of virtual time with faults, per world")->capture_default_str();
  app.add_option("--plant", plant, "a bug, to see that it is caught")
      ->capture_default_str()
      ->check(CLI::IsMember(planted_bug_names()));
  app.add_flag("--verbose", verbose, "prints what happens");
  CLI11_PARSE(app, argc, argv);
  options.bug = *parse_planted_bug(plant);
  if (verbose) options.log = [](const std::string& line) { std::printf("  %s\n", line.c_str()); };
  if (one) {
    first = *one;
    seeds = 1;
  }

  const auto begin = std::chrono::steady_clock::now();
  ClusterRunReport sum;
  std::uint64_t failed = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    options.seed = seed;
    const ClusterRunReport report = simulate_cluster(options);
    sum.add(report);
    if (one) std::printf("seed %llu: trace hash %016llx\n", number(seed), number(report.trace_hash));
    if (traces) std::printf("%llu %016llx\n", number(seed), number(report.trace_hash));
    if (report.violations_count == 0) continue;
    ++failed;
    std::printf("seed %llu broke %llu promises\n", number(seed), number(report.violations_count));
    for (const std::string& violation : report.violations) std::printf("  %s\n", violation.c_str());
    std::printf("  replay: trunkline-cluster-sim --seed %llu --seconds %llu --plant %s\n", number(seed),
                number(options.seconds), plant.c_str());
    std::fflush(stdout);
  }
  if (traces) return failed == 0 ? 0 : 1;
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  std::printf("%llu seeds, %llu failed; %.1f virtual hours with faults in %.1f s\n", number(seeds), number(failed),
              static_cast<double>(options.seconds * seeds) / 3600, time.count());
  std::printf(
      "%llu minor blocks acknowledged (%llu failed), %llu root blocks (%llu failed), %llu switches, "
      "%llu lists acknowledged with %llu deposits, %llu checked, %llu transfers credited\n"
      "%llu faults, %llu crashes, %llu slaves booted again, %llu links dialled again\n",
      number(sum.minor_blocks), number(sum.minor_blocks_failed), number(sum.root_blocks),
      number(sum.root_blocks_failed), number(sum.root_switches), number(sum.lists), number(sum.deposits),
      number(sum.lists_checked), number(sum.transfers), number(sum.faults), number(sum.crashes), number(sum.boots),
      number(sum.redials));
  return failed == 0 ? 0 : 1;
}
