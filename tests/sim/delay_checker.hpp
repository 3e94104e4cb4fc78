// Checks that a circuit is not delayed by others on its trunk: a small question is answered in the time that the link
// takes, plus what one batch of the others' bytes takes, however many of them stand still or push.
#pragma once

#include "tests/sim/violations.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace trunkline::sim {

/// Only asked in worlds without faults, where the link is all that takes time.
class DelayChecker {
 public:
  explicit DelayChecker(Violations& violations) : violations_(violations) {}

  void set_limit(Duration answer_time_max) noexcept { answer_time_max_ = answer_time_max; }

  /// `more`: what this one may take beyond the limit.
  void answered(const std::string& stream, Duration time, Duration more = {}) {
    ++answers_;
    slowest_ = std::max(slowest_, time - more);
    if (time > answer_time_max_ + more)
      violations_.report("circuit " + stream + " got its answer after " + milliseconds(time) + ", expected within " +
                         milliseconds(answer_time_max_ + more));
  }
  std::uint64_t answers() const noexcept { return answers_; }
  Duration slowest() const noexcept { return slowest_; }
  Duration limit() const noexcept { return answer_time_max_; }

 private:
  static std::string milliseconds(Duration time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
  }

  Violations& violations_;
  Duration answer_time_max_{};
  Duration slowest_{};
  std::uint64_t answers_ = 0;
};

} // namespace trunkline::sim
