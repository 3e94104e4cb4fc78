#include "async/run.hpp"

#include "async/signal.hpp"
#include "tests/async/turns.hpp"

#include <boost/asio/co_spawn.hpp>
#include <doctest/doctest.h>

#include <exception>
#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::test;

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
