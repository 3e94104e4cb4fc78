// What coroutines here are made of: a wake-up, an owner, a deadline, an exception as a value.
#include "async/run.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/within.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

awaitable<void> turns(int count) {
  for (int turn = 0; turn < count; ++turn) co_await asio::post(asio::use_awaitable);
}

awaitable<bool> say(bool what) {
  co_await turns(1);
  co_return what;
}

awaitable<void> fail(error code) {
  co_await turns(1);
  throw_error(code, "as was asked");
}

awaitable<std::unique_ptr<int>> make(int value) {
  co_await turns(1);
  co_return std::make_unique<int>(value);
}

awaitable<void> break_down() {
  co_await turns(1);
  throw std::runtime_error("not a system error");
}

awaitable<void> wait_and_note(Signal& signal, std::vector<int>& woken, int who) {
  co_await signal.wait();
  woken.push_back(who);
}

awaitable<void> wait_and_note_cancelled(Signal& signal, int& cancelled) {
  try {
    co_await signal.wait();
  } catch (const boost::system::system_error& thrown) {
    cancelled += thrown.code() == asio::error::operation_aborted;
    throw;
  }
}

awaitable<void> results() {
  const result<bool> no = co_await as_result(say(false));
  REQUIRE(no.has_value());
  CHECK_FALSE(*no);
  const result<bool> yes = co_await as_result(say(true));
  REQUIRE(yes.has_value());
  CHECK(*yes);
  const result<void> failed = co_await as_result(fail(error::stalled));
  CHECK(failed.error() == error::stalled);
  const result<std::unique_ptr<int>> made = co_await as_result(make(7));
  REQUIRE(made.has_value());
  CHECK(**made == 7);
  bool passed = false;
  try {
    const result<void> broken = co_await as_result(break_down());
    CHECK_FALSE(broken.has_value());
  } catch (const std::runtime_error&) {
    passed = true;
  }
  CHECK(passed);
}

awaitable<void> deadlines() {
  const bool value = co_await within(1h, say(true));
  CHECK(value);
  const result<void> failed = co_await as_result(within(1h, fail(error::stalled)));
  CHECK(failed.error() == error::stalled);
  const std::unique_ptr<int> made = co_await within(1h, make(3));
  CHECK(*made == 3);

  Signal never;
  int cancelled = 0;
  const result<void> late = co_await as_result(within(1ms, wait_and_note_cancelled(never, cancelled)));
  CHECK(late.error() == error::timed_out);
  CHECK(cancelled == 1); // has ended before the caller goes on
  CHECK_FALSE(never.has_waiters());
}

awaitable<void> wakes_those_who_wait() {
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

awaitable<void> wakes_when_told() {
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

awaitable<void> wait_and_fail(Signal& signal) {
  co_await signal.wait();
  throw std::runtime_error("out of a resumed coroutine");
}

awaitable<void> owner_cancels_and_joins() {
  Signal signal;
  int cancelled = 0;
  std::vector<std::string> failures;
  Tasks tasks(co_await asio::this_coro::executor, [&](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& failure) {
      failures.emplace_back(failure.what());
    }
  });
  tasks.spawn(wait_and_note_cancelled(signal, cancelled));
  tasks.spawn(break_down());
  co_await turns(10);
  CHECK(failures == std::vector<std::string>{"not a system error"});
  CHECK(tasks.running() == 1);

  tasks.cancel();
  co_await tasks.join();
  CHECK(cancelled == 1);
  CHECK(tasks.running() == 0);
  CHECK(failures.size() == 1); // a cancelled task has not failed
  bool ran = false;
  tasks.spawn([](bool& here) -> awaitable<void> {
    here = true;
    co_return;
  }(ran));
  co_await turns(10);
  CHECK_FALSE(ran); // came after the cancellation
}

} // namespace

TEST_CASE("async: a result holds a value of any type, bool too, or the code of a system error; other exceptions pass") {
  run_coroutine(results());
}
TEST_CASE("async: within passes values and failures, and at its deadline has cancelled and awaited the operation") {
  run_coroutine(deadlines());
}
TEST_CASE("async: a signal wakes who waits now, the longest first, posted, and remembers nothing") {
  run_coroutine(wakes_those_who_wait());
}
TEST_CASE("async: wake-ups are resumed in order where they are run, and posted where they are not") {
  run_coroutine(wakes_when_told());
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
TEST_CASE("async: tasks are cancelled and joined by their owner, who hears of failures") {
  run_coroutine(owner_cancels_and_joins());
}

namespace {

awaitable<void> mark(std::string* seen, std::string before, std::string after) {
  *seen += before;
  co_await turns(2);
  *seen += after;
}

awaitable<void> mark_at_once(std::string* seen, const char* what) {
  *seen += what;
  co_return;
}

awaitable<void> hang(std::string* seen, Signal* never) {
  struct Leaving {
    std::string& seen;
    ~Leaving() { seen += "left "; }
  } leaving{*seen};
  co_await never->wait();
}

awaitable<void> starts_and_spawns(std::string* seen) {
  Tasks tasks(co_await asio::this_coro::executor);
  tasks.spawn(mark(seen, "b ", "e "));
  tasks.start(mark(seen, "a ", "d "));
  tasks.start(mark_at_once(seen, "at once "));
  CHECK(*seen == "a at once ");
  co_await tasks.join();
}

awaitable<void> starts_after_a_cancel(std::string* seen) {
  Signal never;
  Tasks tasks(co_await asio::this_coro::executor);
  tasks.start(hang(seen, &never));
  tasks.cancel();
  tasks.start(mark_at_once(seen, "too late "));
  co_await tasks.join();
  CHECK(tasks.running() == 0);
}

awaitable<void> drop_owner(std::unique_ptr<Tasks>* owner, std::string* seen) {
  owner->reset(); // in the middle of its start
  *seen += "goes on ";
  co_await turns(1);
  *seen += "never ";
}

awaitable<void> owner_goes_in_a_start(std::string* seen) {
  auto owner = std::make_unique<Tasks>(co_await asio::this_coro::executor);
  owner->start(drop_owner(&owner, seen));
  CHECK(owner == nullptr);
  co_await turns(5);
}

} // namespace

TEST_CASE("tasks: a started one has run until its first wait, a spawned one has not begun") {
  std::string seen;
  run_coroutine(starts_and_spawns(&seen));
  CHECK(seen.starts_with("a at once b "));
  CHECK(seen.find("d ") != std::string::npos);
  CHECK(seen.find("e ") != std::string::npos);
}

TEST_CASE("tasks: nothing starts after a cancel, and what was started ends") {
  std::string seen;
  run_coroutine(starts_after_a_cancel(&seen));
  CHECK(seen == "left ");
}

TEST_CASE("tasks: the owner may go while a task is starting") {
  std::string seen;
  run_coroutine(owner_goes_in_a_start(&seen));
  CHECK(seen == "goes on ");
}

TEST_CASE("run: ends when the last thing on its executor has, and throws what its program threw") {
  std::string said;
  run([&said](Executor executor) -> awaitable<void> {
    asio::co_spawn(
        executor,
        [](std::string& into) -> awaitable<void> {
          co_await turns(10);
          into += "then the other";
        }(said),
        [](std::exception_ptr) {});
    said += "first the program, ";
    co_return;
  });
  CHECK(said == "first the program, then the other");

  bool is_destroyed = false;
  const auto fails = [&is_destroyed](Executor executor) -> awaitable<void> {
    struct Guard {
      bool& flag;
      ~Guard() { flag = true; }
    };
    asio::co_spawn(
        executor,
        [](bool& flag) -> awaitable<void> {
          const Guard guard{flag};
          Signal never;
          co_await never.wait();
        }(is_destroyed),
        [](std::exception_ptr) {});
    co_await turns(1);
    throw std::runtime_error("no such luck");
  };
  CHECK_THROWS_WITH(run(fails), "no such luck");
  CHECK(is_destroyed);
}
