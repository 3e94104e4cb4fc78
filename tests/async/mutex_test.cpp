// What the backends and nodes use to do things one after another, and at the same time.
#include "async/tasks.hpp"
#include "async/within.hpp"
#include "async/all_at_once.hpp"
#include "async/mutex.hpp"
#include "transport/sim/world.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace std::chrono_literals;

namespace {

awaitable<void> write(Mutex* turn, std::string* seen, char letter, Duration time) {
  const Mutex::Held held = co_await turn->take();
  seen->push_back(letter);
  co_await sleep_for(time);
  seen->push_back(letter);
}

awaitable<void> one_after_another(sim::World& world) {
  Mutex turn;
  std::string seen;
  Tasks tasks(world.executor());
  for (const char letter : {'a', 'b', 'c'}) tasks.spawn(write(&turn, &seen, letter, 1s));
  co_await tasks.join();
  CHECK(seen == "aabbcc");
}

awaitable<void> cancelled_while_waiting(sim::World& world) {
  Mutex turn;
  std::string seen;
  Tasks first(world.executor()), second(world.executor()), third(world.executor());
  first.spawn(write(&turn, &seen, 'a', 2s));
  co_await sleep_for(1ms);
  second.spawn(write(&turn, &seen, 'b', 1s));
  third.spawn(write(&turn, &seen, 'c', 1s));
  co_await sleep_for(1s);
  second.cancel();
  co_await third.join();
  CHECK(seen == "aacc");

  first.spawn(write(&turn, &seen, 'd', 1h)); // who has it and is cancelled gives it back
  co_await sleep_for(1s);
  first.cancel();
  Tasks last(world.executor());
  last.spawn(write(&turn, &seen, 'e', 1s));
  co_await last.join();
  CHECK(seen == "aaccdee");
}

awaitable<void> note_after(std::string* seen, char letter, Duration time, bool fails) {
  co_await sleep_for(time);
  seen->push_back(letter);
  if (fails) throw std::runtime_error(std::string("it was ") + letter);
}

awaitable<void> all_end(sim::World& world) {
  std::string seen;
  std::vector<awaitable<void>> some;
  some.push_back(note_after(&seen, 'a', 3s, false));
  some.push_back(note_after(&seen, 'b', 1s, true));
  some.push_back(note_after(&seen, 'c', 2s, true));
  std::string failure;
  try {
    co_await all_at_once(std::move(some));
  } catch (const std::runtime_error& thrown) {
    failure = thrown.what();
  }
  CHECK(seen == "bca");
  CHECK(failure == "it was b");
  CHECK(world.elapsed() == 3s);
  std::vector<awaitable<void>> none;
  co_await all_at_once(std::move(none));
  std::vector<awaitable<void>> cut;
  cut.push_back(note_after(&seen, 'd', 5s, false));
  bool timed_out = false;
  try {
    co_await within(1s, all_at_once(std::move(cut)));
  } catch (const boost::system::system_error& thrown) {
    timed_out = thrown.code() == error::timed_out;
  }
  CHECK(timed_out);
  co_await sleep_for(10s);
  CHECK(seen == "bca");
}

void in_world(awaitable<void> (*body)(sim::World&)) {
  sim::World world(1);
  world.run(body(world));
}

} // namespace

TEST_CASE("turn: one after another, across waits") { in_world(one_after_another); }
TEST_CASE("turn: who is cancelled gives it back, waiting or holding it") { in_world(cancelled_while_waiting); }
TEST_CASE("all at once: waits for all, then throws what failed first; cancelled, so are they") { in_world(all_end); }
