#include "services/gossip/cleaning.hpp"

#include "fragment/deadline.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace trunkline::gossip {
namespace {

constexpr std::size_t broken_promises_max = 8; // per message
constexpr std::uint32_t later_max = 8; // per neighbour, which then counts as one that does not answer

} // namespace

void Cleaning::schedule(Rumor& rumor, Instant due) {
  rumor.clean_ticket = timers_.start(due, Timer(Timer::Kind::clean, rumor.key));
}

void Cleaning::start(Rumor& rumor, Instant now) {
  rumor.cleaning = true;
  rumor.skipped = false;
  timers_.stop(std::exchange(rumor.clean_ticket, 0));
  for (Rumor::Side& side : rumor.sides) {
    timers_.stop(side.ticket);
    side = Rumor::Side();
  }
  for (std::size_t side = 0; side < rumor.sides.size(); ++side) ask_next(rumor, side, now);
}

/// Goes on to the next neighbour in one direction that is not known to have it, until enough have it.
void Cleaning::ask_next(Rumor& rumor, std::size_t side_number, Instant now) {
  Rumor::Side& side = rumor.sides[side_number];
  side.ticket = 0;
  side.asked = NodeId();
  const Book& book = *books_.current();
  const std::optional<Position> here = book.find(self_);
  while (here && side.have < options_.clean_reach && ++side.step < book.size()) {
    const std::uint32_t offset = side_number == 0 ? book.size() - side.step : side.step;
    const NodeId& neighbour = book.members()[(*here + offset) % book.size()];
    if (rumor.have.contains(neighbour) || neighbour == rumor.key.first) {
      ++side.have;
      continue;
    }
    side.asked = neighbour;
    side.later = 0;
    return ask(rumor, side_number, 0, now);
  }
  side.done = true;
  if (!rumor.sides[0].done || !rumor.sides[1].done || !rumor.skipped || rumor.cleaned >= options_.clean_again) return;
  // A silent neighbour may have been away for a moment only.
  ++rumor.cleaned;
  schedule(rumor, after(now, options_.clean_again_after));
}

void Cleaning::ask(Rumor& rumor, std::size_t side_number, std::uint32_t tries_done, Instant now) {
  Rumor::Side& side = rumor.sides[side_number];
  Timer timer(Timer::Kind::question, rumor.key);
  timer.to = side.asked;
  timer.side = side_number;
  timer.tries = tries_done + 1;
  side.ticket = timers_.start(after(now, options_.ack_timeout), std::move(timer));
  ++counters_.questions;
  outgoing_.say(side.asked, Word::Kind::question, rumor.key, false, side.ticket);
}

void Cleaning::give(Rumor& rumor, std::size_t side_number, std::uint32_t tries_done, Instant now) {
  Rumor::Side& side = rumor.sides[side_number];
  Timer timer(Timer::Kind::given, rumor.key);
  timer.to = side.asked;
  timer.side = side_number;
  timer.tries = tries_done + 1;
  side.ticket = timers_.start(after(now, options_.ack_timeout), std::move(timer));
  ++counters_.given;
  if (tries_done > 0) ++counters_.resends;
  outgoing_.send_rumor(rumor, side.asked, Hop{}, side.ticket);
}

void Cleaning::on_no_answer(Rumor& rumor, const Timer& timer, Instant now) {
  if (timer.tries >= options_.tries) {
    rumor.skipped = true;
    return ask_next(rumor, timer.side, now);
  }
  if (timer.kind == Timer::Kind::question) return ask(rumor, timer.side, timer.tries, now);
  give(rumor, timer.side, timer.tries, now);
}

void Cleaning::neighbour_has_it(Rumor& rumor, const NodeId& neighbour, Instant now) {
  rumor.have.insert(neighbour);
  for (std::size_t number = 0; number < rumor.sides.size(); ++number) {
    Rumor::Side& side = rumor.sides[number];
    if (side.asked != neighbour || side.asked.empty()) continue;
    timers_.stop(side.ticket);
    ++side.have;
    ask_next(rumor, number, now);
  }
}

/// Half of all promises are for any member; of the other half each member has its share, so that one member's questions
/// do not keep the others from bringing what they have.
bool Cleaning::has_room_for_promise(const NodeId& from, Instant now) {
  if (promises_.size() < options_.promises_max / 2) return true;
  std::erase_if(promises_, [&](const auto& entry) { return entry.second.until <= now; });
  if (promises_.size() < options_.promises_max / 2) return true;
  if (promises_.size() >= options_.promises_max) return false;
  const std::size_t share = std::max<std::size_t>(1, options_.promises_max / 2 / books_.current()->size());
  const auto theirs =
      std::count_if(promises_.begin(), promises_.end(), [&](const auto& entry) { return entry.second.by == from; });
  return static_cast<std::size_t>(theirs) < share;
}

void Cleaning::on_question(const NodeId& from, const Key& key, Instant now) {
  if (store_.is_remembered(key)) {
    outgoing_.say(from, Word::Kind::answer, key, false);
    if (const std::shared_ptr<Rumor> rumor = store_.find(key)) neighbour_has_it(*rumor, from, now);
    return;
  }
  if (key.first == self_) return;
  auto promise = promises_.find(key);
  if (promise == promises_.end()) {
    if (!has_room_for_promise(from, now)) return; // asked again later, or another neighbour brings it
    promise = promises_.emplace(key, Promise()).first;
  } else if (promise->second.until > now) {
    if (promise->second.by != from) return outgoing_.say(from, Word::Kind::later, key, false);
  } else {
    // A member that has failed to bring it lets the others go first, for as long again.
    Promise& broken = promise->second;
    if (broken.before.size() >= broken_promises_max) broken.before.clear();
    broken.before.insert(broken.by);
    if (broken.before.contains(from) && now < broken.until + options_.ack_timeout)
      return outgoing_.say(from, Word::Kind::later, key, false);
  }
  promise->second.by = from;
  promise->second.until = after(now, options_.ack_timeout);
  outgoing_.say(from, Word::Kind::answer, key, true);
}

/// Whether a question to this neighbour is outstanding.
bool Cleaning::is_asked(const Rumor::Side& side, const NodeId& from) {
  const Timer* const timer = timers_.find(side.ticket);
  return side.asked == from && timer && timer->kind == Timer::Kind::question;
}

void Cleaning::on_answer(const NodeId& from, const Key& key, bool wants_it, Instant now) {
  const std::shared_ptr<Rumor> rumor = store_.find(key);
  if (!rumor) return;
  if (!wants_it) return neighbour_has_it(*rumor, from, now);
  for (std::size_t number = 0; number < rumor->sides.size(); ++number) {
    const Rumor::Side& side = rumor->sides[number];
    if (!is_asked(side, from)) continue;
    timers_.stop(side.ticket);
    return give(*rumor, number, 0, now); // once, also if both neighbours are the same member
  }
}

void Cleaning::on_later(const NodeId& from, const Key& key, Instant now) {
  const std::shared_ptr<Rumor> rumor = store_.find(key);
  if (!rumor) return;
  for (Rumor::Side& side : rumor->sides) {
    if (!is_asked(side, from) || ++side.later > later_max) continue;
    Timer again = *timers_.find(side.ticket);
    again.tries = 0; // it answers
    timers_.stop(side.ticket);
    side.ticket = timers_.start(after(now, options_.ack_timeout), std::move(again));
  }
}

} // namespace trunkline::gossip
