// What is left behind: by sends that are cancelled, conduits that are closed, far sides that do not answer, and worlds
// that end in the middle of everything.
#include "tests/peer/channel/town.hpp"
#include "tests/support/breakpoints.hpp"
#include "transport/memory.hpp"

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<void> write_into(const Conduit* conduit, NodeId to, SendResult* into, Duration deadline) {
  *into = co_await conduit->write(to, "w", deadline);
}

awaitable<void> forget(awaitable<SendResult> sending) { const SendResult ignored = co_await std::move(sending); }

} // namespace

TEST_CASE("conduit: sends on one that is closed or was moved away get closed, and say so") {
  Couple couple;
  const NodeId to = couple.other->local_id();
  Conduit moved = std::move(couple.from_one);
  Conduit never;
  for (const Conduit* const none : {&couple.from_one, &never}) { // NOLINT: what is left of it is what is tested
    CHECK_FALSE(*none);
    CHECK(none->channel().empty());
    CHECK(couple.run(none->send(to, "x")).error == SendError::closed);
    CHECK(couple.run(none->send_acked(to, "x")).error == SendError::closed);
    CHECK(couple.run(none->write(to, "x")).error == SendError::closed);
    const std::vector<SendResult> results = couple.run(none->broadcast({to, to}, "x"));
    REQUIRE(results.size() == 2);
    CHECK(results[1].error == SendError::closed);
  }
  CHECK(couple.run(moved.send(to, "x")));
  moved.close();
  couple.stop();
}

TEST_CASE("network: a one-shot write that is cancelled or late leaves no connection behind") {
  for (const bool while_connecting : {true, false})
    for (const bool cancelled : {true, false}) {
      CAPTURE(while_connecting);
      CAPTURE(cancelled);
      Couple couple;
      if (while_connecting) couple.world.partition("one", "other");
      couple.at_other.blocked = true; // the write waits until it is taken
      SendResult result;
      {
        Tasks tasks(couple.world.executor());
        tasks.spawn(write_into(&couple.from_one, couple.other->local_id(), &result, cancelled ? Duration(1h) : 1s));
        couple.settle(500ms);
        CHECK(couple.one->metrics().connections_outbound == (while_connecting ? 0 : 1));
        if (cancelled) tasks.cancel();
        couple.run(tasks.join());
      }
      if (!cancelled) CHECK(result.error == SendError::timed_out);
      couple.world.heal("one", "other");
      couple.settle(5s);
      CHECK(couple.one->metrics().connections_outbound == 0);
      CHECK(couple.one->metrics().queue_messages == 0);
      couple.at_other.unblock();
      couple.stop();
    }
}

TEST_CASE("network: a one-shot write returns by its deadline, also when the far side does not agree to the end") {
  Couple couple;
  couple.world.set_link("one", "other", [] {
    sim::LinkOptions link;
    link.delay = 100ms;
    return link;
  }());
  for (const Duration deadline : {Duration(350ms), Duration(650ms), Duration(850ms), Duration(1500ms)}) {
    const TimePoint begin = couple.world.now();
    const SendResult ignored = couple.run(couple.from_one.write(couple.other->local_id(), "w", deadline));
    CHECK(couple.world.now() - begin <= deadline);
    couple.settle(10s);
    CHECK(couple.one->metrics().connections_outbound == 0);
  }
  couple.stop();
}

TEST_CASE("network: a failure that is heard late is counted once, for the channel and for the node") {
  Couple couple;
  Conduit nowhere = couple.one->register_processor("nowhere", couple.at_one.processor());
  const auto counted = [&] {
    const NetworkMetrics metrics = couple.one->metrics();
    const std::uint64_t of_channel = failures(metrics.channels.at("nowhere"), SendError::unknown_channel);
    CHECK(of_channel == failures(metrics.peers.at(couple.other->local_id()), SendError::unknown_channel));
    return of_channel;
  };
  CHECK(couple.run(nowhere.send_acked(couple.other->local_id(), "x")).error == SendError::unknown_channel);
  couple.settle();
  CHECK(counted() == 1);
  CHECK(couple.run(nowhere.send(couple.other->local_id(), "x"))); // it cannot know yet
  couple.settle();
  CHECK(counted() == 2);
  CHECK(couple.run(nowhere.write(couple.other->local_id(), "x")).error == SendError::unknown_channel);
  couple.settle();
  CHECK(counted() == 3);
  nowhere.close();
  couple.stop();
}

TEST_CASE("network: a connection that breaks, with messages under way or without, is no failure of a service") {
  Couple couple;
  CHECK(couple.send("first"));
  couple.run(couple.at_other.at_least(1));
  couple.world.reset("one", "other");
  couple.settle();
  couple.at_other.blocked = true; // and this one cannot be acknowledged
  CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "second", 1s)).error == SendError::timed_out);
  couple.world.reset("one", "other");
  couple.at_other.unblock();
  couple.settle(1s);
  CHECK(couple.at_other.heard.size() == 2);
  CHECK(couple.other->node().counters().services_failed == 0);
  CHECK(couple.log.count("threw") == 0);
  couple.stop();
}

TEST_CASE("network: only so many operators are answered at the same time, and one that does not read harms nobody") {
  Couple couple([](NetworkOptions& options) {
    options.answers_operators = true;
    options.operators_max = 3;
  });
  for (int i = 0; i < 1000; ++i) { // so that the answer is longer than the window
    const Conduit conduit = couple.other->register_processor("c" + std::to_string(i), couple.at_other.processor());
  }
  const auto me = couple.one->node().new_peer("operator");
  std::vector<Circuit> circuits;
  for (int i = 0; i < 10; ++i) {
    circuits.push_back(me->join_or_start("sim://other", "network.operator", Fragment(0, "stats", Payload())));
    circuits.back().finish();
  }
  couple.settle(1s);
  CHECK(std::count_if(circuits.begin(), circuits.end(), [](const Circuit& one) { return one.is_open(); }) == 3);
  CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "x")));
  circuits.clear();
  couple.settle(1s);
  Circuit again = me->join_or_start("sim://other", "network.operator", Fragment(0, "stats", Payload()));
  const std::optional<Fragment> answer = couple.run(again.receive());
  REQUIRE(answer);
  CHECK(answer->subject == couple.other->local_id().to_string());
  again.close();
  couple.stop();
}

TEST_CASE("network: operators who do not ask, or do not read, give their place to others after a while") {
  for (const bool asks : {true, false}) {
    CAPTURE(asks);
    Couple couple([](NetworkOptions& options) {
      options.answers_operators = true;
      options.operators_max = 2;
    });
    for (int i = 0; i < 1000; ++i) { // so that the answer is longer than the window
      const Conduit conduit = couple.other->register_processor("c" + std::to_string(i), couple.at_other.processor());
    }
    const auto me = couple.one->node().new_peer("operator");
    const auto open = [&](bool with_question) {
      std::optional<Fragment> question;
      if (with_question) question.emplace(0, "stats", Payload());
      return me->join_or_start("sim://other", "network.operator", std::move(question));
    };
    Circuit one = open(asks);
    Circuit other = open(asks);
    couple.settle(1s);
    Circuit too_many = open(true);
    couple.settle(1s);
    CHECK_FALSE(too_many.is_open());
    couple.settle(10s);
    CHECK_FALSE(one.is_open());
    CHECK_FALSE(other.is_open());
    Circuit again = open(true);
    const std::optional<Fragment> answer = couple.run(again.receive());
    CHECK(answer);
    again.close();
    couple.stop();
  }
}

TEST_CASE("network: a connection made by address is found by that address again, counts as dialled, and is bounded") {
  Town town;
  const auto hub = town.make("hub", [](NetworkOptions& options) { options.connections_outbound_max = 2; });
  std::vector<std::shared_ptr<Network>> others;
  for (const char* name : {"a", "b", "c"})
    others.push_back(town.make(
        name, [&](NetworkOptions& options) { options.listen.push_back("sim://" + std::string(name) + ":alias"); }));
  const auto connect = [&](const std::string& address) {
    NodeId node;
    const auto run = [&]() -> awaitable<void> { node = co_await hub->connect(address); };
    town.world.run(run());
    return node;
  };
  for (const char* address : {"sim://a:alias", "sim://a", "sim://a:alias", "sim://b"}) {
    CAPTURE(address);
    CHECK(connect(address) == others[address[6] == 'b']->local_id());
    town.world.run_for(1ms);
  }
  CHECK(hub->metrics().connections_outbound == 2);
  std::string refused;
  try {
    connect("sim://c"); // both others were used a moment ago
  } catch (const boost::system::system_error& thrown) {
    refused = thrown.what();
  }
  CHECK(refused.find("connections_outbound_max 2") != std::string::npos);
  CHECK(hub->metrics().connections_outbound == 2);
  town.world.run_for(5s);
  CHECK(connect("sim://c") == others[2]->local_id()); // an idle one gives way
  town.world.run_for(2s);
  CHECK(hub->metrics().connections_outbound == 2);
  CHECK(hub->address_book().find(others[2]->local_id()).front() == "sim://c"); // known from now on
  town.world.run(hub->stop());
  CHECK_THROWS_AS(connect("sim://a"), boost::system::system_error);
  town.stop();
}

TEST_CASE("network: whenever the world ends in the middle of sends, acks, writes and a broadcast, nothing is left") {
  struct NodePair {
    std::shared_ptr<Network> one;
    std::shared_ptr<Network> other;
    Conduit from_one;
    Conduit from_other; // which its own processor uses, and must not own
    std::unique_ptr<Tasks> tasks;
  };
  const auto echo = [](Conduit* conduit, NodeId origin, Message message) -> awaitable<void> {
    const SendResult ignored = co_await conduit->send(origin, std::move(message));
  };
  const auto all = [](NodePair* in) -> awaitable<void> {
    co_await in->one->ready();
    const NodeId to = in->other->local_id();
    const std::vector<NodeId> twice(2, to);
    Tasks sends(in->one->executor());
    sends.spawn(forget(in->from_one.send_acked(to, std::string(100'000, 'x'))));
    sends.spawn(forget(in->from_one.write(to, "one shot")));
    sends.spawn(forget(in->from_one.send(*NodeId::from_bytes("0123456789abcdef"), "to nobody")));
    co_await in->from_one.broadcast(twice, "to all");
    co_await sends.join();
    co_await in->one->stop();
    co_await in->other->stop();
  };
  const auto set_up = [&](asio::io_context& io) {
    const auto memory = std::make_shared<MemoryMedium>();
    auto pair = std::make_unique<NodePair>();
    const auto make = [&](const std::string& name) {
      NetworkOptions options;
      options.node.media["mem"] = memory;
      options.listen = {"mem://" + name};
      return std::make_shared<Network>(io.get_executor(), options);
    };
    pair->one = make("one");
    pair->other = make("other");
    pair->one->address_book().add(pair->other->local_id(), "mem://other");
    pair->from_one = pair->one->register_processor("c", [](NodeId, Message) -> awaitable<void> { co_return; });
    pair->from_other = pair->other->register_processor("c", [echo, in = pair.get()](NodeId origin, Message message) {
      return echo(&in->from_other, origin, std::move(message));
    });
    pair->one->start();
    pair->other->start();
    pair->tasks = std::make_unique<Tasks>(io.get_executor());
    pair->tasks->spawn(all(pair.get()));
    return pair;
  };
  CHECK(stop_after_each_handler(After::destroy_all, set_up) > 50);
}
