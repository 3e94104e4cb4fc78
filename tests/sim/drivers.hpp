// What uses the services of the simulated workload: one driver does one thing after another, drawn from its seed.
#pragma once

#include "peer/node.hpp"
#include "tests/sim/stage.hpp"

#include <memory>

namespace trunkline::sim {

/// Until the stage is stopping, the peer has ended, or the coroutine is cancelled.
awaitable<void> drive(std::weak_ptr<Node> node, std::shared_ptr<LocalPeer> peer, Stage& stage, Random random);

} // namespace trunkline::sim
