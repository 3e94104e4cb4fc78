// The program of docs/simulator.md.
#include "async/clock.hpp"
#include "peer/node.hpp"
#include "transport/sim/world.hpp"

#include <iostream>

using namespace trunkline;
using namespace std::chrono_literals;

// Your service, as it runs in production.
awaitable<void> count(Circuit circuit) {
  Fragment total(0);
  while (auto fragment = co_await circuit.receive()) total.part += fragment->part;
  co_await circuit.send(std::move(total));
}

// The property to show: a partition in the middle of a stream loses nothing.
awaitable<void> ask(sim::World& world, Node& here) {
  const auto me = here.new_peer("asker");
  Circuit circuit = me->join_or_start("sim://beta", "count", std::nullopt);
  for (int i = 1; i <= 100; ++i) {
    if (i == 30) world.partition("alpha", "beta");
    if (i == 60) world.heal("alpha", "beta");
    Fragment fragment(0);
    fragment.part = i;
    co_await circuit.send(std::move(fragment));
    co_await sleep_for(100ms); // of virtual time: it costs nothing
  }
  circuit.finish();
  const std::optional<Fragment> total = co_await circuit.receive();
  std::cout << "total " << total->part << " after " << world.elapsed() / 1ms << " ms" << std::endl;
}

NodeOptions options_for(sim::World& world, const std::string& host) {
  NodeOptions options;
  options.media["sim"] = world.medium(host);
  options.random = world.random(host);
  return options;
}

int main() {
  sim::World world(7);
  Node alpha(world.executor(), options_for(world, "alpha"));
  Node beta(world.executor(), options_for(world, "beta"));
  beta.serve("count", count);
  beta.listen("sim://beta");
  world.run(ask(world, alpha));
  std::cout << "trace hash " << std::hex << world.trace_hash() << std::endl; // the same each time
}
