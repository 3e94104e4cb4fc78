// So many bytes a second and no more, over all files of a sync.
#pragma once

#include "async/clock.hpp"
#include "async/types.hpp"

#include <cstddef>
#include <cstdint>

namespace trunkline::sync {

/// One executor; not thread safe. Whoever spends more than there is waits until it would have been earned, so that
/// several who spend at once take turns by themselves.
class Pace {
 public:
  /// 0: no limit.
  explicit Pace(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  awaitable<void> spend(std::size_t bytes);

 private:
  const std::uint64_t rate_;
  TimePoint free_at_{}; // what was spent so far is earned then
};

} // namespace trunkline::sync
