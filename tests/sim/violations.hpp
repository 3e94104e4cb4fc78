// Where checkers report that a promise was broken.
#pragma once

#include "transport/sim/world.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sim {

/// The first few are kept in words, the others counted.
class Violations {
 public:
  explicit Violations(std::function<TimePoint()> now) : now_(std::move(now)) {}

  void report(const std::string& what) {
    constexpr std::size_t kept_max = 100;
    ++count_;
    if (texts_.size() < kept_max) texts_.push_back("at " + to_text(now_()) + ": " + what);
  }
  std::size_t count() const noexcept { return count_; }
  const std::vector<std::string>& texts() const noexcept { return texts_; }

 private:
  std::function<TimePoint()> now_;
  std::vector<std::string> texts_;
  std::size_t count_ = 0;
};

} // namespace trunkline::sim
