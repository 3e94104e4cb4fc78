#include "services/quarkchain/cluster/xshard_routes.hpp"

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {

XshardRoutes::XshardRoutes(std::shared_ptr<const std::vector<std::uint32_t>> branches, bool strict_parity)
    : branches_(std::move(branches)), strict_parity_(strict_parity) {}

void XshardRoutes::add(const SlaveIdentity& slave, std::shared_ptr<RpcCircuit> circuit) {
  for (const Entry& entry : entries_)
    if (entry.circuit == circuit) return;
  // In strict parity those that have ended stay, but one that has come again makes up for them.
  const auto replaced = [&](const Entry& each) { return each.slave.id == slave.id && !each.circuit->is_open(); };
  if (std::erase_if(entries_, replaced) > 0) index();
  Entry entry{slave, std::move(circuit)};
  std::vector<std::uint32_t>& shards = entry.slave.full_shard_ids;
  std::ranges::sort(shards);
  const auto repeated = std::ranges::unique(shards);
  shards.erase(repeated.begin(), repeated.end());
  if (branches_)
    std::erase_if(shards, [this](std::uint32_t shard) { return !std::ranges::binary_search(*branches_, shard); });
  for (const std::uint32_t shard : shards) by_shard_[shard].push_back(entries_.size());
  entries_.push_back(std::move(entry));
}

void XshardRoutes::erase(const RpcCircuit& circuit) {
  if (strict_parity_) return;
  if (std::erase_if(entries_, [&](const Entry& entry) { return entry.circuit.get() == &circuit; }) > 0) index();
}

void XshardRoutes::index() {
  by_shard_.clear();
  for (std::size_t i = 0; i < entries_.size(); ++i)
    for (const std::uint32_t shard : entries_[i].slave.full_shard_ids) by_shard_[shard].push_back(i);
}

/// One of several connections to a slave: an open one where there is any.
std::vector<std::shared_ptr<RpcCircuit>> XshardRoutes::choose(const std::vector<std::size_t>& entries) const {
  std::vector<std::shared_ptr<RpcCircuit>> chosen;
  std::vector<const std::string*> ids;
  for (const std::size_t i : entries) {
    const Entry& entry = entries_[i];
    const auto same = std::ranges::find_if(ids, [&](const std::string* id) { return *id == entry.slave.id; });
    if (same == ids.end()) {
      ids.push_back(&entry.slave.id);
      chosen.push_back(entry.circuit);
    } else if (auto& present = chosen[static_cast<std::size_t>(same - ids.begin())]; !present->is_open()) {
      present = entry.circuit;
    }
  }
  return chosen;
}

std::vector<std::shared_ptr<RpcCircuit>> XshardRoutes::to(std::uint32_t full_shard_id) const {
  const auto found = by_shard_.find(full_shard_id);
  return found == by_shard_.end() ? std::vector<std::shared_ptr<RpcCircuit>>() : choose(found->second);
}

std::vector<std::shared_ptr<RpcCircuit>> XshardRoutes::to_all() const {
  std::vector<std::size_t> all(entries_.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return choose(all);
}

bool XshardRoutes::knows(const std::string& slave_id) const {
  return std::ranges::any_of(entries_, [&](const Entry& entry) {
    return entry.slave.id == slave_id && (strict_parity_ || entry.circuit->is_open());
  });
}

} // namespace trunkline::quarkchain
