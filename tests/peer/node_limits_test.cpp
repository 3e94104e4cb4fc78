// Programs that do an ordinary thing often: no limit of the defaults ends their connection, refuses them, or makes one
// circuit pay for the others beside it.
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"

#include <algorithm>
#include <list>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// Both nodes still have their one trunk, and nobody was turned away.
void check_unharmed(NodePair& pair) {
  for (const Node* node : {&pair.here, &pair.there}) {
    const NodeCounters counters = node->counters();
    CHECK(counters.trunks_lost == 0);
    CHECK(counters.trunks_open == 1);
    CHECK(counters.circuits_refused == 0);
    CHECK(counters.circuits_lost == 0);
    CHECK(counters.reading_pauses == 0);
  }
}

CO_TEST_CASE("node: five thousand opens in one go to an idle service are all answered", everywhere, NodePair& pair) {
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("asker");
  std::vector<Circuit> circuits;
  for (int i = 0; i < 5000; ++i) circuits.push_back(me->join_or_start(pair.there_address, "echo", Fragment(i, "hi")));

  for (int i = 0; i < 5000; ++i) {
    const std::optional<Fragment> answer = co_await circuits[static_cast<std::size_t>(i)].receive();
    REQUIRE(answer);
    CHECK(answer->op == i);
  }
  check_unharmed(pair);
}

CO_TEST_CASE("node: circuits that one service does not take refuse nobody at another", both_ways, NodePair& pair) {
  pair.there.register_service("idle", [](LocalPeer&, CircuitInbox&) { return sleep_for(std::chrono::hours(1)); });
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("asker");
  std::vector<Circuit> waiting;
  for (int i = 0; i < 3000; ++i) waiting.push_back(me->join_or_start(pair.there_address, "idle", std::nullopt));

  Circuit circuit = me->join_or_start(pair.there_address, "echo", Fragment(1, "busy?"));
  const std::optional<Fragment> answer = co_await circuit.receive();

  CHECK(test::text_of(answer) == "busy?");
  check_unharmed(pair);
}

CO_TEST_CASE("node: to open, ask, take the answer and let go, at any rate, ends no trunk", everywhere, NodePair& pair) {
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("asker");
  Circuit other = me->join_or_start(pair.there_address, "echo", std::nullopt);
  for (int i = 0; i < 5000; ++i) {
    Circuit circuit = me->join_or_start(pair.there_address, "echo", Fragment(i, "hello"));
    const std::optional<Fragment> answer = co_await circuit.receive();
    REQUIRE(answer);
    if (i % 2 == 0) circuit.close();
  }

  co_await other.send(Fragment(1, "still there?"));
  const std::optional<Fragment> answer = co_await other.receive();

  CHECK(test::text_of(answer) == "still there?");
  CHECK(pair.there.counters().opens_delayed == 0);
  check_unharmed(pair);
}

CO_TEST_CASE("node: a search that cancels its last query for each new one gets the answer to the last", everywhere,
             NodePair& pair) {
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("searcher");
  std::optional<Circuit> query;
  for (int key = 0; key < 5000; ++key) {
    query.emplace(me->join_or_start(pair.there_address, "echo", Fragment(key, "query")));
    if (key % 3 == 0) co_await asio::post(asio::use_awaitable); // some leave together
  }

  const std::optional<Fragment> answer = co_await query->receive();

  REQUIRE(answer);
  CHECK(answer->op == 4999);
  check_unharmed(pair);
}

CO_TEST_CASE("node: metadata that changes at any rate ends no trunk, and the last value arrives", both_ways,
             NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("busy");
  Circuit near = me->join_or_start(pair.there_address, "store", Fragment(1, "first"));
  Circuit far = co_await keeper.next();

  for (int load = 0; load <= 30'000; ++load) {
    me->set_metadata("load", std::to_string(load));
    if (load % 2 == 0) co_await asio::post(asio::use_awaitable);
  }
  while (!far.remote_metadata() || far.remote_metadata()->at("load") != "30000") co_await far.metadata_changed();

  check_unharmed(pair);
}

CO_TEST_CASE("node: metadata of more peers than the far side keeps ends no trunk", both_ways, NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  std::vector<std::shared_ptr<LocalPeer>> peers;
  std::vector<Circuit> circuits;
  for (int i = 0; i < 5000; ++i) {
    peers.push_back(pair.here.new_peer("one of many"));
    peers.back()->set_metadata("number", std::to_string(i));
    circuits.push_back(peers.back()->join_or_start(pair.there_address, "store", std::nullopt));
  }
  Circuit asks = peers.back()->join_or_start(pair.there_address, "store", Fragment(1, "last"));
  for (int i = 0; i < 5000; ++i) co_await keeper.next();
  Circuit far = co_await keeper.next();

  const std::optional<Fragment> last = co_await far.receive();

  CHECK(test::text_of(last) == "last");
  check_unharmed(pair);
}

CO_TEST_CASE("node: peers that come and go at any rate end no trunk", both_ways, NodePair& pair) {
  pair.there.register_service("once", [](LocalPeer&, CircuitInbox& inbox) -> awaitable<void> {
    std::optional<Circuit> circuit = co_await inbox.next();
    if (!circuit) co_return;
    std::optional<Fragment> fragment = co_await circuit->receive();
    if (fragment) co_await circuit->send(std::move(*fragment));
    circuit->close();
  });
  const auto me = pair.here.new_peer("asker");
  for (int i = 0; i < 3000; ++i) {
    const auto short_lived = pair.here.new_peer("short-lived");
    short_lived->set_metadata("number", std::to_string(i));
    Circuit circuit = short_lived->start(pair.there_address, "once", Fragment(i, "x"));
    const std::optional<Fragment> answer = co_await circuit.receive();
    REQUIRE(answer);
    circuit.close();
    short_lived->close();
  }
  check_unharmed(pair);
}

awaitable<void> watch(Circuit& circuit) {
  for (;;) co_await circuit.metadata_changed();
}

/// Short conversations beside `quiet` circuits, each of which waits for its peer's metadata where `watched`. `peers`:
/// each conversation starts a peer of its own, which ends with it.
awaitable<void> converse(NodePair& pair, int quiet, bool watched, bool peers, int conversations) {
  co_await pair.meet();
  pair.there.serve("hold", echo);
  pair.there.serve("echo", echo);
  pair.there.register_service("once", [](LocalPeer&, CircuitInbox& inbox) -> awaitable<void> {
    std::optional<Circuit> circuit = co_await inbox.next();
    if (!circuit) co_return;
    std::optional<Fragment> fragment = co_await circuit->receive();
    if (fragment) co_await circuit->send(std::move(*fragment));
    circuit->close();
  });
  const auto me = pair.here.new_peer("asker");
  std::list<Circuit> held;
  for (int i = 0; i < quiet; ++i) {
    held.push_back(me->join_or_start(pair.there_address, "hold", std::nullopt));
    if (watched) me->spawn(watch(held.back()));
  }
  if (!held.empty()) co_await held.back().accepted();
  for (int i = 0; i < conversations; ++i) {
    Circuit circuit = peers ? me->start(pair.there_address, "once", Fragment(1, "x"))
                            : me->join_or_start(pair.there_address, "echo", Fragment(1, "x"));
    const std::optional<Fragment> answer = co_await circuit.receive();
    REQUIRE(answer);
    circuit.close();
    co_await circuit.ended();
  }
  me->close();
  held.clear();
  co_await pair.here.close();
  co_await pair.there.close();
}

/// How many handlers run for a hundred conversations.
std::size_t handlers_run(int quiet, bool watched, bool peers) {
  std::size_t counts[2] = {};
  for (const int conversations : {0, 100}) {
    NodePair pair(NodePair::Dialler::here);
    asio::co_spawn(pair.io, converse(pair, quiet, watched, peers, conversations), [](std::exception_ptr failure) {
      if (failure) std::rethrow_exception(failure);
    });
    counts[conversations / 100] = pair.io.run();
  }
  return counts[1] - std::min(counts[0], counts[1]);
}

TEST_CASE("node: a conversation wakes nobody who waits for the metadata of another peer") {
  const std::size_t alone = handlers_run(0, false, false);

  const std::size_t beside = handlers_run(500, true, false);

  CAPTURE(alone);
  CAPTURE(beside);
  CHECK(beside <= alone + 200); // each of the 500 would be woken 100 times
}

TEST_CASE("node: peers that come and go wake nobody who waits for the metadata of another peer") {
  const std::size_t alone = handlers_run(0, false, true);

  const std::size_t beside = handlers_run(500, true, true);

  CAPTURE(alone);
  CAPTURE(beside);
  CHECK(beside <= alone + 200);
}

CO_TEST_CASE("node: a start that is reset in the same packet starts nothing (F17)", both_ways, NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("asker");
  for (int i = 0; i < 100; ++i) {
    Circuit circuit = me->start(pair.there_address, "store", std::nullopt);
    circuit.reset();
  }
  Circuit last = me->start(pair.there_address, "store", Fragment(1, "last"));
  Circuit far = co_await keeper.next();
  co_await settle();

  CHECK(pair.there.counters().opens_cancelled == 100);
  CHECK(keeper.started() == 1);
  CHECK(pair.there.local_peers("store").size() == 1);
  CHECK(pair.there.counters().circuits_held == 0);
}

} // namespace
