#include "async/tasks.hpp"

#include "async/signal.hpp"
#include "tests/async/turns.hpp"
#include "tests/support/co_test_case.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;

CO_TEST_CASE("async: tasks are cancelled and joined by their owner, who hears of failures", run_body) {
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

awaitable<void> wait_once(Signal* signal) { co_await signal->wait(); }

} // namespace

TEST_CASE("tasks: one that is cancelled alone from outside of its context is kept until the word of it has arrived") {
  asio::io_context io(1);
  Signal signal;
  Tasks tasks(io.get_executor());
  Task& task = tasks.spawn_cancellable(wait_once(&signal));
  io.poll();
  std::size_t running_between = 0;

  signal.notify_all(); // the task ends in the next poll
  asio::post(io, [&] { running_between = tasks.running(); });
  task.cancel(); // posts what points into the task
  io.restart();
  io.poll();

  CHECK(running_between == 1);
  CHECK(tasks.running() == 0);
}

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
