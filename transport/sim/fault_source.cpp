#include "transport/sim/fault_source.hpp"

#include "fragment/deadline.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace trunkline::sim {

FaultSource::FaultSource(Fabric& fabric, Faults faults)
    : fabric_(fabric), faults_(std::move(faults)), random_(Random::derived(fabric.seed, "faults")) {
  for (std::size_t kind = 0; kind < kinds; ++kind) next_[kind] = draw_next(static_cast<Kind>(kind));
}

TimePoint FaultSource::next() const noexcept { return *std::min_element(next_.begin(), next_.end()); }

void FaultSource::strike() {
  const auto due = std::min_element(next_.begin(), next_.end());
  const Kind kind = static_cast<Kind>(due - next_.begin());
  *due = draw_next(kind);
  if (kind == crash) strike_host();
  else strike_pair(kind);
}

std::uint32_t FaultSource::rate(Kind kind) const noexcept {
  switch (kind) {
    case partition: return faults_.partitions_per_minute;
    case stall: return faults_.stalls_per_minute;
    case reset: return faults_.resets_per_minute;
    case loss: return faults_.losses_per_minute;
    case crash: return faults_.crashes_per_minute;
    case kinds: break;
  }
  return 0;
}

TimePoint FaultSource::draw_next(Kind kind) {
  constexpr std::uint64_t minute = 60'000'000'000; // nanoseconds
  if (rate(kind) == 0) return TimePoint::max();
  return fabric_.schedule->now() + std::chrono::nanoseconds(1 + random_.below(2 * minute / rate(kind)));
}

Duration FaultSource::draw_time(Duration most) {
  return Duration(random_.below(static_cast<std::uint64_t>(most.count()) + 1));
}

void FaultSource::strike_pair(Kind kind) {
  if (fabric_.hosts.size() < 2) return;
  const std::size_t first = random_.below(fabric_.hosts.size());
  const std::size_t second = (first + 1 + random_.below(fabric_.hosts.size() - 1)) % fabric_.hosts.size();
  const std::string one = std::next(fabric_.hosts.begin(), static_cast<std::ptrdiff_t>(first))->first;
  const std::string other = std::next(fabric_.hosts.begin(), static_cast<std::ptrdiff_t>(second))->first;
  switch (kind) {
    case partition:
      fabric_.partition(one, other);
      fabric_.schedule->at(after(fabric_.schedule->now(), draw_time(faults_.partition_time)),
                           [this_fabric = &fabric_, one, other] { this_fabric->heal(one, other); });
      break;
    case stall: fabric_.stall(one, other, draw_time(faults_.stall_time)); break;
    case reset: fabric_.reset(one, other); break;
    case loss: fabric_.lose_one_way(one, other); break;
    case crash:
    case kinds: break;
  }
}

void FaultSource::strike_host() {
  if (faults_.crashing.empty()) return;
  const std::string& name = faults_.crashing[random_.below(faults_.crashing.size())];
  const Crash how = random_.one_in(2) ? Crash::silent : Crash::reset;
  const Duration time = draw_time(faults_.crash_time);
  if (fabric_.host(name).state != HostState::up) return;
  fabric_.crash(fabric_.host(name), how);
  fabric_.schedule->at(after(fabric_.schedule->now(), time),
                       [this_fabric = &fabric_, name] { this_fabric->restart(this_fabric->host(name)); });
}

} // namespace trunkline::sim
