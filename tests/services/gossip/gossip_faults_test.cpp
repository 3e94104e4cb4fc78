// Eighty-one whole nodes in the simulator: dead ones, connections that break under one message in a hundred to one in
// ten, members that come and go in the middle of a broadcast, and hostile ones. What is lost is lost as on a real
// network: with the connection that carried it.
#include "tests/services/gossip/members.hpp"
#include "tests/support/passing_medium.hpp"
#include "tests/support/seed.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

/// Loses so many of a million messages, and with each its connection. A greeting is no message, nor is a control frame.
struct Loss {
  sim::Random random;
  std::uint32_t per_million = 0;
  std::uint64_t lost = 0;
};
class LossyTransport final : public PassingTransport {
 public:
  LossyTransport(std::unique_ptr<Transport> transport, std::shared_ptr<Loss> loss)
      : PassingTransport(std::move(transport)), loss_(std::move(loss)) {}
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    std::size_t bytes = 0;
    for (const auto& piece : pieces) bytes += piece.size();
    const bool greeting = !std::exchange(greeted_, true);
    if (!greeting && bytes >= gossip::Word::head_bytes && loss_->random.chance(loss_->per_million)) {
      ++loss_->lost;
      transport_->close();
      throw boost::system::system_error(asio::error::connection_reset, "planted loss");
    }
    return transport_->write(pieces);
  }

 private:
  bool greeted_ = false;
  std::shared_ptr<Loss> loss_;
};
using LossyNetwork = PassingMedium<LossyTransport, Loss>;

class City {
 public:
  City(std::uint64_t seed, std::uint32_t size, std::function<void(gossip::MachineOptions&)> tweak = {})
      : world(seed), random(sim::Random::derived(seed, "city")), tweak_(std::move(tweak)) {
    loss->random = sim::Random::derived(seed, "loss");
    for (std::uint32_t number = 1; number <= size; ++number) ids.push_back(member_id(number));
    book = gossip::Book::make(1, ids);
    members.resize(size + 1);
  }
  ~City() { members.clear(); }

  NetworkOptions network_options(std::uint32_t number) {
    const std::string host = "m" + std::to_string(number);
    NetworkOptions options;
    options.node.media["sim"] = std::make_shared<LossyNetwork>(world.medium(host), loss);
    options.node.random = world.random(host);
    options.node.connect_deadline = 1500ms;
    options.listen = {"sim://" + host};
    for (std::uint32_t other = 1; other < members.size(); ++other)
      if (other != number) options.book.add(member_id(other), "sim://m" + std::to_string(other));
    return options;
  }
  void start(std::uint32_t number) {
    gossip::GossipOptions how;
    how.machine.random = world.random("g" + std::to_string(number));
    if (tweak_) tweak_(how.machine);
    members[number] = std::make_unique<Member>(world.executor(), number, network_options(number), std::move(how));
    members[number]->service->set_book(book);
  }
  /// Its process is gone, without a word.
  void crash(std::uint32_t number, sim::Crash how) {
    world.crash("m" + std::to_string(number), how);
    graves.push_back(std::move(members[number])); // what it runs has nobody to talk to
  }
  bool is_up(std::uint32_t number) const { return members[number] != nullptr; }
  /// Those who are up and did not get it exactly once.
  std::vector<std::uint32_t> wrong(std::uint32_t origin, const std::string& text) const {
    std::vector<std::uint32_t> found;
    for (std::uint32_t number = 1; number < members.size(); ++number)
      if (is_up(number) && number != origin && members[number]->times(member_id(origin), text) != 1)
        found.push_back(number);
    return found;
  }

  sim::World world;
  sim::Random random;
  std::shared_ptr<Loss> loss = std::make_shared<Loss>(Loss{sim::Random(0)});
  std::vector<NodeId> ids;
  std::shared_ptr<const gossip::Book> book;
  std::vector<std::unique_ptr<Member>> members; // by number, from 1
  std::vector<std::unique_ptr<Member>> graves;

 private:
  std::function<void(gossip::MachineOptions&)> tweak_;
};

/// A member that follows no rule: it floods, replays, inflates, and neither passes on nor answers.
struct Hostile {
  Hostile(City& in, std::uint32_t own) : city(in), number(own) {
    NetworkOptions options = in.network_options(own);
    options.node.id = member_id(own);
    network = std::make_shared<Network>(in.world.executor(), std::move(options));
    conduit =
        network->register_processor("gossip", [this](NodeId, Message message) { return hear(std::move(message)); });
    network->start();
  }
  awaitable<void> hear(Message message) {
    if (heard.size() < 20) heard.emplace_back(message.payload.bytes().begin(), message.payload.bytes().end());
    co_return;
  }
  awaitable<void> misbehave(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      const auto victim = static_cast<std::uint32_t>(city.random.between(1, city.members.size() - 1));
      if (victim == number) continue;
      gossip::Word word;
      word.book = city.book->version();
      const bool forged = city.random.one_in(3); // in the name of somebody else
      word.origin = forged ? member_id(static_cast<std::uint32_t>(city.random.between(1, city.members.size() - 1)))
                           : member_id(number);
      word.id = RandomId::draw([this] { return city.random(); });
      word.level = static_cast<std::uint8_t>(city.random.one_in(2) ? 4 : city.random.between(5, 255));
      const std::string text = fmt::format("{}{} of {}", forged ? "forged" : "flood", round, number);
      word.payload = std::as_bytes(std::span(text));
      std::vector<std::byte> bytes = word.encode();
      if (!heard.empty() && city.random.one_in(2)) bytes = heard[city.random.below(heard.size())];
      co_await conduit.send(member_id(victim), Message(Payload(std::move(bytes))), 200ms);
    }
  }

  City& city;
  std::uint32_t number;
  std::shared_ptr<Network> network;
  Conduit conduit;
  std::vector<std::vector<std::byte>> heard;
};

constexpr std::uint32_t size_of_all = 81;
constexpr std::uint64_t tree_sends = 80; // 3^4 - 1

void loses(std::uint32_t loss_per_cent) {
  City city(test_seed() + loss_per_cent, size_of_all);
  const auto origin = static_cast<std::uint32_t>(city.random.between(1, size_of_all));
  for (std::uint32_t number = 1; number <= size_of_all; ++number) {
    const bool dead = number != origin && city.random.below(5) == 0;
    city.world.medium("m" + std::to_string(number));
    if (!dead) {
      city.start(number);
    } else if (city.random.one_in(2)) {
      city.world.crash("m" + std::to_string(number), sim::Crash::silent); // the others: nobody listens
    }
  }
  city.world.run_for(1s);
  city.loss->per_million = loss_per_cent * 10'000;
  city.members[origin]->service->broadcast("hello");
  city.world.run_for(18s);

  if (loss_per_cent >= 5) CHECK(city.loss->lost > 0);
  CHECK(city.wrong(origin, "hello").empty());
  gossip::MachineCounters sum;
  for (const auto& member : city.members) {
    if (!member) continue;
    const gossip::MachineCounters& counters = member->service->counters();
    sum.sends += counters.sends;
    sum.resends += counters.resends;
    sum.given += counters.given;
    sum.adoptions += counters.adoptions;
  }
  CHECK(sum.sends <= tree_sends + 8 * sum.adoptions + sum.resends + sum.given);
  CHECK(sum.given <= 3 * size_of_all);
}

} // namespace

TEST_CASE(
    "gossip in the simulator: 81 nodes, a fifth dead, 1 % of messages lost: every live one gets it exactly once") {
  loses(1);
}

TEST_CASE(
    "gossip in the simulator: 81 nodes, a fifth dead, 5 % of messages lost: every live one gets it exactly once") {
  loses(5);
}

TEST_CASE(
    "gossip in the simulator: 81 nodes, a fifth dead, 10 % of messages lost: every live one gets it exactly once") {
  loses(10);
}

TEST_CASE("gossip in the simulator: members that crash and come back in the middle cost no other member") {
  City city(test_seed(), size_of_all);
  for (std::uint32_t number = 1; number <= size_of_all; ++number) city.start(number);
  city.world.run_for(1s);
  city.loss->per_million = 20'000;
  std::set<std::uint32_t> touched;
  city.members[40]->service->broadcast("hello");
  for (int step = 0; step < 15; ++step) {
    city.world.run_for(std::chrono::milliseconds(city.random.between(1, 40)));
    const auto number = static_cast<std::uint32_t>(city.random.between(1, size_of_all));
    if (number == 40) continue;
    touched.insert(number);
    if (city.is_up(number)) {
      city.crash(number, city.random.one_in(2) ? sim::Crash::reset : sim::Crash::silent);
    } else {
      city.world.restart("m" + std::to_string(number));
      city.start(number);
    }
  }
  city.world.run_for(18s);
  for (const std::uint32_t number : city.wrong(40, "hello")) CHECK(touched.contains(number));
  for (const auto& member : city.members)
    if (member) CHECK(member->times(member_id(40), "hello") <= 1);
}

TEST_CASE(
    "gossip in the simulator: members who join and leave the book in the middle of a broadcast cost no other member") {
  City city(test_seed(), size_of_all);
  const std::set<std::uint32_t> joining = {7, 8, 30, 55, 81};
  const std::set<std::uint32_t> leaving = {12, 41, 42, 70};
  std::vector<NodeId> before;
  std::vector<NodeId> after;
  for (std::uint32_t number = 1; number <= size_of_all; ++number) {
    if (!joining.contains(number)) before.push_back(member_id(number));
    if (!leaving.contains(number)) after.push_back(member_id(number));
  }
  city.book = gossip::Book::make(1, before);
  for (std::uint32_t number = 1; number <= size_of_all; ++number) city.start(number);
  city.world.run_for(1s);
  city.loss->per_million = 20'000;
  const auto next = gossip::Book::make(2, after);
  std::vector<std::uint32_t> order;
  for (std::uint32_t number = 1; number <= size_of_all; ++number) order.push_back(number);
  for (std::size_t i = order.size(); i-- > 1;) std::swap(order[i], order[city.random.below(i + 1)]);

  city.members[20]->service->broadcast("hello");
  for (const std::uint32_t number : order) { // each hears of the new book at another time
    city.world.run_for(std::chrono::milliseconds(city.random.below(4)));
    city.members[number]->service->set_book(next);
  }
  city.world.run_for(18s);

  for (const std::uint32_t number : city.wrong(20, "hello")) CHECK(leaving.contains(number));
  for (const auto& member : city.members)
    if (member) CHECK(member->times(member_id(20), "hello") <= 1);
}

TEST_CASE(
    "gossip in the simulator: hostile members flood, replay, inflate and swallow; all others get every honest "
    "message") {
  City city(test_seed(), size_of_all, [](gossip::MachineOptions& machine) {
    // What carries no proof of its origin is refused: a real one would be a signature.
    machine.validate = [](const NodeId& origin, std::span<const std::byte> payload) {
      const std::string text(reinterpret_cast<const char*>(payload.data()), payload.size());
      return text.starts_with("flood") || text.ends_with(origin.to_string());
    };
    machine.held_messages_max = 10 * size_of_all;
    machine.held_bytes_max = 4 << 20;
    machine.remembered_messages_max = 100 * size_of_all;
    machine.clean_reach = 2;
  });
  const std::set<std::uint32_t> hostile_numbers = {5, 18, 33, 47, 62, 79};
  std::vector<std::unique_ptr<Hostile>> hostile;
  for (std::uint32_t number = 1; number <= size_of_all; ++number) {
    city.world.medium("m" + std::to_string(number));
    if (hostile_numbers.contains(number)) {
      hostile.push_back(std::make_unique<Hostile>(city, number));
    } else if (number == 1 || city.random.below(5) != 0) {
      city.start(number);
    }
  }
  city.world.run_for(1s);
  city.loss->per_million = 10'000;
  {
    Tasks flood(city.world.executor());
    for (const auto& one : hostile) flood.spawn(one->misbehave(120));
    std::vector<std::string> texts;
    for (int i = 0; i < 5; ++i) {
      texts.push_back(std::to_string(i) + " of " + member_id(1).to_string());
      city.members[1]->service->broadcast(texts.back());
      city.world.run_for(400ms);
    }
    city.world.run_for(18s);
    for (const std::string& text : texts) CHECK(city.wrong(1, text).empty());
    flood.cancel();
    city.world.run_for(5s);
  }
  std::uint64_t refused_levels = 0;
  std::uint64_t duplicates = 0;
  for (const auto& member : city.members) {
    if (!member) continue;
    const gossip::Machine& machine = member->service->machine();
    CHECK(machine.held_messages() <= 10 * size_of_all);
    CHECK(machine.held_bytes() <= 4 << 20);
    CHECK(machine.remembered_messages() <= 100 * size_of_all);
    for (const auto& [message, times] : *member->heard) {
      CAPTURE(message.first.bytes());
      CAPTURE(message.second);
      CHECK(times == 1);
    }
    refused_levels += machine.counters().refused_level;
    duplicates += machine.counters().duplicates;
    // Sends stay within the bound for each message that was taken, however it came.
    const std::uint64_t messages = machine.counters().delivered + machine.counters().broadcasts;
    CHECK(machine.counters().sends <=
          messages * 2 * 4 + 8 * machine.counters().adoptions + machine.counters().resends + machine.counters().given);
  }
  CHECK(refused_levels > 0);
  CHECK(duplicates > 0);
  for (const auto& one : hostile) one->conduit.close();
}
