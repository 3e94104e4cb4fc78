// A coroutine as the body of a test.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace trunkline::test {

/// Runs `body` on `io` until nothing is left to do, and rethrows or returns what it ended with.
/// Throws logic_error when the context runs out of work first: the body then waits for something nobody will do.
/// What the body started must end too, within the patience of the watchdog.
template <class T> T run_coroutine(boost::asio::io_context& io, boost::asio::awaitable<T> body) {
  std::exception_ptr failure;
  bool finished = false;
  auto finish = [&](std::exception_ptr thrown) {
    finished = true;
    failure = std::move(thrown);
    if (failure) io.stop(); // the rest may wait for the body that failed
  };
  auto check = [&] {
    if (failure) std::rethrow_exception(failure);
    if (!finished)
      throw std::logic_error("the test's coroutine never finished, and nothing is left that could resume it");
  };
  if constexpr (std::is_void_v<T>) {
    boost::asio::co_spawn(io, std::move(body), finish);
    io.run();
    check();
  } else {
    std::optional<T> value;
    boost::asio::co_spawn(io, std::move(body), [&](std::exception_ptr thrown, T result) {
      if (!thrown) value.emplace(std::move(result));
      finish(std::move(thrown));
    });
    io.run();
    check();
    return std::move(*value);
  }
}

/// The same on a context of its own. The body finds it as `co_await asio::this_coro::executor`.
template <class T> T run_coroutine(boost::asio::awaitable<T> body) {
  boost::asio::io_context io(1);
  return run_coroutine(io, std::move(body));
}

} // namespace trunkline::test
