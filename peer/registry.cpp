#include "peer/registry.hpp"

#include "fragment/quote.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace trunkline {

void Registry::add_service(std::string name, PeerServiceFunc function, ServiceOptions options) {
  if (name.empty()) throw std::invalid_argument("a service needs a name");
  if (!function) throw std::invalid_argument("service " + quote(name) + " needs a function");
  options.check();
  if (services_.contains(name))
    throw_error(error::already_registered,
                "service " + quote(name) + " is registered already; a name has one function");
  has_rules_ = has_rules_ || options.allow;
  services_.emplace(std::move(name), Service{std::move(function), options, {}});
}

std::vector<PeerServiceFunc> Registry::release_functions() {
  std::vector<PeerServiceFunc> functions;
  for (auto& [name, service] : services_)
    if (service.function) functions.push_back(std::exchange(service.function, nullptr));
  return functions;
}

Registry::Service* Registry::find_service(std::string_view name) {
  const auto found = services_.find(name);
  return found == services_.end() ? nullptr : &found->second;
}

const Registry::Service* Registry::find_service(std::string_view name) const {
  return const_cast<Registry*>(this)->find_service(name);
}

std::string Registry::served(const std::function<bool(std::string_view name)>& shown) const {
  constexpr std::size_t bytes_max = 120; // so that a reason with it in it stays below reason_bytes_max
  std::string names;
  std::size_t left = 0;
  for (const auto& [name, service] : services_) left += !shown || shown(name);
  if (left == 0) return "nothing";
  for (const auto& [name, service] : services_) {
    if (shown && !shown(name)) continue;
    if (names.size() + name.size() > bytes_max) break;
    if (!names.empty()) names += ", ";
    names += escape(name);
    --left;
  }
  if (left > 0) names += (names.empty() ? "" : " and ") + std::to_string(left) + " more";
  return names;
}

void Registry::add_peer(std::shared_ptr<LocalPeer> peer, Service* service) {
  const std::uint64_t number = ++started_count_;
  if (service) service->running.emplace(number, peer);
  const PeerId id = peer->id();
  peers_.emplace(id, Running{number, std::move(peer)});
}

void Registry::erase_peer(const LocalPeer& peer) {
  const auto found = peers_.find(peer.id());
  if (found == peers_.end()) return;
  if (Service* service = find_service(peer.service())) service->running.erase(found->second.number);
  peers_.erase(found);
}

std::shared_ptr<LocalPeer> Registry::find_peer(const PeerId& id) const {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : found->second.peer;
}

std::vector<std::shared_ptr<LocalPeer>> Registry::peers(std::string_view service) const {
  std::map<std::uint64_t, std::shared_ptr<LocalPeer>> in_order;
  for (const auto& [id, running] : peers_)
    if (service.empty() || running.peer->service() == service) in_order.emplace(running.number, running.peer);
  std::vector<std::shared_ptr<LocalPeer>> found;
  for (auto& [number, peer] : in_order) found.push_back(std::move(peer));
  return found;
}

} // namespace trunkline
