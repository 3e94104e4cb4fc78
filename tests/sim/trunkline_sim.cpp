// Runs whole nodes under virtual time with faults and checkers, one world per seed, and says which seeds broke a
// promise.
#include "tests/sim/honest_run.hpp"
#include "tests/sim/simulation.hpp"

#include <CLI/CLI.hpp>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

using namespace trunkline;
using namespace trunkline::sim;

namespace {

struct Arguments {
  std::uint64_t seeds = 200;
  std::uint64_t first = 1;
  std::optional<std::uint64_t> seed;
  double minutes = 1;
  std::string plant = "none";
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  bool honest = false;
  bool verbose = false;
  bool traces = false;
};

RunOptions options_for(const Arguments& arguments, std::uint64_t seed) {
  RunOptions options;
  options.seed = seed;
  options.time = std::chrono::milliseconds(static_cast<std::int64_t>(arguments.minutes * 60'000));
  options.bug = *parse_bug(arguments.plant);
  if (arguments.verbose) options.log = [](const std::string& line) { std::printf("  %s\n", line.c_str()); };
  return options;
}

RunReport run_seed(const Arguments& arguments, std::uint64_t seed) {
  const RunOptions options = options_for(arguments, seed);
  return arguments.honest ? simulate_honest(options) : simulate(options);
}

void print_failure(const Arguments& arguments, std::uint64_t seed, const RunReport& report) {
  std::printf("seed %llu broke %llu promises, in a world of %s\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(report.violations_count), report.world.c_str());
  for (const std::string& violation : report.violations) std::printf("  %s\n", violation.c_str());
  std::printf("  replay: trunkline-sim%s --seed %llu --minutes %g%s\n", arguments.honest ? " --honest" : "",
              static_cast<unsigned long long>(seed), arguments.minutes,
              arguments.plant == "none" ? "" : (" --plant " + arguments.plant).c_str());
  std::fflush(stdout);
}

void print_summary(const RunReport& sum, std::uint64_t seeds, std::uint64_t failed, double seconds) {
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf("%llu seeds, %llu failed; %.1f virtual hours in %.1f s\n", number(seeds), number(failed),
              static_cast<double>(sum.seconds) / 3600, seconds);
  std::printf(
      "checked: %llu circuits, %llu fragments, %.1f MB, %llu acknowledged finishes, %llu refusals, "
      "%llu faults\n"
      "closest to a limit: %llu %% of a trunk's memory, %llu %% of the time for one of %llu answers\n",
      number(sum.streams), number(sum.fragments), static_cast<double>(sum.bytes) / 1e6, number(sum.acknowledgements),
      number(sum.refusals), number(sum.faults), number(sum.memory_peak), number(sum.delay_peak), number(sum.answers));
}

int run_one(const Arguments& arguments) {
  const RunReport report = run_seed(arguments, *arguments.seed);
  if (report.violations_count != 0) print_failure(arguments, *arguments.seed, report);
  std::printf("seed %llu: trace hash %016llx\n", static_cast<unsigned long long>(*arguments.seed),
              static_cast<unsigned long long>(report.trace_hash));
  print_summary(report, 1, report.violations_count != 0 ? 1 : 0, 0);
  return report.violations_count == 0 ? 0 : 1;
}

/// What a share of the seeds came to; crosses a pipe as it is.
struct Share {
  RunReport sum;
  std::uint64_t failed = 0;
};

Share run_share(const Arguments& arguments, unsigned job, std::span<std::uint64_t> traces) {
  Share share;
  for (std::uint64_t i = job; i < arguments.seeds; i += arguments.jobs) {
    const std::uint64_t seed = arguments.first + i;
    const RunReport report = run_seed(arguments, seed);
    share.sum.add(report);
    if (!traces.empty()) traces[i] = report.trace_hash;
    if (report.violations_count == 0) continue;
    ++share.failed;
    print_failure(arguments, seed, report);
  }
  return share;
}

/// Its numbers in a fixed order; the texts have been printed.
std::vector<std::uint64_t> to_numbers(const Share& share) {
  return {share.failed,       share.sum.streams, share.sum.fragments, share.sum.bytes,       share.sum.acknowledgements,
          share.sum.refusals, share.sum.answers, share.sum.faults,    share.sum.memory_peak, share.sum.delay_peak,
          share.sum.seconds};
}

Share from_numbers(const std::vector<std::uint64_t>& numbers) {
  Share share;
  share.failed = numbers[0];
  share.sum.streams = numbers[1];
  share.sum.fragments = numbers[2];
  share.sum.bytes = numbers[3];
  share.sum.acknowledgements = numbers[4];
  share.sum.refusals = numbers[5];
  share.sum.answers = numbers[6];
  share.sum.faults = numbers[7];
  share.sum.memory_peak = numbers[8];
  share.sum.delay_peak = numbers[9];
  share.sum.seconds = numbers[10];
  return share;
}

struct Job {
  pid_t process;
  int pipe;
};

Job start_job(const Arguments& arguments, unsigned job, std::span<std::uint64_t> traces) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
  std::fflush(stdout);
  const pid_t process = ::fork();
  if (process < 0) throw std::runtime_error("cannot fork");
  if (process == 0) {
    ::close(ends[0]);
    const auto numbers = to_numbers(run_share(arguments, job, traces));
    const auto bytes = static_cast<ssize_t>(numbers.size() * sizeof numbers[0]);
    const bool written = ::write(ends[1], numbers.data(), static_cast<std::size_t>(bytes)) == bytes;
    std::fflush(stdout);
    ::_exit(written ? 0 : 2);
  }
  ::close(ends[1]);
  return {process, ends[0]};
}

/// A process that dies counts as one failed seed, and says so itself.
Share end_job(const Job& job, unsigned number) {
  std::vector<std::uint64_t> numbers(to_numbers(Share()).size());
  const std::size_t bytes = numbers.size() * sizeof numbers[0];
  const bool complete = ::read(job.pipe, numbers.data(), bytes) == static_cast<ssize_t>(bytes);
  ::close(job.pipe);
  int status = 0;
  ::waitpid(job.process, &status, 0);
  if (complete && status == 0) return from_numbers(numbers);
  std::printf("job %u died (status %d): one of its seeds crashes; --jobs 1 --verbose finds it\n", number, status);
  Share share;
  share.failed = 1;
  return share;
}

/// One for each seed, in memory that all jobs write to; none unless they are to be printed.
std::span<std::uint64_t> shared_traces(const Arguments& arguments) {
  if (!arguments.traces || arguments.seeds == 0) return {};
  void* const memory = ::mmap(nullptr, arguments.seeds * sizeof(std::uint64_t), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory for the trace hashes");
  return {static_cast<std::uint64_t*>(memory), arguments.seeds};
}

void print_traces(const Arguments& arguments, std::span<const std::uint64_t> traces) {
  for (std::size_t i = 0; i < traces.size(); ++i)
    std::printf("%llu %016llx\n", static_cast<unsigned long long>(arguments.first + i),
                static_cast<unsigned long long>(traces[i]));
}

int run_many(const Arguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Job> jobs;
  Share sum;
  const std::span<std::uint64_t> traces = shared_traces(arguments);
  if (arguments.jobs == 1) sum = run_share(arguments, 0, traces);
  for (unsigned job = 0; arguments.jobs > 1 && job < arguments.jobs; ++job)
    jobs.push_back(start_job(arguments, job, traces));
  for (unsigned job = 0; job < jobs.size(); ++job) {
    const Share share = end_job(jobs[job], job);
    sum.sum.add(share.sum);
    sum.failed += share.failed;
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  if (arguments.traces) print_traces(arguments, traces);
  else print_summary(sum.sum, arguments.seeds, sum.failed, time.count());
  return sum.failed == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Runs whole nodes in simulated worlds and checks the promises of the framework.");
  app.add_option("--seeds", arguments.seeds, "how many worlds")->capture_default_str();
  app.add_option("--first", arguments.first, "the seed of the first one")->capture_default_str();
  app.add_option("--seed", arguments.seed, "runs this one only and prints its trace hash");
  app.add_flag("--traces", arguments.traces, "prints a line \"SEED TRACE-HASH\" for each seed instead of a summary")
      ->excludes("--seed");
  app.add_option("--minutes", arguments.minutes, "of virtual time with faults, per world")->capture_default_str();
  app.add_option("--jobs", arguments.jobs, "processes")->capture_default_str()->check(CLI::PositiveNumber);
  CLI::Option* const plant = app.add_option("--plant", arguments.plant, "a bug, to see that it is caught")
                                 ->capture_default_str()
                                 ->check(CLI::IsMember(bug_names()));
  app.add_flag("--honest", arguments.honest,
               "a program that keeps the rules, at every rate, with default limits: nothing may break it off")
      ->excludes(plant);
  app.add_flag("--verbose", arguments.verbose, "prints what nodes log and which faults strike");
  CLI11_PARSE(app, argc, argv);
  return arguments.seed ? run_one(arguments) : run_many(arguments);
}
