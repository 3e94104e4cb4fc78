// Addresses that fail, and connections that are lost, under the virtual clock: how often they are dialled, what whoever
// asks meanwhile is told, and how they come back.
#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "fragment/quote.hpp"
#include "peer/node.hpp"
#include "transport/medium.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::sim {
namespace {

using namespace std::chrono_literals;

/// Two hosts; beta listens nowhere until it is told to.
struct Pair {
  explicit Pair(std::uint64_t seed) : world(seed), alpha(make("alpha")), beta(std::make_unique<Node>(make("beta"))) {
    beta->serve("echo", echo);
  }
  Node make(const std::string& host) {
    NodeOptions options;
    options.name = host;
    options.media["sim"] = world.medium(host);
    options.random = world.random(host);
    if (host == "alpha")
      options.on_link = [this](LinkChange change, const LinkInfo& link) {
        const char* const words[] = {"opened", "draining", "over"};
        changes.push_back(words[static_cast<int>(change)]);
        if (change == LinkChange::opened && link.reconnected) changes.back() += " again";
      };
    return Node(world.executor(), std::move(options));
  }
  static awaitable<void> echo(Circuit circuit) {
    while (auto fragment = co_await circuit.receive()) co_await circuit.send(std::move(*fragment));
  }

  World world;
  std::vector<std::string> changes; // of alpha's links
  Node alpha;
  std::unique_ptr<Node> beta;
};

template <class T> awaitable<std::string> words_of(awaitable<T> operation, boost::system::error_code& code) {
  std::string words;
  code = {};
  try {
    co_await std::move(operation);
  } catch (const boost::system::system_error& failure) {
    code = failure.code();
    words = text_of(failure);
  }
  co_return words;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// Dials whenever the last dial has failed, for a minute.
awaitable<void> retry_for_a_minute(Pair& pair, std::vector<std::string>& told) {
  const TimePoint end = pair.world.now() + 1min;
  boost::system::error_code code;
  while (pair.world.now() < end) {
    std::string words = co_await words_of(pair.alpha.dial("sim://beta"), code);
    if (!code || code == error::connect_failed) told.push_back(std::move(words));
    co_await sleep_for(5ms);
  }
}

TEST_CASE("redialler: a loop of dials to an address that fails costs as many attempts as its backoff allows") {
  Pair pair(1);
  std::vector<std::string> told;
  pair.world.run(retry_for_a_minute(pair, told));

  // 0.1 s, 0.2 s, ... 6.4 s are 12.7 s together; then every 10 s, and up to a quarter more.
  CHECK(pair.alpha.counters().dials >= 9);
  CHECK(pair.alpha.counters().dials <= 13);
  CHECK(pair.alpha.counters().dials_held_back >= pair.alpha.counters().dials - 1);
  REQUIRE(told.size() >= 9);
  for (const std::string& words : told) {
    INFO(words);
    CHECK(has(words, "cannot connect to sim://beta"));
  }
}

/// Takes connections and ends them at once.
awaitable<void> turn_away(std::shared_ptr<Listener> listener) {
  for (;;) co_await listener->accept();
}

awaitable<void> retry_where_all_are_turned_away(Pair& pair, std::vector<std::string>& told) {
  Tasks tasks(pair.world.executor());
  const std::shared_ptr<Listener> listener = pair.world.medium("beta")->listen(pair.world.executor(), "sim://beta");
  tasks.spawn(turn_away(listener));
  co_await retry_for_a_minute(pair, told);
  listener->close();
  tasks.cancel();
  co_await tasks.join();
}

TEST_CASE("redialler: a far side that ends every connection at once is paced like one that does not answer") {
  Pair pair(2);
  std::vector<std::string> told;
  pair.world.run(retry_where_all_are_turned_away(pair, told));

  CHECK(pair.alpha.counters().dials >= 9);
  CHECK(pair.alpha.counters().dials <= 13);
}

awaitable<void> open_meanwhile(Pair& pair) {
  const auto me = pair.alpha.new_peer("me");
  Circuit first = me->join_or_start("sim://beta", "echo", Fragment(0, "lost"));
  co_await first.ended();
  const std::string listening = pair.beta->listen("sim://beta");
  const TimePoint before = pair.world.now();

  Circuit second = me->join_or_start("sim://beta", "echo", Fragment(0, "too early"));
  Circuit third = me->join_or_start("sim://beta", "echo", Fragment(0, "too early, too"));
  CHECK(pair.alpha.counters().dials == 1);
  const std::optional<Fragment> answer = co_await second.receive();
  CHECK(answer.value().payload.text() == "too early");
  const std::optional<Fragment> other = co_await third.receive();
  CHECK(other.value().payload.text() == "too early, too");
  CHECK(pair.world.now() >= before + 100ms);
  CHECK(pair.world.now() < before + 200ms);
  CHECK(pair.alpha.counters().dials == 2);
  CHECK(pair.alpha.counters().dials_held_back == 1);
  second.close();
  third.close();
  co_await pair.alpha.close();
  co_await pair.beta->close();
}

TEST_CASE("redialler: opens during the backoff wait for it and share the dial that follows") {
  Pair pair(3);
  pair.world.run(open_meanwhile(pair));
}

awaitable<void> listen_later(Pair& pair, Duration after) {
  co_await sleep_for(after);
  pair.beta->listen("sim://beta");
}

awaitable<void> wait_in_vain_and_then_not(Pair& pair) {
  Tasks tasks(pair.world.executor());
  const TimePoint begin = pair.world.now();
  boost::system::error_code code;
  const std::string words = co_await words_of(pair.alpha.wait_for_connection("sim://beta", 1500ms), code);
  CHECK(code == error::timed_out);
  INFO(words);
  CHECK(has(words, "no connection to sim://beta within 1500 ms; the last attempt: "));
  CHECK(pair.world.now() == begin + 1500ms);

  tasks.spawn(listen_later(pair, 3s));
  const LinkInfo link = co_await pair.alpha.wait_for_connection("sim://beta");
  CHECK(link.node == pair.beta->id());
  CHECK_FALSE(link.reconnected);
  CHECK(pair.world.now() - begin >= 4500ms);
  CHECK(pair.world.now() - begin < 12s);

  const TimePoint connected = pair.world.now();
  const LinkInfo same = co_await pair.alpha.wait_for_connection("sim://beta", Duration::zero());
  CHECK(same.trunk == link.trunk);
  CHECK(pair.world.now() == connected);
  const std::string unknown = co_await words_of(pair.alpha.wait_for_connection("pigeon://loft"), code);
  CHECK(code == error::unknown_scheme);
  co_await pair.alpha.close();
  co_await pair.beta->close();
}

TEST_CASE("redialler: a wait for a connection dials by itself, ends with it, and says at its deadline what failed") {
  Pair pair(4);
  pair.world.run(wait_in_vain_and_then_not(pair));
}

awaitable<void> dial_later(Pair& pair) {
  co_await sleep_for(2s);
  co_await pair.alpha.dial("sim://beta");
}

awaitable<void> wait_for_a_node(Pair& pair) {
  Tasks tasks(pair.world.executor());
  pair.beta->listen("sim://beta");
  tasks.spawn(dial_later(pair));
  const LinkInfo link = co_await pair.beta->wait_for_connection("node://" + pair.alpha.id().to_string(), 1min);
  CHECK(link.node == pair.alpha.id());
  CHECK_FALSE(link.dialled);
  CHECK(pair.beta->counters().dials == 0);
  co_await pair.alpha.close();
  co_await pair.beta->close();
}

TEST_CASE("redialler: a wait for a node that listens nowhere ends when that node has dialled") {
  Pair pair(5);
  pair.world.run(wait_for_a_node(pair));
}

awaitable<void> lose_and_regain(Pair& pair) {
  pair.alpha.keep_connected("sim://beta"); // nobody listens yet
  pair.alpha.keep_connected("sim://beta");
  CHECK(pair.alpha.kept_connected() == std::vector<std::string>{"sim://beta"});
  co_await sleep_for(1s);
  pair.beta->listen("sim://beta");
  co_await pair.alpha.wait_for_connection("sim://beta");

  for (int loss = 0; loss < 3; ++loss) {
    co_await sleep_for(1min);
    pair.world.reset("alpha", "beta");
    co_await sleep_for(1ms);
    CHECK(pair.alpha.links().empty());
    const TimePoint lost = pair.world.now();
    co_await pair.alpha.wait_for_connection("sim://beta");
    CHECK(pair.world.now() - lost >= 90ms); // all who lost it at once do not come at once
    CHECK(pair.world.now() - lost < 1s);
  }
  CHECK(pair.changes == std::vector<std::string>{"opened", "over", "opened again", "over", "opened again", "over",
                                                 "opened again"});
  CHECK(pair.alpha.counters().reconnects == 3);

  pair.alpha.stop_keeping_connected("sim://beta");
  pair.alpha.stop_keeping_connected("sim://nobody");
  CHECK(pair.alpha.kept_connected().empty());
  CHECK(pair.alpha.links().size() == 1); // it stays
  co_await sleep_for(1min);
  pair.world.reset("alpha", "beta");
  const std::uint64_t dials = pair.alpha.counters().dials;
  co_await sleep_for(10min);
  CHECK(pair.alpha.counters().dials == dials);
  co_await pair.alpha.close();
  co_await pair.beta->close();
}

TEST_CASE("redialler: an address that is kept connected is connected again after each loss, and on_link says so") {
  Pair pair(6);
  pair.world.run(lose_and_regain(pair));
}

awaitable<void> restart_far_node(Pair& pair) {
  pair.beta->listen("sim://beta");
  pair.alpha.keep_connected("sim://beta");
  co_await pair.alpha.wait_for_connection("sim://beta");
  co_await sleep_for(1min);
  co_await pair.beta->drain(1s);
  co_await pair.beta->close();
  co_await sleep_for(5min);
  const std::uint64_t attempts = pair.alpha.counters().dials;
  CHECK(attempts > 20); // every 10 s and a bit
  CHECK(attempts < 45);

  pair.beta = std::make_unique<Node>(pair.make("beta"));
  pair.beta->listen("sim://beta");
  const TimePoint back = pair.world.now();
  const LinkInfo link = co_await pair.alpha.wait_for_connection("sim://beta");
  CHECK(link.node == pair.beta->id());
  CHECK(pair.world.now() - back < 13s);
  co_await pair.alpha.close();
  co_await pair.beta->close();
}

TEST_CASE("redialler: a far node that was down for minutes is met again within the longest backoff") {
  Pair pair(7);
  pair.world.run(restart_far_node(pair));
}

enum class Stop : std::uint8_t { drain, close, destroy };

awaitable<void> wait_and_note(Node& node, std::string& words, boost::system::error_code& code) {
  words = co_await words_of(node.wait_for_connection("sim://beta"), code);
}

awaitable<void> stop_while_dialling(Pair& pair, Stop how) {
  Tasks tasks(pair.world.executor());
  auto node = std::make_unique<Node>(pair.make("gamma"));
  std::string words;
  boost::system::error_code code;
  node->keep_connected("sim://beta");
  tasks.spawn(wait_and_note(*node, words, code));
  co_await sleep_for(1s);
  CHECK(node->counters().dials > 2);
  CHECK(tasks.running() == 1);

  if (how == Stop::drain) co_await node->drain(1s);
  if (how == Stop::close) co_await node->close();
  if (how == Stop::destroy) node.reset();
  co_await tasks.join();
  INFO(words);
  CHECK(code == (how == Stop::drain ? make_error_code(error::draining) : make_error_code(error::node_closed)));
  if (node) {
    const std::uint64_t dials = node->counters().dials;
    co_await sleep_for(1min);
    CHECK(node->counters().dials == dials);
    co_await node->close();
  }
}

TEST_CASE("redialler: drain, close and destruction end what keeps a connection and what waits for one") {
  for (const Stop how : {Stop::drain, Stop::close, Stop::destroy}) {
    Pair pair(8);
    CAPTURE(static_cast<int>(how));
    pair.world.run(stop_while_dialling(pair, how));
    pair.world.run();
    CHECK(pair.world.idle());
  }
}

awaitable<void> cancel_a_wait(Pair& pair) {
  {
    Tasks tasks(pair.world.executor());
    std::string words;
    boost::system::error_code code;
    tasks.spawn(wait_and_note(pair.alpha, words, code));
    co_await sleep_for(10s);
    tasks.cancel();
    co_await tasks.join();
    CHECK(code == asio::error::operation_aborted);
  }
  const std::uint64_t dials = pair.alpha.counters().dials;
  co_await sleep_for(1min);
  CHECK(pair.alpha.counters().dials == dials);
}

TEST_CASE("redialler: a cancelled wait for a connection dials no more") {
  Pair pair(9);
  pair.world.run(cancel_a_wait(pair));
}

awaitable<void> dial_many(Pair& pair) {
  for (int i = 0; i < 2'000; ++i) {
    boost::system::error_code code;
    co_await words_of(pair.alpha.dial("sim://host-" + std::to_string(i)), code);
    CHECK(code == error::connect_failed);
    co_await sleep_for(1s);
  }
  boost::system::error_code code;
  const std::string words = co_await words_of(pair.alpha.dial("sim://host-0"), code);
  CHECK_FALSE(has(words, "not dialled again"));
}

TEST_CASE("redialler: each address has a backoff of its own") {
  Pair pair(10);
  pair.world.run(dial_many(pair));
  CHECK(pair.alpha.counters().dials == 2'001);
  CHECK(pair.alpha.counters().dials_held_back == 0);
}

} // namespace
} // namespace trunkline::sim
