#include "async/signal.hpp"

#include "async/tasks.hpp"
#include "tests/async/turns.hpp"
#include "tests/support/co_test_case.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <exception>
#include <stdexcept>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<void> wait_and_note(Signal& signal, std::vector<int>& woken, int who) {
  co_await signal.wait();
  woken.push_back(who);
}

awaitable<void> wait_and_fail(Signal& signal) {
  co_await signal.wait();
  throw std::runtime_error("out of a resumed coroutine");
}

} // namespace

CO_TEST_CASE("async: a signal wakes who waits now, the longest first, posted, and remembers nothing", run_body) {
  Signal signal;
  std::vector<int> woken;
  Tasks tasks(co_await asio::this_coro::executor);
  for (int who = 0; who < 3; ++who) tasks.spawn(wait_and_note(signal, woken, who));
  co_await turns(10);
  REQUIRE(signal.has_waiters());

  signal.notify_one();
  CHECK(woken.empty()); // posted, never inline
  co_await turns(10);
  CHECK(woken == std::vector<int>{0});
  signal.notify_all();
  co_await tasks.join();
  CHECK(woken == std::vector<int>{0, 1, 2});
  signal.notify_all(); // nobody: it has no memory
  tasks.spawn(wait_and_note(signal, woken, 9));
  co_await turns(10);
  CHECK(woken.size() == 3);
  tasks.cancel();
  co_await tasks.join();
  CHECK(woken.size() == 3);
}

CO_TEST_CASE("async: wake-ups are resumed in order where they are run, and posted where they are not", run_body) {
  Signal signal;
  std::vector<int> woken;
  const Executor executor = co_await asio::this_coro::executor;
  Tasks tasks(executor);
  for (int who = 0; who < 3; ++who) tasks.spawn(wait_and_note(signal, woken, who));
  co_await turns(10);
  {
    Wakeups later(executor);
    signal.notify_all(&later);
    CHECK_FALSE(signal.has_waiters());
    CHECK(woken.empty());
    later.run(); // here and now
    CHECK(woken == std::vector<int>{0, 1, 2});
  }
  for (int who = 3; who < 5; ++who) tasks.spawn(wait_and_note(signal, woken, who));
  co_await turns(10);
  {
    Wakeups never_run(executor);
    signal.notify_all(&never_run);
  }
  CHECK(woken.size() == 3); // posted
  co_await tasks.join();
  CHECK(woken == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE(
    "async: what a coroutine throws that was woken within a handler comes out of the executor, not of the handler") {
  asio::io_context io(1);
  Signal signal;
  std::vector<int> woken;
  const auto rethrow = [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  };
  asio::co_spawn(io, wait_and_fail(signal), rethrow);
  asio::co_spawn(io, wait_and_note(signal, woken, 1), rethrow);
  io.poll();
  REQUIRE(signal.has_waiters());
  bool came_back = false;
  asio::post(io, [&] {
    Wakeups wakeups(io.get_executor());
    signal.notify_all(&wakeups);
    wakeups.run();
    came_back = true;
  });
  CHECK_THROWS_WITH_AS(io.run(), "out of a resumed coroutine", std::runtime_error);
  CHECK(came_back);
  io.restart();
  io.run();
  CHECK(woken == std::vector<int>{1}); // the next in line is resumed all the same
}
