#include "circuit/native/flood_guard.hpp"

#include "circuit/invariant.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline {

bool RateLimit::count(Instant now, std::uint32_t max, std::chrono::nanoseconds period) {
  if (count_ == 0 || now - since_ >= period) {
    since_ = now;
    count_ = 0;
  }
  count_ += 1 + static_cast<std::uint32_t>(off_by_one("flood guard"));
  return count_ <= max;
}

FloodGuard::FloodGuard(Whole& whole)
    : whole_(whole),
      control_frames_(whole.limits.control_frames_per_second_max, whole.limits.control_frames_per_second_max),
      cancelled_opens_(whole.limits.cancelled_opens_per_second_max, 5.0 * whole.limits.cancelled_opens_per_second_max) {
}

bool FloodGuard::count_ping() {
  const std::uint32_t max = whole_.limits.pings_per_second_max;
  if (pings_.count(whole_.now, max, std::chrono::seconds(1))) return true;
  whole_.violate(error::too_many_control_frames, fmt::format("more than pings_per_second_max {}", max));
  return false;
}

bool FloodGuard::count_pong() {
  return pongs_.count(whole_.now, whole_.limits.pings_answered_per_second_max, std::chrono::seconds(1));
}

bool FloodGuard::count_unknown_frame() {
  const std::uint32_t max = whole_.limits.unknown_frames_per_minute_max;
  if (unknown_frames_.count(whole_.now, max, std::chrono::minutes(1))) return true;
  whole_.violate(error::too_many_control_frames,
                 fmt::format("more than unknown_frames_per_minute_max {} optional frames of unknown type", max));
  return false;
}

/// Frames that were read together are handled together, so more may be owed than one.
void FloodGuard::count_control_frame() {
  control_frames_.refill(whole_.now);
  control_frames_.take();
  if (control_frames_.tokens() >= 0) return;
  if (!paused()) ++whole_.counters.reading_pauses;
  resumes_at_ = control_frames_.when(0);
}

void FloodGuard::tick() {
  if (whole_.now < resumes_at_) return;
  resumes_at_ = Instant::max();
  control_frames_.refill(whole_.now);
}

void FloodGuard::charge_cancelled_open() {
  cancelled_opens_.refill(whole_.now);
  cancelled_opens_.take();
  // The rule of old, for a test that shows that an honest program meets it.
  if (off_by_one("cancelled opens") != 0 && cancelled_opens_.tokens() < 0)
    whole_.violate(error::too_many_control_frames, "more than cancelled_opens_per_second_max circuits opened and reset");
}

void FloodGuard::give_back() noexcept {
  cancelled_opens_.give_back();
  hand_out_at_ = std::min(hand_out_at_, whole_.now);
}

bool FloodGuard::may_hand_out_slowly() {
  cancelled_opens_.refill(whole_.now);
  if (cancelled_opens_.has_one()) return true;
  if (whole_.now < hand_out_at_) return false;
  hand_out_at_ = whole_.now + std::chrono::nanoseconds(std::chrono::seconds(1)) /
                                  whole_.limits.cancelled_opens_per_second_max;
  return true;
}

void FloodGuard::check() const {
  const Limits& limits = whole_.limits;
  invariant(pings_.counted() <= limits.pings_per_second_max + 1, "flood guard: pings <= max + 1");
  invariant(unknown_frames_.counted() <= limits.unknown_frames_per_minute_max + 1,
            "flood guard: unknown frames <= max + 1");
  invariant(paused() || control_frames_.tokens() >= -1e-3, "flood guard: control frames are owed only during a pause");
}

} // namespace trunkline
