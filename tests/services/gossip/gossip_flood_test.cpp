// Whole nodes in the simulator against members and applications that do not take what is sent to them.
#include "tests/services/gossip/members.hpp"
#include "transport/sim/world.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

struct Hamlet {
  explicit Hamlet(std::uint32_t count) : world(1), size(count) {
    std::vector<NodeId> ids;
    for (std::uint32_t number = 1; number <= count; ++number) ids.push_back(member_id(number));
    book = gossip::Book::make(1, ids);
  }
  ~Hamlet() { members.clear(); }

  NetworkOptions network_options(std::uint32_t number) {
    const std::string host = "m" + std::to_string(number);
    NetworkOptions options;
    options.node.id = member_id(number);
    options.node.media["sim"] = world.medium(host);
    options.node.random = world.random(host);
    options.listen = {"sim://" + host};
    for (std::uint32_t other = 1; other <= size; ++other)
      if (other != number) options.book.add(member_id(other), "sim://m" + std::to_string(other));
    return options;
  }
  Member& start(std::uint32_t number, gossip::GossipOptions how = gossip::GossipOptions()) {
    how.machine.random = world.random("g" + std::to_string(number));
    members.push_back(std::make_unique<Member>(world.executor(), number, network_options(number), std::move(how)));
    members.back()->service->set_book(book);
    return *members.back();
  }

  sim::World world;
  std::uint32_t size;
  std::shared_ptr<const gossip::Book> book;
  std::vector<std::unique_ptr<Member>> members;
};

gossip::Word word_of(const Hamlet& hamlet, gossip::Word::Kind kind, std::uint32_t origin, const RandomId& id) {
  gossip::Word word;
  word.kind = kind;
  word.book = hamlet.book->version();
  word.origin = member_id(origin);
  word.id = id;
  return word;
}

} // namespace

TEST_CASE("gossip: a member that asks and never reads the answers does not keep the others from being sent to") {
  Hamlet hamlet(4);
  gossip::GossipOptions how;
  how.sends_outstanding_max = 64;
  how.machine.strategy = "exact+adopt"; // nobody asks later whether it came
  Member& victim = hamlet.start(1, how);
  Member& second = hamlet.start(2, how);
  Member& third = hamlet.start(3, how);
  const auto network = std::make_shared<Network>(hamlet.world.executor(), hamlet.network_options(4));
  Signal never;
  const Conduit conduit = network->register_processor("gossip", [&never](NodeId, Message) { return never.wait(); });
  network->start();
  hamlet.world.run_for(1s);
  const auto random = hamlet.world.random("questions");
  Tasks flood(hamlet.world.executor());
  flood.spawn([](const Hamlet* in, const Conduit* on, std::function<std::uint64_t()> draw) -> awaitable<void> {
    for (;;) {
      for (int i = 0; i < 50; ++i) {
        const gossip::Word question = word_of(*in, gossip::Word::Kind::question, 2, RandomId::draw(draw));
        co_await on->send(member_id(1), Message(Payload(question.encode())), 10s);
      }
      co_await sleep_for(10ms);
    }
  }(&hamlet, &conduit, random));
  for (int i = 0; i < 600 && victim.service->sends_outstanding() < 32; ++i) hamlet.world.run_for(10ms);
  REQUIRE(victim.service->sends_outstanding() >= 32); // it has taken what one may take

  for (int i = 0; i < 5; ++i) {
    victim.service->broadcast("hello " + std::to_string(i));
    hamlet.world.run_for(500ms);
    CHECK(victim.service->sends_outstanding() <= 64);
    CHECK(second.times(member_id(1), "hello " + std::to_string(i)) == 1);
    CHECK(third.times(member_id(1), "hello " + std::to_string(i)) == 1);
  }
  flood.cancel();
  hamlet.world.run_for(10s);
  CHECK(victim.service->sends_outstanding() == 0);
}

TEST_CASE("gossip: large messages that the application does not take are held up to a limit, and wait with others") {
  Hamlet hamlet(3);
  gossip::GossipOptions slow;
  slow.deliveries_bytes_max = 500'000;
  Member& sender = hamlet.start(1);
  Member& taker = hamlet.start(2, slow);
  Member& other = hamlet.start(3);
  hamlet.world.run_for(1s);
  taker.blocked = true;
  for (int i = 0; i < 30; ++i) {
    sender.service->broadcast(std::to_string(i) + std::string(100'000, 'x'));
    hamlet.world.run_for(50ms);
  }
  CHECK(taker.service->counters().delivered <= 8); // five and one that is too many, one in its hands, one under way
  CHECK(other.heard->size() == 30);
  taker.blocked = false;
  taker.unblocked.notify_all();
  hamlet.world.run_for(20s);
  CHECK(taker.heard->size() == 30);
}
