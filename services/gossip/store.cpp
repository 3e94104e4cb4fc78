#include "services/gossip/store.hpp"

#include "fragment/deadline.hpp"

#include <algorithm>
#include <utility>

namespace trunkline::gossip {

bool Store::has_room(std::size_t theirs, std::size_t all, std::size_t more, std::size_t limit) const {
  if (all + more > limit) return false;
  const std::size_t share = std::max<std::size_t>(1, limit / 2 / books_.members_max());
  return all + more <= limit / 2 || theirs + more <= share;
}

bool Store::make_room(const NodeId& origin, std::size_t bytes) {
  const Origin used = origins_.contains(origin) ? origins_.at(origin) : Origin();
  if (!has_room(used.remembered, remembered_.size(), 1, options_.remembered_messages_max)) return false;
  while (!has_room(used.held_messages, rumors_.size(), 1, options_.held_messages_max))
    if (!let_go_one_for(origin, &Origin::held_messages, used.held_messages + 1)) return false;
  while (!has_room(used.held_bytes, held_bytes_, bytes, options_.held_bytes_max))
    if (!let_go_one_for(origin, &Origin::held_bytes, used.held_bytes + bytes)) return false;
  return true;
}

/// Releases the oldest message of the member that has most; false when that is not more than `origin` would have. The
/// message has been passed on by then, unless its origin sends too much.
bool Store::let_go_one_for(const NodeId& origin, std::size_t Origin::* figure, std::size_t would_have) {
  const auto most = std::max_element(origins_.begin(), origins_.end(), [figure](const auto& one, const auto& other) {
    return one.second.*figure < other.second.*figure;
  });
  if (most == origins_.end() || most->first == origin || most->second.*figure <= would_have) return false;
  std::shared_ptr<Rumor> oldest;
  for (auto held = rumors_.lower_bound({most->first, RandomId()});
       held != rumors_.end() && held->first.first == most->first; ++held)
    if (!oldest || held->second->hold_ticket < oldest->hold_ticket) oldest = held->second;
  let_go(oldest);
  return true;
}

std::shared_ptr<Rumor> Store::keep(const Key& key, std::shared_ptr<const Book> book, std::optional<Position> here,
                                   Payload payload, Instant now) {
  const auto rumor = std::make_shared<Rumor>();
  rumor->key = key;
  rumor->book = std::move(book);
  rumor->here = here;
  rumor->payload = std::move(payload);
  Origin& origin = origins_[key.first];
  ++origin.held_messages;
  ++origin.remembered;
  origin.held_bytes += rumor->payload.size();
  held_bytes_ += rumor->payload.size();
  rumors_.emplace(key, rumor);
  remembered_.insert(key);
  remembered_in_order_.emplace_back(after(now, options_.remember_for), key);
  rumor->hold_ticket = timers_.start(after(now, options_.hold_for), Timer(Timer::Kind::hold, key));
  return rumor;
}

void Store::let_go(const std::shared_ptr<Rumor>& rumor) {
  Origin& origin = origins_[rumor->key.first];
  --origin.held_messages;
  origin.held_bytes -= rumor->payload.size();
  held_bytes_ -= rumor->payload.size();
  for (const auto& [to, ticket] : rumor->unacked) timers_.stop(ticket);
  for (const Rumor::Side& side : rumor->sides) timers_.stop(side.ticket);
  timers_.stop(rumor->clean_ticket);
  timers_.stop(rumor->hold_ticket);
  rumors_.erase(rumor->key);
}

void Store::forget_old(Instant now) {
  while (!remembered_in_order_.empty() && remembered_in_order_.front().first <= now) {
    const Key key = remembered_in_order_.front().second;
    remembered_in_order_.pop_front();
    if (const std::shared_ptr<Rumor> held = find(key)) let_go(held);
    remembered_.erase(key);
    const auto origin = origins_.find(key.first);
    if (--origin->second.remembered == 0) origins_.erase(origin);
  }
}

std::shared_ptr<Rumor> Store::find(const Key& key) const {
  const auto found = rumors_.find(key);
  return found == rumors_.end() ? nullptr : found->second;
}

} // namespace trunkline::gossip
