// A condition variable for the coroutines of one executor. Wait in a loop over the condition:
//   while (!ready()) co_await changed.wait();
#pragma once

#include "async/types.hpp"

#include <boost/asio/cancellation_state.hpp>

#include <cstddef>
#include <utility>

namespace trunkline {

class Waiter;
class Waiters;

/// Throws operation_aborted when the coroutine was cancelled between its wake-up and its resumption. An operation that
/// takes something after a wait calls this first: its caller has given up, and would lose what it took.
awaitable<void> throw_if_cancelled();
/// The same without a coroutine of its own, where that cost matters. Get the state before the wait:
/// `const auto state = co_await asio::this_coro::cancellation_state;`
void throw_if_cancelled(const asio::cancellation_state& state);

/// Collects coroutines woken while an input is processed and resumes them right after it, without a pass through the
/// executor.
class Wakeups {
 public:
  explicit Wakeups(Executor executor) : executor_(std::move(executor)) {}
  Wakeups(const Wakeups&) = delete;
  Wakeups& operator=(const Wakeups&) = delete;
  /// Posts the coroutines that `run` has not resumed.
  ~Wakeups();

  /// Resumes the coroutines in order, on the caller's stack. Call it on the executor, and only where no change is half
  /// done: the coroutines may call back into the caller. An exception that leaves a coroutine is thrown from the
  /// executor. A coroutine woken meanwhile is posted.
  void run();

 private:
  friend class Waiter;

  Executor executor_;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

/// A condition variable without a condition: a notification resumes the coroutines that wait now, and is not remembered
/// for later ones. One executor; not thread safe.
class Signal {
 public:
  Signal() = default;
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  /// Resumes the coroutines that still wait with operation_aborted.
  ~Signal();

  /// Waits for the next notification. The coroutine is resumed by a post, or by the notifier's Wakeups, and the
  /// condition may have changed again by then: wait in a loop. Cancelled: throws operation_aborted. When its context is
  /// destroyed, the waiting coroutine is destroyed with it, also when the signal lives in something that the coroutine
  /// keeps alive.
  awaitable<void> wait();

  /// Resumes every coroutine that waits now: by a post, or when `into` runs if it is given.
  void notify_all(Wakeups* into = nullptr) noexcept;
  /// Resumes the coroutine that has waited longest. If that one is cancelled before it runs, no other is woken in its
  /// place.
  void notify_one() noexcept;
  bool has_waiters() const noexcept { return first_ != nullptr; }

 private:
  friend class Waiter;

  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
  Waiters* all_ = nullptr; // of the context; known from the first wait on
};

} // namespace trunkline
