// Far ends that do not want to be connected with, or not for long, and addresses that lead nowhere: how often they are
// dialled, what senders hear of it, and what has to be tried again at once.
#include "tests/peer/channel/greeter.hpp"

using namespace trunkline;
using namespace trunkline::test;

namespace {

const NodeId far_id = *NodeId::from_bytes("far-away-node-id");

awaitable<void> send_into(const Conduit& conduit, NodeId to, SendResult* into, Duration deadline) {
  *into = co_await conduit.send(to, "x", deadline);
}

/// Ten senders that wait for one far end for a minute; they come again when they are refused.
std::uint64_t dials_in_a_minute(const Greeter::Act& act, bool keeps, const Town::Tweak& tweak = {}) {
  Couple couple(tweak);
  Greeter greeter(couple, "far", far_id, act, keeps);
  couple.one->address_book().add(far_id, "sim://far");
  std::array<SendResult, 10> results;
  const TimePoint end = couple.world.now() + 60s;
  while (couple.world.now() < end) {
    Tasks senders(couple.world.executor());
    for (SendResult& result : results)
      senders.spawn(send_into(couple.from_one, far_id, &result, end - couple.world.now()));
    couple.run(senders.join());
    for (const SendResult& result : results) CHECK_FALSE(result.error == SendError::wrong_node);
    couple.settle(20ms);
  }
  return greeter.accepted;
}

} // namespace

TEST_CASE("network: a far end that greets and ends the connection at once, however, is dialled later and later") {
  const std::pair<std::string, Greeter::Act> ways[] = {
      {"closes without a word", [](Machine&) {}},
      {"says goodbye", [](Machine& trunk) { trunk.close(End()); }},
      {"is closed", [](Machine& trunk) { trunk.close(End(error::node_closed)); }},
      {"turns away", [](Machine& trunk) { trunk.close(End(error::draining, "no room")); }},
      {"drains", [](Machine& trunk) { trunk.drain(Instant::max()); }},
  };
  for (const auto& [name, act] : ways)
    for (const bool keeps : {false, true}) {
      if (keeps && name == "closes without a word") continue;
      CAPTURE(name);
      CAPTURE(keeps);
      const std::uint64_t dials = dials_in_a_minute(act, keeps);
      CHECK(dials >= 5);
      CHECK(dials < 20);
    }
}

TEST_CASE("network: the longest redial_backoff_max is none: who ends connections at once is dialled later and later") {
  const std::uint64_t dials = dials_in_a_minute([](Machine& trunk) { trunk.close(End()); }, true, [](NetworkOptions& options) {
    options.redial_backoff_max = std::chrono::milliseconds::max();
  });
  CHECK(dials >= 5);
  CHECK(dials < 20);
}

TEST_CASE("network: a node that says goodbye in its greeting is not another node, and its words are passed on") {
  Couple couple;
  sim::LinkOptions whole;
  whole.split = sim::Split::never; // one read has both
  couple.world.set_link("far", "one", whole);
  Greeter greeter(
      couple, "far", far_id, [](Machine& trunk) { trunk.close(End(error::draining, "no room here")); }, true);
  couple.one->address_book().add(far_id, "sim://far");
  const SendResult result = couple.run(couple.from_one.send(far_id, "x"));
  CHECK(result.error == SendError::connect_failed);
  CHECK(result.text.find("no room here") != std::string::npos);
  greeter.id = *NodeId::from_bytes("another-node-id!"); // this is another one
  couple.settle(1s);
  CHECK(couple.run(couple.from_one.send(far_id, "x")).error == SendError::wrong_node);
}

TEST_CASE("network: what fails before a dial is tried again at once, and so is an address that was not known before") {
  Couple couple;
  const NodeId late = *NodeId::from_bytes("0123456789abcdef");
  for (int i = 0; i < 5; ++i) CHECK(couple.run(couple.from_one.send(late, "x")).error == SendError::unknown_node);
  Recorder recorder;
  const auto network = couple.make("late", [&](NetworkOptions& options) { options.node.id = late; });
  Conduit conduit = network->register_processor("chat", recorder.processor());
  couple.one->address_book().add(late, "sim://late");
  CHECK(couple.run(couple.from_one.send_acked(late, "x")));

  const NodeId moved = *NodeId::from_bytes("moved-from-there");
  couple.one->address_book().add(moved, "sim://nowhere");
  for (int i = 0; i < 5; ++i) CHECK(couple.run(couple.from_one.send(moved, "x")).error == SendError::connect_failed);
  const auto there = couple.make("here", [&](NetworkOptions& options) { options.node.id = moved; });
  Conduit further = there->register_processor("chat", recorder.processor());
  const TimePoint begin = couple.world.now();
  couple.one->address_book().add(moved, "sim://here");
  CHECK(couple.run(couple.from_one.send_acked(moved, "x")));
  CHECK(couple.world.now() - begin < 100ms);
  further.close();
  conduit.close();
  couple.stop();
}

TEST_CASE("network: a resolver that fails, whatever it throws, is benign and is not asked all the time") {
  struct Broken final : Resolver {
    awaitable<std::vector<std::string>> resolve(NodeId) override {
      ++asked;
      throw 7; // a resolver is others' code
      co_return std::vector<std::string>();
    }
    int asked = 0;
  };
  const auto resolver = std::make_shared<Broken>();
  Couple couple([&](NetworkOptions& options) { options.resolver = resolver; });
  const TimePoint begin = couple.world.now();
  for (int i = 0; i < 100; ++i) CHECK(couple.run(couple.from_one.send(far_id, "x")).error == SendError::unknown_node);
  CHECK(couple.world.now() - begin < 1s);
  CHECK(resolver->asked == 1);
  couple.settle(20s);
  CHECK(couple.run(couple.from_one.send(far_id, "x")).error == SendError::unknown_node);
  CHECK(resolver->asked == 2);
  couple.stop();
}
