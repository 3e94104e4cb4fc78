// A mutex for coroutines of one executor; may be held across co_await.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"

#include <utility>

namespace trunkline {

/// One holder at a time. Not fair: whichever waiter runs first after a release gets it. A coroutine that locks it twice
/// waits for itself for ever. One executor; not thread safe.
class Mutex {
 public:
  /// Holds the mutex until it is destroyed. The mutex must outlive it.
  class Lock {
   public:
    explicit Lock(Mutex* mutex) : mutex_(mutex) {}
    Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock() {
      if (!mutex_) return;
      mutex_->locked_ = false;
      mutex_->unlocked_.notify_all(); // a cancelled waiter would lose a single wake-up
    }

   private:
    Mutex* mutex_;
  };

  Mutex() = default;

  /// Waits until the mutex is free, and locks it. Cancelled: throws operation_aborted, and the mutex is not held.
  awaitable<Lock> lock() {
    while (locked_) {
      co_await unlocked_.wait();
      if (locked_) continue;
      locked_ = true; // before another waiter looks; given back if this one was cancelled meanwhile
      Lock lock(this);
      co_await throw_if_cancelled();
      co_return lock;
    }
    locked_ = true;
    Lock lock(this);
    co_return lock;
  }

 private:
  bool locked_ = false;
  Signal unlocked_;
};

} // namespace trunkline
