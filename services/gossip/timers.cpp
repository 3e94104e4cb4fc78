#include "services/gossip/timers.hpp"

namespace trunkline::gossip {

std::uint64_t Timers::start(Instant due, Timer timer) {
  const std::uint64_t ticket = ++ticket_last_;
  timer.due = due;
  timers_.emplace(ticket, std::move(timer));
  due_.emplace(due, ticket);
  return ticket;
}

void Timers::stop(std::uint64_t ticket) {
  const auto found = timers_.find(ticket);
  if (found == timers_.end()) return;
  due_.erase({found->second.due, ticket});
  timers_.erase(found);
}

Timer* Timers::find(std::uint64_t ticket) {
  const auto found = timers_.find(ticket);
  return found == timers_.end() ? nullptr : &found->second;
}

std::optional<Timer> Timers::next_due(Instant now) {
  if (due_.empty() || due_.begin()->first > now) return std::nullopt;
  const std::uint64_t ticket = due_.begin()->second;
  std::optional<Timer> timer(timers_.at(ticket));
  stop(ticket);
  return timer;
}

} // namespace trunkline::gossip
