// Where a coroutine waits for a state to change. Always in a loop over the state:
//   while (!ready()) co_await changed.wait();
#pragma once

#include "async/types.hpp"

#include <boost/asio/cancellation_state.hpp>

#include <cstddef>
#include <utility>

namespace trunkline {

class Waiter;
class Waiters;

/// For an operation that takes something after a wait: throws operation_aborted when it was cancelled between its
/// wake-up and its resumption. The canceller does not look at the result, which would be lost.
awaitable<void> throw_if_cancelled();
/// The same where a coroutine less matters: `const auto state = co_await asio::this_coro::cancellation_state;` before.
void throw_if_cancelled(const asio::cancellation_state& state);

/// Collects coroutines woken while an input is processed and resumes them right after it, without a pass through the
/// executor.
class Wakeups {
 public:
  explicit Wakeups(Executor executor) : executor_(std::move(executor)) {}
  Wakeups(const Wakeups&) = delete;
  Wakeups& operator=(const Wakeups&) = delete;
  /// Coroutines that were not resumed are posted.
  ~Wakeups();

  /// Resumes them, in order, on the caller's stack. Call it on the executor, and only where no change is half done.
  /// An exception that leaves a resumed coroutine is thrown from the executor. Coroutines woken meanwhile are posted.
  void run();

 private:
  friend class Waiter;

  Executor executor_;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

/// A wake-up without memory: it resumes coroutines that wait now, and none later. One executor; not thread safe.
class Signal {
 public:
  Signal() = default;
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  /// Coroutines that still wait are resumed with operation_aborted.
  ~Signal();

  /// Waits for the next notify on the current executor; resumption is posted, or left to the Wakeups of the notifier.
  /// Cancelled: throws operation_aborted. A coroutine whose context is destroyed while it waits is destroyed
  /// with the context, also when the signal lives in something that the coroutine keeps alive.
  awaitable<void> wait();

  /// Resumes all that wait now; `into`, if there is one, decides when.
  void notify_all(Wakeups* into = nullptr) noexcept;
  /// Resumes the one that has waited longest.
  void notify_one() noexcept;
  bool has_waiters() const noexcept { return first_ != nullptr; }

 private:
  friend class Waiter;

  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
  Waiters* all_ = nullptr; // of the context; known from the first wait on
};

} // namespace trunkline
