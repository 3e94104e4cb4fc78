// A rate: tokens come at so many a second, up to a burst, and each event takes one.
#pragma once

#include "circuit/machine.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace trunkline {

/// May be overdrawn: what is owed comes first, so that in the long run no more is taken than comes.
class TokenBucket {
 public:
  TokenBucket(double per_second, double burst) : per_second_(per_second), burst_(burst), tokens_(burst) {}

  /// Time has passed.
  void refill(Instant now) noexcept {
    tokens_ = tokens_at(now);
    at_ = now;
  }
  void take() noexcept { tokens_ -= 1; }
  double tokens_at(Instant now) const noexcept {
    if (is_full()) return tokens_;
    return std::min(burst_, tokens_ + std::chrono::duration<double>(now - at_).count() * per_second_);
  }
  void give_back() noexcept { tokens_ = std::min(burst_, tokens_ + 1); }
  double tokens() const noexcept { return tokens_; }
  double burst() const noexcept { return burst_; }
  bool has_one() const noexcept { return tokens_ >= 1; }
  bool is_full() const noexcept { return tokens_ >= burst_; }
  /// When there will be as many as this.
  Instant when(double tokens) const {
    const double nanoseconds = std::ceil((tokens - tokens_) / per_second_ * 1e9);
    return at_ + std::chrono::nanoseconds(static_cast<std::int64_t>(std::clamp(nanoseconds, 0.0, 1e18)) + 1);
  }

 private:
  double per_second_;
  double burst_;
  double tokens_;
  Instant at_{}; // of the last refill
};

} // namespace trunkline
