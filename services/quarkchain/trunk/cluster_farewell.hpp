// The end of a cluster connection. The protocol has no goodbye: what is in the output is still written, and then the
// connection is over.
#pragma once

#include "services/quarkchain/trunk/cluster_whole.hpp"

#include <cstdint>

namespace trunkline::quarkchain {

class ClusterFarewell {
 public:
  explicit ClusterFarewell(ClusterWhole& whole) : whole_(whole) {}

  bool running() const noexcept { return state_ == State::running; }
  bool over() const noexcept { return state_ == State::over; }
  bool draining() const noexcept { return draining_; }

  /// No new circuits: the connection ends when none is left, or at the deadline.
  void drain(Instant deadline) noexcept;
  bool drain_overdue() const noexcept { return whole_.now >= drain_deadline_; }

  /// What is in the output may still be written. False when it had ended before.
  bool end() noexcept;
  /// The connection is gone. False when it had ended before.
  bool disconnected() noexcept;

  Instant deadline() const noexcept;
  /// Of one that has ended.
  void tick_end() noexcept;

  /// over_at exists only after the end, and is no further away than goodbye_deadline.
  void check() const;

 private:
  enum class State : std::uint8_t { running, ending, over };

  ClusterWhole& whole_;
  State state_ = State::running;
  bool draining_ = false;
  Instant drain_deadline_ = Instant::max();
  Instant over_at_ = Instant::max(); // set by the first tick after the end
};

} // namespace trunkline::quarkchain
