// A node that was made old is old: in both directions of dialling, on both sides.
#include "tests/sim/old_side.hpp"

#include "async/clock.hpp"
#include "circuit/caller.hpp"
#include "circuit/trunk.hpp"
#include "peer/node.hpp"
#include "transport/sim/world.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::sim {
namespace {

using namespace std::chrono_literals;

Node make(World& world, const std::string& host, bool is_old) {
  NodeOptions options;
  options.name = host;
  options.random = world.random(host);
  options.media["sim"] = is_old ? of_old_side(world.medium(host)) : world.medium(host);
  return Node(world.executor(), std::move(options));
}

struct Heard {
  bool circuit_has_deadline = false;
  bool call_has_deadline = false;
  bool opener_knows_calls = false;
  bool server_knows_calls = false;
  std::string payload;
};

awaitable<void> answer(Circuit circuit, Heard* heard) {
  std::optional<Fragment> request = co_await circuit.receive();
  if (!request) co_return;
  heard->circuit_has_deadline = circuit.deadline().has_value();
  heard->call_has_deadline = request->deadline().has_value();
  heard->server_knows_calls = circuit.trunk()->machine().far_knows_calls();
  request->set_deadline(TimePoint());
  co_await circuit.send(std::move(*request));
}

/// What a node hears of a call with a deadline on a circuit with a deadline.
awaitable<void> talk(Node& opener, Node& server, Heard& heard) {
  server.serve("answer", [into = &heard](Circuit circuit) { return answer(std::move(circuit), into); });
  server.listen("sim://server");
  CircuitOptions options;
  options.deadline = 1h;
  Circuit circuit = opener.new_peer("asker")->join_or_start("sim://server", "answer", std::nullopt, std::move(options));
  Fragment request(1, "about something", Payload(std::string(200'000, 'x')));
  const Fragment reply = co_await call(circuit, std::move(request), 10min);
  heard.payload = reply.payload.text();
  heard.opener_knows_calls = circuit.trunk()->machine().far_knows_calls();
  CHECK(circuit.deadline().has_value());
  CHECK(reply.subject == "about something");
  co_await opener.close();
  co_await server.close();
}

Heard talk(bool opener_is_old, bool server_is_old) {
  World world(1);
  Node opener = make(world, "opener", opener_is_old);
  Node server = make(world, "server", server_is_old);
  Heard heard;
  world.run(talk(opener, server, heard));
  CHECK(heard.payload == std::string(200'000, 'x'));
  return heard;
}

} // namespace

TEST_CASE("old side: with one neither side knows of calls, no deadline crosses the wire, and all else does") {
  for (const bool opener_is_old : {false, true}) {
    const Heard heard = talk(opener_is_old, !opener_is_old);
    CHECK_FALSE(heard.circuit_has_deadline);
    CHECK_FALSE(heard.call_has_deadline);
    CHECK_FALSE(heard.opener_knows_calls);
    CHECK_FALSE(heard.server_knows_calls);
  }
  const Heard heard = talk(false, false);
  CHECK(heard.circuit_has_deadline);
  CHECK(heard.call_has_deadline);
  CHECK(heard.opener_knows_calls);
  CHECK(heard.server_knows_calls);
}

} // namespace trunkline::sim
