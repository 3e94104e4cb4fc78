#include "services/quarkchain/cluster/virtual_peers.hpp"

#include <utility>

namespace trunkline::quarkchain {

VirtualPeers::VirtualPeers(std::shared_ptr<RpcServer> server, std::size_t peers_max)
    : server_(std::move(server)), peers_max_(peers_max) {}

VirtualPeers::~VirtualPeers() { clear(End(error::peer_ended)); }

void VirtualPeers::set_master(std::shared_ptr<RpcCircuit> control) {
  clear(End(error::trunk_lost, "another master has come"));
  master_ = std::move(control);
}

bool VirtualPeers::create(std::uint64_t cluster_peer_id) {
  const bool known = peers_.contains(cluster_peer_id);
  if (cluster_peer_id == 0 || (!known && peers_.size() >= peers_max_)) {
    ++counters_.refused;
    return false;
  }
  peers_.insert(cluster_peer_id);
  for (const std::uint32_t branch : branches_) add(Route(branch, cluster_peer_id));
  return true;
}

void VirtualPeers::add_branch(std::uint32_t branch) {
  if (!branches_.insert(branch).second) return;
  for (const std::uint64_t peer : peers_) add(Route(branch, peer));
}

void VirtualPeers::add(const Route& route) {
  if (!master_ || !master_->is_open() || circuits_.contains(route)) return;
  ++counters_.created;
  circuits_.emplace(route, RpcCircuit::start(master_->new_circuit(to_text(route)), server_));
}

void VirtualPeers::destroy(std::uint64_t cluster_peer_id) {
  if (peers_.erase(cluster_peer_id) == 0) return;
  for (const std::uint32_t branch : std::set(branches_)) {
    const auto found = circuits_.find(Route(branch, cluster_peer_id));
    if (found == circuits_.end()) continue;
    const std::shared_ptr<RpcCircuit> circuit = std::move(found->second);
    circuits_.erase(found);
    circuit->close(End(error::peer_ended, "the peer is gone"));
  }
}

void VirtualPeers::clear(End reason) {
  peers_.clear();
  master_.reset();
  for (const auto& [route, circuit] : std::exchange(circuits_, {})) circuit->close(reason);
}

std::shared_ptr<RpcCircuit> VirtualPeers::find(std::uint32_t branch, std::uint64_t cluster_peer_id) const {
  const auto found = circuits_.find(Route(branch, cluster_peer_id));
  return found == circuits_.end() || !found->second->is_open() ? nullptr : found->second;
}

std::vector<std::shared_ptr<RpcCircuit>> VirtualPeers::on_branch(std::uint32_t branch) const {
  std::vector<std::shared_ptr<RpcCircuit>> found;
  for (auto at = circuits_.lower_bound(Route(branch, 0)); at != circuits_.end() && at->first.branch == branch; ++at)
    if (at->second->is_open()) found.push_back(at->second);
  return found;
}

std::vector<std::shared_ptr<RpcCircuit>> VirtualPeers::all() const {
  std::vector<std::shared_ptr<RpcCircuit>> all;
  for (const auto& [route, circuit] : circuits_)
    if (circuit->is_open()) all.push_back(circuit);
  return all;
}

} // namespace trunkline::quarkchain
