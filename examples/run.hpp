// What every example needs around it: run one coroutine to its end, and let an error that leaves it be seen.
#pragma once

#include "async/types.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdio>
#include <exception>
#include <utility>

/// Runs the program until nothing is left to do; the exit code of the process.
inline int run(boost::asio::io_context& io, trunkline::awaitable<void> program) {
  int code = 0;
  boost::asio::co_spawn(io, std::move(program), [&](std::exception_ptr failure) {
    if (!failure) return;
    code = 1;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& thrown) {
      std::fprintf(stderr, "error: %s\n", thrown.what());
    }
    io.stop(); // the nodes may still run, and nothing is left to close them
  });
  io.run();
  return code;
}
