#include "async/task_group.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace trunkline {

namespace {

awaitable<void> stop(Tasks& tasks) {
  tasks.cancel();
  co_await tasks.join();
}

} // namespace

struct TaskGroup::State {
  explicit State(Executor executor)
      : tasks(std::move(executor), [this](std::exception_ptr thrown) {
          if (failure) return;
          failure = std::move(thrown);
          tasks.cancel();
        }) {}

  std::exception_ptr failure; // of the first that failed
  Tasks tasks;                // forgets its callback when it goes
};

TaskGroup::TaskGroup(Executor executor) : state_(std::make_shared<State>(std::move(executor))) {}

void TaskGroup::spawn(awaitable<void> task) { state_->tasks.spawn(std::move(task)); }

void TaskGroup::cancel() noexcept { state_->tasks.cancel(); }

awaitable<void> TaskGroup::join() {
  const auto state = state_;
  std::exception_ptr cancelled;
  try {
    co_await state->tasks.join();
  } catch (...) {
    cancelled = std::current_exception();
  }
  if (cancelled) {
    // In a coroutine of its own: what this one has heard of its cancellation stays true for its caller.
    const Executor executor = co_await asio::this_coro::executor;
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await asio::co_spawn(executor, stop(state->tasks),
                            asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable));
    co_await asio::this_coro::throw_if_cancelled(throws);
    std::rethrow_exception(cancelled);
  }
  if (state->failure) std::rethrow_exception(state->failure);
}

awaitable<void> let_others_run() { co_await asio::post(asio::use_awaitable); }

} // namespace trunkline
