#include "async/task_group.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "tests/async/in_world.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

awaitable<void> note_after(std::string* seen, char letter, Duration time) {
  co_await sleep_for(time);
  seen->push_back(letter);
}

awaitable<void> fail_after(std::string text, Duration time) {
  co_await sleep_for(time);
  throw std::runtime_error(text);
}

} // namespace

CO_TEST_CASE("task group: join waits for every task, also for those of a copy", in_world, sim::World& world) {
  TaskGroup group(world.executor());
  TaskGroup copy = group;
  std::string seen;

  group.spawn(note_after(&seen, 'a', 2s));
  copy.spawn(note_after(&seen, 'b', 1s));
  co_await group.join();

  CHECK(seen == "ba");
  CHECK(world.elapsed() == 2s);
}

CO_TEST_CASE("task group: the first failure cancels the others and is what join throws", in_world, sim::World& world) {
  TaskGroup group(world.executor());
  std::string seen;
  std::string failure;

  group.spawn(fail_after("first", 1s));
  group.spawn(fail_after("second", 2s));
  group.spawn(note_after(&seen, 'a', 3s));
  try {
    co_await group.join();
  } catch (const std::runtime_error& thrown) {
    failure = thrown.what();
  }

  CHECK(failure == "first");
  CHECK(seen == "");
  CHECK(world.elapsed() == 1s);
}

CO_TEST_CASE("task group: a cancelled group joins without a failure", in_world, sim::World& world) {
  TaskGroup group(world.executor());
  std::string seen;

  group.spawn(note_after(&seen, 'a', 2s));
  co_await sleep_for(1s);
  group.cancel();
  co_await group.join();

  CHECK(seen == "");
  CHECK(world.elapsed() == 1s);
}

CO_TEST_CASE("task group: a cancelled join cancels the tasks and has waited for them when it throws", in_world,
             sim::World& world) {
  TaskGroup group(world.executor());
  std::string seen;
  group.spawn(note_after(&seen, 'a', 5s));
  bool timed_out = false;

  try {
    co_await within(1s, group.join());
  } catch (const boost::system::system_error& thrown) {
    timed_out = thrown.code() == error::timed_out;
  }

  CHECK(timed_out);
  co_await sleep_for(10s);
  CHECK(seen == "");
}
