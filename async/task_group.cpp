#include "async/task_group.hpp"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace trunkline {

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
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    state->tasks.cancel();
    co_await state->tasks.join();
    std::rethrow_exception(cancelled);
  }
  if (state->failure) std::rethrow_exception(state->failure);
}

awaitable<void> let_others_run() { co_await asio::post(asio::use_awaitable); }

} // namespace trunkline
