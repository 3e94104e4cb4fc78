#include "peer/backoff.hpp"

#include "fragment/deadline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace trunkline {

void Backoff::check(const char* name) const {
  const auto demand = [name](bool good, const char* field, auto value, const char* expected) {
    if (!good) throw std::invalid_argument(fmt::format("{}.{} is {}, expected {}", name, field, value, expected));
  };
  demand(initial.count() >= 0 && initial <= std::chrono::days(365), "initial", initial.count(),
         "0 milliseconds to 365 days");
  demand(maximum >= initial && (maximum <= std::chrono::days(365) || is_never(maximum)), "maximum", maximum.count(),
         "at least initial, at most 365 days, or the longest for none");
  demand(multiplier >= 1 && multiplier <= 1000, "multiplier", multiplier, "1 to 1000");
  demand(jitter_percent <= 100, "jitter_percent", jitter_percent, "at most 100");
}

Duration Backoff::after(std::uint32_t failures, const std::function<std::uint64_t()>& random) const {
  constexpr Duration most = Duration::max() / 256; // more than a year; with its random share, nothing below overflows
  double wait = static_cast<double>(in_nanoseconds(initial).count());
  const auto longest = static_cast<double>(std::min(in_nanoseconds(maximum), most).count());
  if (multiplier > 1)
    for (std::uint32_t i = 1; i < failures && wait > 0 && wait < longest; ++i) wait *= multiplier;
  const Duration whole(static_cast<Duration::rep>(std::min(wait, longest)));
  // 256 steps are enough to spread.
  return whole + whole / 100 * static_cast<Duration::rep>(jitter_percent) *
                     static_cast<Duration::rep>(random() % 256) / 256;
}

} // namespace trunkline
