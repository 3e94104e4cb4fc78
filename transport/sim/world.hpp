// A simulated world in which users run their own services: virtual time, hosts, links that delay, cut, stall and
// break. The same nodes, trunks and circuits as in production; only transport and clock are replaced.
//
//   sim::World world(7);
//   NodeOptions options;
//   options.media["sim"] = world.medium("alpha");
//   options.random = world.random("alpha");
//   Node alpha(world.executor(), options);              // listens on "sim://alpha", dials "sim://beta"
//   world.run(body(alpha, beta));
//
// Same seed, same run: `trace_hash` compares two of them. More: docs/simulator.md.
#pragma once

#include "async/types.hpp"
#include "transport/sim/fabric.hpp"
#include "transport/sim/faults.hpp"
#include "transport/sim/link.hpp"
#include "transport/medium.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace trunkline::sim {

class FaultSource;

/// Why a run returned.
enum class Outcome : std::uint8_t {
  reached,      // the condition holds, or the time has come
  time_is_up,   // the condition did not come true in the given time
  nothing_left, // nothing can happen any more: no alarm is set, nothing is on its way
};

/// Thrown when something is waited for and nothing can happen any more, or too much happens without time passing;
/// the text says what is left in the world.
class Stuck : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Owns the context on which everything in it runs. Its nodes must be destroyed before it. One thread.
class World {
 public:
  explicit World(std::uint64_t seed, LinkOptions links = LinkOptions());
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  /// Destroys the coroutines that still run.
  ~World();

  // The parts of a node in this world.
  /// The medium as one host sees it, scheme "sim": listens on "sim://NAME" or "sim://NAME:ANYTHING", dials every host.
  std::shared_ptr<Medium> medium(const std::string& host);
  /// A source for this name, different at each call (a node that restarts draws other ids), the same in each run.
  std::function<std::uint64_t()> random(const std::string& name);
  asio::io_context& io() noexcept { return *io_; }
  Executor executor() { return io_->get_executor(); }
  std::uint64_t seed() const noexcept { return fabric_->seed; }
  TimePoint now() const noexcept { return fabric_->schedule->now(); }
  Duration elapsed() const noexcept { return now() - Schedule::start; }

  // Links. Those without a description have the options of the constructor.
  void set_link(const std::string& one, const std::string& other, const LinkOptions& options);
  void set_link_one_way(const std::string& from, const std::string& to, const LinkOptions& options);

  // Faults, now.
  /// Nothing passes between two hosts until `heal`; bytes in flight arrive afterwards, late.
  void partition(const std::string& one, const std::string& other);
  void heal(const std::string& one, const std::string& other);
  /// Nothing arrives in one direction for `time`.
  void stall(const std::string& from, const std::string& to, Duration time);
  /// Breaks the connections between two hosts; both ends fail with connection_reset. Returns how many.
  std::size_t reset(const std::string& one, const std::string& other);
  /// Half-open connections: nothing that `from` sends on the present ones arrives any more, and no end is told.
  std::size_t lose_one_way(const std::string& from, const std::string& to);
  /// Takes a host down: its listeners and connections are gone, and `on_crash` is called. The world does not know the
  /// host's node: on_crash must destroy it.
  void crash(const std::string& host, Crash how);
  /// Brings a host back and calls `on_restart`, which makes a new node.
  void restart(const std::string& host);
  bool is_up(const std::string& host);
  /// Called inside crash and restart, on the world's executor. When called outside of a run, crash, restart and calm
  /// also run the handlers that are ready.
  void on_crash(const std::string& host, std::function<void()> callback);
  void on_restart(const std::string& host, std::function<void()> callback);

  // Random faults.
  /// Starts faults at these rates, drawn from the seed, until `calm`; replaces those of an earlier call.
  void inject(const Faults& faults);
  /// No more faults: heals what is partitioned or stalled, restarts what is down. Lost directions stay lost.
  void calm();

  // Time.
  // Random faults do not count as something that can happen; their ends do.
  /// Runs until nothing can happen any more.
  void run();
  Outcome run_for(Duration time);
  /// Returns at `time` exactly, also when nothing happens then; `nothing_left` when no event was left before.
  Outcome run_until(TimePoint time);
  /// Runs until the condition holds. The condition is checked whenever all ready handlers have run.
  Outcome run_until(const std::function<bool()>& condition, Duration at_most);
  /// Runs a coroutine to its end and rethrows what it threw. Errors: Stuck, also when it has not ended in the given
  /// time (a node's keepalive alone lets something happen for ever).
  void run(awaitable<void> body, Duration at_most = std::chrono::hours(24));
  /// Runs what is ready and then the next event; false when there was neither.
  bool step();
  /// True when no coroutine is suspended, ready or running: everything has ended.
  bool idle();

  // What happened.
  /// A hash over every delivery (when, where, which bytes), connection and fault so far.
  std::uint64_t trace_hash() const noexcept { return fabric_->hash.value(); }
  /// Calls back with a line about each of them.
  void on_trace(std::function<void(const std::string&)> callback) { fabric_->on_trace = std::move(callback); }
  /// The time, what is scheduled, and every open connection with its bytes in flight.
  std::string describe() const;
  std::size_t connections_open() const noexcept { return fabric_->connections.size(); }

 private:
  TimePoint next_event() const noexcept;
  void run_ready();
  void run_on_executor(const std::function<void()>& action);

  std::shared_ptr<Fabric> fabric_;
  std::unique_ptr<asio::io_context> io_;
  std::shared_ptr<FaultSource> faults_; // null while calm
};

} // namespace trunkline::sim
