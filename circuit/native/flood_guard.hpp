// What a far side may cost us in frames that are cheap to send. Each limit is far above what an honest side needs; one
// that is exceeded ends the trunk.
#pragma once

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
  /// Metadata, the ends of peers, pongs, drains, tiny credits.
  bool count_control_frame();
  /// Open-then-reset is cheap for an attacker (HTTP/2 rapid reset), so it is limited. Resetting a circuit that has been
  /// there for a while is not.
  bool count_cancelled_open();

  /// Counts a ping that is to be answered; false when the answer has to wait.
  bool count_pong();

  /// counted <= max + 1: the one too many is the last. tokens <= burst.
  void check() const;

 private:
  double burst() const noexcept { return 5.0 * whole_.limits.cancelled_opens_per_second_max; }

  Whole& whole_;
  RateLimit pings_;
  RateLimit pongs_;
  RateLimit unknown_frames_;
  RateLimit control_frames_;
  double cancelled_opens_tokens_;
  Instant cancelled_opens_at_{};
};

} // namespace trunkline
