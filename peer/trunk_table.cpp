#include "peer/trunk_table.hpp"

#include "transport/address.hpp"

#include <boost/assert.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace trunkline {

bool TrunkTable::is_usable(const NodeLink& trunk) const noexcept {
  return trunk.phase() == Link::Phase::open && !trunk.draining;
}

// Both nodes must come to the same answer when each has dialled the other. What one of them dialled twice is up to it:
// it keeps its first (the names of it are in use), and its far side follows the last, which a node that lost its old
// connection without a word also makes.
bool TrunkTable::is_better(const NodeLink& newer, const NodeLink& older) const noexcept {
  if (newer.dialled() == older.dialled()) return !newer.dialled();
  const NodeId& dialler = newer.dialled() ? own_ : newer.node_id;
  return dialler == std::min(own_, newer.node_id);
}

void TrunkTable::add(std::shared_ptr<NodeLink> trunk) {
  if (!trunk->dialled_address().empty()) by_address_[trunk->dialled_address()] = trunk;
  all_.push_back(std::move(trunk));
}

// Whoever dials such an address is promised the key that it names: a trunk stands in for it only where the far side has
// shown that key.
bool TrunkTable::is_own_pin(const NodeLink& trunk, std::string_view claim) {
  const std::size_t mark = claim.find('#');
  const std::optional<NodeId> pin = mark == std::string_view::npos ? std::nullopt : NodeId::parse(claim.substr(mark + 1));
  return pin && trunk.is_proven() && trunk.trunk()->remote_identity()->is(*pin);
}

std::string TrunkTable::believed(const NodeLink& trunk, std::string_view claim,
                                 const std::vector<std::string>& ours) const {
  const Medium* const medium = find_medium(media_, claim);
  if (!medium) return {}; // nobody here can dial it
  std::string address(claim);
  if (medium->proves_identity() && !is_own_pin(trunk, claim)) return {};
  if (!medium->has_hosts()) {
    // Nothing but the medium itself can vouch for a name: all who use it are on this machine.
    if (scheme_of(claim) != scheme_of(trunk.remote())) return {};
  } else if (trunk.remote_host().empty()) {
    return {};
  } else if (is_unspecified(claim)) {
    address = with_host(claim, trunk.remote_host());
  } else if (host_of(claim) != trunk.remote_host()) {
    return {};
  }
  if (std::find(ours.begin(), ours.end(), address) != ours.end()) return {};
  return address;
}

std::vector<std::shared_ptr<NodeLink>> TrunkTable::identify(const std::shared_ptr<NodeLink>& trunk,
                                                            const RemoteNode& remote,
                                                            const std::vector<std::string>& ours) {
  trunk->set_open();
  trunk->node_id = remote.id;
  for (const std::string& claim : remote.addresses)
    if (std::string address = believed(*trunk, claim, ours); !address.empty())
      trunk->addresses.push_back(std::move(address));
  // An address that leads elsewhere already is not given to another node that claims it.
  for (const std::string& address : trunk->addresses) by_address_.emplace(address, trunk);

  std::vector<std::shared_ptr<NodeLink>> drained;
  std::shared_ptr<NodeLink>& preferred = by_node_[remote.id];
  if (!preferred) {
    preferred = trunk;
    return drained;
  }
  const std::shared_ptr<NodeLink> loser = is_better(*trunk, *preferred) ? std::exchange(preferred, trunk) : trunk;
  for (auto& [address, target] : by_address_)
    if (target == loser) target = preferred;
  if (loser->dialled()) drained.push_back(loser);
  return drained;
}

void TrunkTable::set_draining(const std::shared_ptr<NodeLink>& trunk) {
  trunk->draining = true;
  take_names(trunk);
}

void TrunkTable::set_over(const std::shared_ptr<NodeLink>& trunk, End reason) {
  trunk->set_over(std::move(reason));
  take_names(trunk);
}

void TrunkTable::erase(const std::shared_ptr<Link>& trunk) {
  BOOST_ASSERT(trunk->phase() == Link::Phase::over);
  std::erase(all_, trunk);
}

// The names of a trunk that is not usable any more go to another one to the same node, or to another node that claims
// them.
void TrunkTable::take_names(const std::shared_ptr<NodeLink>& trunk) {
  std::shared_ptr<NodeLink> heir;
  if (const auto preferred = by_node_.find(trunk->node_id); preferred != by_node_.end()) {
    if (preferred->second == trunk) {
      for (const auto& other : all_)
        if (other->node_id == trunk->node_id && is_usable(*other) && (!heir || is_better(*other, *heir))) heir = other;
      preferred->second = heir;
      if (!heir) by_node_.erase(preferred);
    } else {
      heir = preferred->second;
    }
  }

  std::vector<std::string> orphans;
  for (auto entry = by_address_.begin(); entry != by_address_.end();) {
    if (entry->second == trunk && !heir) {
      orphans.push_back(entry->first);
      entry = by_address_.erase(entry);
    } else {
      if (entry->second == trunk) entry->second = heir;
      ++entry;
    }
  }
  if (orphans.empty()) return;
  for (const auto& [node, preferred] : by_node_)
    for (const std::string& address : preferred->addresses)
      if (std::binary_search(orphans.begin(), orphans.end(), address)) by_address_.emplace(address, preferred);
}

std::shared_ptr<NodeLink> TrunkTable::find(std::string_view address) const {
  if (address.starts_with("node://")) {
    const std::optional<NodeId> node = NodeId::parse(address.substr(7));
    return node ? find(*node) : nullptr;
  }
  const auto found = by_address_.find(address);
  return found == by_address_.end() ? nullptr : found->second;
}

std::shared_ptr<NodeLink> TrunkTable::find(const NodeId& node) const {
  const auto found = by_node_.find(node);
  return found == by_node_.end() ? nullptr : found->second;
}

} // namespace trunkline
