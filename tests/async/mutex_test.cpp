#include "async/mutex.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "tests/async/in_world.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

awaitable<void> write(Mutex* mutex, std::string* seen, char letter, Duration time) {
  const Mutex::Lock lock = co_await mutex->lock();
  seen->push_back(letter);
  co_await sleep_for(time);
  seen->push_back(letter);
}

} // namespace

CO_TEST_CASE("mutex: coroutines that lock it run one after another, across their waits", in_world, sim::World& world) {
  Mutex mutex;
  std::string seen;
  Tasks tasks(world.executor());

  for (const char letter : {'a', 'b', 'c'}) tasks.spawn(write(&mutex, &seen, letter, 1s));
  co_await tasks.join();

  CHECK(seen == "aabbcc");
}

CO_TEST_CASE("mutex: a cancelled coroutine leaves it to the others, whether it waited or held it", in_world,
             sim::World& world) {
  Mutex mutex;
  std::string seen;
  Tasks first(world.executor()), second(world.executor()), third(world.executor());
  first.spawn(write(&mutex, &seen, 'a', 2s));
  co_await sleep_for(1ms);
  second.spawn(write(&mutex, &seen, 'b', 1s));
  third.spawn(write(&mutex, &seen, 'c', 1s));

  co_await sleep_for(1s);
  second.cancel(); // waits
  co_await third.join();
  CHECK(seen == "aacc");

  first.spawn(write(&mutex, &seen, 'd', 1h));
  co_await sleep_for(1s);
  first.cancel(); // holds it
  Tasks last(world.executor());
  last.spawn(write(&mutex, &seen, 'e', 1s));
  co_await last.join();
  CHECK(seen == "aaccdee");
}

CO_TEST_CASE("mutex: a waiter that is cancelled after its wake-up does not keep it", in_world, sim::World& world) {
  Mutex mutex;
  std::string seen;
  Tasks waiting(world.executor());
  {
    const Mutex::Lock lock = co_await mutex.lock();
    waiting.spawn(write(&mutex, &seen, 'a', 1s));
    co_await sleep_for(1s);
  }
  waiting.cancel(); // woken by the release, not resumed yet
  co_await waiting.join();

  CHECK(seen == "");
  co_await write(&mutex, &seen, 'b', 1s);
  CHECK(seen == "bb");
}
