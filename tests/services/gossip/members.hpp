// Members of a broadcast as whole nodes: a network and a gossip service each, with ids in the order of their numbers.
#pragma once

#include "peer/channel/network.hpp"
#include "services/gossip/gossip.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {

/// The id of member 1, 2, ...; ascending with the number.
inline NodeId member_id(std::uint32_t number) { return *NodeId::from_bytes(fmt::format("member{:010}", number)); }

struct Member {
  Member(Executor executor, std::uint32_t member_number, NetworkOptions options, gossip::GossipOptions how)
      : number(member_number) {
    options.node.id = member_id(number);
    network = std::make_shared<Network>(executor, std::move(options));
    how.on_message = [this](NodeId origin, Payload payload) { return hear(origin, std::move(payload)); };
    service = std::make_shared<gossip::Gossip>(network, std::move(how));
    scope = Scope::make_root({});
    network->start();
    service->start(scope);
  }

  awaitable<void> hear(NodeId origin, Payload payload) {
    while (blocked) co_await unblocked.wait();
    ++(*heard)[std::pair(origin, std::string(payload.text()))];
  }
  /// Ends the service first, then its network.
  awaitable<void> stop() {
    scope->cancel();
    co_await service->done();
    co_await network->stop();
  }
  int times(const NodeId& origin, const std::string& text) const {
    const auto found = heard->find(std::pair(origin, text));
    return found == heard->end() ? 0 : found->second;
  }
  std::uint64_t reads() const { return service->counters().delivered + service->counters().duplicates; }

  std::uint32_t number;
  std::shared_ptr<std::map<std::pair<NodeId, std::string>, int>> heard =
      std::make_shared<std::map<std::pair<NodeId, std::string>, int>>(); // how often each was delivered
  bool blocked = false; // every message waits
  Signal unblocked;
  std::shared_ptr<Network> network;
  std::shared_ptr<gossip::Gossip> service;
  std::shared_ptr<Scope> scope;
};

} // namespace trunkline::test
