// Names are looked up on threads: these tests give Names a resolver of their own, in which a host answers when the test
// says so and not before. Nothing here depends on how long anything takes.
#include "transport/names.hpp"

#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "tests/support/co_test_case.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

using namespace std::chrono_literals;

constexpr Duration never = Duration::max();

/// A resolver whose hosts hang until they are released. Released hosts are 127.0.0.1, those called "broken" throw.
class Resolver {
 public:
  Names::Answer ask(const std::string& host) {
    std::unique_lock lock(mutex_);
    ++asked_[host];
    changed_.notify_all();
    changed_.wait(lock, [&] { return all_released_ || released_.contains(host); });
    if (host.starts_with("broken")) throw std::runtime_error("broken");
    Names::Answer answer;
    answer.addresses.push_back(asio::ip::make_address("127.0.0.1"));
    return answer;
  }
  void release(const std::string& host) {
    const std::lock_guard lock(mutex_);
    released_.insert(host);
    changed_.notify_all();
  }
  void release_all() {
    const std::lock_guard lock(mutex_);
    all_released_ = true;
    changed_.notify_all();
  }
  void wait_until_asked(const std::string& host) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return asked_[host] > 0; });
  }
  int asked(const std::string& host) {
    const std::lock_guard lock(mutex_);
    return asked_[host];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> asked_;
  std::set<std::string> released_;
  bool all_released_ = false;
};

/// Releases what hangs when a test ends, so that no thread outlives the program.
struct Bench {
  explicit Bench(std::size_t lookups_max = Names::lookups_max_default)
      : resolver(std::make_shared<Resolver>()),
        names([to = resolver](const std::string& host) { return to->ask(host); }, lookups_max) {}
  ~Bench() {
    resolver->release_all();
    while (names.lookups_running() > 0) std::this_thread::yield();
  }

  std::shared_ptr<Resolver> resolver;
  Names names;
};

/// Runs a body on one.
void on_a_bench(awaitable<void> (*body)(Bench&)) {
  Bench bench;
  run_coroutine(body(bench));
}

awaitable<void> look_up_into(const Names& names, std::string host, std::vector<std::string>& into) {
  const Names::Answer answer = co_await names.look_up(host, never);
  into.push_back(host + (answer.failure ? " failed" : " found"));
}

awaitable<void> wait_too_long(Bench& bench, bool& queued) {
  const Names::Answer answer = co_await bench.names.look_up("late", 1ms);
  CHECK(answer.failure == asio::error::timed_out);
  queued = answer.queued;
}

} // namespace

CO_TEST_CASE("names: a lookup that hangs delays no other", on_a_bench, Bench& bench) {
  Tasks tasks(co_await asio::this_coro::executor);
  std::vector<std::string> found;
  tasks.spawn(look_up_into(bench.names, "slow", found));
  bench.resolver->release("fast");
  co_await look_up_into(bench.names, "fast", found);
  CHECK(found == std::vector<std::string>{"fast found"});
  bench.resolver->release("slow");
  co_await tasks.join();
  CHECK(found == std::vector<std::string>{"fast found", "slow found"});
}

static awaitable<void> abandon(Bench& bench);
TEST_CASE("names: an abandoned lookup ends its caller at once, and keeps no context running") {
  Bench bench;
  bench.resolver->release("fast");
  run_coroutine(abandon(bench)); // returns although the thread still hangs
  CHECK(bench.names.lookups_running() == 1);
}
static awaitable<void> abandon(Bench& bench) {
  Tasks tasks(co_await asio::this_coro::executor);
  std::vector<std::string> found;
  tasks.spawn(look_up_into(bench.names, "slow", found));
  co_await look_up_into(bench.names, "fast", found); // by now the other one is asked for, too
  tasks.cancel();
  co_await tasks.join();
  CHECK(found == std::vector<std::string>{"fast found"});
}

CO_TEST_CASE("names: all who ask for a name meanwhile share one lookup, so a dialler in a loop takes one thread",
             on_a_bench, Bench& bench) {
  Tasks tasks(co_await asio::this_coro::executor);
  std::vector<std::string> found;
  for (int i = 0; i < 3; ++i) tasks.spawn(look_up_into(bench.names, "slow", found));
  bench.resolver->release("fast");
  co_await look_up_into(bench.names, "fast", found);
  tasks.spawn(look_up_into(bench.names, "slow", found));
  co_await look_up_into(bench.names, "fast", found);
  bench.resolver->release("slow");
  co_await tasks.join();
  CHECK(found.size() == 6);
  CHECK(bench.resolver->asked("slow") == 1);
}

TEST_CASE("names: a lookup has a deadline of its own") {
  Bench bench;
  bool queued = true;
  run_coroutine(wait_too_long(bench, queued));
  CHECK_FALSE(queued);
}

static awaitable<void> wait_behind_one_that_hangs(Bench& bench);
TEST_CASE("names: beyond lookups_max a name waits for a thread, and is not asked for when nobody waits any more") {
  Bench bench(1);
  run_coroutine(wait_behind_one_that_hangs(bench));
}
static awaitable<void> wait_behind_one_that_hangs(Bench& bench) {
  Tasks tasks(co_await asio::this_coro::executor);
  std::vector<std::string> found;
  tasks.start(look_up_into(bench.names, "slow", found));
  bool queued = false;
  co_await wait_too_long(bench, queued);
  CHECK(queued);
  tasks.start(look_up_into(bench.names, "next", found));
  bool queued_again = false;
  co_await wait_too_long(bench, queued_again);
  CHECK(queued_again);
  bench.resolver->release("next");
  bench.resolver->release("slow");
  co_await tasks.join();
  CHECK(found == std::vector<std::string>{"slow found", "next found"});
  CHECK(bench.resolver->asked("late") == 0);
}

TEST_CASE("names: a context may go while its lookups hang") {
  Bench bench;
  std::vector<std::string> found;
  {
    asio::io_context io(1);
    Tasks tasks(io.get_executor());
    for (const char* host : {"slow", "slow", "slower"}) tasks.spawn(look_up_into(bench.names, host, found));
    io.poll();
    bench.resolver->wait_until_asked("slow");
    bench.resolver->wait_until_asked("slower");
  }
  bench.resolver->release_all();
  while (bench.names.lookups_running() > 0) std::this_thread::yield();
  CHECK(found.empty());
}

TEST_CASE("names: a caller that blocks waits until its deadline at most") {
  Bench bench;
  CHECK(bench.names.look_up_blocking("slow", 1ms).failure == asio::error::timed_out);
  bench.resolver->release("slow");
  const Names::Answer answer = bench.names.look_up_blocking("slow", never);
  CHECK_FALSE(answer.failure);
  CHECK(answer.addresses.size() == 1);
}

TEST_CASE("names: a resolver that throws costs its lookup alone") {
  Bench bench;
  bench.resolver->release_all();
  CHECK(bench.names.look_up_blocking("broken", never).failure);
  CHECK_FALSE(bench.names.look_up_blocking("fast", never).failure);
}

TEST_CASE("names: the system's resolver knows this machine, and says no to what is no host") {
  const Names::Answer here = Names::ask_system("localhost");
  REQUIRE_FALSE(here.failure);
  for (const asio::ip::address& address : here.addresses) CHECK(address.is_loopback());
  CHECK(Names::ask_system("no.such.host.invalid").failure);
  CHECK(Names::system() == Names::system());
}

} // namespace trunkline::test
