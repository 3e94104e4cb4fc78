// Which thread may call: what contexts tell, and how a call from a wrong thread dies. A death is watched from outside: a
// child process makes the call, and the test reads its last words.
#include "async/home_thread.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/detail/concurrency_hint.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <string>
#include <thread>

using namespace trunkline;

TEST_CASE("home thread: contexts that several threads may run are told by their hint, also through a strand") {
  asio::io_context one(1);
  asio::io_context unsafe(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  asio::io_context unsafe_sockets(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  asio::io_context any;
  asio::io_context four(4);
  asio::thread_pool pool(3);
  asio::thread_pool pool_of_one(1);

  CHECK(why_many_threads(one.get_executor()) == "");
  CHECK(why_many_threads(asio::make_strand(one)) == "");
  CHECK(why_many_threads(unsafe.get_executor()) == "");
  CHECK(why_many_threads(unsafe_sockets.get_executor()) == "");
  CHECK(why_many_threads(pool_of_one.get_executor()) == "");
  CHECK(why_many_threads(any.get_executor()) == "an io_context made without the concurrency hint 1");
  CHECK(why_many_threads(four.get_executor()) == "an io_context with the concurrency hint 4");
  CHECK(why_many_threads(asio::make_strand(four)) == "an io_context with the concurrency hint 4");
  CHECK(why_many_threads(pool.get_executor()) ==
        "a thread_pool of several threads, or an io_context with the concurrency hint 0");
}

TEST_CASE("home thread: one thread sets up, another one runs, and the first one looks at the rest") {
  asio::io_context io(1);
  const std::shared_ptr<HomeThread> home = HomeThread::of(io.get_executor());
  home->check("set up");
  asio::post(io, [home] { home->check("run"); });
  std::thread runner([&io] { io.run(); });
  runner.join();
  home->check("look");

  io.restart();
  asio::post(io, [home] { home->check("run again"); });
  io.run();
  home->check("look again");
}

TEST_CASE("home thread: it may be asked when its context is gone") {
  std::shared_ptr<HomeThread> home;
  {
    asio::io_context io(1);
    home = HomeThread::of(io.get_executor());
  }
  std::thread([home] { home->check("late"); }).join();
}

#ifndef NDEBUG

namespace {

/// Runs it in a child process and returns what that wrote to its standard error; the child must die by abort.
std::string last_words(void (*fatal)()) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGABRT, SIG_DFL);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    fatal();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string words;
  char buffer[4096];
  for (ssize_t size = 0; (size = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    words.append(buffer, static_cast<std::size_t>(size));
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  return words;
}

void call_from_another_thread() {
  asio::io_context io(1);
  const auto work = asio::make_work_guard(io);
  const std::shared_ptr<HomeThread> home = HomeThread::of(io.get_executor());
  std::promise<void> runs;
  asio::post(io, [&] {
    home->check("the first call");
    runs.set_value();
  });
  std::thread runner([&io] { io.run(); });
  runs.get_future().wait();
  home->check("LocalPeer::close");
}

void run_on_two_threads() {
  asio::io_context io(1);
  const std::shared_ptr<HomeThread> home = HomeThread::of(io.get_executor());
  for (int i = 0; i < 2; ++i)
    asio::post(io, [&] {
      const HomeThread::Visit visit(*home, "Trunk::feed");
      std::promise<void>().get_future().wait_for(std::chrono::seconds(60)); // the other one ends it
    });
  std::thread second([&io] { io.run(); });
  io.run();
}

} // namespace

TEST_CASE("home thread: a call from another thread than the one that runs the context dies with the name of the call") {
  const std::string words = last_words(call_from_another_thread);
  CHECK(words == "trunkline: LocalPeer::close was called on the wrong thread: another thread runs that node's executor. "
                 "Post the call to the node's executor instead; see docs/threads.md\n");
}

TEST_CASE("home thread: two threads that run one context die when one comes while the other is inside") {
  const std::string words = last_words(run_on_two_threads);
  CHECK(words.find("Trunk::feed was called on the wrong thread: two threads run that node's executor at once") !=
        std::string::npos);
}

#endif
