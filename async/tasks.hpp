// Owner of coroutines: nothing is detached. What is spawned here is cancelled and joined here.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

namespace trunkline {

/// A set of coroutines with one owner. One executor; not thread safe.
class Tasks {
 public:
  /// `on_failure` hears each exception that leaves a task, except operation_aborted after `cancel`.
  explicit Tasks(Executor executor, std::function<void(std::exception_ptr)> on_failure = {});
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;
  /// Cancels what still runs; the coroutines end by themselves on the executor and must own what they use.
  ~Tasks();

  /// Starts a coroutine, posted, never inline. One that was cancelled before it began, or comes after `cancel`, is
  /// destroyed without having run.
  void spawn(awaitable<void> task);
  /// The same, but on the executor's own thread the coroutine runs until its first wait before this returns. For a
  /// caller that needs the coroutine to begin before its own next step, and is prepared for what it may do meanwhile.
  void start(awaitable<void> task);
  /// Asks every running task to end: each await in it throws operation_aborted.
  void cancel() noexcept;
  /// Waits until no task runs. Do not call from a task of the same set.
  awaitable<void> join();
  std::size_t running() const noexcept;

 private:
  void launch(awaitable<void> task, bool starting);

  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline
