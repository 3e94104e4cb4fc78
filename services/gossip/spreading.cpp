// The part of a Machine that passes messages down the tree, and takes over the parts of targets that do not answer.
#include "services/gossip/machine_state.hpp"

#include <algorithm>
#include <utility>

namespace trunkline::gossip {

bool Machine::serve(Rumor& rumor, const Hop& hop, Instant now) {
  const std::uint32_t reach = strategy_->reach(hop);
  const bool repeats = strategy_->layers().repeats;
  if (!repeats && reach <= rumor.served) return true;
  // Whoever repeats for every duplicate would repeat for every replay, and spans can be made to grow one by one.
  if (rumor.serves >= 2 * levels_of(rumor.book->size()) + 2) return false;
  ++rumor.serves;
  std::vector<Hop> hops;
  strategy_->relay(rumor.book->size(), hop, repeats ? 0 : rumor.served, hops);
  rumor.served = std::max(rumor.served, reach); // before the sends, which may lead back to us
  for (const Hop& next : hops) post(rumor, next, now);
  return true;
}

/// Sends what the member at `hop.to` would have sent.
void Machine::adopt(Rumor& rumor, const Hop& hop, Instant now) {
  std::vector<Hop> hops;
  strategy_->relay(rumor.book->size(), hop, 0, hops);
  if (!hops.empty()) ++counters_.adoptions;
  for (const Hop& next : hops) {
    if (next.to == rumor.here) {
      serve(rumor, next, now);
    } else {
      post(rumor, next, now);
    }
  }
}

void Machine::post(Rumor& rumor, const Hop& hop, Instant now) {
  const NodeId& to = rumor.book->members()[hop.to];
  const Layers& layers = strategy_->layers();
  if (!layers.repeats) {
    if (to == rumor.key.first) return;
    const std::uint32_t reach = strategy_->reach(hop);
    const auto [entry, first] = rumor.sent.emplace(to, reach);
    if (!first && reach <= entry->second) return;
    entry->second = std::max(entry->second, reach);
  }
  std::uint64_t ticket = 0;
  if (layers.adopts && strategy_->reach(hop) > 0) { // who has nobody below needs no heir
    if (const auto before = rumor.unacked.find(to); before != rumor.unacked.end()) stop_timer(before->second);
    Timer timer;
    timer.kind = Timer::Kind::ack;
    timer.key = rumor.key;
    timer.to = to;
    timer.hop = hop;
    ticket = start_timer(now + options_.ack_timeout, std::move(timer));
    rumor.unacked[to] = ticket;
  }
  send_rumor(rumor, to, hop, ticket);
}

void Machine::send_rumor(Rumor& rumor, const NodeId& to, const Hop& hop, std::uint64_t ticket) {
  Word word;
  word.kind = Word::Kind::rumor;
  word.yes = ticket != 0;
  word.level = static_cast<std::uint8_t>(hop.level);
  word.span = hop.span;
  word.book = rumor.book ? rumor.book->version() : books_.front()->version();
  word.origin = rumor.key.first;
  word.id = rumor.key.second;
  word.payload = rumor.payload.bytes();
  ++counters_.sends;
  sends_.push_back({to, word.encode(), ticket});
}

void Machine::on_ack(const NodeId& from, const Word& word, Instant now) {
  const auto found = rumors_.find({word.origin, word.id});
  if (found == rumors_.end()) return;
  const std::shared_ptr<Rumor> rumor = found->second;
  if (const auto entry = rumor->unacked.find(from); entry != rumor->unacked.end()) {
    const std::uint64_t ticket = entry->second;
    const Hop hop = timers_.at(ticket).hop;
    rumor->unacked.erase(entry);
    stop_timer(ticket);
    if (!word.yes) adopt(*rumor, hop, now); // it has the message, but not our book, and cannot pass it on
  }
  neighbour_has_it(*rumor, from, now);
}

void Machine::on_no_ack(Rumor& rumor, const Timer& timer, bool unreachable, Instant now) {
  rumor.unacked.erase(timer.to);
  if (unreachable || timer.tries >= options_.ack_tries) return adopt(rumor, timer.hop, now);
  Timer again = timer;
  ++again.tries;
  const std::uint64_t ticket = start_timer(now + options_.ack_timeout, std::move(again));
  rumor.unacked[timer.to] = ticket;
  ++counters_.resends;
  send_rumor(rumor, timer.to, timer.hop, ticket);
}

} // namespace trunkline::gossip
