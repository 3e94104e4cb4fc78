// Channels, conduits and what goes over them between whole networks in a simulated world.
#include "tests/peer/channel/town.hpp"

#include "circuit/trunk.hpp"

using namespace trunkline;
using namespace trunkline::test;

// Registration.

TEST_CASE("network: a channel has exactly one processor, and a second one is refused by the channel's name (N2, T3)") {
  Town town;
  const auto network = town.make("one");
  Recorder recorder;
  Conduit first = network->register_processor("chat", recorder.processor());

  std::string named;
  try {
    network->register_processor("chat", recorder.processor());
  } catch (const ProcessorAlreadyRegistered& refused) {
    named = refused.channel();
    CHECK(refused.code() == error::already_registered);
  }
  CHECK(named == "chat");
  Conduit another = network->register_processor("other", recorder.processor());
  CHECK(first.channel() == "chat");
  CHECK(another.channel() == "other");
}

TEST_CASE("network: a channel is free again when the conduit's handle goes, by any way") {
  Town town;
  const auto network = town.make("one");
  Recorder recorder;
  {
    Conduit conduit = network->register_processor("chat", recorder.processor());
    Conduit moved = std::move(conduit);
    CHECK_THROWS_AS(network->register_processor("chat", recorder.processor()), ProcessorAlreadyRegistered);
  }
  Conduit again = network->register_processor("chat", recorder.processor());
  again = Conduit();
  again = network->register_processor("chat", recorder.processor());
  again.close();
  again.close();
  again = network->register_processor("chat", recorder.processor());
  CHECK(again.channel() == "chat");
}

TEST_CASE("network: registration works before and after the start, and is refused after the stop (T5)") {
  sim::World world(1);
  NetworkOptions options;
  options.node.media["sim"] = world.medium("one");
  options.node.random = world.random("one");
  const auto network = std::make_shared<Network>(world.executor(), options);
  Recorder recorder;
  Conduit before = network->register_processor("before", recorder.processor());
  network->start();
  world.run(network->ready());
  Conduit after = network->register_processor("after", recorder.processor());
  world.run(network->stop());

  boost::system::error_code code;
  try {
    network->register_processor("late", recorder.processor());
  } catch (const boost::system::system_error& refused) {
    code = refused.code();
  }
  CHECK(code == error::node_closed);
}

TEST_CASE("network: a channel name that is empty, too long or the system's is refused, and so is no function") {
  Town town;
  const auto network = town.make("one");
  Recorder recorder;
  for (const std::string& name : {std::string(), std::string(129, 'x'), std::string("#own")}) {
    CAPTURE(name);
    CHECK_THROWS_AS(network->register_processor(name, recorder.processor()), std::invalid_argument);
  }
  CHECK_THROWS_AS(network->register_processor("chat", Processor()), std::invalid_argument);
  Conduit longest = network->register_processor(std::string(128, 'x'), recorder.processor());
}

// Routing.

TEST_CASE("network: a message reaches the processor of its channel, and no other, in both directions (N4)") {
  Couple couple;
  Recorder elsewhere;
  Conduit other_channel = couple.other->register_processor("elsewhere", elsewhere.processor());

  CHECK(couple.send("hello"));
  couple.run(couple.at_other.at_least(1));
  CHECK(couple.run(couple.from_other.send(couple.one->local_id(), "answer")));
  couple.run(couple.at_one.at_least(1));

  CHECK(couple.at_other.texts() == std::vector<std::string>{"hello"});
  CHECK(couple.at_one.texts() == std::vector<std::string>{"answer"});
  CHECK(couple.at_other.heard[0].origin == couple.one->local_id());
  CHECK(couple.at_one.heard[0].origin == couple.other->local_id());
  CHECK(elsewhere.heard.empty());
  CHECK(couple.one->metrics().connections_outbound + couple.one->metrics().connections_inbound == 1);
  couple.stop();
}

TEST_CASE("network: metadata of a message arrives with it, and a message may be empty (N10)") {
  Couple couple;
  std::optional<Message> got;
  Conduit conduit = couple.other->register_processor("meta", [&](NodeId, Message message) -> awaitable<void> {
    got.emplace(std::move(message));
    co_return;
  });
  Conduit from = couple.one->register_processor("meta", couple.at_one.processor());
  Args about;
  about.set("lang", "en");

  CHECK(couple.run(from.send_acked(couple.other->local_id(), Message(Payload("x"), about))));
  REQUIRE(got);
  CHECK(got->metadata == about);
  CHECK(got->payload.text() == "x");
  CHECK(couple.run(from.send_acked(couple.other->local_id(), Message())));
  CHECK(got->payload.empty());
  couple.stop();
}

TEST_CASE(
    "network: an unknown channel is counted, logged once, refused to the sender, and never ends the connection (N4)") {
  Couple couple;
  Conduit nowhere = couple.one->register_processor("nowhere", couple.at_one.processor());
  CHECK(couple.send("before"));
  for (int i = 0; i < 3; ++i) {
    CHECK(couple.run(nowhere.send(couple.other->local_id(), "x"))); // handed to the connection
    couple.settle();
  }
  const SendResult acked = couple.run(nowhere.send_acked(couple.other->local_id(), "x"));
  CHECK(acked.error == SendError::unknown_channel);
  CHECK(acked.text.find("nowhere") != std::string::npos);
  CHECK(couple.send("after"));
  couple.settle();

  CHECK(couple.other->metrics().drops_unknown_channel == 4);
  CHECK(couple.log.count("other: a message for channel \"nowhere\"") == 1);
  CHECK(couple.at_other.texts() == std::vector<std::string>{"before", "after"});
  CHECK(couple.other->node().counters().trunks_opened == 1);
  CHECK(couple.other->node().counters().trunks_open == 1);
  Recorder late;
  Conduit now = couple.other->register_processor("nowhere", late.processor());
  CHECK(couple.run(nowhere.send_acked(couple.other->local_id(), "y")));
  CHECK(late.texts() == std::vector<std::string>{"y"});
  now.close();
  nowhere.close();
  couple.stop();
}

TEST_CASE("network: the origin is the connection's identity, whatever the sender writes (T5)") {
  Couple couple;
  Recorder third;
  const auto impostor = couple.make("impostor");
  couple.introduce();
  Conduit conduit = impostor->register_processor("chat", third.processor());
  Args forged;
  forged.set("origin", couple.one->local_id().to_string());
  forged.set_system("from", couple.one->local_id().to_string());

  CHECK(couple.run(conduit.send_acked(couple.other->local_id(), Message(Payload("I am one"), forged))));

  REQUIRE(couple.at_other.heard.size() == 1);
  CHECK(couple.at_other.heard[0].origin == impostor->local_id());
  conduit.close();
  couple.stop();
}

TEST_CASE("network: a processor may send on its own conduit from inside its callback, to its caller too (T4)") {
  Couple couple;
  Conduit ping;
  Conduit pong;
  int turns = 0;
  const auto play = [&turns](Conduit& conduit) {
    return [&conduit, &turns](NodeId origin, Message) -> awaitable<void> {
      if (++turns == 20) co_return;
      const SendResult sent = co_await conduit.send(origin, "again");
      CHECK(sent);
    };
  };
  ping = couple.one->register_processor("play", play(ping));
  pong = couple.other->register_processor("play", play(pong));

  CHECK(couple.run(ping.send(couple.other->local_id(), "first")));
  couple.settle(10s);

  CHECK(turns == 20);
  CHECK(couple.one->metrics().connections_outbound == 1);
  ping.close();
  pong.close();
  couple.stop();
}

TEST_CASE("network: messages of several origins are processed at the same time, those of one in their order (N22)") {
  Town town;
  Recorder recorder;
  recorder.blocked = true;
  const auto hub = town.make("hub");
  Conduit at_hub = hub->register_processor("chat", recorder.processor());
  std::vector<Conduit> conduits;
  Recorder nobody;
  for (int i = 0; i < 5; ++i)
    conduits.push_back(town.make("n" + std::to_string(i))->register_processor("chat", nobody.processor()));
  town.introduce();
  const auto send_all = [&]() -> awaitable<void> {
    for (int round = 0; round < 3; ++round)
      for (std::size_t i = 0; i < conduits.size(); ++i)
        co_await conduits[i].send(hub->local_id(), std::to_string(i) + std::to_string(round));
  };
  town.world.run(send_all());
  town.world.run_for(1s);
  CHECK(recorder.inside == 5); // one of each
  recorder.unblock();
  town.world.run(recorder.at_least(15));
  for (std::size_t i = 0; i < 5; ++i) {
    std::string rounds;
    for (const std::string& text : recorder.texts())
      if (text[0] == static_cast<char>('0' + i)) rounds += text[1];
    CHECK(rounds == "012");
  }
  conduits.clear();
  at_hub.close();
  town.stop();
}

TEST_CASE("network: a processor that throws costs that message and a counter, and its words stay here (N13)") {
  Couple couple;
  couple.at_other.throws = true;
  CHECK(couple.send("lost"));
  const SendResult acked = couple.run(couple.from_one.send_acked(couple.other->local_id(), "also lost", 2s));
  CHECK(acked.error == SendError::timed_out); // nobody took it
  CHECK(acked.text.find("broken") == std::string::npos);
  couple.at_other.throws = false;
  CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "fine")));

  CHECK(couple.at_other.texts() == std::vector<std::string>{"fine"});
  CHECK(couple.other->metrics().processor_failures == 2);
  CHECK(couple.other->metrics().channels.at("chat").processor_failures == 2);
  CHECK(couple.other->metrics().peers.at(couple.one->local_id()).processor_failures == 2);
  CHECK(couple.log.count("the processor is broken") == 2);
  CHECK(couple.other->node().counters().trunks_open == 1);
  CHECK(couple.one->metrics().dials == 1);
  couple.stop();
}

TEST_CASE("network: a conduit that is dropped while its processor runs lets the call finish, and hears nothing more") {
  Couple couple;
  couple.at_other.blocked = true;
  CHECK(couple.send("in progress"));
  CHECK(couple.send("too late"));
  couple.settle();
  CHECK(couple.at_other.inside == 1);
  couple.from_other.close();
  couple.at_other.unblock();
  couple.settle();
  CHECK(couple.at_other.texts() == std::vector<std::string>{"in progress"});
  CHECK(couple.other->metrics().drops_unknown_channel == 1);
  couple.stop();
}

// Connections.

TEST_CASE("network: the first message makes the connection, the others use it, from either side (K3)") {
  Couple couple;
  for (int i = 0; i < 10; ++i) CHECK(couple.send(std::to_string(i)));
  couple.run(couple.at_other.at_least(10));
  CHECK(couple.run(couple.from_other.send(couple.one->local_id(), "back")));
  couple.run(couple.at_one.at_least(1));

  CHECK(couple.one->metrics().dials == 1);
  CHECK(couple.one->metrics().reuses == 9);
  CHECK(couple.other->metrics().dials == 0);
  CHECK(couple.other->metrics().reuses == 1);
  CHECK(couple.one->metrics().connections_outbound == 1);
  CHECK(couple.other->metrics().connections_inbound == 1);
  couple.stop();
}

namespace {

awaitable<void> send_and_note(const Conduit& conduit, NodeId to, std::string text, int* sent) {
  const SendResult result = co_await conduit.send(to, Message(std::string_view(text)));
  *sent += static_cast<bool>(result);
}

} // namespace

TEST_CASE("network: sends at the same time share one attempt to connect (T5)") {
  Couple couple;
  int sent = 0;
  Tasks tasks(couple.world.executor());
  for (int i = 0; i < 50; ++i)
    tasks.spawn(send_and_note(couple.from_one, couple.other->local_id(), std::to_string(i), &sent));
  couple.run(tasks.join());
  couple.run(couple.at_other.at_least(50));

  CHECK(sent == 50);
  CHECK(couple.one->metrics().dials == 1);
  CHECK(couple.other->node().counters().trunks_opened == 1);
  for (int i = 0; i < 50; ++i) CHECK(couple.at_other.heard[static_cast<std::size_t>(i)].text == std::to_string(i));
  couple.stop();
}

TEST_CASE("network: when both dial at once one connection remains, nothing is lost, and the order is kept (T5, N12)") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Couple couple;
    couple.world.set_link("one", "other", [&] {
      sim::LinkOptions link;
      link.delay = std::chrono::milliseconds(1 + seed % 7);
      link.jitter = std::chrono::milliseconds(seed);
      return link;
    }());
    int sent = 0;
    Tasks tasks(couple.world.executor());
    for (int i = 0; i < 20; ++i) {
      tasks.spawn(send_and_note(couple.from_one, couple.other->local_id(), std::to_string(i), &sent));
      tasks.spawn(send_and_note(couple.from_other, couple.one->local_id(), std::to_string(i), &sent));
    }
    couple.run(tasks.join());
    couple.run(couple.at_one.at_least(20));
    couple.run(couple.at_other.at_least(20));
    for (int i = 20; i < 40; ++i) {
      CHECK(couple.run(couple.from_one.send(couple.other->local_id(), std::to_string(i))));
      CHECK(couple.run(couple.from_other.send(couple.one->local_id(), std::to_string(i))));
    }
    couple.settle(5s);

    CHECK(couple.one->metrics().dials == 1);
    CHECK(couple.other->metrics().dials == 1); // they did collide
    CHECK(couple.one->node().links_count() == 1);
    CHECK(couple.other->node().links_count() == 1);
    for (const Recorder* recorder : {&couple.at_one, &couple.at_other}) {
      REQUIRE(recorder->heard.size() == 40);
      for (int i = 0; i < 40; ++i) CHECK(recorder->heard[static_cast<std::size_t>(i)].text == std::to_string(i));
    }
    couple.stop();
  }
}

TEST_CASE("network: another node at the address of the one that was meant gets nothing") {
  Couple couple;
  const auto third = couple.make("third");
  Recorder recorder;
  Conduit conduit = third->register_processor("chat", recorder.processor());
  const NodeId gone = *NodeId::from_bytes("0123456789abcdef");
  couple.one->address_book().add(gone, "sim://third");

  const SendResult result = couple.run(couple.from_one.send(gone, "for your eyes only"));

  CHECK(result.error == SendError::wrong_node);
  CHECK(result.text.find("sim://third") != std::string::npos);
  couple.settle();
  CHECK(recorder.heard.empty());
  couple.one->address_book().add(gone, "sim://one");
  const SendResult self = couple.run(couple.from_one.send(*NodeId::from_bytes("another-node-id!"), "x"));
  CHECK(self.error == SendError::unknown_node);
  conduit.close();
  couple.stop();
}

TEST_CASE("network: a node's further addresses are tried when the first does not answer") {
  Couple couple;
  const auto third = couple.make("third");
  Recorder recorder;
  Conduit conduit = third->register_processor("chat", recorder.processor());
  couple.one->address_book().add(third->local_id(), "sim://nobody");
  couple.one->address_book().add(third->local_id(), "sim://other"); // somebody else
  couple.one->address_book().add(third->local_id(), "sim://third");
  CHECK(couple.run(couple.from_one.send_acked(third->local_id(), "x")));
  CHECK(recorder.heard.size() == 1);
  conduit.close();
  couple.stop();
}

TEST_CASE("network: nodes that one cannot send to are told apart: no address, oneself, none at all") {
  Couple couple;
  CHECK(couple.run(couple.from_one.send(*NodeId::from_bytes("0123456789abcdef"), "x")).error ==
        SendError::unknown_node);
  CHECK(couple.run(couple.from_one.send(couple.one->local_id(), "x")).error == SendError::itself);
  CHECK(couple.run(couple.from_one.send(NodeId(), "x")).error == SendError::unknown_node);
  couple.stop();
}

namespace {

class FixedResolver final : public Resolver {
 public:
  awaitable<std::vector<std::string>> resolve(NodeId node) override {
    ++asked;
    if (fails) throw std::runtime_error("the registry is down");
    std::vector<std::string> found;
    if (const auto known = addresses.find(node); known != addresses.end()) found.push_back(known->second);
    co_return found;
  }
  std::map<NodeId, std::string> addresses;
  int asked = 0;
  bool fails = false;
};

} // namespace

TEST_CASE("network: a resolver is asked for nodes that the address book does not have, and its failure is benign") {
  const auto resolver = std::make_shared<FixedResolver>();
  Town town;
  const auto one = town.make("one", [&](NetworkOptions& options) { options.resolver = resolver; });
  const auto other = town.make("other");
  Recorder recorder;
  Conduit from = one->register_processor("chat", recorder.processor());
  Conduit to = other->register_processor("chat", recorder.processor());
  std::vector<SendResult> results;
  const auto send = [&]() -> awaitable<void> { results.push_back(co_await from.send_acked(other->local_id(), "x")); };

  town.world.run(send());
  resolver->fails = true;
  town.world.run_for(1min);
  town.world.run(send());
  resolver->fails = false;
  resolver->addresses[other->local_id()] = "sim://other";
  town.world.run_for(1min);
  town.world.run(send());

  CHECK(results[0].error == SendError::unknown_node);
  CHECK(results[1].error == SendError::unknown_node);
  CHECK(town.log.count("the registry is down") == 1);
  CHECK(results[2]);
  CHECK(resolver->asked == 3);
  from.close();
  to.close();
  town.stop();
}

TEST_CASE("network: addresses of connected nodes are learned, and serve after the connection is gone") {
  Town town;
  const auto one = town.make("one");
  const auto other = town.make("other");
  other->address_book().add(one->local_id(), "sim://one");
  Recorder recorder;
  Conduit from = one->register_processor("chat", recorder.processor());
  Conduit to = other->register_processor("chat", recorder.processor());
  SendResult result;
  const auto send = [&](const Conduit& conduit, NodeId node) -> awaitable<void> {
    result = co_await conduit.send(node, "x");
  };

  town.world.run(send(from, other->local_id()));
  CHECK(result.error == SendError::unknown_node);
  town.world.run(send(to, one->local_id()));
  CHECK(result);
  town.world.run_for(1s);
  town.world.reset("one", "other");
  town.world.run_for(5s);
  town.world.run(send(from, other->local_id()));
  CHECK(result);
  CHECK(one->metrics().dials == 1);
  from.close();
  to.close();
  town.stop();
}

// One shot.

TEST_CASE("network: send keeps its connection, write closes it, and the counters show the difference (K3, K4)") {
  Town town;
  const auto hub = town.make("hub");
  std::vector<std::shared_ptr<Network>> others;
  std::vector<Conduit> conduits;
  Recorder recorder;
  Conduit from = hub->register_processor("chat", recorder.processor());
  for (const char* name : {"a", "b", "c"}) {
    others.push_back(town.make(name));
    conduits.push_back(others.back()->register_processor("chat", recorder.processor()));
  }
  town.introduce();
  const auto each = [&](bool one_shot) -> awaitable<void> {
    for (const auto& other : others) {
      SendResult result;
      if (one_shot) result = co_await from.write(other->local_id(), "w");
      else result = co_await from.send(other->local_id(), "s");
      CHECK(result);
    }
  };

  town.world.run(each(true));
  CHECK(recorder.count("w") == 3); // write waits until the far side has it
  CHECK(hub->metrics().connections_outbound == 0);
  CHECK(hub->metrics().dials == 3);
  town.world.run(each(false));
  CHECK(hub->metrics().connections_outbound == 3);
  CHECK(hub->metrics().dials == 6);
  town.world.run(each(true)); // over the connections that are there, which stay
  CHECK(hub->metrics().connections_outbound == 3);
  CHECK(hub->metrics().dials == 6);
  CHECK(recorder.count("w") == 6);
  conduits.clear();
  from.close();
  town.stop();
}

TEST_CASE("network: a write and a send at the same time share the connection, which then stays") {
  Couple couple;
  Tasks tasks(couple.world.executor());
  SendResult written;
  tasks.spawn([](Couple* in, SendResult* result) -> awaitable<void> {
    *result = co_await in->from_one.write(in->other->local_id(), "w");
  }(&couple, &written));
  int sent = 0;
  tasks.spawn(send_and_note(couple.from_one, couple.other->local_id(), "s", &sent));
  couple.run(tasks.join());
  couple.settle();
  CHECK(written);
  CHECK(sent == 1);
  CHECK(couple.one->metrics().connections_outbound == 1);
  CHECK(couple.one->metrics().dials == 1);
  couple.stop();
}

TEST_CASE("network: a write to a channel that nobody processes, or to nobody, says so") {
  Couple couple;
  Conduit nowhere = couple.one->register_processor("nowhere", couple.at_one.processor());
  CHECK(couple.run(nowhere.write(couple.other->local_id(), "x")).error == SendError::unknown_channel);
  CHECK(couple.one->metrics().connections_outbound == 0);
  couple.one->address_book().add(*NodeId::from_bytes("0123456789abcdef"), "sim://nobody");
  CHECK(couple.run(nowhere.write(*NodeId::from_bytes("0123456789abcdef"), "x")).error == SendError::connect_failed);
  nowhere.close();
  couple.stop();
}

// Acks.

TEST_CASE("network: send_acked returns when the far processor has taken the message, and not before (K6)") {
  Couple couple;
  couple.at_other.blocked = true;
  std::optional<SendResult> result;
  Tasks tasks(couple.world.executor());
  tasks.spawn([](Couple* in, std::optional<SendResult>* into) -> awaitable<void> {
    *into = co_await in->from_one.send_acked(in->other->local_id(), "x", 1min);
  }(&couple, &result));
  couple.settle(10s);
  CHECK(couple.at_other.inside == 1);
  CHECK_FALSE(result);
  CHECK(couple.one->metrics().acks.waiting == 1);
  couple.at_other.unblock();
  couple.settle();
  REQUIRE(result);
  CHECK(*result);
  CHECK(couple.one->metrics().acks.taken == 1);
  CHECK(couple.one->metrics().acks.waiting == 0);
  couple.stop();
}

TEST_CASE("network: an ack that comes late is counted and hurts nobody (K6, K12)") {
  Couple couple;
  couple.at_other.blocked = true;
  CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "slow", 1s)).error == SendError::timed_out);
  CHECK(couple.one->metrics().acks.waiting == 0); // no entry stays behind
  couple.at_other.unblock();
  couple.settle();
  CHECK(couple.one->metrics().acks.late == 1);
  CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "fast", 1s)));
  CHECK(couple.at_other.texts() == std::vector<std::string>{"slow", "fast"});
  couple.stop();
}

namespace {

/// A far side that answers a message with whatever acks the test wants.
struct Forger {
  explicit Forger(Town& town, std::vector<std::int64_t> acks) : numbers(std::move(acks)) {
    NodeOptions options;
    options.media["sim"] = town.world.medium("forger");
    options.random = town.world.random("forger");
    node.emplace(town.world.executor(), std::move(options));
    node->serve("network", [this](Circuit circuit) { return answer(std::move(circuit)); });
    node->listen("sim://forger");
  }
  awaitable<void> answer(Circuit circuit) {
    for (;;) {
      const std::optional<Fragment> fragment = co_await circuit.receive();
      if (!fragment) co_return;
      for (const std::int64_t number : numbers) {
        Fragment ack(2);
        ack.part = number;
        co_await circuit.send(std::move(ack));
      }
      for (const std::int32_t op : {0, 7, -1}) { // nothing that comes back on this circuit but acks has a meaning
        Fragment noise(op, "noise");
        co_await circuit.send(std::move(noise));
      }
    }
  }
  std::vector<std::int64_t> numbers;
  std::optional<Node> node;
};

} // namespace

TEST_CASE("network: unknown and duplicate acks, and what is none, are counted and ignored (K6, K12)") {
  Couple couple;
  Forger forger(couple, {1, 1, 77, 0, -5, 1});
  couple.one->address_book().add(forger.node->id(), "sim://forger");

  CHECK(couple.run(couple.from_one.send_acked(forger.node->id(), "x", 5s)));
  couple.settle();
  CHECK(couple.one->metrics().acks.taken == 1);
  CHECK(couple.one->metrics().acks.duplicate == 2);
  CHECK(couple.one->metrics().acks.unknown == 3);
  CHECK(couple.one->metrics().peers.at(forger.node->id()).drops == 3);
  CHECK(couple.run(couple.from_one.send_acked(forger.node->id(), "x", 1s)).error ==
        SendError::timed_out); // its number is 2
  CHECK(couple.one->metrics().peers.at(forger.node->id()).connected);
  couple.world.run(forger.node->close());
  forger.node.reset();
  couple.stop();
}

TEST_CASE("network: both sides ask for acks at once under the same numbers, and each hears of its own (K12)") {
  Couple couple;
  std::vector<SendResult> results(40);
  Tasks tasks(couple.world.executor());
  const auto send = [](const Conduit* conduit, NodeId to, std::string text, SendResult* into) -> awaitable<void> {
    *into = co_await conduit->send_acked(to, std::move(text));
  };
  for (std::size_t i = 0; i < 20; ++i) {
    tasks.spawn(send(&couple.from_one, couple.other->local_id(), std::to_string(i), &results[2 * i]));
    tasks.spawn(send(&couple.from_other, couple.one->local_id(), std::to_string(i), &results[2 * i + 1]));
  }
  couple.run(tasks.join());
  for (const SendResult& result : results) CHECK(result);
  for (const auto& network : {couple.one, couple.other}) {
    const AckMetrics acks = network->metrics().acks;
    CHECK(acks.taken == 20);
    CHECK(acks.late + acks.duplicate + acks.unknown + acks.waiting == 0);
  }
  couple.stop();
}

TEST_CASE("network: a flood of acks that nobody asked for is counted, and costs neither memory nor messages (K12)") {
  Couple couple;
  std::vector<std::int64_t> numbers(5000);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::int64_t>(i % 2000) - 500;
  Forger forger(couple, numbers);
  couple.one->address_book().add(forger.node->id(), "sim://forger");
  for (int i = 0; i < 20; ++i) CHECK(couple.run(couple.from_one.send_acked(forger.node->id(), "x", 30s)));
  couple.settle(10s);
  const AckMetrics acks = couple.one->metrics().acks;
  CHECK(acks.taken == 20);
  CHECK(acks.waiting == 0);
  CHECK(acks.taken + acks.late + acks.duplicate + acks.unknown == 20 * 5000);
  CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "still here")));
  couple.world.run(forger.node->close());
  forger.node.reset();
  couple.stop();
}

TEST_CASE("network: only so many acks are waited for, and more are refused at once") {
  Couple couple([](NetworkOptions& options) { options.acks_outstanding_max = 3; });
  couple.at_other.blocked = true;
  Tasks tasks(couple.world.executor());
  for (int i = 0; i < 3; ++i)
    tasks.spawn([](Couple* in) -> awaitable<void> {
      const SendResult result = co_await in->from_one.send_acked(in->other->local_id(), "x", 1min);
      CHECK(result);
    }(&couple));
  couple.settle();
  CHECK(couple.run(couple.from_one.send_acked(couple.other->local_id(), "y")).error == SendError::queue_full);
  CHECK(couple.send("not acked"));
  couple.at_other.unblock();
  couple.run(tasks.join());
  couple.stop();
}

// Metrics.

TEST_CASE("network: messages and bytes are counted each way, by channel and by node") {
  Couple couple;
  CHECK(couple.send("12345"));
  CHECK(couple.send("678"));
  couple.run(couple.at_other.at_least(2));
  const NetworkMetrics here = couple.one->metrics();
  const NetworkMetrics there = couple.other->metrics();
  for (const Traffic& sent :
       {here.channels.at("chat"), static_cast<Traffic>(here.peers.at(couple.other->local_id()))}) {
    CHECK(sent.messages_sent == 2);
    CHECK(sent.bytes_sent == 8);
    CHECK(sent.messages_received == 0);
    CHECK(sent.failures() == 0);
    CHECK(sent.queue_bytes == 0);
  }
  for (const Traffic& got : {there.channels.at("chat"), static_cast<Traffic>(there.peers.at(couple.one->local_id()))}) {
    CHECK(got.messages_received == 2);
    CHECK(got.bytes_received == 8);
    CHECK(got.messages_sent == 0);
  }
  CHECK(here.peers.at(couple.other->local_id()).connected);
  CHECK(here.peers.at(couple.other->local_id()).dialled);
  CHECK(here.peers.at(couple.other->local_id()).name == "other");
  CHECK_FALSE(there.peers.at(couple.one->local_id()).dialled);
  couple.stop();
}

TEST_CASE(
    "network: metrics are a copy, the local id is the one it was given, and a conduit names its channel (N3, N8)") {
  const NodeId id = *NodeId::from_bytes("one of those ids");
  Couple couple([id](NetworkOptions& options) {
    if (options.node.name == "one") options.node.id = id;
  });
  CHECK(couple.one->local_id() == id);
  CHECK(couple.from_one.channel() == "chat");
  const NetworkMetrics before = couple.one->metrics();
  CHECK(couple.send("x"));
  CHECK(before.channels.at("chat").messages_sent == 0);
  CHECK(couple.one->metrics().channels.at("chat").messages_sent == 1);
  couple.stop();
}

TEST_CASE("network: bytes that wait for a node are shown, and bounded") {
  Couple couple([](NetworkOptions& options) { options.queue_bytes_max = 300 * 1024; });
  couple.at_other.blocked = true;
  const std::string large(100 * 1024, 'x');
  int sent = 0;
  Tasks tasks(couple.world.executor());
  for (int round = 0; round < 3; ++round) { // until the circuit's credit is used up, and then some
    for (int i = 0; i < 10; ++i) tasks.spawn(send_and_note(couple.from_one, couple.other->local_id(), large, &sent));
    couple.settle(1s);
  }
  const NetworkMetrics metrics = couple.one->metrics();
  CHECK(metrics.queue_bytes > 0);
  CHECK(metrics.queue_bytes <= 300 * 1024);
  CHECK(metrics.queue_bytes == metrics.channels.at("chat").queue_bytes);
  CHECK(failures(metrics.channels.at("chat"), SendError::queue_full) >= 15);
  couple.at_other.unblock();
  couple.run(tasks.join());
  couple.settle(1s);
  CHECK(couple.one->metrics().queue_bytes == 0);
  CHECK(couple.at_other.heard.size() == static_cast<std::size_t>(sent));
  couple.stop();
}

TEST_CASE("network: far nodes that come and go do not make the table of nodes grow without bound") {
  Town town;
  const auto hub = town.make("hub", [](NetworkOptions& options) { options.nodes_remembered_max = 20; });
  for (int i = 0; i < 100; ++i) {
    NodeOptions options;
    options.media["sim"] = town.world.medium("visitor");
    options.random = town.world.random("visitor");
    Node visitor(town.world.executor(), std::move(options));
    town.world.run([](Node* node) -> awaitable<void> { co_await node->dial("sim://hub"); }(&visitor));
    town.world.run(visitor.close());
  }
  town.world.run_for(1s);
  CHECK(hub->metrics().peers.size() <= 21);
  town.stop();
}

// Broadcast.

TEST_CASE("network: a broadcast gives one result per target in the order of the targets (N7)") {
  Town town;
  Recorder recorder;
  const auto hub = town.make("hub");
  Conduit from = hub->register_processor("chat", recorder.processor());
  std::vector<Conduit> conduits;
  std::vector<NodeId> ids;
  for (int i = 0; i < 10; ++i) {
    const auto network = town.make("n" + std::to_string(i));
    conduits.push_back(network->register_processor("chat", recorder.processor()));
    ids.push_back(network->local_id());
  }
  town.introduce();
  const NodeId nobody = *NodeId::from_bytes("0123456789abcdef");
  ids.insert(ids.begin() + 3, nobody);
  ids.push_back(hub->local_id());
  std::vector<SendResult> results;
  BroadcastOptions options;
  options.acked = true;
  const auto all = [&]() -> awaitable<void> { results = co_await from.broadcast(ids, "to all", options); };
  town.world.run(all());

  REQUIRE(results.size() == 12);
  for (std::size_t i = 0; i < results.size(); ++i) {
    CAPTURE(i);
    CHECK(results[i].error == (i == 3 ? SendError::unknown_node : i == 11 ? SendError::itself : SendError::none));
  }
  CHECK(recorder.count("to all") == 10);
  conduits.clear();
  from.close();
  town.stop();
}

TEST_CASE("network: a broadcast waits for the slowest no longer than its deadline, at bounded concurrency") {
  Town town;
  Recorder recorder;
  Recorder stuck;
  stuck.blocked = true;
  const auto hub = town.make("hub");
  Conduit from = hub->register_processor("chat", recorder.processor());
  std::vector<Conduit> conduits;
  std::vector<NodeId> ids;
  for (int i = 0; i < 12; ++i) {
    const auto network = town.make("n" + std::to_string(i));
    conduits.push_back(network->register_processor("chat", i < 3 ? stuck.processor() : recorder.processor()));
    ids.push_back(network->local_id());
  }
  town.introduce();
  BroadcastOptions options;
  options.acked = true;
  options.deadline = 3s;
  options.concurrency = 4; // one more than those that hang
  std::vector<SendResult> results;
  const TimePoint begin = town.world.now();
  const auto all = [&]() -> awaitable<void> { results = co_await from.broadcast(ids, "x", options); };
  town.world.run(all());

  CHECK(town.world.now() - begin == 3s);
  for (std::size_t i = 0; i < 12; ++i) CHECK(results[i].error == (i < 3 ? SendError::timed_out : SendError::none));
  CHECK(recorder.heard.size() == 9);
  options.concurrency = 2; // those who are connected take no place
  results.clear();
  town.world.run(all());
  for (std::size_t i = 0; i < 12; ++i) CHECK(results[i].error == (i < 3 ? SendError::timed_out : SendError::none));
  CHECK(recorder.heard.size() == 18);

  for (int i = 0; i < 4; ++i) { // nobody is there, and nobody says so
    ids.insert(ids.begin(), *NodeId::from_bytes("nobody is here " + std::to_string(i)));
    hub->address_book().add(ids.front(), "sim://silent" + std::to_string(i));
    town.world.medium("silent" + std::to_string(i));
    town.world.partition("hub", "silent" + std::to_string(i));
  }
  results.clear();
  town.world.run(all());
  for (std::size_t i = 0; i < 16; ++i) CHECK(results[i].error == (i < 7 ? SendError::timed_out : SendError::none));
  stuck.unblock();
  conduits.clear();
  from.close();
  town.stop();
}

TEST_CASE("network: a broadcast to more nodes than may be connected waits for connections that give way") {
  Town town;
  Recorder recorder;
  const auto hub = town.make("hub", [](NetworkOptions& options) { options.connections_outbound_max = 5; });
  Conduit from = hub->register_processor("chat", recorder.processor());
  std::vector<Conduit> conduits;
  std::vector<NodeId> ids;
  for (int i = 0; i < 18; ++i) {
    const auto network = town.make("n" + std::to_string(i));
    conduits.push_back(network->register_processor("chat", recorder.processor()));
    ids.push_back(network->local_id());
  }
  town.introduce();
  BroadcastOptions options;
  std::vector<SendResult> results;
  const auto all = [&]() -> awaitable<void> { results = co_await from.broadcast(ids, "x", options); };
  town.world.run(all());
  for (const SendResult& result : results) CHECK(result);
  town.world.run_for(100ms);
  CHECK(recorder.count("x") == 18);
  CHECK(hub->metrics().connections_outbound <= 5);
  CHECK(town.world.elapsed() < 5s);
  conduits.clear();
  from.close();
  town.stop();
}

TEST_CASE("network: a broadcast that is cancelled ends its sends, and an empty one is done at once") {
  Couple couple;
  couple.at_other.blocked = true;
  BroadcastOptions options;
  options.acked = true;
  options.deadline = 1h;
  bool aborted = false;
  {
    Tasks tasks(couple.world.executor());
    tasks.spawn([](Couple* in, BroadcastOptions how, bool* into) -> awaitable<void> {
      std::vector<NodeId> to(5, in->other->local_id());
      try {
        co_await in->from_one.broadcast(to, "x", how);
      } catch (const boost::system::system_error& thrown) {
        *into = thrown.code() == asio::error::operation_aborted;
      }
    }(&couple, options, &aborted));
    couple.settle();
    tasks.cancel();
    couple.run(tasks.join());
  }
  couple.settle();
  CHECK(aborted);
  CHECK(couple.one->metrics().acks.waiting == 0);
  CHECK(couple.one->metrics().queue_bytes == 0);
  CHECK(couple.run(couple.from_one.broadcast({}, "x")).empty());
  couple.at_other.unblock();
  couple.stop();
}
