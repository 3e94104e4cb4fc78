// What the honest program does, at every rate: an act is one thing, drawn from a seed.
#pragma once

#include "tests/sim/honest_stage.hpp"

#include <memory>
#include <string>
#include <utility>

namespace trunkline::sim {

/// Where an act happens.
struct Actor {
  std::string host;
  std::weak_ptr<Node> node;
  std::shared_ptr<LocalPeer> peer; // of that node

  Actor(std::string on, std::weak_ptr<Node> of, std::shared_ptr<LocalPeer> as)
      : host(std::move(on)), node(std::move(of)), peer(std::move(as)) {}
};

/// One act, until it has ended or is cancelled.
awaitable<void> act(Actor actor, HonestStage& stage, Random random);

} // namespace trunkline::sim
