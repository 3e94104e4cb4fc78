// Virtual time: the schedule of all events in one order, and the Clock that simulated nodes read.
#pragma once

#include "async/clock.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

namespace trunkline::sim {

/// All future events, ordered by (time, when they were scheduled). Time passes only in `run_next` and `pass`.
class Schedule {
 public:
  /// Names a scheduled event, to cancel it.
  struct Ticket {
    TimePoint when{};
    std::uint64_t sequence = 0; // 0 is none
    explicit operator bool() const noexcept { return sequence != 0; }
  };

  static constexpr TimePoint start{std::chrono::hours(1)}; // code that subtracts from now() stays above zero

  TimePoint now() const noexcept { return now_; }
  /// Schedules an event. A time that has passed means now; an event at TimePoint::max() never runs.
  Ticket at(TimePoint when, std::function<void()> event);
  void cancel(const Ticket& ticket) noexcept;
  bool empty() const noexcept { return events_.empty(); }
  std::size_t size() const noexcept { return events_.size(); }
  /// When the next event is due; TimePoint::max() when there is none.
  TimePoint next() const noexcept;
  /// Moves the time to the next event and runs it.
  void run_next();
  /// Moves the time on to `to`. No event may be due before that.
  void pass(TimePoint to) noexcept;
  void clear() noexcept;

 private:
  std::map<std::pair<TimePoint, std::uint64_t>, std::function<void()>> events_;
  std::uint64_t sequence_ = 0; // of the last one scheduled
  TimePoint now_ = start;
};

/// A clock whose alarms are events of the schedule.
std::unique_ptr<Clock> make_clock(std::shared_ptr<Schedule> schedule);

} // namespace trunkline::sim
