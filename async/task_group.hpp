// Coroutines of which the first to fail ends all.
#pragma once

#include "async/tasks.hpp"
#include "async/types.hpp"

#include <exception>
#include <memory>

namespace trunkline {

/// A set of tasks: the first exception that leaves one of them cancels the others, and `join` throws it.
/// A copy is the same group. The last copy cancels what still runs. One executor; not thread safe.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor);

  void spawn(awaitable<void> task);
  /// Cancels every task; the operation_aborted that then leaves them is no failure.
  void cancel() noexcept;
  /// Waits until every task has ended. Cancelled: cancels the tasks, waits for them all the same, then throws.
  awaitable<void> join();

 private:
  struct State;

  std::shared_ptr<State> state_;
};

/// Posts the rest of the calling coroutine behind all that is ready to run. Long work without other waits, file
/// operations for instance, calls this between its steps.
awaitable<void> let_others_run();

} // namespace trunkline
