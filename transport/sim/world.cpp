#include "transport/sim/world.hpp"

#include "fragment/deadline.hpp"
#include "transport/sim/accept_queue.hpp"
#include "transport/sim/connection.hpp"
#include "transport/sim/fault_source.hpp"
#include "transport/sim/medium.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

namespace trunkline::sim {

World::World(std::uint64_t seed, LinkOptions links)
    : fabric_(std::make_shared<Fabric>(seed)), io_(std::make_unique<asio::io_context>(1)) {
  fabric_->link_options = links;
  Clock::install(*io_, make_clock(fabric_->schedule));
}

World::~World() {
  faults_.reset();
  fabric_->schedule->clear();
  io_.reset(); // coroutines and what they own go here, while there is still a network to close connections on
  fabric_->schedule->clear();
  fabric_->hosts.clear();
}

std::shared_ptr<Medium> World::medium(const std::string& host) { return make_medium(fabric_, host); }

std::function<std::uint64_t()> World::random(const std::string& name) {
  return Random::derived(fabric_->seed, name, ++fabric_->random_streams[name]);
}

void World::set_link(const std::string& one, const std::string& other, const LinkOptions& options) {
  set_link_one_way(one, other, options);
  set_link_one_way(other, one, options);
}

void World::set_link_one_way(const std::string& from, const std::string& to, const LinkOptions& options) {
  fabric_->link(from, to).options = options;
}

void World::partition(const std::string& one, const std::string& other) { fabric_->partition(one, other); }

void World::heal(const std::string& one, const std::string& other) { fabric_->heal(one, other); }

void World::stall(const std::string& from, const std::string& to, Duration time) { fabric_->stall(from, to, time); }

std::size_t World::reset(const std::string& one, const std::string& other) { return fabric_->reset(one, other); }

std::size_t World::lose_one_way(const std::string& from, const std::string& to) {
  return fabric_->lose_one_way(from, to);
}

void World::crash(const std::string& host, Crash how) {
  run_on_executor([&] { fabric_->crash(fabric_->host(host), how); });
}

void World::restart(const std::string& host) {
  run_on_executor([&] { fabric_->restart(fabric_->host(host)); });
}

bool World::is_up(const std::string& host) { return fabric_->host(host).state == HostState::up; }

void World::on_crash(const std::string& host, std::function<void()> callback) {
  fabric_->host(host).on_crash = std::move(callback);
}

void World::on_restart(const std::string& host, std::function<void()> callback) {
  fabric_->host(host).on_restart = std::move(callback);
}

void World::inject(const Faults& faults) { faults_ = std::make_shared<FaultSource>(*fabric_, faults); }

void World::calm() {
  faults_.reset();
  run_on_executor([&] { fabric_->heal_all(); });
}

/// Runs every handler that is ready, and those that they make ready.
void World::run_ready() {
  constexpr std::size_t handlers_max = 20'000'000;
  io_->restart(); // it stops whenever nothing is outstanding
  std::size_t handlers = 0;
  while (io_->poll_one() != 0) {
    if (++handlers > handlers_max) throw Stuck("endless work without time passing, " + describe());
  }
}

/// When something happens next, faults included; TimePoint::max() when only faults are left.
TimePoint World::next_event() const noexcept {
  if (fabric_->schedule->empty()) return TimePoint::max();
  return faults_ ? std::min(fabric_->schedule->next(), faults_->next()) : fabric_->schedule->next();
}

bool World::step() {
  run_ready();
  const TimePoint next = next_event();
  if (next == TimePoint::max()) return false;
  if (fabric_->schedule->next() == next) {
    run_on_executor([&] { fabric_->schedule->run_next(); });
  } else {
    fabric_->schedule->pass(next);
    run_on_executor([faults = faults_] { faults->strike(); }); // it may call calm
  }
  return true;
}

/// What happens to nodes happens where they run.
void World::run_on_executor(const std::function<void()>& action) {
  if (io_->get_executor().running_in_this_thread()) return action();
  asio::post(*io_, std::cref(action));
  run_ready();
}

void World::run() {
  while (step()) {}
}

Outcome World::run_for(Duration time) { return run_until(after(now(), time)); }

Outcome World::run_until(TimePoint time) {
  run_ready();
  while (next_event() <= time && step()) {}
  const bool dry = fabric_->schedule->empty();
  if (time != TimePoint::max()) fabric_->schedule->pass(time); // never does not come
  return dry ? Outcome::nothing_left : Outcome::reached;
}

Outcome World::run_until(const std::function<bool()>& condition, Duration at_most) {
  const TimePoint time_is_up = after(now(), at_most);
  run_ready();
  while (!condition()) {
    const TimePoint next = next_event();
    if (next == TimePoint::max()) return Outcome::nothing_left;
    if (next > time_is_up) return Outcome::time_is_up;
    step();
  }
  return Outcome::reached;
}

void World::run(awaitable<void> body, Duration at_most) {
  struct Ending {
    bool reached = false;
    std::exception_ptr failure;
  };
  const auto ending = std::make_shared<Ending>(); // the handler outlives this call when it gets stuck
  asio::co_spawn(*io_, std::move(body), [ending](std::exception_ptr failure) {
    ending->reached = true;
    ending->failure = std::move(failure);
  });
  const Outcome outcome = run_until([&] { return ending->reached; }, at_most);
  if (outcome == Outcome::nothing_left) throw Stuck("nothing can happen any more, " + describe());
  if (outcome == Outcome::time_is_up) throw Stuck("not over in the given time, " + describe());
  if (ending->failure) std::rethrow_exception(ending->failure);
}

bool World::idle() {
  run_ready();
  return io_->stopped();
}

std::string World::describe() const {
  const std::size_t scheduled = fabric_->schedule->size();
  std::string text = "at " + to_text(now()) + ", seed " + std::to_string(seed()) + ": " + std::to_string(scheduled) +
                     " events are scheduled";
  for (const auto& [name, host] : fabric_->hosts)
    if (host.state != HostState::up) text += "; " + name + " is down";
  for (const auto& [hosts, link] : fabric_->links)
    if (link.partitioned) text += "; nothing passes from " + hosts.first + " to " + hosts.second;
  for (const auto& [number, connection] : fabric_->connections) text += "\n  " + connection->describe();
  return text;
}

} // namespace trunkline::sim
