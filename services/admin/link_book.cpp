#include "services/admin/link_book.hpp"

#include "circuit/trunk.hpp"

#include <set>
#include <utility>

namespace trunkline::admin {
namespace {

void count(LinkTotals& totals, const TrunkCounters& trunk) {
  totals.bytes_sent += trunk.bytes_sent;
  totals.bytes_received += trunk.bytes_received;
  totals.frames_received += trunk.frames_received;
  totals.circuits_opened += trunk.circuits_opened;
}

} // namespace

void LinkBook::add(const LinkInfo& link) {
  if (numbers_.emplace(link.trunk, number_last_ + 1).second) ++number_last_;
}

void LinkBook::note(LinkChange change, const LinkInfo& link) {
  if (change != LinkChange::over) return add(link);
  const auto known = numbers_.find(link.trunk);
  if (known == numbers_.end()) return;
  count(over_, link.counters);
  const bool in_order = link.end.clean() || link.end.code == error::node_closed || link.end.code == error::draining;
  if (!in_order && !link.ended_here) {
    if (lost_.size() == lost_max) lost_.pop_front();
    lost_.push_back({std::chrono::system_clock::now(), known->second, link.remote, link.name, link.end.to_string()});
  }
  numbers_.erase(known);
}

void LinkBook::look(const std::vector<LinkInfo>& links) {
  std::set<std::shared_ptr<Trunk>> open;
  for (const LinkInfo& link : links) {
    add(link);
    open.insert(link.trunk);
  }
  for (auto at = numbers_.begin(); at != numbers_.end();) {
    if (open.contains(at->first)) {
      ++at;
    } else {
      count(over_, at->first->machine().counters());
      at = numbers_.erase(at);
    }
  }
}

std::uint64_t LinkBook::number_of(const std::shared_ptr<Trunk>& trunk) const {
  const auto found = numbers_.find(trunk);
  return found == numbers_.end() ? 0 : found->second;
}

LinkTotals LinkBook::totals() const {
  LinkTotals totals = over_;
  for (const auto& [trunk, number] : numbers_) count(totals, trunk->machine().counters());
  return totals;
}

} // namespace trunkline::admin
