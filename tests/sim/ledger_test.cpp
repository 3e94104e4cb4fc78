// The ledger excuses an end for which somebody is to blame, and no other.
#include "tests/sim/ledger.hpp"

#include "fragment/error.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace trunkline::sim {
namespace {

using namespace std::chrono_literals;

struct Scene {
  World world{1};
  Violations violations{[this] { return world.now(); }};
  StreamChecker streams{violations};
  Ledger ledger{world, violations, streams};

  /// Whether a circuit from alpha to beta that ends so is a violation.
  bool is_blamed(error code, const std::string& text, bool given_up = false) {
    const std::string circuit = ledger.open("test", "alpha", "beta");
    ledger.of(circuit).given_up = given_up;
    const std::size_t before = violations.count();
    ledger.ended(circuit, make_error_code(code), text);
    return violations.count() > before;
  }
};

} // namespace

TEST_CASE("ledger: a refusal is excused by a limit that one of both hosts was given, and by no other") {
  Scene scene;
  CHECK(scene.is_blamed(error::circuit_limit_reached, "circuits_max 131072 reached"));
  Limits limits;
  limits.circuits_max = 50;
  scene.ledger.limit("gamma", limits);
  CHECK(scene.is_blamed(error::circuit_limit_reached, "circuits_max 131072 reached"));

  scene.ledger.limit("beta", limits);

  CHECK_FALSE(scene.is_blamed(error::circuit_limit_reached, "circuits_max 50 reached"));
  CHECK(scene.is_blamed(error::circuit_limit_reached, "circuit_strings_bytes_max 16777216 reached"));
  CHECK(scene.is_blamed(error::open_backlog_full, "open_backlog_max is 131072"));
  CHECK(scene.is_blamed(error::service_limit_reached, "its queue_max is 4"));
}

TEST_CASE("ledger: a connection that the program ends excuses the circuits on it, by its words or at its deadline") {
  Scene scene;
  const std::string words = std::string("the far side says: ") + Ledger::link_end;
  CHECK(scene.is_blamed(error::trunk_lost, words));
  CHECK(scene.is_blamed(error::draining, "the deadline of the drain"));

  scene.ledger.ends_link("beta", "alpha", scene.world.now() + 10s);

  CHECK_FALSE(scene.is_blamed(error::trunk_lost, words));
  CHECK(scene.is_blamed(error::trunk_lost, "keepalive timeout"));
  CHECK(scene.is_blamed(error::draining, "before its deadline"));
  CHECK_FALSE(scene.is_blamed(error::draining, "the trunk takes no new circuits, from sim://alpha"));
  scene.world.run_for(10s);
  CHECK_FALSE(scene.is_blamed(error::draining, "at its deadline"));
  scene.world.run_for(2min);
  CHECK(scene.is_blamed(error::trunk_lost, words));
}

TEST_CASE("ledger: an answer may take a stall_deadline longer where a host was given little memory for a trunk") {
  Scene scene;
  const std::string circuit = scene.ledger.open("test", "alpha", "beta");
  CHECK(scene.ledger.time_for_memory(circuit) == 0s);
  Limits limits;
  limits.stall_deadline = 10s;
  scene.ledger.limit("alpha", limits);
  CHECK(scene.ledger.time_for_memory(circuit) == 0s);
  limits.trunk_memory_bytes_max /= 2;
  scene.ledger.limit("beta", limits);
  CHECK(scene.ledger.time_for_memory(circuit) == 15s);
}

TEST_CASE("ledger: a circuit is stalled when its reader paused for as long as the smaller stall_deadline of both") {
  Scene scene;
  Limits limits;
  limits.stall_deadline = 10s;
  scene.ledger.limit("beta", limits);
  const std::string circuit = scene.ledger.open("test", "alpha", "beta");
  const auto stalls = [&](Duration pause) {
    scene.ledger.of(circuit).pause_max = pause;
    const std::size_t before = scene.violations.count();
    scene.ledger.ended(circuit, make_error_code(error::stalled), "nothing of it was taken");
    return scene.violations.count() == before;
  };
  CHECK_FALSE(stalls(9s));
  CHECK(stalls(10s));
}

} // namespace trunkline::sim
