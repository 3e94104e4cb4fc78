// Scenarios over every medium that nodes have.
#pragma once

#include "tests/peer/node_pair.hpp"
#include "transport/identity.hpp"

#include <memory>
#include <string>
#include <utility>

namespace trunkline::test {

/// Each of two nodes trusts the other's key and no other.
inline void give_identity(NodeOptions& options) {
  static const IdentityKey key_here = IdentityKey::draw();
  static const IdentityKey key_there = IdentityKey::draw();
  const bool is_here = options.name == "here";
  TrustOptions trust;
  trust.pins.push_back((is_here ? key_there : key_here).id());
  options.identity = std::make_shared<Identity>(is_here ? key_here : key_there, std::move(trust));
}

/// As `everywhere`, and over WebSocket, plain and with keys.
inline void over_media(Scenario scenario, const Tweak& tweak = {}) {
  everywhere(scenario, tweak);
  for (const auto dialler : {NodePair::Dialler::here, NodePair::Dialler::there}) {
    run(scenario, dialler, "ws", tweak);
    run(scenario, dialler, "wss", [&](NodeOptions& options) {
      give_identity(options);
      if (tweak) tweak(options);
    });
  }
}

} // namespace trunkline::test
