#include "tests/sim/honest_run.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "tests/sim/checkers.hpp"
#include "tests/sim/contents.hpp"
#include "tests/sim/honest_node.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace trunkline::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration answer_time_max = 30s; // on a fast link

/// Everything about a world that its seed decides.
struct Scenario {
  std::vector<std::string> hosts;
  bool strikes = false; // connections break, hosts are cut off from each other
  bool reboots = false; // orderly ones
  bool ends_links = false; // the program does
  std::string old_host; // of the time before the optional features, if any
  std::string small_host; // with limits of its own, if any
  Limits limits;
  std::size_t fragment_bytes_max = 0;
  Duration pause_max{};
};

/// Any that are legal and leave room for what the program says at once: half of them as usual, the others smaller by up
/// to every order of magnitude.
Limits draw_limits(Random& random) {
  Limits limits;
  const auto draw = [&random](auto& limit, std::uint64_t least) {
    using Limit = std::remove_reference_t<decltype(limit)>;
    if (random.one_in(2)) limit = static_cast<Limit>(std::max(least, random.magnitude(limit)));
  };
  draw(limits.fragment_bytes_max, 64 * 1024);
  draw(limits.trunk_memory_bytes_max, 2 * trunk_window_bytes_initial);
  draw(limits.circuit_window_bytes_max, circuit_window_bytes_initial);
  draw(limits.errors_unread_bytes_max, 1024);
  draw(limits.send_queue_bytes_max, frame_bytes_max);
  draw(limits.circuits_max, 50);
  draw(limits.open_backlog_max, 20);
  draw(limits.cancelled_opens_per_second_max, 20);
  draw(limits.control_frames_per_second_max, 50);
  draw(limits.metadata_bytes_max, 128);
  draw(limits.remote_peers_max, 1);
  draw(limits.remote_metadata_bytes_max, 1024);
  draw(limits.circuit_strings_bytes_max, 2048);
  draw(limits.name_bytes_max, 64);
  draw(limits.user_string_bytes_max, 0);
  draw(limits.reason_bytes_max, 128);
  if (random.one_in(2)) limits.stall_deadline = std::chrono::seconds(random.between(10, 60));
  return limits;
}

Scenario draw_scenario(Random& random) {
  Scenario scenario;
  const char* names[] = {"alpha", "beta", "gamma", "delta"};
  scenario.hosts.assign(names, names + random.between(2, 4));
  scenario.strikes = random.one_in(3);
  scenario.reboots = random.one_in(4);
  scenario.fragment_bytes_max = std::size_t{1} << random.between(10, 19);
  scenario.pause_max = std::chrono::seconds(random.magnitude(300));
  scenario.ends_links = random.one_in(5);
  if (random.one_in(4)) scenario.old_host = scenario.hosts[random.below(scenario.hosts.size())];
  if (random.one_in(3)) {
    scenario.small_host = scenario.hosts[random.below(scenario.hosts.size())];
    scenario.limits = draw_limits(random);
  }
  return scenario;
}

/// A room, a country, or a telephone.
LinkOptions draw_link(Random& random) {
  LinkOptions link;
  switch (random.below(4)) {
    case 0:
    case 1: link.delay = std::chrono::microseconds(random.magnitude(5000)); break;
    case 2:
      link.delay = std::chrono::microseconds(random.between(5000, 100'000));
      link.jitter = link.delay / 4;
      link.bytes_per_second = 250'000 * random.magnitude(40);
      break;
    default:
      link.delay = std::chrono::microseconds(random.between(5000, 60'000));
      link.bytes_per_second = 50'000 * random.magnitude(10);
      break;
  }
  if (random.one_in(4)) link.split = Split::never;
  // What waits in a connection is in nobody's hand: a system keeps it small on a slow link.
  if (link.bytes_per_second != 0)
    link.buffer_bytes_max = std::clamp<std::size_t>(link.bytes_per_second / 2, 16 * 1024, link.buffer_bytes_max);
  return link;
}

/// What crosses such a link in a second, at least.
std::uint64_t rate_of(const LinkOptions& link) {
  const auto turn = std::chrono::duration_cast<std::chrono::microseconds>(link.delay + link.jitter).count() + 1;
  const std::uint64_t rate = link.buffer_bytes_max * 1'000'000 / static_cast<std::uint64_t>(turn);
  return link.bytes_per_second == 0 ? rate : std::min(rate, link.bytes_per_second);
}

std::string to_words(const Scenario& scenario) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(scenario.pause_max).count();
  return std::to_string(scenario.hosts.size()) + " hosts, fragments of up to " +
         std::to_string(scenario.fragment_bytes_max) + " bytes, pauses of up to " + std::to_string(seconds) + " s" +
         (scenario.strikes ? ", faults" : "") + (scenario.reboots ? ", reboots" : "") +
         (scenario.ends_links ? ", ended connections" : "") +
         (scenario.old_host.empty() ? "" : ", " + scenario.old_host + " old") +
         (scenario.small_host.empty() ? "" : ", " + scenario.small_host + " with small limits");
}

class Run {
 public:
  explicit Run(const RunOptions& options)
      : options_(options), random_(Random::derived(options.seed, "honest")), scenario_(draw_scenario(random_)) {}

  RunReport run() {
    set_stage();
    start_nodes();
    run_for(options_.time);
    run_to_calm();
    end_nodes();
    return report();
  }

 private:
  void set_stage() {
    for (std::size_t i = 0; i < scenario_.hosts.size(); ++i)
      for (std::size_t j = i + 1; j < scenario_.hosts.size(); ++j) {
        const LinkOptions link = draw_link(random_);
        world_.set_link(scenario_.hosts[i], scenario_.hosts[j], link);
        stage_.rates[std::minmax(scenario_.hosts[i], scenario_.hosts[j])] = rate_of(link);
      }
    stage_.hosts = scenario_.hosts;
    stage_.calm = !scenario_.strikes && !scenario_.reboots;
    stage_.fragment_bytes_max = scenario_.fragment_bytes_max;
    stage_.ends_links = scenario_.ends_links;
    if (!scenario_.old_host.empty()) stage_.old_hosts.insert(scenario_.old_host);
    if (!scenario_.small_host.empty()) ledger_.limit(scenario_.small_host, scenario_.limits);
    stage_.pause_max = scenario_.pause_max;
    stage_.opens_left = 4000;
    checkers_.memory.set_limit(Limits().trunk_memory_bytes_max);
    checkers_.delays.set_limit(answer_time_max);
  }

  void start_nodes() {
    std::function<void(const std::string&)> log = options_.log;
    for (const std::string& host : scenario_.hosts) {
      nodes_.push_back(std::make_shared<HonestNode>(stage_, host, log));
      going_on_.spawn(HonestNode::keep_acting(nodes_.back(), Random(random_())));
    }
    if (scenario_.reboots) going_on_.spawn(HonestNode::keep_rebooting(nodes_.front(), Random(random_())));
    if (scenario_.strikes) going_on_.spawn(keep_striking(*this, Random(random_())));
  }

  /// Faults whose hosts the ledger knows.
  static awaitable<void> keep_striking(Run& self, Random random) {
    const auto& hosts = self.scenario_.hosts;
    while (!self.stage_.stopping) {
      co_await sleep_for(std::chrono::milliseconds(random.magnitude(30'000)));
      if (self.stage_.stopping) co_return;
      const std::size_t first = random.below(hosts.size());
      const std::string& one = hosts[first];
      const std::string& other = hosts[(first + 1 + random.below(hosts.size() - 1)) % hosts.size()];
      ++self.faults_;
      switch (random.below(4)) {
        case 0:
          self.ledger_.strike(one, other);
          self.world_.reset(one, other);
          break;
        case 1:
          self.ledger_.strike(one, other);
          self.world_.lose_one_way(one, other);
          break;
        case 2: {
          const Duration time = std::chrono::milliseconds(random.magnitude(5000));
          self.ledger_.strike(one, other, time);
          self.world_.stall(one, other, time);
          break;
        }
        default: {
          const Duration time = std::chrono::milliseconds(random.magnitude(60'000));
          self.ledger_.strike(one, other, time);
          self.world_.partition(one, other);
          co_await sleep_for(time);
          self.world_.heal(one, other);
          break;
        }
      }
    }
  }

  void run_for(Duration time) {
    const TimePoint until = world_.now() + time;
    while (world_.now() < until && checkers_.violations.count() == 0)
      if (!checkers_.step(world_)) break;
  }

  /// Nothing new begins, and everything comes to its end by itself, however long a reader pauses.
  void run_to_calm() {
    stage_.stopping = true;
    const TimePoint limit = world_.now() + 3h;
    while (!has_ended() && checkers_.violations.count() == 0) {
      if (!checkers_.step(world_))
        return checkers_.violations.report("nothing can happen any more, " + world_.describe());
      if (world_.now() <= limit) continue;
      checkers_.endings.report_running("three hours after the last act began");
      for (const auto& [stream, circuit] : stage_.circuits)
        if (!circuit.expired()) checkers_.violations.report(stage_.describe(stream));
      return;
    }
    if (checkers_.violations.count() != 0) return;
    ledger_.check_arrivals();
    for (const auto& node : nodes_) node->check_failures();
  }

  bool has_ended() {
    if (going_on_.running() != 0) return false;
    for (const auto& node : nodes_)
      if (node->acts_running() != 0) return false;
    return !checkers_.endings.is_running("the se"); // "the service of circuit ...", "the second task of circuit ..."
  }

  void end_nodes() {
    if (checkers_.violations.count() != 0) return; // the world may be too broken to end
    Tasks shutting(world_.executor(), checkers_.note_failure("the run itself failed"));
    for (const auto& node : nodes_) shutting.spawn(HonestNode::shut(node, Random(random_())));
    checkers_.run_to_the_end(world_);
  }

  RunReport report() const {
    RunReport report = checkers_.report(world_);
    report.world = to_words(scenario_);
    report.faults = faults_;
    return report;
  }

  RunOptions options_;
  Random random_;
  Scenario scenario_;
  std::uint64_t faults_ = 0;
  Checkers checkers_{[this] { return world_.now(); }};
  Ledger ledger_{world_, checkers_.violations, checkers_.streams};
  HonestStage stage_{
      world_, checkers_.violations, checkers_.streams, checkers_.memory, checkers_.delays, checkers_.endings, ledger_};
  World world_{options_.seed};
  std::vector<std::shared_ptr<HonestNode>> nodes_;
  Tasks going_on_{world_.executor(), checkers_.note_failure("the run itself failed")};
};

} // namespace

RunReport simulate_honest(const RunOptions& options) {
  const auto run = std::make_unique<Run>(options);
  return run->run();
}

} // namespace trunkline::sim
