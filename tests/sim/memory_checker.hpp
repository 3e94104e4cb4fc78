// Checks that no trunk holds more received bytes than its limit says, whatever its readers do.
#pragma once

#include "circuit/trunk.hpp"
#include "tests/sim/violations.hpp"

#include <cstddef>
#include <memory>
#include <vector>

namespace trunkline::sim {

/// Learns of trunks from the circuits on them; looks at all of them whenever it is asked to.
class MemoryChecker {
 public:
  explicit MemoryChecker(Violations& violations) : violations_(violations) {}

  void set_limit(std::size_t bytes) noexcept { limit_ = bytes; }

  void watch(const std::shared_ptr<Trunk>& trunk) {
    for (const auto& known : trunks_)
      if (!known.owner_before(trunk) && !trunk.owner_before(known)) return;
    trunks_.push_back(trunk);
  }

  void check() {
    for (std::size_t i = 0; i < trunks_.size();) {
      const auto trunk = trunks_[i].lock();
      if (!trunk) {
        trunks_[i] = trunks_.back();
        trunks_.pop_back();
        continue;
      }
      const std::size_t held = trunk->machine().memory_bytes();
      peak_ = held > peak_ ? held : peak_;
      if (held > limit_)
        violations_.report("a trunk holds " + std::to_string(held) + " bytes, more than trunk_memory_bytes_max " +
                           std::to_string(limit_));
      ++i;
    }
  }

  std::size_t peak() const noexcept { return peak_; }
  std::size_t limit() const noexcept { return limit_; }

 private:
  Violations& violations_;
  std::size_t limit_ = 0;
  std::vector<std::weak_ptr<Trunk>> trunks_;
  std::size_t peak_ = 0;
};

} // namespace trunkline::sim
