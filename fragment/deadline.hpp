// Points in time that may be never. The longest duration, `Duration::max()`, means "no deadline" wherever one is taken.
#pragma once

#include <chrono>

namespace trunkline {

/// `from` + `time`, or the clock's last moment, which is never, when that is further away.
template <class Clock, class Unit, class Rep, class Period>
constexpr std::chrono::time_point<Clock, Unit> after(std::chrono::time_point<Clock, Unit> from,
                                                     std::chrono::duration<Rep, Period> time) noexcept {
  constexpr auto never = std::chrono::time_point<Clock, Unit>::max();
  // Compared in the coarser unit: the longest duration of that one has no number in the finer.
  return time < std::chrono::floor<std::chrono::duration<Rep, Period>>(never - from) ? from + time : never;
}

/// Whether it is the longest duration, in whatever unit that was written down.
template <class Rep, class Period> constexpr bool is_never(std::chrono::duration<Rep, Period> time) noexcept {
  return time >= std::chrono::floor<std::chrono::duration<Rep, Period>>(std::chrono::nanoseconds::max());
}

/// For a timer that counts in nanoseconds.
template <class Rep, class Period>
constexpr std::chrono::nanoseconds in_nanoseconds(std::chrono::duration<Rep, Period> time) noexcept {
  return is_never(time) ? std::chrono::nanoseconds::max() : std::chrono::nanoseconds(time);
}

} // namespace trunkline
