#include "async/tasks.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <list>
#include <utility>

namespace trunkline {
namespace {

/// co_spawn alone would run the beginning of the task inside of `spawn`, in the middle of what its caller does.
awaitable<void> run_posted(awaitable<void> task) {
  co_await asio::post(asio::use_awaitable);
  co_await std::move(task);
}

} // namespace

struct Tasks::State {
  State(Executor on, std::function<void(std::exception_ptr)> failure)
      : executor(std::move(on)), on_failure(std::move(failure)) {}

  Executor executor;
  std::function<void(std::exception_ptr)> on_failure;
  std::list<asio::cancellation_signal> signals; // one per running task, in the order of starting
  bool cancelled = false;
  Signal ended;

  void report(std::exception_ptr failure) {
    if (!failure || !on_failure) return;
    if (cancelled) {
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

void Tasks::spawn(awaitable<void> task) {
  const auto entry = state_->signals.emplace(state_->signals.end());
  auto finished = [state = state_, entry](std::exception_ptr failure) {
    const auto forget = [state, entry] {
      state->signals.erase(entry);
      state->ended.notify_all();
    };
    state->report(failure);
    // A cancellation from outside the context reaches the task by way of a posted handler, which points into the entry
    // and may still be under way.
    if (state->cancelled) asio::post(state->executor, forget);
    else forget();
  };
  asio::co_spawn(state_->executor, run_posted(std::move(task)),
                 asio::bind_cancellation_slot(entry->slot(), std::move(finished)));
  if (state_->cancelled) entry->emit(asio::cancellation_type::terminal);
}

void Tasks::cancel() noexcept {
  state_->cancelled = true;
  const auto state = state_;
  for (auto entry = state->signals.begin(); entry != state->signals.end();) {
    auto& signal = *entry++; // a task ends later, posted: nothing is erased while we iterate
    signal.emit(asio::cancellation_type::terminal);
  }
}

awaitable<void> Tasks::join() {
  const auto state = state_;
  while (!state->signals.empty()) co_await state->ended.wait();
}

std::size_t Tasks::running() const noexcept { return state_->signals.size(); }

} // namespace trunkline
