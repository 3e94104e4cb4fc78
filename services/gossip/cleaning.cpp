// The part of a Machine that asks its neighbours in the current book whether they have a message, and brings it to
// those who do not.
#include "services/gossip/machine_state.hpp"

#include <algorithm>
#include <utility>

namespace trunkline::gossip {
namespace {

constexpr std::size_t broken_promises_max = 8; // per message
constexpr std::uint32_t later_max = 8;         // per neighbour, and then it counts as one that does not answer

} // namespace

void Machine::start_cleaning(Rumor& rumor, Instant now) {
  rumor.cleaning = true;
  rumor.skipped = false;
  stop_timer(std::exchange(rumor.clean_ticket, 0));
  for (Rumor::Side& side : rumor.sides) {
    stop_timer(side.ticket);
    side = Rumor::Side();
  }
  for (std::size_t side = 0; side < rumor.sides.size(); ++side) ask_next(rumor, side, now);
}

/// Goes on to the next neighbour in one direction who is not known to have it, until enough are.
void Machine::ask_next(Rumor& rumor, std::size_t side_number, Instant now) {
  Rumor::Side& side = rumor.sides[side_number];
  side.ticket = 0;
  side.asked = NodeId();
  const Book& book = *books_.front();
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
  // Who did not answer may have been away for a moment only.
  ++rumor.cleaned;
  Timer again;
  again.kind = Timer::Kind::clean;
  again.key = rumor.key;
  rumor.clean_ticket = start_timer(now + options_.clean_again_after, std::move(again));
}

void Machine::ask(Rumor& rumor, std::size_t side_number, std::uint32_t tries_done, Instant now) {
  Rumor::Side& side = rumor.sides[side_number];
  Timer timer;
  timer.kind = Timer::Kind::question;
  timer.key = rumor.key;
  timer.to = side.asked;
  timer.side = side_number;
  timer.tries = tries_done + 1;
  side.ticket = start_timer(now + options_.ack_timeout, std::move(timer));
  ++counters_.questions;
  say(side.asked, Word::Kind::question, rumor.key, false, side.ticket);
}

void Machine::give(Rumor& rumor, std::size_t side_number, std::uint32_t tries_done, Instant now) {
  Rumor::Side& side = rumor.sides[side_number];
  Timer timer;
  timer.kind = Timer::Kind::given;
  timer.key = rumor.key;
  timer.to = side.asked;
  timer.side = side_number;
  timer.tries = tries_done + 1;
  side.ticket = start_timer(now + options_.ack_timeout, std::move(timer));
  ++counters_.given;
  if (tries_done > 0) ++counters_.resends;
  send_rumor(rumor, side.asked, Hop{}, side.ticket);
}

/// Whether it answered, acknowledged, asked us or brought it: it need not be asked any more.
void Machine::neighbour_has_it(Rumor& rumor, const NodeId& neighbour, Instant now) {
  rumor.have.insert(neighbour);
  for (std::size_t number = 0; number < rumor.sides.size(); ++number) {
    Rumor::Side& side = rumor.sides[number];
    if (side.asked != neighbour || side.asked.empty()) continue;
    stop_timer(side.ticket);
    ++side.have;
    ask_next(rumor, number, now);
  }
}

/// Half of all is for whoever comes; of the rest each member has its share, so that nobody's questions keep the others
/// from bringing what they have.
bool Machine::has_room_for_promise(const NodeId& from, Instant now) {
  if (promises_.size() < options_.promises_max / 2) return true;
  std::erase_if(promises_, [&](const auto& entry) { return entry.second.until <= now; });
  if (promises_.size() < options_.promises_max / 2) return true;
  if (promises_.size() >= options_.promises_max) return false;
  const std::size_t share = std::max<std::size_t>(1, options_.promises_max / 2 / books_.front()->size());
  const auto theirs =
      std::count_if(promises_.begin(), promises_.end(), [&](const auto& entry) { return entry.second.by == from; });
  return static_cast<std::size_t>(theirs) < share;
}

void Machine::on_question(const NodeId& from, const Word& word, Instant now) {
  const Key key(word.origin, word.id);
  if (remembered_.contains(key)) {
    say(from, Word::Kind::answer, key, false);
    if (const auto held = rumors_.find(key); held != rumors_.end()) {
      const std::shared_ptr<Rumor> rumor = held->second;
      neighbour_has_it(*rumor, from, now);
    }
    return;
  }
  if (word.origin == self_) return;
  auto promise = promises_.find(key);
  if (promise == promises_.end()) {
    if (!has_room_for_promise(from, now)) return; // asked again later, or somebody else brings it
    promise = promises_.emplace(key, Promise()).first;
  } else if (promise->second.until > now) {
    if (promise->second.by != from) return say(from, Word::Kind::later, key, false);
  } else {
    // Whoever has failed to bring it lets others go first, for as long again.
    Promise& broken = promise->second;
    if (broken.before.size() >= broken_promises_max) broken.before.clear();
    broken.before.insert(broken.by);
    if (broken.before.contains(from) && now < broken.until + options_.ack_timeout)
      return say(from, Word::Kind::later, key, false);
  }
  promise->second.by = from;
  promise->second.until = now + options_.ack_timeout;
  say(from, Word::Kind::answer, key, true);
}

void Machine::on_answer(const NodeId& from, const Word& word, Instant now) {
  const auto found = rumors_.find({word.origin, word.id});
  if (found == rumors_.end()) return;
  const std::shared_ptr<Rumor> rumor = found->second;
  if (!word.yes) return neighbour_has_it(*rumor, from, now);
  for (std::size_t number = 0; number < rumor->sides.size(); ++number) {
    const Rumor::Side& side = rumor->sides[number];
    const auto timer = timers_.find(side.ticket);
    if (side.asked != from || timer == timers_.end() || timer->second.kind != Timer::Kind::question) continue;
    stop_timer(side.ticket);
    return give(*rumor, number, 0, now); // once, also where both neighbours are the same
  }
}

void Machine::on_later(const NodeId& from, const Word& word, Instant now) {
  const auto found = rumors_.find({word.origin, word.id});
  if (found == rumors_.end()) return;
  for (Rumor::Side& side : found->second->sides) {
    const auto timer = timers_.find(side.ticket);
    if (side.asked != from || timer == timers_.end() || timer->second.kind != Timer::Kind::question) continue;
    if (++side.later > later_max) continue;
    Timer again = timer->second;
    again.tries = 0; // it answers
    stop_timer(side.ticket);
    side.ticket = start_timer(now + options_.ack_timeout, std::move(again));
  }
}

} // namespace trunkline::gossip
