// What the far side counts of our frames against its control_frames_per_second_max. It pauses reading when we are too
// fast, which must not last until our writes look dead.
#pragma once

#include "circuit/invariant.hpp"
#include "circuit/native/token_bucket.hpp"
#include "circuit/native/whole.hpp"

#include <algorithm>
#include <cstddef>

namespace trunkline {

class FarPatience {
 public:
  FarPatience(const Whole& whole, std::size_t per_second_max) : whole_(whole), left_(rate_of(per_second_max)) {}
  /// The far side has said how many a second it takes: what was said before then does not count.
  void hear_limit(std::size_t per_second_max) { left_ = rate_of(per_second_max); }

  /// A frame that it counts is said.
  void use() noexcept {
    left_.refill(whole_.now);
    left_.take();
  }
  /// What may as well be said later may be said now. Half of the rate is for what cannot wait.
  bool has_some() const noexcept { return left_.tokens_at(whole_.now) >= left_.burst() / 2; }
  /// It would pause for longer than a few seconds.
  bool is_used_up() const noexcept { return left_.tokens_at(whole_.now) < least(); }
  /// When it is no longer, if it is now.
  Instant recovers_at() const { return left_.when(least()); }

  /// tokens <= burst.
  void check() const { invariant(left_.tokens() <= left_.burst(), "far patience: tokens <= burst"); }

 private:
  static constexpr double seconds_owed_max = 5; // write_deadline is 20 s, and there may be others who say something

  double least() const noexcept { return -seconds_owed_max * left_.burst(); }
  static TokenBucket rate_of(std::size_t per_second_max) {
    const double rate = static_cast<double>(std::max<std::size_t>(per_second_max, 1));
    return TokenBucket(rate, rate);
  }

  const Whole& whole_;
  TokenBucket left_;
};

} // namespace trunkline
