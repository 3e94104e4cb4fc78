#include "services/gossip/spreading.hpp"

#include "fragment/deadline.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace trunkline::gossip {

bool Spreading::serve(Rumor& rumor, const Hop& hop, Instant now) {
  const std::uint32_t reach = strategy_.reach(hop);
  const bool repeats = strategy_.layers().repeats;
  if (!repeats && reach <= rumor.served) return true;
  // Repeating for every duplicate would mean repeating for every replay, and spans can be made to grow one by one.
  if (rumor.serves >= 2 * levels_of(rumor.book->size()) + 2) return false;
  ++rumor.serves;
  std::vector<Hop> hops;
  strategy_.relay(rumor.book->size(), hop, repeats ? 0 : rumor.served, hops);
  rumor.served = std::max(rumor.served, reach); // before the sends, which may lead back to us
  for (const Hop& next : hops) post(rumor, next, now);
  return true;
}

/// Sends what the member at `hop.to` would have sent.
void Spreading::adopt(Rumor& rumor, const Hop& hop, Instant now) {
  std::vector<Hop> hops;
  strategy_.relay(rumor.book->size(), hop, 0, hops);
  if (!hops.empty()) ++counters_.adoptions;
  for (const Hop& next : hops) {
    if (next.to == rumor.here) {
      serve(rumor, next, now);
    } else {
      post(rumor, next, now);
    }
  }
}

void Spreading::post(Rumor& rumor, const Hop& hop, Instant now) {
  const NodeId& to = rumor.book->members()[hop.to];
  const Layers& layers = strategy_.layers();
  if (!layers.repeats) {
    if (to == rumor.key.first) return;
    const std::uint32_t reach = strategy_.reach(hop);
    const auto [entry, first] = rumor.sent.emplace(to, reach);
    if (!first && reach <= entry->second) return;
    entry->second = std::max(entry->second, reach);
  }
  std::uint64_t ticket = 0;
  if (layers.adopts && strategy_.reach(hop) > 0) { // a target with nothing to pass on leaves no part to adopt
    if (const auto before = rumor.unacked.find(to); before != rumor.unacked.end()) timers_.stop(before->second);
    Timer timer(Timer::Kind::ack, rumor.key);
    timer.to = to;
    timer.hop = hop;
    ticket = timers_.start(after(now, options_.ack_timeout), std::move(timer));
    rumor.unacked[to] = ticket;
  }
  outgoing_.send_rumor(rumor, to, hop, ticket);
}

void Spreading::on_ack(Rumor& rumor, const NodeId& from, bool passes_on, Instant now) {
  const auto entry = rumor.unacked.find(from);
  if (entry == rumor.unacked.end()) return;
  const std::uint64_t ticket = entry->second;
  const Hop hop = timers_.find(ticket)->hop;
  rumor.unacked.erase(entry);
  timers_.stop(ticket);
  if (!passes_on) adopt(rumor, hop, now);
}

void Spreading::on_no_ack(Rumor& rumor, const Timer& timer, bool unreachable, Instant now) {
  rumor.unacked.erase(timer.to);
  if (unreachable || timer.tries >= options_.ack_tries) return adopt(rumor, timer.hop, now);
  Timer again = timer;
  ++again.tries;
  const std::uint64_t ticket = timers_.start(after(now, options_.ack_timeout), std::move(again));
  rumor.unacked[timer.to] = ticket;
  ++counters_.resends;
  outgoing_.send_rumor(rumor, timer.to, timer.hop, ticket);
}

} // namespace trunkline::gossip
