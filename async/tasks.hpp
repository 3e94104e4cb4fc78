// The owner of coroutines: whatever is spawned here is cancelled and joined here. The library detaches nothing.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"

#include <boost/asio/cancellation_signal.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

namespace trunkline {

/// A running coroutine of a Tasks.
class Task {
 public:
  /// Each await in it throws operation_aborted from now on; that one leaves it is no failure.
  void cancel() {
    is_cancelled_ = true;
    signal_.emit(asio::cancellation_type::terminal);
  }
  bool is_cancelled() const noexcept { return is_cancelled_; }

 protected:
  asio::cancellation_signal signal_;

 private:
  bool is_cancelled_ = false;
};

/// A set of coroutines with one owner. One executor; not thread safe.
class Tasks {
 public:
  /// `on_failure` is called with each exception that leaves a task, except operation_aborted after `cancel`.
  explicit Tasks(Executor executor, std::function<void(std::exception_ptr)> on_failure = {});
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;
  /// Cancels the tasks that still run. They end on the executor afterwards, so they must own what they use.
  ~Tasks();

  /// Starts a coroutine by a post, never inline. A task that is cancelled before it began, or spawned after `cancel`,
  /// is destroyed without having run.
  void spawn(awaitable<void> task);
  /// The same; the task may be cancelled alone. The reference is valid as long as what the coroutine owns.
  Task& spawn_cancellable(awaitable<void> task);
  /// The same, but when called on the executor's own thread the coroutine runs to its first wait before this returns:
  /// it begins before the caller's next step. The caller's own changes must be complete, because the coroutine may call
  /// back into it.
  void start(awaitable<void> task);
  /// Cancels every running task: each await in it throws operation_aborted. Does not wait for them.
  void cancel() noexcept;
  /// Waits until no task runs. A task of the same set must not call it: it would wait for itself.
  awaitable<void> join();
  std::size_t running() const noexcept;

 private:
  Task* launch(awaitable<void> task, bool starting);

  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline
