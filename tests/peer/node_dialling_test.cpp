// How trunks come to be: dialled by need, once per address, found by every name of the far node, and one of two when
// both nodes dial at once.
#include "async/tasks.hpp"
#include "circuit/native/machine.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <new>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// Two nodes that both listen over memory, "mem://one" and "mem://other", and serve a store each.
struct Neighbours {
  explicit Neighbours(const Tweak& tweak = {}) : one(make("one", tweak)), other(make("other", tweak)) {
    one.listen("mem://one");
    other.listen("mem://other");
    one.register_service("store", store_of_one.service());
    other.register_service("store", store_of_other.service());
  }
  Node make(const std::string& name, const Tweak& tweak) {
    NodeOptions options;
    options.name = name;
    options.media["mem"] = memory;
    options.log = log.sink(name);
    if (tweak) tweak(options);
    return Node(io.get_executor(), std::move(options));
  }

  asio::io_context io{1};
  std::shared_ptr<Medium> memory = std::make_shared<MemoryMedium>();
  LogLines log;
  Keeper store_of_one;
  Keeper store_of_other;
  Node one;
  Node other;
};

/// Runs a body on them.
void among_neighbours(awaitable<void> (*body)(Neighbours&)) {
  Neighbours world;
  run_coroutine(world.io, body(world));
}

awaitable<void> close_both(Neighbours& world) {
  co_await world.one.close();
  co_await world.other.close();
}

awaitable<void> dial_and_note(Node& node, std::string address, std::shared_ptr<std::vector<bool>> outcomes) {
  const bool dialled = co_await node.dial(std::move(address));
  outcomes->push_back(dialled);
}

} // namespace

CO_TEST_CASE("node: the first circuit to an address dials it, and what is sent meanwhile waits in the trunk",
             among_neighbours, Neighbours& world) {
  {
    const auto me = world.one.new_peer("browser");
    const PeerUrl there("mem://other", "store", PeerId());
    Circuit first = me->new_circuit(there, Fragment(0, "0"));
    CHECK(first.dialled());
    CHECK(world.one.counters().dials == 0); // nothing has run yet: what follows is queued in the trunk
    for (int i = 1; i < 100; ++i) CHECK(first.send_one_way(Fragment(i, std::to_string(i))) == SendOutcome::queued);
    Circuit second = me->new_circuit(there, Fragment(0, "second"));
    CHECK_FALSE(second.dialled());

    Circuit far = co_await world.store_of_other.next();
    for (int i = 0; i < 100; ++i) {
      const std::optional<Fragment> fragment = co_await far.receive();
      CHECK(text_of(fragment) == std::to_string(i));
    }
    CHECK(world.one.counters().dials == 1);
    CHECK(world.one.links_count() == 1);

    // The node that was dialled knows the dialler by the address on which it listens.
    const auto back = world.other.new_peer("browser");
    Circuit third = back->new_circuit(PeerUrl("mem://one", "store", PeerId()), Fragment(0, "third"));
    CHECK_FALSE(third.dialled());
    Circuit third_far = co_await world.store_of_one.next();
    CHECK(third_far.remote_url() == back->url().to_string() + "/" + std::to_string(third.id()));
    CHECK(world.other.counters().dials == 0);
  }
  co_await close_both(world);
}

CO_TEST_CASE("node: concurrent dials and opens to one address share one attempt", among_neighbours, Neighbours& world) {
  const auto me = world.one.new_peer("browser");
  const auto outcomes = std::make_shared<std::vector<bool>>();
  for (int i = 0; i < 5; ++i) me->spawn(dial_and_note(world.one, "mem://other", outcomes));
  Circuit circuit = me->new_circuit(PeerUrl("mem://other", "store", PeerId()), Fragment(0, "x"));
  Circuit far = co_await world.store_of_other.next();
  const bool again = co_await world.one.dial("mem://other");
  CHECK_FALSE(again);
  const bool by_id = co_await world.one.dial("node://" + world.other.id().to_string());
  CHECK_FALSE(by_id);

  CHECK(outcomes->size() == 5);
  CHECK(std::count(outcomes->begin(), outcomes->end(), true) == 0); // the circuit was first
  CHECK(circuit.dialled());
  CHECK(world.one.counters().dials == 1);
  CHECK(world.one.counters().trunks_opened == 1);
  CHECK(world.other.counters().trunks_opened == 1);
  co_await close_both(world);
}

CO_TEST_CASE(
    "node: a dial that fails ends the circuits on it with words about the address, and a later one tries again",
    among_neighbours, Neighbours& world) {
  const auto me = world.one.new_peer("browser");
  for (const auto& [address, about] : std::vector<std::pair<std::string, std::string>>{
           {"mem://nobody", "cannot connect to mem://nobody"},
           {"tcp://127.0.0.1:1", "cannot connect to tcp://127.0.0.1:1"},
           {"tcp://", "tcp://"},
           {"carrier-pigeon://loft", "has no scheme of "},
           {"no address at all", "has no scheme of "},
           {"node://bWFrZSBpdCBzb3VuZCEhIQ", "reached only while it is connected"},
           {"node://nonsense", "reached only while it is connected"}}) {
    CAPTURE(address);
    Circuit circuit = me->join_or_start(address, "store", Fragment(0, "lost"));
    const auto failure = co_await failure_of(circuit.receive());
    CHECK(failure == error::connect_failed);
    const End end = co_await circuit.ended();
    INFO(end.text);
    CHECK(end.text.find(about) != std::string::npos);
    CHECK(end.text.find('[') == std::string::npos); // no code behind the words
    const auto dialled = co_await failure_of(world.one.dial(address));
    CHECK(dialled == error::connect_failed);
    const auto started =
        co_await failure_of(world.one.new_peer("starter")->start_only(address, "store", std::chrono::seconds(20)));
    CHECK(started == error::connect_failed);
  }
  CHECK(world.one.links_count() == 0);
  CHECK_FALSE(me->is_ending());

  world.other.listen("mem://nobody"); // now somebody is
  const LinkInfo link = co_await world.one.wait_for_connection("mem://nobody", std::chrono::seconds(30));
  CHECK(link.dialled);
  co_await close_both(world);
}

CO_TEST_CASE("node: a node that dials itself is told so by name", among_neighbours, Neighbours& world) {
  const auto me = world.one.new_peer("browser");
  Circuit circuit = me->join_or_start("mem://one", "store", Fragment(0, "to myself"));

  const auto dialled = co_await failure_of(world.one.dial("mem://one"));
  const End end = co_await circuit.ended();

  CHECK(dialled == error::dialled_self);
  INFO(end.to_string());
  CHECK(end.to_string().find("dialled self") != std::string::npos);
  CHECK(end.to_string().find("mem://one") != std::string::npos);
  CHECK(world.store_of_one.started() == 0);
  const bool other = co_await world.one.dial("mem://other");
  CHECK(other);
  co_await close_both(world);
}

namespace {

awaitable<void> stream(Circuit circuit, std::string name) {
  for (int i = 1; i < 100; ++i) co_await circuit.send(Fragment(i, name));
  circuit.finish();
  for (int i = 0; i < 100; ++i) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    REQUIRE(fragment);
    CHECK(fragment->op == i);
  }
  co_await circuit.finish_acknowledged();
}

awaitable<void> echo_stream(Circuit circuit) { return echo(std::move(circuit)); }

/// Both sides open a circuit, `turns` handlers apart, and stream over it both ways. Nothing may be lost, and afterwards
/// new circuits of both use the same trunk: the one that the node with the smaller id dialled.
awaitable<void> cross_dial(Neighbours& world, int turns, bool keep_open) {
  {
    world.one.serve("echo", echo_stream);
    world.other.serve("echo", echo_stream);
    const auto here = world.one.new_peer("left");
    const auto there = world.other.new_peer("right");
    Circuit kept;
    Circuit kept_far;

    Circuit forth = here->join_or_start("mem://other", "echo", Fragment(0, "forth"));
    if (keep_open) kept = here->join_or_start("mem://other", "store", Fragment(0, "kept"));
    for (int turn = 0; turn < turns; ++turn) co_await asio::post(asio::use_awaitable);
    Circuit back = there->join_or_start("mem://one", "echo", Fragment(0, "back"));
    const bool crossed = forth.dialled() && back.dialled();
    co_await stream(std::move(forth), "forth");
    co_await stream(std::move(back), "back");
    if (keep_open) kept_far = co_await world.store_of_other.next();

    // Both Hellos have been heard by now.
    Circuit forth_again = here->join_or_start("mem://other", "store", Fragment(0, "again"));
    Circuit forth_far = co_await world.store_of_other.next();
    Circuit back_again = there->join_or_start("mem://one", "store", Fragment(0, "again"));
    Circuit back_far = co_await world.store_of_one.next();
    CHECK(forth_again.trunk() == back_far.trunk());
    CHECK(back_again.trunk() == forth_far.trunk());
    CHECK_FALSE(forth_again.dialled());
    CHECK_FALSE(back_again.dialled());
    if (crossed) {
      const bool one_is_smaller = world.one.id() < world.other.id();
      CHECK((forth_again.id() % 2 == 1) == one_is_smaller); // circuits of the dialling side are odd
    }
    if (keep_open) {
      CHECK(kept.is_open());
      Circuit another = kept.new_circuit(Fragment(0, "beside")); // also from a circuit whose trunk drains
      CHECK(another.trunk() == forth_again.trunk());
      Circuit another_far = co_await world.store_of_other.next();
      co_await kept.send(Fragment(1, "still"));
      co_await kept_far.receive();
      const std::optional<Fragment> fragment = co_await kept_far.receive();
      CHECK(text_of(fragment) == "still");
      kept.close();
      co_await kept.ended();
    }
    while (world.one.links_count() > 1 || world.other.links_count() > 1) co_await asio::post(asio::use_awaitable);
    CHECK(forth_again.is_open());
    CHECK(back_again.is_open());
    CHECK(world.one.counters().trunks_lost == 0);
    CHECK(world.other.counters().trunks_lost == 0);
  }
  co_await close_both(world);
}

} // namespace

TEST_CASE("node: two nodes that dial each other at once end with one trunk, and lose nothing") {
  int one_was_smaller = 0;
  int rounds = 0;
  for (int turns = 0; turns < 40; ++turns)
    for (const bool keep_open : {false, true}) {
      CAPTURE(turns);
      CAPTURE(keep_open);
      Neighbours world;
      one_was_smaller += world.one.id() < world.other.id();
      ++rounds;
      run_coroutine(world.io, cross_dial(world, turns, keep_open));
    }
  CHECK(one_was_smaller > 0); // both ways of the tie-break were seen
  CHECK(one_was_smaller < rounds);
}

namespace {

awaitable<bool> is_closed(Transport& transport) {
  std::vector<std::byte> bytes(4096);
  std::size_t count = 1;
  while (count != 0) count = co_await transport.read_some(bytes); // its Hello and its goodbye
  co_return true;
}

} // namespace

CO_TEST_CASE("node: a node dialled under two names ends with one trunk, and both names lead to it", among_neighbours,
             Neighbours& world) {
  world.other.listen("mem://alias");
  {
    const auto me = world.one.new_peer("browser");
    Circuit by_name = me->new_circuit(PeerUrl("mem://other", "store", PeerId()), Fragment(0, "name"));
    Circuit by_alias = me->new_circuit(PeerUrl("mem://alias", "store", PeerId()), Fragment(0, "alias"));
    CHECK(by_name.dialled());
    CHECK(by_alias.dialled());
    Circuit one_far = co_await world.store_of_other.next();
    Circuit other_far = co_await world.store_of_other.next();
    co_await by_name.send(Fragment(0, "x"));
    co_await by_alias.send(Fragment(0, "x"));
    for (Circuit* far : {&one_far, &other_far}) {
      co_await far->receive();
      const std::optional<Fragment> second = co_await far->receive();
      CHECK(text_of(second) == "x");
    }

    Circuit later_by_name = me->new_circuit(PeerUrl("mem://other", "store", PeerId()));
    Circuit later_by_alias = me->new_circuit(PeerUrl("mem://alias", "store", PeerId()));
    CHECK(later_by_name.trunk() == later_by_alias.trunk());
    by_name.close();
    by_alias.close();
    co_await by_name.ended();
    co_await by_alias.ended();
    while (world.one.links_count() > 1 || world.other.links_count() > 1) co_await asio::post(asio::use_awaitable);
    CHECK(world.one.counters().trunks_lost == 0);
  }
  co_await close_both(world);
}

static awaitable<void> too_many_trunks(Neighbours& world);
TEST_CASE("node: trunks_max bounds what it dials and what it accepts") {
  Neighbours world([](NodeOptions& options) { options.trunks_max = 1; });
  run_coroutine(world.io, too_many_trunks(world));
}
static awaitable<void> too_many_trunks(Neighbours& world) {
  world.other.listen("mem://second");
  co_await world.one.dial("mem://other");
  const auto refused = co_await failure_of(world.one.dial("mem://third"));
  CHECK(refused == error::connect_failed);
  const auto me = world.one.new_peer("browser");
  Circuit circuit = me->join_or_start("mem://third", "store", std::nullopt);
  const End end = co_await circuit.ended();
  CHECK(end.text.find("exceed trunks_max 1") != std::string::npos);

  // And from outside: `other` has one, too.
  std::unique_ptr<Transport> stranger = co_await world.memory->dial("mem://second");
  std::vector<std::byte> bytes(64);
  const std::size_t count = co_await stranger->read_some(bytes);
  CHECK(count == 0);
  CHECK(world.other.counters().connections_turned_away == 1);
  CHECK(world.other.links_count() == 1);
  co_await close_both(world);
}

static awaitable<void> too_many_handshakes(Neighbours& world);
TEST_CASE("node: handshakes_max bounds the connections that have not said Hello; a new one takes the oldest's place") {
  Neighbours world([](NodeOptions& options) { options.handshakes_max = 2; });
  run_coroutine(world.io, too_many_handshakes(world));
}
/// The oldest ones go: they have had the longest time to say something.
static awaitable<void> too_many_handshakes(Neighbours& world) {
  std::vector<std::unique_ptr<Transport>> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(co_await world.memory->dial("mem://other"));
  for (int i = 0; i < 2; ++i) {
    const bool closed = co_await is_closed(*silent[static_cast<std::size_t>(i)]);
    CHECK(closed);
  }
  CHECK(world.other.counters().connections_turned_away == 2);
  CHECK(world.log.has_line("turned away: it has not said who it is"));

  const bool dialled = co_await world.one.dial("mem://other"); // the third one makes room for it
  CHECK(dialled);
  CHECK(world.other.counters().connections_turned_away == 3);
  silent.clear();
  co_await close_both(world);
}

static awaitable<void> silent_at_trunks_max(Neighbours& world);
TEST_CASE("node: at trunks_max a silent connection gives way to one that speaks") {
  Neighbours world([](NodeOptions& options) { options.trunks_max = 2; });
  run_coroutine(world.io, silent_at_trunks_max(world));
}
/// A node that is full of connections takes one that speaks for one that does not.
static awaitable<void> silent_at_trunks_max(Neighbours& world) {
  std::vector<std::unique_ptr<Transport>> silent;
  for (int i = 0; i < 2; ++i) silent.push_back(co_await world.memory->dial("mem://other"));
  while (world.other.links_count() < 2) co_await asio::post(asio::use_awaitable);
  const bool dialled = co_await world.one.dial("mem://other");
  CHECK(dialled);
  CHECK(world.other.counters().connections_turned_away == 1);
  silent.clear();
  co_await close_both(world);
}

namespace {

/// The machines of a node whose program has no memory to make the first one.
struct Dialect {
  int made = 0;
  std::unique_ptr<Machine> make(const MachineSetup& setup, Instant now) {
    if (++made == 1) throw std::bad_alloc();
    NativeMachineOptions options;
    options.limits = setup.limits;
    options.dialled = setup.dialled;
    options.node_id = setup.node_id;
    return std::make_unique<NativeMachine>(std::move(options), now);
  }
};

} // namespace

static awaitable<void> throws_for_one(Neighbours& world);
TEST_CASE("node: a dialect factory that throws for one connection costs that connection") {
  const auto dialect = std::make_shared<Dialect>();
  Neighbours world([dialect](NodeOptions& options) {
    options.redial.initial = options.redial.initial.zero();
    if (options.name == "other")
      options.dialect = [dialect](const MachineSetup& setup, Instant now) { return dialect->make(setup, now); };
  });
  run_coroutine(world.io, throws_for_one(world));
}
static awaitable<void> throws_for_one(Neighbours& world) {
  const auto first = co_await failure_of(world.one.dial("mem://other"));
  CHECK(first.failed());
  CHECK(world.other.counters().connections_turned_away == 1);
  CHECK(world.log.has_line("other: connection from mem://"));
  const bool dialled = co_await world.one.dial("mem://other");
  CHECK(dialled);
  co_await close_both(world);
}

namespace {

/// Says something else than a Hello and waits until the node closes the connection.
awaitable<void> speak(std::string address, std::string words) {
  const auto executor = co_await asio::this_coro::executor;
  const std::size_t colon = address.rfind(':');
  asio::ip::tcp::socket socket(executor);
  const asio::ip::tcp::endpoint endpoint(asio::ip::make_address("127.0.0.1"),
                                         static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
  co_await socket.async_connect(endpoint, asio::use_awaitable);
  co_await asio::async_write(socket, asio::buffer(words), asio::use_awaitable);
  boost::system::error_code code;
  std::vector<char> answer(4096);
  while (!code) co_await socket.async_read_some(asio::buffer(answer), asio::redirect_error(asio::use_awaitable, code));
}

awaitable<void> strangers(NodePair& pair);
TEST_CASE("node: a client of another protocol is logged in words with its address, and turned away") {
  run(strangers, NodePair::Dialler::here, "tcp", {});
  run(strangers, NodePair::Dialler::there, "tcp", {});
}
awaitable<void> strangers(NodePair& pair) {
  Node& listener = pair.dialler == NodePair::Dialler::here ? pair.there : pair.here;
  const std::string address = listener.addresses().front();
  int count = 0;
  for (const auto& [words, about] :
       std::vector<std::pair<std::string, std::string>>{{std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9), "TLS"},
                                                        {"GET / HTTP/1.1\r\nHost: trunk\r\n\r\n", "HTTP"},
                                                        {"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH"},
                                                        {"complete nonsense\r\n", ""}}) {
    co_await speak(address, words);
    ++count;
    while (listener.counters().connections_unrecognised < static_cast<std::uint64_t>(count))
      co_await asio::post(asio::use_awaitable);
    const std::string& line = pair.log.lines().back();
    INFO(line);
    CHECK(line.find("tcp://127.0.0.1:") != std::string::npos);
    CHECK(line.find("not trunkline") != std::string::npos);
    CHECK(line.find(about) != std::string::npos);
  }
}

} // namespace

namespace {

struct SimulatedPair {
  explicit SimulatedPair(std::uint64_t seed, const Tweak& tweak = {})
      : world(seed), one(make("one", tweak)), other(make("other", tweak)) {
    one.serve("echo", echo);
    other.serve("echo", echo);
    other.listen("sim://other");
  }
  Node make(const std::string& name, const Tweak& tweak) {
    NodeOptions options;
    options.name = name;
    options.media["sim"] = world.medium(name);
    options.random = world.random(name);
    if (tweak) tweak(options);
    return Node(world.executor(), std::move(options));
  }

  sim::World world;
  Node one;
  Node other;
};

/// Says nothing for as long as it is let.
awaitable<void> say_nothing(std::shared_ptr<Medium> from, int* closed) {
  const std::unique_ptr<Transport> silent = co_await from->dial("sim://other");
  std::vector<std::byte> bytes(4096);
  std::size_t count = 1;
  while (count != 0) count = co_await silent->read_some(bytes); // its Hello
  ++*closed;
}

/// Runs a body on one, in its world.
void between_simulated(awaitable<void> (*body)(SimulatedPair&)) {
  SimulatedPair pair(test_seed());
  pair.world.run(body(pair));
}

} // namespace

static awaitable<void> dial_into_the_dark(SimulatedPair& pair);
TEST_CASE("node: a dial that nobody answers fails at connect_deadline, with its circuits") {
  SimulatedPair pair(test_seed(), [](NodeOptions& options) { options.connect_deadline = std::chrono::seconds(3); });
  pair.world.run(dial_into_the_dark(pair));
}
static awaitable<void> dial_into_the_dark(SimulatedPair& pair) {
  pair.world.partition("one", "other");
  const auto me = pair.one.new_peer("browser");
  Circuit circuit = me->join_or_start("sim://other", "echo", Fragment(0, "x"));
  const auto dialled = co_await failure_of(pair.one.dial("sim://other"));
  CHECK(dialled == error::connect_failed);
  const End end = co_await circuit.ended();
  INFO(end.text);
  CHECK(end.text.find("no answer from sim://other within connect_deadline 3000 ms") != std::string::npos);
  CHECK(pair.world.elapsed() == std::chrono::seconds(3));
}

CO_TEST_CASE("node: starting a remote peer waits no longer than it was told", between_simulated, SimulatedPair& pair) {
  co_await pair.one.dial("sim://other");
  pair.world.partition("one", "other");
  const auto started =
      co_await failure_of(pair.one.new_peer("starter")->start_only("sim://other", "echo", std::chrono::seconds(2)));
  CHECK(started == error::timed_out);
}

CO_TEST_CASE("node: a cancelled dial leaves the attempt to those who come later", between_simulated,
             SimulatedPair& pair) {
  pair.world.partition("one", "other");
  const auto late = co_await failure_of(within(std::chrono::seconds(1), pair.one.dial("sim://other")));
  CHECK(late == error::timed_out);
  pair.world.heal("one", "other");
  const bool again = co_await pair.one.dial("sim://other"); // the attempt went on
  CHECK_FALSE(again);
  CHECK(pair.one.counters().dials == 1);
}

CO_TEST_CASE("node: a far side that fell silent is noticed by keepalive, and dialled again", between_simulated,
             SimulatedPair& pair) {
  co_await pair.one.dial("sim://other");
  const auto me = pair.one.new_peer("browser");
  Circuit circuit = me->join_or_start("sim://other", "echo", Fragment(0, "x"));
  co_await circuit.receive();
  pair.world.lose_one_way("other", "one"); // nothing is heard any more, and nobody is told

  const End end = co_await circuit.ended();
  INFO(end.to_string());
  CHECK(end.code == error::trunk_lost);
  CHECK(end.text.find("keepalive") != std::string::npos);
  CHECK(pair.one.links_count() == 1); // its last words are flushed
  Circuit again = me->join_or_start("sim://other", "echo", Fragment(0, "again"));
  const std::optional<Fragment> answer = co_await again.receive();
  CHECK(text_of(answer) == "again");
}

static awaitable<void> flood_at_trunks_max(SimulatedPair& pair);
TEST_CASE("node: at trunks_max, connections that come all at once push out none that has yet to speak") {
  SimulatedPair pair(test_seed(), [](NodeOptions& options) { options.trunks_max = 3; });
  pair.world.run(flood_at_trunks_max(pair));
}
static awaitable<void> flood_at_trunks_max(SimulatedPair& pair) {
  Tasks flood(pair.world.executor());
  int closed = 0;
  for (const char* host : {"a", "b", "c"}) flood.spawn(say_nothing(pair.world.medium(host), &closed));
  co_await sleep_for(std::chrono::milliseconds(100));
  CHECK(pair.other.links_count() == 3);
  for (const char* host : {"d", "e", "f"}) flood.spawn(say_nothing(pair.world.medium(host), &closed));
  co_await sleep_for(std::chrono::milliseconds(100));
  CHECK(closed == 3); // those that came last: the others may have been about to speak
  CHECK(pair.other.links_count() == 3);
  CHECK(pair.other.counters().connections_turned_away == 3);

  co_await sleep_for(std::chrono::seconds(1));
  const bool dialled = co_await pair.one.dial("sim://other"); // for one that has been silent for long enough
  CHECK(dialled);
  CHECK(closed == 4);
  flood.cancel();
  co_await flood.join();
}
