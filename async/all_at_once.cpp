#include "async/all_at_once.hpp"

#include "async/tasks.hpp"

#include <boost/asio/this_coro.hpp>

#include <exception>
#include <memory>
#include <utility>

namespace trunkline {

awaitable<void> all_at_once(std::vector<awaitable<void>> operations) {
  const auto first = std::make_shared<std::exception_ptr>(); // cancelled operations may end after this coroutine
  auto note = [first](std::exception_ptr failure) {
    if (!*first) *first = std::move(failure);
  };
  Tasks tasks(co_await asio::this_coro::executor, std::move(note));
  for (awaitable<void>& operation : operations) tasks.spawn(std::move(operation));
  operations.clear();
  co_await tasks.join();
  if (*first) std::rethrow_exception(*first);
}

} // namespace trunkline
