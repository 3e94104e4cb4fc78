#include "async/tasks.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <list>
#include <utility>

namespace trunkline {
namespace {

/// co_spawn alone would run the beginning of the task inside of `spawn`, while its caller is in the middle of a change.
awaitable<void> run_posted(awaitable<void> task) {
  co_await asio::post(asio::use_awaitable);
  co_await std::move(task);
}

/// When a coroutine ends that has never waited, co_spawn itself waits, outside of everything that would catch the
/// exception which a cancellation makes of that.
awaitable<void> run_at_once(awaitable<void> task) {
  std::exception_ptr failure;
  try {
    co_await std::move(task);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(false);
  if (failure) std::rethrow_exception(failure);
}

} // namespace

struct Tasks::State {
  State(Executor on, std::function<void(std::exception_ptr)> failure)
      : executor(std::move(on)), on_failure(std::move(failure)) {}

  Executor executor;
  std::function<void(std::exception_ptr)> on_failure;
  struct Entry : Task {
    using Task::signal_;
    bool starting = false; // inside of `start`: a task that ends now is erased when `start` returns
    bool ended = false;
  };
  std::list<Entry> entries; // one per running task, in the order of starting
  bool cancelled = false;
  Signal ended;

  void report(std::exception_ptr failure, bool is_cancelled) {
    if (!failure || !on_failure) return;
    if (is_cancelled) {
      try {
        std::rethrow_exception(failure);
      } catch (const boost::system::system_error& thrown) {
        if (thrown.code() == asio::error::operation_aborted) return;
      } catch (...) {}
    }
    on_failure(failure);
  }
};

Tasks::Tasks(Executor executor, std::function<void(std::exception_ptr)> on_failure)
    : state_(std::make_shared<State>(std::move(executor), std::move(on_failure))) {}

Tasks::~Tasks() {
  state_->on_failure = nullptr; // its captures may be going too
  cancel();
}

void Tasks::spawn(awaitable<void> task) { launch(run_posted(std::move(task)), false); }

Task& Tasks::spawn_cancellable(awaitable<void> task) {
  return *launch(run_posted(std::move(task)), false);
}

void Tasks::start(awaitable<void> task) {
  if (!state_->cancelled) launch(run_at_once(std::move(task)), true);
}

/// Null when the task has ended already.
Task* Tasks::launch(awaitable<void> task, bool starting) {
  const auto state = state_; // the task may drop its owner
  const auto entry = state->entries.emplace(state->entries.end());
  entry->starting = starting;
  const auto forget = [state, entry] {
    const auto end = [state, entry] {
      state->entries.erase(entry);
      state->ended.notify_all();
    };
    // A cancellation from outside the context reaches the task by way of a posted handler, which points into the entry
    // and may still be pending.
    if (state->cancelled || entry->is_cancelled()) asio::post(state->executor, end);
    else end();
  };
  auto finished = [state, entry, forget](std::exception_ptr failure) {
    state->report(failure, state->cancelled || entry->is_cancelled());
    if (entry->starting) entry->ended = true;
    else forget();
  };
  asio::co_spawn(state->executor, std::move(task),
                 asio::bind_cancellation_slot(entry->signal_.slot(), std::move(finished)));
  if (starting) {
    entry->starting = false;
    if (entry->ended) {
      forget();
      return nullptr;
    }
  } else if (state->cancelled) {
    entry->cancel();
  }
  return &*entry;
}

void Tasks::cancel() noexcept {
  state_->cancelled = true;
  const auto state = state_;
  for (auto entry = state->entries.begin(); entry != state->entries.end();) {
    Task& task = *entry++; // a task ends later, posted: nothing is erased while we iterate
    task.cancel();
  }
}

awaitable<void> Tasks::join() {
  const auto state = state_;
  while (!state->entries.empty()) co_await state->ended.wait();
}

std::size_t Tasks::running() const noexcept { return state_->entries.size(); }

} // namespace trunkline
