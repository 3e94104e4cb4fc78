// What a far side may cost us in frames that are cheap to send. An honest side that says much is slowed down: the next
// frames wait in the connection, the next opens here. Only what no honest side ever sends ends the trunk.
#pragma once

#include "circuit/native/token_bucket.hpp"
#include "circuit/native/whole.hpp"

#include <chrono>
#include <cstdint>

namespace trunkline {

/// At most `max` events in each period; counts from the first event of a period.
class RateLimit {
 public:
  /// Counts one; false when it is one too many.
  bool count(Instant now, std::uint32_t max, std::chrono::nanoseconds period);
  std::uint32_t counted() const noexcept { return count_; }

 private:
  Instant since_{};
  std::uint32_t count_ = 0;
};

class FloodGuard {
 public:
  explicit FloodGuard(Whole& whole);

  // Each counts one. False when it was one too many, which has ended the trunk.
  bool count_ping();
  bool count_unknown_frame();

  /// Counts a ping that is to be answered; false when the answer has to wait.
  bool count_pong();

  /// Counts metadata, the end of a peer, a pong, a drain, a tiny credit, a circuit that was given up before anybody
  /// served it. More than control_frames_per_second_max: nothing more should be read until they are made up for.
  void count_control_frame();
  bool paused() const noexcept { return resumes_at_ != Instant::max(); }

  // Open-then-reset is cheap for an attacker (HTTP/2 rapid reset) and costs us a start of a service. So each takes a
  // token, also one that is not there; while none is there, opens are handed out at the rate at which tokens come. A
  // circuit that got an answer gives a token back: who uses what is served is not held up by what was cancelled before.
  /// A circuit that a service has taken was cancelled, by the far side or by us because of what it sent.
  void charge_cancelled_open();
  /// A circuit of the far side that was answered has ended.
  void note_answered() noexcept {
    if (!cancelled_opens_.is_full()) give_back();
  }
  /// Whether one more open may be handed out now; true counts it.
  bool may_hand_out() { return cancelled_opens_.has_one() || may_hand_out_slowly(); }
  /// When one more may be handed out if none may be now.
  Instant hand_out_at() const noexcept { return hand_out_at_; }

  /// When `tick` is due: a pause ends.
  Instant deadline() const noexcept { return resumes_at_; }
  void tick();

  /// counted <= max + 1: the one too many is the last. Control frames are owed only during a pause.
  void check() const;

 private:
  bool may_hand_out_slowly();
  void give_back() noexcept;

  Whole& whole_;
  RateLimit pings_;
  RateLimit pongs_;
  RateLimit unknown_frames_;
  TokenBucket control_frames_;
  Instant resumes_at_ = Instant::max(); // while reading pauses
  TokenBucket cancelled_opens_;
  Instant hand_out_at_{};
};

} // namespace trunkline
