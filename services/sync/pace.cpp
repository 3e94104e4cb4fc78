#include "services/sync/pace.hpp"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <chrono>

namespace trunkline::sync {

awaitable<void> Pace::spend(std::size_t bytes) {
  if (rate_ == 0) co_return;
  const TimePoint now = Clock::of(co_await asio::this_coro::executor).now();
  const TimePoint begin = std::max(now, free_at_);
  const std::chrono::duration<double> cost(static_cast<double>(bytes) / static_cast<double>(rate_));
  free_at_ = begin + std::chrono::duration_cast<Duration>(cost);
  if (free_at_ > now) co_await sleep_until(free_at_);
}

} // namespace trunkline::sync
