// Runs a coroutine under the virtual clock: what it waits for costs no time.
#pragma once

#include "transport/sim/world.hpp"

namespace trunkline::test {

inline void in_world(awaitable<void> (*body)(sim::World&)) {
  sim::World world(1);
  world.run(body(world));
}

} // namespace trunkline::test
