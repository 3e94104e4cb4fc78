// Draws random faults from the seed and executes them. Internal to the simulator; users see faults.hpp.
#pragma once

#include "transport/sim/fabric.hpp"
#include "transport/sim/faults.hpp"

#include <array>
#include <cstddef>

namespace trunkline::sim {

/// The next fault is not an event of the schedule, so that a world in which only faults can still happen counts as
/// stuck. The end of a fault is an event of the schedule.
class FaultSource {
 public:
  FaultSource(Fabric& fabric, Faults faults);

  TimePoint next() const noexcept;
  /// Executes the fault that is due. The caller has moved the time there.
  void strike();

 private:
  enum Kind : std::size_t { partition, stall, reset, loss, crash, kinds };

  std::uint32_t rate(Kind kind) const noexcept;
  TimePoint draw_next(Kind kind);
  Duration draw_time(Duration most);
  void strike_pair(Kind kind);
  void strike_host();

  Fabric& fabric_;
  Faults faults_;
  Random random_;
  std::array<TimePoint, kinds> next_;
};

} // namespace trunkline::sim
