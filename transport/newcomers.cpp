#include "transport/newcomers.hpp"

#include "transport/address.hpp"

#include <algorithm>

namespace trunkline {

Newcomers::Who Newcomers::who_goes(std::string_view host, TimePoint now) const {
  const std::string network = network_of(host);
  const auto oldest_of = [&](const auto& is_meant) -> const Entry* {
    for (const auto& [number, entry] : entries_)
      if (is_meant(entry)) return &entry;
    return nullptr;
  };
  const auto count = counts_.find(network);
  if (!host.empty() && count != counts_.end() && count->second >= per_host_max_) {
    const Entry* const own = oldest_of([&](const Entry& entry) { return entry.network == network; });
    if (now - own->came_at >= patience) return own->who;
  }
  const Entry* const oldest = entries_.size() < max_ ? nullptr : oldest_of_most();
  return oldest ? oldest->who : nullptr;
}

Newcomers::Who Newcomers::who_gives_way(std::string_view host, TimePoint now) const {
  const Entry* const oldest = oldest_of_most();
  if (!oldest) return nullptr;
  const auto own = counts_.find(network_of(host));
  const std::size_t of_host = own == counts_.end() ? 0 : own->second;
  const bool has_more = oldest->network.empty() || counts_.find(oldest->network)->second > of_host + 1;
  return has_more || now - oldest->came_at >= patience ? oldest->who : nullptr;
}

const Newcomers::Entry* Newcomers::oldest_of_most() const {
  std::size_t most = 0;
  for (const auto& [network, of_it] : counts_) most = std::max(most, of_it);
  for (const auto& [number, entry] : entries_)
    if (counts_.find(entry.network)->second == most) return &entry;
  return nullptr;
}

void Newcomers::add(Who who, std::string_view host, TimePoint now) {
  if (numbers_.contains(who)) return;
  const std::size_t number = number_last_ + 1;
  Entry entry{who, network_of(host), now};
  const auto count = counts_.try_emplace(entry.network, 0).first;
  try { // all of it or nothing: without memory no trace of it may stay
    numbers_.emplace(who, number);
    entries_.emplace(number, std::move(entry));
  } catch (...) {
    numbers_.erase(who);
    if (count->second == 0) counts_.erase(count);
    throw;
  }
  ++count->second;
  number_last_ = number;
}

void Newcomers::erase(Who who) {
  const auto number = numbers_.find(who);
  if (number == numbers_.end()) return;
  const auto entry = entries_.find(number->second);
  const auto count = counts_.find(entry->second.network);
  if (--count->second == 0) counts_.erase(count);
  entries_.erase(entry);
  numbers_.erase(number);
}

} // namespace trunkline
