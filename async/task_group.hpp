// A group of coroutines in which the first failure cancels the others.
#pragma once

#include "async/tasks.hpp"
#include "async/types.hpp"

#include <exception>
#include <memory>

namespace trunkline {

/// A set of tasks: the first exception that leaves one of them cancels the others, and `join` throws it. Copies share
/// the group; destroying the last one cancels the tasks that still run. One executor; not thread safe.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor);

  /// Starts a task; see Tasks::spawn.
  void spawn(awaitable<void> task);
  /// Cancels every task; the operation_aborted that then leaves them is no failure.
  void cancel() noexcept;
  /// Waits until every task has ended. Cancelled: cancels the tasks, waits for them all the same, then throws.
  awaitable<void> join();

 private:
  struct State;

  std::shared_ptr<State> state_;
};

/// Resumes the calling coroutine after everything that is ready to run now. Call it between the steps of long work that
/// does not wait otherwise, file operations for instance.
awaitable<void> let_others_run();

} // namespace trunkline
