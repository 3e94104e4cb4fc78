// One after another: whoever changes something holds the turn, across its waits too.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"

#include <memory>
#include <utility>

namespace trunkline::quarkchain {

class Mutex {
 public:
  /// Gives the turn back when it goes.
  class Held {
   public:
    explicit Held(Mutex* turn) : turn_(turn) {}
    Held(Held&& other) noexcept : turn_(std::exchange(other.turn_, nullptr)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (!turn_) return;
      turn_->taken_ = false;
      turn_->free_.notify_all(); // one who was cancelled would take a single wake-up with him
    }

   private:
    Mutex* turn_;
  };

  /// Waits until nobody has it. The turn must outlive what is held.
  awaitable<Held> take() {
    while (taken_) {
      co_await free_.wait();
      if (taken_) continue;
      taken_ = true; // ours, before anybody else looks; given back if we were cancelled meanwhile
      Held held(this);
      co_await throw_if_cancelled();
      co_return held;
    }
    taken_ = true;
    Held held(this);
    co_return held;
  }

 private:
  bool taken_ = false;
  Signal free_;
};

} // namespace trunkline::quarkchain
