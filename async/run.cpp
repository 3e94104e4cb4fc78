#include "async/run.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <exception>

namespace trunkline {

void run(const std::function<awaitable<void>(Executor)>& program) {
  asio::io_context io(1);
  std::exception_ptr failure;
  asio::co_spawn(io, program(io.get_executor()), [&](std::exception_ptr thrown) {
    failure = thrown;
    if (failure) io.stop();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
}

} // namespace trunkline
