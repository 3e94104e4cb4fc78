#include "services/admin/link_book.hpp"

#include "circuit/trunk.hpp"

#include <algorithm>
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
  if (links_.emplace(link.trunk, Named{number_last_ + 1, link.remote}).second) ++number_last_;
}

void LinkBook::end(std::map<std::shared_ptr<Trunk>, Named>::iterator link) {
  if (ended_.size() == over_max) ended_.pop_front();
  ended_.push_back(std::move(link->second));
  links_.erase(link);
}

void LinkBook::note(LinkChange change, const LinkInfo& link) {
  if (change != LinkChange::over) return add(link);
  const auto known = links_.find(link.trunk);
  if (known == links_.end()) return;
  count(over_, link.counters);
  const bool in_order = link.end.clean() || link.end.code == error::node_closed || link.end.code == error::draining;
  if (!in_order && !link.ended_here) {
    if (lost_.size() == lost_max) lost_.pop_front();
    lost_.push_back({std::chrono::system_clock::now(), known->second.number, link.remote, link.name, link.end.to_string()});
  }
  end(known);
}

void LinkBook::look(const std::vector<LinkInfo>& links) {
  std::set<std::shared_ptr<Trunk>> open;
  for (const LinkInfo& link : links) {
    add(link);
    open.insert(link.trunk);
  }
  for (auto at = links_.begin(); at != links_.end();) {
    const auto link = at++;
    if (open.contains(link->first)) continue;
    count(over_, link->first->machine().counters());
    end(link);
  }
}

std::uint64_t LinkBook::number_of(const std::shared_ptr<Trunk>& trunk) const {
  const auto found = links_.find(trunk);
  return found == links_.end() ? 0 : found->second.number;
}

const LinkBook::Named* LinkBook::named_in(std::string_view line) const {
  const auto names = [line](const std::string& remote) {
    if (remote.empty()) return false;
    for (std::size_t at = line.find(remote); at != std::string_view::npos; at = line.find(remote, at + 1)) {
      const std::size_t end = at + remote.size();
      // Not the beginning of another one: a longer port, a longer path.
      if (end == line.size() || std::string_view(" ,:;()\"'").find(line[end]) != std::string_view::npos) return true;
    }
    return false;
  };
  const Named* newest = nullptr;
  for (const auto& [trunk, link] : links_)
    if ((!newest || link.number > newest->number) && names(link.remote)) newest = &link;
  if (newest) return newest;
  const auto ended = std::find_if(ended_.rbegin(), ended_.rend(), [&](const Named& link) { return names(link.remote); });
  return ended == ended_.rend() ? nullptr : &*ended;
}

LinkTotals LinkBook::totals() const {
  LinkTotals totals = over_;
  for (const auto& [trunk, link] : links_) count(totals, trunk->machine().counters());
  return totals;
}

} // namespace trunkline::admin
