#include "tests/support/coroutine.hpp"

#include "tests/support/seed.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

namespace asio = boost::asio;
namespace test = trunkline::test;

namespace {

asio::awaitable<std::string> greet(std::string name) {
  co_await asio::post(asio::use_awaitable);
  co_return "hello " + name;
}

asio::awaitable<void> fail_late() {
  co_await asio::post(asio::use_awaitable);
  throw std::runtime_error("late");
}

// Waits for a signal that has no sender and does not count as work: what a lost wake-up looks like.
asio::awaitable<void> wait_for_nobody() {
  auto initiate = [](auto handler) { static_assert(sizeof(handler) > 0); };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(initiate, asio::use_awaitable);
}

} // namespace

TEST_CASE("run_coroutine: the body's value is returned") {
  CHECK(test::run_coroutine(greet("trunk")) == "hello trunk");
}

TEST_CASE("run_coroutine: what the body throws is thrown here") {
  CHECK_THROWS_WITH_AS(test::run_coroutine(fail_late()), "late", std::runtime_error);
}

TEST_CASE("run_coroutine: a body that nobody will resume is reported, not waited for") {
  CHECK_THROWS_AS(test::run_coroutine(wait_for_nobody()), std::logic_error);
}

TEST_CASE("seed: one run has one seed") { CHECK(test::test_seed() == test::test_seed()); }
