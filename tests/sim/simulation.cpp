#include "tests/sim/simulation.hpp"

#include "async/tasks.hpp"
#include "tests/sim/checkers.hpp"
#include "tests/sim/contents.hpp"
#include "tests/sim/sim_node.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace trunkline::sim {
namespace {

using namespace std::chrono_literals;

/// Everything about a world that its seed decides.
struct Scenario {
  std::vector<std::string> hosts;
  bool calm;
  bool narrow; // small limits
  bool floods; // of circuits that nobody reads
  bool reboots; // orderly ones
  std::size_t fragment_bytes_max;
  Limits limits;
  std::uint64_t drivers;
  Faults faults;
};

Scenario draw_scenario(Random& random) {
  Scenario scenario;
  const char* names[] = {"alpha", "beta", "gamma", "delta", "epsilon"};
  scenario.hosts.assign(names, names + random.between(2, 5));
  scenario.calm = random.one_in(4);
  scenario.narrow = random.one_in(2);
  scenario.floods = random.one_in(2);
  scenario.reboots = random.one_in(2) && !scenario.calm;
  scenario.drivers = random.between(1, 3);
  scenario.fragment_bytes_max = std::size_t{1} << random.between(10, scenario.narrow ? 17 : 19);

  scenario.limits.fragment_bytes_max = 1024 * 1024;
  if (scenario.narrow) {
    scenario.limits.fragment_bytes_max = 128 * 1024;
    scenario.limits.trunk_memory_bytes_max = 2 * 1024 * 1024;
    scenario.limits.circuit_window_bytes_max = 512 * 1024;
    scenario.limits.send_queue_bytes_max = 256 * 1024;
  }
  scenario.limits.keepalive_interval = std::chrono::milliseconds(random.between(2000, 15000));
  scenario.limits.stall_deadline = std::chrono::milliseconds(random.between(5000, 60000));

  if (scenario.calm) return scenario;
  const auto rate = [&](std::uint64_t most) {
    return random.one_in(3) ? std::uint32_t{0} : static_cast<std::uint32_t>(random.magnitude(most));
  };
  scenario.faults.partitions_per_minute = rate(10);
  scenario.faults.stalls_per_minute = rate(30);
  scenario.faults.resets_per_minute = rate(20);
  scenario.faults.losses_per_minute = rate(4);
  scenario.faults.crashes_per_minute = rate(8);
  scenario.faults.partition_time = std::chrono::milliseconds(random.magnitude(40'000));
  scenario.faults.crashing = scenario.hosts;
  return scenario;
}

LinkOptions draw_link(Random& random, bool calm) {
  LinkOptions link;
  link.delay = std::chrono::microseconds(random.magnitude(100'000));
  link.jitter = random.one_in(2) ? Duration::zero() : std::chrono::microseconds(random.magnitude(50'000));
  if (random.one_in(2)) link.bytes_per_second = 50'000 * random.magnitude(calm ? 2000 : 200);
  if (random.one_in(3)) link.buffer_bytes_max = 1024 << random.below(8);
  switch (random.below(10)) {
    case 0: link.delivery_bytes_max = 100; break;
    case 1:
    case 2: link.split = Split::never; break;
    default: link.delivery_bytes_max = 1024 << random.below(7); break;
  }
  // What waits in a connection is in nobody's hand: a system keeps it small on a slow link, and so that the link is
  // used.
  if (link.bytes_per_second != 0) {
    const std::size_t half_a_second = link.bytes_per_second / 2;
    link.buffer_bytes_max = std::min(link.buffer_bytes_max, half_a_second);
  }
  constexpr std::int64_t bytes_per_second_min = 50'000;
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(link.delay + link.jitter).count();
  link.buffer_bytes_max =
      std::max(link.buffer_bytes_max, static_cast<std::size_t>(microseconds * bytes_per_second_min / 1'000'000));
  return link;
}

/// What an answer may take in the slowest link of a calm world: there and back, plus two batches of what others send.
Duration answer_time_max(const std::vector<LinkOptions>& links) {
  constexpr std::uint64_t batch_bytes = 3 << 20;
  Duration slowest{};
  for (const LinkOptions& link : links) {
    const Duration turn = std::max<Duration>(link.delay + link.jitter, 1us);
    Duration batch = turn * static_cast<std::int64_t>(1 + 2 * batch_bytes / link.buffer_bytes_max);
    if (link.bytes_per_second != 0) batch += std::chrono::milliseconds(batch_bytes * 1000 / link.bytes_per_second);
    slowest = std::max(slowest, 2 * turn + 2 * batch);
  }
  return slowest + 50ms;
}

std::string to_words(const Scenario& scenario, const std::vector<LinkOptions>& links) {
  std::string text = std::to_string(scenario.hosts.size()) + " hosts, " + std::to_string(scenario.drivers) +
                     " drivers each, fragments of up to " + std::to_string(scenario.fragment_bytes_max) + " bytes" +
                     (scenario.narrow ? ", narrow limits" : "") + (scenario.floods ? ", floods" : "") +
                     (scenario.reboots ? ", reboots" : "") + (scenario.calm ? ", no faults" : "");
  if (!scenario.calm)
    text += ", faults per minute: " + std::to_string(scenario.faults.partitions_per_minute) + " partitions, " +
            std::to_string(scenario.faults.stalls_per_minute) + " stalls, " +
            std::to_string(scenario.faults.resets_per_minute) + " resets, " +
            std::to_string(scenario.faults.losses_per_minute) + " losses, " +
            std::to_string(scenario.faults.crashes_per_minute) + " crashes";
  Duration fastest = Duration::max();
  Duration slowest{};
  for (const LinkOptions& link : links) {
    fastest = std::min(fastest, link.delay);
    slowest = std::max(slowest, link.delay + link.jitter);
  }
  const auto microseconds = [](Duration time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
  };
  text += ", links of " + microseconds(fastest) + " to " + microseconds(slowest) + " us";
  return text;
}

class Run {
 public:
  explicit Run(const RunOptions& options)
      : options_(options), random_(Random::derived(options.seed, "scenario")), scenario_(draw_scenario(random_)) {}

  RunReport run() {
    set_links();
    start_nodes();
    run_with_faults();
    run_to_calm();
    end_nodes();
    return report();
  }

 private:
  void set_links() {
    for (std::size_t i = 0; i < scenario_.hosts.size(); ++i)
      for (std::size_t j = i; j < scenario_.hosts.size(); ++j) {
        links_.push_back(draw_link(random_, scenario_.calm));
        world_.set_link(scenario_.hosts[i], scenario_.hosts[j], links_.back());
      }
    stage_.hosts = scenario_.hosts;
    stage_.fragment_bytes_max = scenario_.fragment_bytes_max;
    stage_.calm = scenario_.calm;
    stage_.floods = scenario_.floods;
    const std::size_t memory =
        std::max(scenario_.limits.trunk_memory_bytes_max, 4 * scenario_.limits.fragment_bytes_max);
    checkers_.memory.set_limit(options_.bug == Bug::hoard ? memory / 8 : memory);
    // Many readers that stand still can use up what the trunk may hold; then the others wait until those are given up.
    const Duration until_given_up = scenario_.floods ? 2 * scenario_.limits.stall_deadline : Duration::zero();
    checkers_.delays.set_limit(answer_time_max(links_) + until_given_up);
    if (options_.log) options_.log(to_words(scenario_, links_));
    world_.on_trace([this](const std::string& line) {
      if (line.find(" deliver ") != std::string::npos || line.find(" close ") != std::string::npos) return;
      if (line.find(" connect ") == std::string::npos) ++faults_;
      if (options_.log) options_.log(line);
    });
  }

  void start_nodes() {
    SimNodeOptions options;
    options.limits = scenario_.limits;
    options.bug = options_.bug;
    options.drivers = scenario_.drivers;
    options.log = options_.log;
    for (const std::string& host : scenario_.hosts) nodes_.push_back(std::make_shared<SimNode>(stage_, host, options));
    if (!scenario_.reboots) return;
    for (const auto& node : nodes_) rebooting_.spawn(SimNode::keep_rebooting(node, Random(random_())));
  }

  void run_with_faults() {
    if (!scenario_.calm) world_.inject(scenario_.faults);
    const TimePoint end = world_.now() + options_.time;
    while (world_.now() < end && checkers_.violations.count() == 0)
      if (!checkers_.step(world_)) break;
  }

  /// No more faults, and every driver does its last thing.
  void run_to_calm() {
    stage_.stopping = true;
    world_.calm();
    const TimePoint limit = world_.now() + 15min;
    while ((drivers_running() != 0 || rebooting_.running() != 0) && checkers_.violations.count() == 0) {
      if (!checkers_.step(world_))
        return checkers_.violations.report("nothing can happen any more, " + world_.describe());
      if (world_.now() <= limit) continue;
      checkers_.endings.report_running("fifteen minutes after the last fault");
      for (const auto& [stream, circuit] : stage_.circuits)
        if (!circuit.expired()) checkers_.violations.report(stage_.describe(stream));
      return;
    }
  }

  void end_nodes() {
    if (checkers_.violations.count() != 0) return; // the world may be too broken to end
    Tasks shutting(world_.executor(), checkers_.note_failure("ending a node failed"));
    for (const auto& node : nodes_) shutting.spawn(SimNode::shut(node, Random(random_())));
    checkers_.run_to_the_end(world_);
  }

  std::size_t drivers_running() const {
    std::size_t running = 0;
    for (const auto& node : nodes_) running += node->drivers_running();
    return running;
  }

  RunReport report() const {
    RunReport report = checkers_.report(world_);
    report.world = to_words(scenario_, links_);
    report.faults = faults_;
    return report;
  }

  RunOptions options_;
  Random random_;
  Scenario scenario_;
  std::vector<LinkOptions> links_;
  std::uint64_t faults_ = 0;
  Checkers checkers_{[this] { return world_.now(); }};
  World world_{options_.seed};
  Stage stage_{world_, checkers_.violations, checkers_.streams, checkers_.memory, checkers_.delays, checkers_.endings};
  std::vector<std::shared_ptr<SimNode>> nodes_;
  Tasks rebooting_{world_.executor(), checkers_.note_failure("ending a node failed")};
};

} // namespace

void RunReport::add(const RunReport& other) {
  violations_count += other.violations_count;
  streams += other.streams;
  fragments += other.fragments;
  bytes += other.bytes;
  acknowledgements += other.acknowledgements;
  refusals += other.refusals;
  answers += other.answers;
  faults += other.faults;
  memory_peak = std::max(memory_peak, other.memory_peak);
  delay_peak = std::max(delay_peak, other.delay_peak);
  seconds += other.seconds;
}

RunReport simulate(const RunOptions& options) {
  const auto run = std::make_unique<Run>(options);
  return run->run();
}

} // namespace trunkline::sim
