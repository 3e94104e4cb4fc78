// The service over real circuits and memory connections: the published tables, and the default at many sizes.
#include "services/gossip/gossip.hpp"
#include "services/gossip/rehearsal.hpp"
#include "tests/services/gossip/tables.hpp"
#include "tests/services/gossip/village.hpp"
#include "tests/support/co_test_case.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/support/log_lines.hpp"

#include <boost/asio/io_context.hpp>

#include <map>
#include <set>
#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// Runs a body on a context of its own.
void on_a_context(awaitable<void> (*body)(asio::io_context&)) {
  asio::io_context io(1);
  run_coroutine(io, body(io));
}

/// (from, to) of every message that a network sent, by its own counters.
std::multiset<std::pair<std::uint32_t, std::uint32_t>> sent_by_network(const Village& village) {
  std::multiset<std::pair<std::uint32_t, std::uint32_t>> sends;
  for (const auto& member : village.members) {
    const NetworkMetrics metrics = member->network->metrics();
    for (std::uint32_t to = 1; to <= village.members.size(); ++to) {
      const auto found = metrics.peers.find(member_id(to));
      for (std::uint64_t i = 0; found != metrics.peers.end() && i < found->second.messages_sent; ++i)
        sends.emplace(member->number, to);
    }
  }
  return sends;
}

awaitable<void> plays_table(asio::io_context& io, const PublishedSends& table, std::uint32_t origin) {
  Village village(io, table.size, "plain");
  co_await village.ready();
  village.members[origin]->service->broadcast("hello");
  const Sends expected = sends_of(table, origin);
  while (village.reads() < expected.size()) co_await asio::post(asio::use_awaitable);
  co_await turns(200);

  std::multiset<std::pair<std::uint32_t, std::uint32_t>> expected_pairs;
  for (const auto& [from, to, level] : expected) expected_pairs.emplace(from, to);
  CHECK(sent_by_network(village) == expected_pairs);
  CHECK(village.reads() == expected.size());
  for (const auto& member : village.members)
    CHECK(member->times(member_id(origin + 1), "hello") == (member->number == origin + 1 ? 0 : 1));
  for (const PublishedCounts& counts : published_counts) {
    if (counts.size != table.size) continue;
    for (std::uint32_t i = 0; i < table.size; ++i) {
      const Member& member = *village.members[(i + origin) % table.size];
      CHECK(member.reads() == counts.counts[i][0]);
      CHECK(member.service->counters().sends == counts.counts[i][1]);
    }
  }
  co_await village.stop();
}

} // namespace

TEST_CASE(
    "gossip: over circuits the plain strategy sends, reads and writes as published, wherever the originator stands") {
  for (const PublishedSends& table : published_sends)
    for (const std::uint32_t origin : {0u, table.size / 2, table.size - 1}) {
      CAPTURE(table.size);
      CAPTURE(origin);
      asio::io_context io(1);
      run_coroutine(io, plays_table(io, table, origin));
    }
}

TEST_CASE("gossip: over circuits every member gets a message exactly once, at sizes that the plain tree misses too") {
  for (const std::uint32_t size : {1u, 2u, 3u, 8u, 17u, 23u, 24u, 26u, 27u, 40u}) {
    CAPTURE(size);
    for (const char* strategy : {"adopt+cleanup", "exact+adopt", "redundancy"}) {
      CAPTURE(strategy);
      asio::io_context io(1);
      run_coroutine(io, plays_default(io, size, size / 2, strategy));
    }
  }
}

namespace {

/// An application that throws at the first `failures` messages hears `messages` of them, whatever its log does.
awaitable<void> survives_throwing(asio::io_context& io, int messages, int failures,
                                  std::function<void(const std::string&)> log) {
  Village village(io, 3, "adopt+cleanup");
  co_await village.ready();
  int calls = 0;
  gossip::GossipOptions how;
  how.channel = "other";
  how.on_message = [&](NodeId, Payload) -> awaitable<void> {
    if (++calls <= failures) throw std::runtime_error("not this one");
    co_return;
  };
  how.log = std::move(log);
  const auto thrower = std::make_shared<gossip::Gossip>(village.members[1]->network, how);
  const auto sender = std::make_shared<gossip::Gossip>(village.members[0]->network, [] {
    gossip::GossipOptions plain;
    plain.channel = "other";
    return plain;
  }());
  const auto scope = Scope::make_root({});
  const auto book = gossip::Book::make(1, {member_id(1), member_id(2)});
  for (const auto& service : {thrower, sender}) {
    service->start(scope);
    service->set_book(book);
    co_await service->ready();
  }
  for (int i = 0; i < messages; ++i) sender->broadcast(std::to_string(i));
  while (calls < messages) co_await asio::post(asio::use_awaitable);
  scope->cancel();
  co_await thrower->done();
  co_await sender->done();
  co_await village.stop();
}

} // namespace

CO_TEST_CASE("gossip: many messages of everybody at once arrive once each, with hardly any room for deliveries",
             on_a_context, asio::io_context& io) {
  Village village(io, 9, "adopt+cleanup", [](gossip::GossipOptions& how) {
    how.machine.clean_after = std::chrono::milliseconds(20);
    how.deliveries_max = 3;
    // However slow the machine is: nobody gives up, and nothing is tried again for want of time.
    how.machine.ack_timeout = std::chrono::minutes(1);
    how.machine.hold_for = std::chrono::minutes(10);
    how.send_deadline = std::chrono::minutes(1);
  });
  co_await village.ready();
  for (int i = 0; i < 50; ++i)
    for (const auto& member : village.members)
      member->service->broadcast(std::to_string(i) + std::string(i * 100, 'x'));
  const auto all = [&] {
    for (const auto& member : village.members)
      if (member->heard->size() < 8 * 50) return false;
    return true;
  };
  while (!all()) co_await asio::post(asio::use_awaitable);
  co_await turns(500);
  for (const auto& member : village.members) {
    CHECK(member->heard->size() == 8 * 50);
    for (const auto& [message, times] : *member->heard) CHECK(times == 1);
  }
  co_await village.stop();
}

CO_TEST_CASE(
    "gossip: broadcasts too early, too late, or of a member that is in no book are refused, and a channel taken is "
    "irrecoverable",
    on_a_context, asio::io_context& io) {
  const auto memory = std::make_shared<MemoryMedium>();
  NetworkOptions options;
  options.node.media["mem"] = memory;
  const auto network = std::make_shared<Network>(io.get_executor(), options);
  const auto service = std::make_shared<gossip::Gossip>(network, gossip::GossipOptions());
  CHECK_THROWS_AS(service->broadcast("too early"), std::logic_error);
  std::string failed;
  const auto scope = Scope::make_root([&](const std::string& component, std::exception_ptr) { failed = component; });
  network->start();
  service->start(scope);
  co_await service->ready();
  CHECK_THROWS_AS(service->broadcast("not in the book"), std::logic_error);
  service->set_book(gossip::Book::make(1, {network->local_id()}));
  service->broadcast("to nobody");
  const auto second = std::make_shared<gossip::Gossip>(network, gossip::GossipOptions());
  second->start(scope); // the channel is taken
  co_await second->done();
  CHECK(failed == "gossip on gossip");
  co_await service->done(); // the tree was stopped
  CHECK_THROWS_AS(service->broadcast("too late"), std::logic_error);
  co_await network->stop();
}

TEST_CASE("gossip: an application that throws is logged and gets the next message") {
  asio::io_context io(1);
  LogLines log;
  run_coroutine(io, survives_throwing(io, 2, 1, [&log](const std::string& line) { log.add(line); }));
  CHECK(log.lines().size() == 1);
  CHECK(log.has_line("not this one"));
}

TEST_CASE("gossip: a log that throws costs its line, and the next message is delivered") {
  asio::io_context io(1);
  int lines = 0;
  run_coroutine(io, survives_throwing(io, 5, 4, [&lines](const std::string&) {
    ++lines;
    throw std::runtime_error("the disk is full");
  }));
  CHECK(lines == 4);
}

TEST_CASE("gossip: an application that throws at everything does not fill the log") {
  asio::io_context io(1);
  LogLines log;
  run_coroutine(io, survives_throwing(io, 100, 100, [&log](const std::string& line) { log.add(line); }));
  CHECK(log.lines().size() == LogRate::lines_max_default);
}
