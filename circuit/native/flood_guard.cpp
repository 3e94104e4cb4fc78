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

FloodGuard::FloodGuard(Whole& whole) : whole_(whole), cancelled_opens_tokens_(burst()) {}

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

bool FloodGuard::count_control_frame() {
  const std::uint32_t max = whole_.limits.control_frames_per_second_max;
  if (control_frames_.count(whole_.now, max, std::chrono::seconds(1))) return true;
  whole_.violate(error::too_many_control_frames, fmt::format("more than control_frames_per_second_max {}", max));
  return false;
}

bool FloodGuard::count_cancelled_open() {
  const std::uint32_t rate = whole_.limits.cancelled_opens_per_second_max;
  const double seconds = std::chrono::duration<double>(whole_.now - cancelled_opens_at_).count();
  cancelled_opens_at_ = whole_.now;
  cancelled_opens_tokens_ = std::min(burst(), cancelled_opens_tokens_ + seconds * rate);
  if (cancelled_opens_tokens_ < 1) {
    whole_.violate(error::too_many_control_frames,
                   fmt::format("more than cancelled_opens_per_second_max {} circuits opened and reset", rate));
    return false;
  }
  cancelled_opens_tokens_ -= 1;
  return true;
}

void FloodGuard::check() const {
  const Limits& limits = whole_.limits;
  invariant(pings_.counted() <= limits.pings_per_second_max + 1, "flood guard: pings <= max + 1");
  invariant(unknown_frames_.counted() <= limits.unknown_frames_per_minute_max + 1,
            "flood guard: unknown frames <= max + 1");
  invariant(control_frames_.counted() <= limits.control_frames_per_second_max + 1,
            "flood guard: control frames <= max + 1");
  invariant(cancelled_opens_tokens_ >= 0 && cancelled_opens_tokens_ <= burst(),
            "flood guard: 0 <= tokens of cancelled opens <= burst");
}

} // namespace trunkline
