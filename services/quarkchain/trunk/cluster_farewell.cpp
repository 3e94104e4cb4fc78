#include "services/quarkchain/trunk/cluster_farewell.hpp"

#include "circuit/invariant.hpp"
#include "fragment/deadline.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace trunkline::quarkchain {

void ClusterFarewell::drain(Instant deadline) noexcept {
  draining_ = true;
  drain_deadline_ = std::min(drain_deadline_, deadline);
}

bool ClusterFarewell::end() noexcept {
  if (!running()) return false;
  state_ = State::ending;
  draining_ = false; // the last circuit does not end the trunk again
  return true;
}

bool ClusterFarewell::disconnected() noexcept {
  draining_ = false;
  return std::exchange(state_, State::over) == State::running;
}

Instant ClusterFarewell::deadline() const noexcept {
  switch (state_) {
    case State::running: return drain_deadline_;
    case State::ending: return over_at_ == Instant::max() ? whole_.now : over_at_; // at once: the next tick sets it
    case State::over: break;
  }
  return Instant::max();
}

void ClusterFarewell::tick_end() noexcept {
  const Instant now = whole_.now;
  if (over_at_ == Instant::max()) // which is "not set": a farewell without a deadline ends just before it
    over_at_ = std::min(after(now, whole_.options.limits.goodbye_deadline), Instant::max() - Instant::duration(1)) +
               std::chrono::nanoseconds(off_by_one("cluster farewell"));
  if (now >= over_at_) state_ = State::over;
}

void ClusterFarewell::check() const {
  invariant(!running() || over_at_ == Instant::max(), "cluster farewell: over_at exists only after the end");
  invariant(over_at_ == Instant::max() || over_at_ <= after(whole_.now, whole_.options.limits.goodbye_deadline),
            "cluster farewell: over_at <= now + goodbye_deadline");
}

} // namespace trunkline::quarkchain
