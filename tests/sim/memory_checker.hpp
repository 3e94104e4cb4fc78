// Checks that no trunk holds more received bytes than its limit says, whatever its readers do.
#pragma once

#include "circuit/trunk.hpp"
#include "tests/sim/violations.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::sim {

/// Learns of trunks from the circuits on them; looks at all of them whenever it is asked to.
class MemoryChecker {
 public:
  explicit MemoryChecker(Violations& violations) : violations_(violations) {}

  /// Of trunks that are watched without a limit of their own.
  void set_limit(std::size_t bytes) noexcept { limit_ = bytes; }

  void watch(const std::shared_ptr<Trunk>& trunk) { watch(trunk, limit_); }
  void watch(const std::shared_ptr<Trunk>& trunk, std::size_t limit) {
    for (const Watched& known : trunks_)
      if (!known.trunk.owner_before(trunk) && !trunk.owner_before(known.trunk)) return;
    trunks_.push_back({trunk, limit});
  }

  void check() {
    for (std::size_t i = 0; i < trunks_.size();) {
      const auto trunk = trunks_[i].trunk.lock();
      if (!trunk) {
        trunks_[i] = trunks_.back();
        trunks_.pop_back();
        continue;
      }
      const std::size_t limit = trunks_[i].limit;
      const std::size_t held = trunk->machine().memory_bytes();
      peak_percent_ = std::max(peak_percent_, 100 * held / limit);
      if (held > limit)
        violations_.report("a trunk holds " + std::to_string(held) + " bytes, more than trunk_memory_bytes_max " +
                           std::to_string(limit));
      ++i;
    }
  }

  /// Of one trunk's limit.
  std::size_t peak_percent() const noexcept { return peak_percent_; }

 private:
  struct Watched {
    std::weak_ptr<Trunk> trunk;
    std::size_t limit;
  };

  Violations& violations_;
  std::size_t limit_ = 0;
  std::vector<Watched> trunks_;
  std::size_t peak_percent_ = 0;
};

} // namespace trunkline::sim
