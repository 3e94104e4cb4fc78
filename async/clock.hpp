// Time as a service of the execution context, so that the same code runs on real and on simulated time. A simulation
// installs its clock on its io_context before anything runs there.
#pragma once

#include "async/types.hpp"

#include <functional>
#include <memory>

namespace boost::asio {
class execution_context;
}

namespace trunkline {

/// A timer with one callback at a time. Setting it again, cancelling it or destroying it drops the callback that was
/// set before.
class Alarm {
 public:
  virtual ~Alarm() = default;
  /// Calls back once, on the executor with which the alarm was made, never inline; at once for a time that has passed.
  virtual void set(TimePoint when, std::function<void()> callback) = 0;
  virtual void cancel() noexcept = 0;
};

/// The source of time of one execution context.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const noexcept = 0;
  virtual std::unique_ptr<Alarm> make_alarm(const Executor& executor) = 0;

  /// The clock of the executor's context: the steady clock of this machine unless another was installed.
  static Clock& of(const Executor& executor);
  /// Replaces the clock of a context, which owns it from now on. Must come before the first use of the context's clock;
  /// asserts otherwise.
  static void install(asio::execution_context& context, std::unique_ptr<Clock> clock);
};

/// Waits on the clock of the coroutine's executor. Cancelled: throws operation_aborted.
awaitable<void> sleep_until(TimePoint when);
awaitable<void> sleep_for(Duration duration);

} // namespace trunkline
