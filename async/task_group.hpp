// Coroutines that stand and fall together.
#pragma once

#include "async/tasks.hpp"
#include "async/types.hpp"

#include <exception>
#include <memory>

namespace trunkline::sync {

/// A set of tasks: the first exception that leaves one cancels the others and is what `join` throws.
/// A copy is the same crew. One executor; not thread safe.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor);

  void spawn(awaitable<void> task);
  /// Asks all to end; `join` then does not throw because of it.
  void cancel() noexcept;
  /// Waits until all have ended, also when it is cancelled itself: then it cancels them first.
  awaitable<void> join();

 private:
  struct State;

  std::shared_ptr<State> state_;
};

/// Posts the rest of this coroutine behind whatever is ready to run: file operations block, so long work calls this in
/// between.
awaitable<void> let_others_run();

} // namespace trunkline::sync
