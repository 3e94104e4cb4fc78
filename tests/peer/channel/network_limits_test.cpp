// How many connections there are, which of them give way, and that silent and slow ones delay nobody.
#include "tests/peer/channel/greeter.hpp"

#include "circuit/trunk.hpp"
#include "async/component/group.hpp"

#include <array>
#include <span>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// A hub and some others, each with the recorder on "chat"; everybody knows everybody.
struct Hub : Town {
  explicit Hub(int count, const Tweak& tweak) {
    hub = make("hub", tweak);
    from_hub = hub->register_processor("chat", recorder.processor());
    for (int i = 0; i < count; ++i) {
      others.push_back(make("n" + std::to_string(i)));
      conduits.push_back(others.back()->register_processor("chat", recorder.processor()));
    }
    introduce();
  }
  SendResult send(const Conduit& conduit, const std::shared_ptr<Network>& to, Duration deadline = 5s) {
    SendResult result;
    const auto run = [&]() -> awaitable<void> { result = co_await conduit.send_acked(to->local_id(), "x", deadline); };
    world.run(run());
    return result;
  }
  void stop() {
    conduits.clear();
    from_hub.close();
    Town::stop();
  }
  Recorder recorder;
  std::shared_ptr<Network> hub;
  Conduit from_hub;
  std::vector<std::shared_ptr<Network>> others;
  std::vector<Conduit> conduits;
};

} // namespace

TEST_CASE("network: 125 connections each way are the default") {
  CHECK(NetworkOptions().connections_inbound_max == 125);
  CHECK(NetworkOptions().connections_outbound_max == 125);
}

TEST_CASE(
    "network: beyond the outbound limit the least recently used idle connection gives way, and is made again by need") {
  Hub town(5, [](NetworkOptions& options) { options.connections_outbound_max = 3; });
  for (int i = 0; i < 3; ++i) {
    CHECK(town.send(town.from_hub, town.others[static_cast<std::size_t>(i)]));
    town.world.run_for(2s);
  }
  CHECK(town.send(town.from_hub, town.others[0])); // now the second is the oldest
  town.world.run_for(2s);
  CHECK(town.send(town.from_hub, town.others[3]));
  town.world.run_for(2s);
  CHECK(town.hub->metrics().connections_outbound == 3);
  CHECK(town.hub->metrics().evictions == 1);
  CHECK(town.others[1]->metrics().connections_inbound == 0);
  CHECK(town.others[0]->metrics().connections_inbound == 1);

  CHECK(town.send(town.from_hub, town.others[1])); // made again
  town.world.run_for(2s);
  CHECK(town.hub->metrics().connections_outbound == 3);
  CHECK(town.recorder.heard.size() == 6); // an eviction costs no message
  CHECK(town.hub->node().counters().trunks_lost == 0);
  town.stop();
}

TEST_CASE("network: when no connection is idle, one more is refused by name") {
  Hub town(3, [](NetworkOptions& options) { options.connections_outbound_max = 2; });
  CHECK(town.send(town.from_hub, town.others[0]));
  CHECK(town.send(town.from_hub, town.others[1]));
  const SendResult refused = town.send(town.from_hub, town.others[2]); // both were used a moment ago
  CHECK(refused.error == SendError::connection_limit);
  CHECK(refused.text.find("connections_outbound_max 2") != std::string::npos);
  town.world.run_for(5s);
  town.recorder.blocked = true; // a processor that runs keeps its connection from being idle
  Tasks tasks(town.world.executor());
  for (std::size_t i = 0; i < 2; ++i)
    tasks.spawn([](Hub* in, NodeId to) -> awaitable<void> { co_await in->from_hub.send_acked(to, "x", 1min); }(
                                           &town, town.others[i]->local_id()));
  town.world.run_for(20s);
  CHECK(town.send(town.from_hub, town.others[2]).error == SendError::connection_limit);
  CHECK(town.hub->metrics().evictions == 0);
  town.recorder.unblock();
  town.world.run(tasks.join());
  town.world.run_for(5s);
  CHECK(town.send(town.from_hub, town.others[2]));
  CHECK(town.hub->metrics().evictions == 1);
  town.stop();
}

TEST_CASE(
    "network: beyond the inbound limit an idle connection gives way, and where none is idle the new one is turned "
    "away") {
  Hub town(4, [](NetworkOptions& options) { options.connections_inbound_max = 2; });
  for (std::size_t i = 0; i < 2; ++i) CHECK(town.send(town.conduits[i], town.hub));
  CHECK_FALSE(town.send(town.conduits[2], town.hub, 1s)); // nobody is idle
  CHECK(town.hub->metrics().connections_turned_away >= 1);
  CHECK(town.hub->metrics().connections_inbound == 2);
  town.world.run_for(30s);
  CHECK(town.send(town.conduits[2], town.hub));
  town.world.run_for(2s);
  CHECK(town.hub->metrics().connections_inbound == 2);
  CHECK(town.hub->metrics().evictions == 1);
  CHECK(town.others[0]->metrics().connections_outbound == 0); // the one that was used longest ago
  town.stop();
}

TEST_CASE("network: connections that the far side drains count as long as they are open, and end when they are idle") {
  Hub town(1, [](NetworkOptions& options) {
    options.connections_inbound_max = 20;
    options.idle_timeout = 60s;
  });
  Greeter draining(town, "client", NodeId(), [](Machine& trunk) { trunk.drain(Instant::max()); }, true);
  const auto come = [&](int number) -> awaitable<void> {
    co_await draining.dial("sim://hub", *NodeId::from_bytes("draining node" + std::to_string(number)));
  };
  for (int number = 100; number < 200; ++number) {
    town.world.run(come(number));
    town.world.run_for(10ms);
  }
  CHECK(town.hub->node().links_count() <= 20);
  CHECK(town.hub->metrics().connections_turned_away >= 50);
  town.world.run_for(2s);
  CHECK(town.send(town.conduits[0], town.hub)); // one of them makes room
  CHECK(town.hub->metrics().evictions >= 1);
  town.world.run_for(100s);
  CHECK(town.hub->metrics().connections_inbound == 0);
  town.stop();
}

TEST_CASE("network: a connection with circuits of another service is not idle") {
  Hub town(2, [](NetworkOptions& options) {
    options.connections_outbound_max = 1;
    options.idle_timeout = 60s;
  });
  town.others[0]->node().serve(
      "stay", [](Circuit circuit) -> awaitable<void> { const auto nothing = co_await circuit.receive(); });
  const auto me = town.hub->node().new_peer("me");
  {
    Circuit circuit = me->join_or_start("sim://n0", "stay", std::nullopt);
    town.world.run_for(10min);
    CHECK(town.hub->metrics().connections_outbound == 1);
    CHECK(town.send(town.from_hub, town.others[1]).error == SendError::connection_limit);
    circuit.close();
  }
  town.world.run_for(5s);
  CHECK(town.send(town.from_hub, town.others[1]));
  town.stop();
}

TEST_CASE("network: a connection that is unused for idle_timeout is closed, and the next message makes it again") {
  Hub town(1, [](NetworkOptions& options) { options.idle_timeout = 60s; });
  CHECK(town.send(town.from_hub, town.others[0]));
  town.world.run_for(30s);
  CHECK(town.hub->metrics().connections_outbound == 1);
  CHECK(town.send(town.from_hub, town.others[0]));
  town.world.run_for(50s);
  CHECK(town.hub->metrics().connections_outbound == 1);
  town.world.run_for(60s);
  CHECK(town.hub->metrics().connections_outbound == 0);
  CHECK(town.send(town.from_hub, town.others[0]));
  CHECK(town.recorder.heard.size() == 3);
  town.stop();
}

TEST_CASE("network: silent and byte-by-byte connections delay nobody, and are closed at their deadline (K1)") {
  Couple couple([](NetworkOptions& options) { options.node.limits.handshake_deadline = 5s; });
  const auto stranger = couple.world.medium("stranger");
  std::vector<std::unique_ptr<Transport>> connections;
  std::vector<TimePoint> ended(20);
  Tasks tasks(couple.world.executor());
  const TimePoint begin = couple.world.now();
  const auto linger = [](Town* town, std::shared_ptr<Medium> medium, bool drips, TimePoint* at) -> awaitable<void> {
    const std::unique_ptr<Transport> transport = co_await medium->dial("sim://other");
    const std::string preface("\x89TRNK\r\n\x01", 8);
    std::array<std::byte, 64> buffer;
    try {
      for (std::size_t i = 0; i < 1000 && drips; ++i) { // a byte of a proper greeting each second
        const std::span<const std::byte> piece = std::as_bytes(std::span(preface)).subspan(i % 8, 1);
        co_await transport->write(std::span(&piece, 1));
        co_await sleep_for(1s);
      }
      for (std::size_t count = 1; count != 0;) count = co_await transport->read_some(buffer);
    } catch (const boost::system::system_error&) {}
    *at = town->world.now();
  };
  for (std::size_t i = 0; i < ended.size(); ++i) tasks.spawn(linger(&couple, stranger, i % 2 == 0, &ended[i]));
  couple.settle(500ms);

  const TimePoint sent_at = couple.world.now();
  for (int i = 0; i < 20; ++i) CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "x")));
  CHECK(couple.world.now() - sent_at < 1s);
  couple.run(tasks.join());
  for (const TimePoint at : ended) {
    CHECK(at - begin >= 4s);
    CHECK(at - begin < 8s);
  }
  CHECK(couple.other->node().links_count() == 1);
  couple.stop();
}

TEST_CASE("network: connections that never greet do not count as connections, and are bounded by handshakes_max") {
  Couple couple([](NetworkOptions& options) {
    options.node.handshakes_max = 10;
    options.connections_inbound_max = 1;
  });
  CHECK(couple.send("first"));
  const auto stranger = couple.world.medium("stranger");
  std::vector<std::unique_ptr<Transport>> connections;
  const auto dial = [&]() -> awaitable<void> { connections.push_back(co_await stranger->dial("sim://other")); };
  for (int i = 0; i < 30; ++i) couple.world.run(dial());
  couple.settle();
  CHECK(couple.other->metrics().connections_inbound == 1);
  CHECK(couple.other->node().counters().connections_turned_away == 20);
  CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "x")));
  connections.clear();
  couple.settle(10s);
  couple.stop();
}

TEST_CASE("network: a far node may have only so many circuits open to us") {
  Couple couple([](NetworkOptions& options) { options.channels_per_node_max = 5; });
  const auto me = couple.one->node().new_peer("greedy");
  std::vector<Circuit> circuits;
  for (int i = 0; i < 20; ++i)
    circuits.push_back(me->join_or_start("sim://other", "network", Fragment(0, "x"), CircuitOptions("chat")));
  couple.settle(1s);
  CHECK(std::count_if(circuits.begin(), circuits.end(), [](const Circuit& circuit) { return circuit.is_open(); }) == 5);
  CHECK(couple.at_other.heard.size() == 5);
  for (Circuit& circuit : circuits) circuit.close();
  couple.settle(1s);
  CHECK(couple.send("again"));
  couple.run(couple.at_other.at_least(6));
  couple.stop();
}

// Stopping.

TEST_CASE("network: ready means that it listens, done means that nothing runs and the port is free at once (T6, K5)") {
  Town town;
  const auto network = town.make("one");
  CHECK(network->addresses() == std::vector<std::string>{"sim://one"});
  CHECK_THROWS(town.world.medium("one")->listen(town.world.executor(), "sim://one")); // it is bound
  town.world.run(network->stop());
  const auto again = town.world.medium("one")->listen(town.world.executor(), "sim://one");
  CHECK(network->is_done());
  town.networks.clear();
}

TEST_CASE("network: its port is free from the beginning of its stop, while what is in flight still finishes (K5)") {
  Couple couple([](NetworkOptions& options) { options.stop_deadline = 10s; });
  couple.at_other.blocked = true;
  SendResult acked;
  Tasks tasks(couple.world.executor());
  tasks.spawn([](Couple* in, SendResult* into) -> awaitable<void> {
    *into = co_await in->from_one.send_acked(in->other->local_id(), "in flight", 1min);
  }(&couple, &acked));
  couple.settle();
  bool stopped = false;
  tasks.spawn([](Couple* in, bool* into) -> awaitable<void> {
    co_await in->other->stop();
    *into = true;
  }(&couple, &stopped));
  couple.settle(1s);

  { const auto listener = couple.world.medium("other")->listen(couple.world.executor(), "sim://other"); } // free
  CHECK_FALSE(stopped);
  CHECK(couple.at_other.inside == 1);
  couple.at_other.unblock();
  couple.run(tasks.join());
  CHECK(stopped);
  CHECK(acked); // it was let finish
  CHECK(couple.at_other.texts() == std::vector<std::string>{"in flight"});
  couple.stop();
}

TEST_CASE("network: what does not finish is cut at the deadline of the stop (K5)") {
  Couple couple([](NetworkOptions& options) { options.stop_deadline = 3s; });
  couple.at_other.blocked = true; // for ever
  CHECK(couple.send("x"));
  couple.settle();
  const TimePoint begin = couple.world.now();
  couple.run(couple.other->stop());
  CHECK(couple.world.now() - begin >= 3s);
  CHECK(couple.world.now() - begin < 6s);
  CHECK(couple.at_other.inside == 0); // its processor was cancelled
  CHECK(couple.at_other.heard.empty());
  couple.stop();
}

TEST_CASE("network: a stop with many open connections ends every one of them, and a second stop waits for the same") {
  Hub town(20, {});
  for (std::size_t i = 0; i < 20; i += 2) CHECK(town.send(town.from_hub, town.others[i]));
  for (std::size_t i = 1; i < 20; i += 2) CHECK(town.send(town.conduits[i], town.hub));
  CHECK(town.hub->node().links_count() == 20);
  Tasks tasks(town.world.executor());
  for (int i = 0; i < 3; ++i) tasks.spawn(town.hub->stop());
  town.world.run(tasks.join());
  CHECK(town.hub->is_done());
  CHECK(town.hub->node().links_count() == 0);
  town.world.run_for(2s);
  for (const auto& other : town.others) CHECK(other->node().links_count() == 0);
  town.stop();
}

TEST_CASE("network: stopped at rest nothing of it ever runs again (K5)") {
  sim::World world(1);
  NetworkOptions options;
  options.node.media["sim"] = world.medium("one");
  options.node.random = world.random("one");
  options.listen = {"sim://one"};
  auto network = std::make_shared<Network>(world.executor(), options);
  network->start();
  world.run(network->ready());
  world.run_for(1h);
  world.run(network->stop());
  network.reset();
  CHECK(world.run_until([] { return false; }, 24h) ==
        sim::Outcome::nothing_left); // no timer, no task, no turn of the loop
  CHECK(world.idle());
}

TEST_CASE("network: stopped without ever having been started it is done") {
  sim::World world(1);
  NetworkOptions options;
  options.node.media["sim"] = world.medium("one");
  const auto network = std::make_shared<Network>(world.executor(), options);
  world.run(network->stop());
  CHECK(network->is_done());
  CHECK_FALSE(network->is_ready());
  CHECK_THROWS_AS(network->register_processor("chat", Recorder().processor()), boost::system::system_error);
}

TEST_CASE("network: cancelled in the turn of its start it binds nothing, is never ready, and is closed") {
  for (const bool by_stop : {false, true}) {
    CAPTURE(by_stop);
    sim::World world(1);
    NetworkOptions options;
    options.node.media["sim"] = world.medium("one");
    options.listen = {"sim://one"};
    const auto network = std::make_shared<Network>(world.executor(), options);
    const auto scope = Scope::make_root({});
    network->start(scope);
    if (by_stop) {
      world.run(network->stop());
    } else {
      scope->cancel();
      world.run(network->done());
    }
    CHECK_FALSE(network->is_ready());
    CHECK(network->addresses().empty());
    CHECK_THROWS_AS(network->register_processor("chat", Recorder().processor()), boost::system::system_error);
  }
}

TEST_CASE("network: as a child of a group it starts and stops with it, and services may come after it") {
  Town town;
  NetworkOptions options;
  options.node.media["sim"] = town.world.medium("one");
  options.node.random = town.world.random("one");
  options.listen = {"sim://one"};
  const auto network = std::make_shared<Network>(town.world.executor(), options);
  bool network_was_there = false;
  const auto service = std::make_shared<FunctionComponent>(
      town.world.executor(), "service",
      [&](std::function<void()> ready, std::shared_ptr<Scope> scope) -> awaitable<void> {
        ready();
        co_await scope->cancelled();
        network_was_there = !network->is_done();
      });
  const auto group = std::make_shared<ComponentGroup>(town.world.executor(), "house",
                                                      std::vector<std::shared_ptr<Component>>{network, service});
  const auto scope = Scope::make_root({});
  group->start(scope);
  town.world.run(group->ready());
  CHECK_FALSE(network->addresses().empty());
  scope->cancel();
  town.world.run(group->done());
  CHECK(network_was_there);
  CHECK(network->is_done());
}
