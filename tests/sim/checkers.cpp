#include "tests/sim/checkers.hpp"

#include <chrono>
#include <cstdint>
#include <utility>

namespace trunkline::sim {

bool Checkers::step(World& world) {
  const bool something = world.step();
  memory.check();
  return something;
}

std::function<void(std::exception_ptr)> Checkers::note_failure(std::string what) {
  return [this, what = std::move(what)](std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& thrown) {
      violations.report(what + ": " + thrown.what());
    }
  };
}

void Checkers::run_to_the_end(World& world) {
  const TimePoint limit = world.now() + std::chrono::minutes(15);
  while (step(world))
    if (world.now() > limit) return violations.report("alarms ring for ever after the end, " + world.describe());
  endings.check_world(world);
}

RunReport Checkers::report(const World& world) const {
  RunReport report;
  report.trace_hash = world.trace_hash();
  report.violations = violations.texts();
  report.violations_count = violations.count();
  report.streams = streams.streams();
  report.fragments = streams.fragments();
  report.bytes = streams.bytes();
  report.acknowledgements = streams.acknowledgements();
  report.refusals = streams.refusals();
  report.answers = delays.answers();
  report.memory_peak = memory.peak_percent();
  report.delay_peak = static_cast<std::uint64_t>(100 * delays.slowest() / delays.limit());
  report.seconds =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(world.elapsed()).count());
  return report;
}

} // namespace trunkline::sim
