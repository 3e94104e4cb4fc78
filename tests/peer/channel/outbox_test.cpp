// Messages that wait: bounded and counted per node and channel, and in the order of their calls whatever happens to the
// connection meanwhile.
#include "tests/peer/channel/town.hpp"
#include "transport/sim/random.hpp"

#include <boost/asio/post.hpp>

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<void> send_into(const Conduit* conduit, NodeId to, Message message, SendResult* into, Duration deadline) {
  *into = co_await conduit->send(to, std::move(message), deadline);
}

/// A couple with a second channel, "other", whose processor never blocks.
struct TwoChannels : Couple {
  explicit TwoChannels(const Tweak& tweak = {}) : Couple(tweak) {
    second_there = other->register_processor("other", second.processor());
    second_here = one->register_processor("other", second.processor());
  }
  void stop() {
    second_there.close();
    second_here.close();
    Couple::stop();
  }
  /// Sends on the blocked channel until no more than that may wait.
  void fill(Tasks& tasks, std::vector<SendResult>& results) {
    const std::size_t size = 64 * 1024;
    for (SendResult& result : results) {
      if (one->metrics().channels.at("chat").queue_bytes + size > queue_max) return;
      tasks.spawn(send_into(&from_one, other->local_id(), Message(std::string(size, 'x')), &result, 1h));
      settle(200ms);
    }
    FAIL("the queue does not fill");
  }
  static constexpr std::size_t queue_max = 300 * 1024;
  Recorder second;
  Conduit second_there;
  Conduit second_here;
};

} // namespace

TEST_CASE("network: a channel whose queue is full refuses no other channel's sends, nor its own to other nodes") {
  TwoChannels town([](NetworkOptions& options) { options.queue_bytes_max = TwoChannels::queue_max; });
  Recorder third;
  const auto far = town.make("third");
  Conduit at_third = far->register_processor("chat", third.processor());
  town.introduce();
  town.at_other.blocked = true;
  Tasks tasks(town.world.executor());
  std::vector<SendResult> results(200);
  town.fill(tasks, results);
  REQUIRE(town.send("one more", 1s).error == SendError::timed_out); // it is small, and may wait
  REQUIRE(town.send(std::string(64 * 1024, 'x')).error == SendError::queue_full);

  for (int i = 0; i < 20; ++i)
    CHECK(town.run(town.second_here.send_acked(town.other->local_id(), std::string(250 * 1024, 'y'))));
  CHECK(town.run(town.from_one.send_acked(far->local_id(), std::string(250 * 1024, 'z'))));
  CHECK(town.second.heard.size() == 20);
  CHECK(failures(town.one->metrics().channels.at("other"), SendError::queue_full) == 0);
  CHECK(failures(town.one->metrics().peers.at(far->local_id()), SendError::queue_full) == 0);
  town.at_other.unblock();
  town.run(tasks.join());
  at_third.close();
  town.stop();
}

TEST_CASE("network: the figures of what waits are those of each channel, of each node, and of all, and end at zero") {
  TwoChannels town([](NetworkOptions& options) { options.queue_bytes_max = 1000; });
  const auto far = town.make("far");
  town.introduce();
  town.world.partition("one", "other");
  town.world.partition("one", "far");
  Args about;
  about.set("key", "value");
  std::vector<SendResult> results(6);
  Tasks tasks(town.world.executor());
  const auto send = [&](std::size_t number, const Conduit& conduit, const NodeId& to, Message message) {
    tasks.spawn(send_into(&conduit, to, std::move(message), &results[number], 2s));
  };
  send(0, town.from_one, town.other->local_id(), Message(std::string(1500, 'x'))); // a single one may be larger
  send(1, town.from_one, town.other->local_id(), Message("refused"));
  send(2, town.second_here, town.other->local_id(), Message(Payload("12"), about)); // and 8 of metadata
  send(3, town.second_here, town.other->local_id(), Message(""));
  send(4, town.second_here, far->local_id(), Message(std::string(1000, 'x')));
  send(5, town.second_here, far->local_id(), Message("!"));
  town.settle();

  const NetworkMetrics metrics = town.one->metrics();
  CHECK(results[1].error == SendError::queue_full);
  CHECK(results[1].text.find("\"chat\"") != std::string::npos);
  CHECK(results[1].text.find("queue_bytes_max 1000") != std::string::npos);
  CHECK(results[5].error == SendError::queue_full);
  CHECK(metrics.channels.at("chat").queue_bytes == 1500);
  CHECK(metrics.channels.at("chat").queue_messages == 1);
  CHECK(metrics.channels.at("other").queue_bytes == 1010);
  CHECK(metrics.channels.at("other").queue_messages == 3);
  CHECK(metrics.peers.at(town.other->local_id()).queue_bytes == 1510);
  CHECK(metrics.peers.at(town.other->local_id()).queue_messages == 3);
  CHECK(metrics.peers.at(far->local_id()).queue_bytes == 1000);
  CHECK(metrics.queue_bytes == 2510);
  CHECK(metrics.queue_messages == 4);

  town.run(tasks.join());
  for (const std::size_t late : {0u, 2u, 3u, 4u}) CHECK(results[late].error == SendError::timed_out);
  const NetworkMetrics after = town.one->metrics();
  CHECK(after.queue_bytes + after.queue_messages == 0);
  for (const auto& [name, traffic] : after.channels) CHECK(traffic.queue_bytes + traffic.queue_messages == 0);
  for (const auto& [node, peer] : after.peers) CHECK(peer.queue_bytes + peer.queue_messages == 0);
  town.world.heal("one", "other");
  town.world.heal("one", "far");
  town.stop();
}

TEST_CASE("network: a message that waits for its ack only does not wait in the queue") {
  Couple couple([](NetworkOptions& options) { options.queue_bytes_max = 1000; });
  couple.at_other.blocked = true;
  Tasks tasks(couple.world.executor());
  for (int i = 0; i < 10; ++i) {
    tasks.spawn([](Couple* in) -> awaitable<void> {
      CHECK(co_await in->from_one.send_acked(in->other->local_id(), std::string(900, 'x'), 1min));
    }(&couple));
    couple.settle();
  }
  CHECK(couple.one->metrics().acks.waiting == 10);
  CHECK(couple.one->metrics().queue_bytes == 0);
  couple.at_other.unblock();
  couple.run(tasks.join());
  couple.stop();
}

TEST_CASE("network: messages that wait when the connection breaks go before those that come after it") {
  // The newcomer is sent in the very moment in which the next connection is there, before those who wait have noticed.
  struct Newcomer {
    Couple* couple = nullptr;
    std::optional<Tasks> tasks;
    bool armed = false;
    SendResult result;
  };
  const auto newcomer = std::make_shared<Newcomer>();
  Couple couple([newcomer](NetworkOptions& options) {
    if (options.node.name != "one") return;
    options.node.on_link = [newcomer](LinkChange change, const LinkInfo&) {
      if (change != LinkChange::opened || !newcomer->armed) return;
      newcomer->armed = false;
      Couple& in = *newcomer->couple;
      newcomer->tasks->spawn(send_into(&in.from_one, in.other->local_id(), Message("newcomer"), &newcomer->result, 1h));
    };
  });
  newcomer->couple = &couple;
  newcomer->tasks.emplace(couple.world.executor());
  couple.at_other.blocked = true;
  std::size_t sent = 0;
  while (couple.send("filling" + std::string(64 * 1024, 'x'), 1s)) ++sent; // no credit is left
  std::vector<SendResult> results(10);
  Tasks tasks(couple.world.executor());
  for (std::size_t i = 0; i < results.size(); ++i)
    tasks.spawn(send_into(&couple.from_one, couple.other->local_id(), Message(std::to_string(i)), &results[i], 1h));
  couple.settle();

  newcomer->armed = true;
  couple.world.reset("one", "other");
  couple.settle();
  couple.at_other.unblock();
  couple.run(tasks.join());
  couple.run(newcomer->tasks->join());
  couple.settle(1s);

  std::vector<std::string> last;
  for (const auto& heard : couple.at_other.heard)
    if (heard.text.size() < 100) last.push_back(heard.text);
  CHECK(last == std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "newcomer"});
  CHECK(sent >= 2);
  newcomer->tasks.reset();
  newcomer->couple = nullptr;
  couple.stop();
}

TEST_CASE("network: whoever waits and gives up lets the next one go") {
  Couple couple;
  couple.at_other.blocked = true;
  for (int i = 0; i < 2; ++i) { // what the handler had taken is granted again after a while
    while (couple.send(std::string(64 * 1024, 'x'), 1s)) {} // no credit is left
    couple.settle(5s);
  }
  std::vector<SendResult> results(9);
  Tasks tasks(couple.world.executor());
  for (std::size_t i = 0; i < results.size(); ++i)
    tasks.spawn(send_into(&couple.from_one, couple.other->local_id(), Message(std::to_string(i)), &results[i],
                          i % 3 == 2 ? Duration(1h) : Duration(1s + i * 100ms)));
  couple.settle(5s);
  for (std::size_t i = 0; i < results.size(); ++i)
    CHECK(results[i].error == (i % 3 == 2 ? SendError::none : SendError::timed_out));
  couple.at_other.unblock();
  couple.run(tasks.join());
  couple.settle(1s);
  std::vector<std::string> last;
  for (const auto& heard : couple.at_other.heard)
    if (heard.text.size() < 100) last.push_back(heard.text);
  CHECK(last == std::vector<std::string>{"2", "5", "8"});
  CHECK(couple.one->metrics().queue_messages == 0);
  couple.stop();
}

TEST_CASE("network: in order, exactly once and none left out, while the connection breaks again and again") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Couple couple;
    sim::Random random(seed);
    std::vector<std::string> acked;
    Tasks tasks(couple.world.executor());
    tasks.spawn([](Couple* in, std::vector<std::string>* into) -> awaitable<void> {
      for (int i = 0; i < 60; ++i) {
        const std::string text = std::to_string(i) + std::string(i % 7 * 3000, 'x');
        const SendResult result = co_await in->from_one.send_acked(in->other->local_id(), text, 1min);
        if (result) into->push_back(text);
        if (result.error == SendError::connect_failed) co_await sleep_for(500ms); // until it is tried again
      }
    }(&couple, &acked));
    for (int i = 0; i < 15; ++i) {
      couple.settle(std::chrono::milliseconds(random.between(1, 40)));
      couple.world.reset("one", "other");
    }
    couple.run(tasks.join());
    for (const std::string& text : acked) CHECK(couple.at_other.count(text) == 1);
    for (const auto& heard : couple.at_other.heard) CHECK(couple.at_other.count(heard.text) == 1);
    CHECK(acked.size() >= 40);
    std::vector<int> numbers;
    for (const auto& heard : couple.at_other.heard) numbers.push_back(std::stoi(heard.text));
    CHECK(std::is_sorted(numbers.begin(), numbers.end()));
    couple.stop();
  }
}
