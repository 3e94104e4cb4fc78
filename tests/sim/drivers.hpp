// What uses the services of the simulated workload: one driver does one thing after another, drawn from its seed.
#pragma once

#include "peer/node.hpp"
#include "tests/sim/stage.hpp"

#include <memory>
#include <string>
#include <utility>

namespace trunkline::sim {

struct Driver {
  std::string host;
  std::weak_ptr<Node> node;
  std::shared_ptr<LocalPeer> peer; // of that node

  Driver(std::string on, std::weak_ptr<Node> of, std::shared_ptr<LocalPeer> as)
      : host(std::move(on)), node(std::move(of)), peer(std::move(as)) {}
};

/// Until the stage is stopping, the peer has ended, or the coroutine is cancelled.
awaitable<void> drive(Driver driver, Stage& stage, Random random);

} // namespace trunkline::sim
