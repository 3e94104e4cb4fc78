// What others reported about multiplexers, at the sizes at which it was seen: whole nodes, default limits. Time is
// virtual or plays no part; costs are counted in handlers that run.
#include "async/clock.hpp"
#include "circuit/caller.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/this_coro.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

/// Both nodes still have their one trunk, and nobody was turned away.
void check_unharmed(NodePair& pair) {
  for (const Node* node : {&pair.here, &pair.there}) {
    const NodeCounters counters = node->counters();
    CHECK(counters.trunks_lost == 0);
    CHECK(counters.trunks_open == 1);
    CHECK(counters.circuits_refused == 0);
    CHECK(counters.circuits_lost == 0);
    CHECK(counters.services_failed == 0);
    CHECK(counters.reading_pauses == 0);
    CHECK(counters.opens_delayed == 0);
  }
}

// Short conversations in great numbers.

CO_TEST_CASE("node: a hundred thousand requests whose handles are let go or closed end no trunk and delay nobody",
             both_ways, NodePair& pair) {
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("asker");
  Circuit other = me->join_or_start(pair.there_address, "echo", std::nullopt);
  for (int i = 0; i < 50'000; ++i) { // on both trunks together a hundred thousand
    Circuit circuit = me->join_or_start(pair.there_address, "echo", Fragment(i, "hello"));
    const std::optional<Fragment> answer = co_await circuit.receive();
    REQUIRE(answer);
    if (i % 2 == 0) circuit.close();
  }

  co_await other.send(Fragment(1, "still there?"));
  const std::optional<Fragment> answer = co_await other.receive();

  CHECK(test::text_of(answer) == "still there?");
  check_unharmed(pair);
}

/// Opens `count` circuits at once, the first of them before there is a connection, and takes all answers.
awaitable<void> burst(NodePair& pair, int count) {
  const auto me = pair.here.new_peer("asker");
  std::vector<Circuit> circuits;
  for (int i = 0; i < count; ++i) circuits.push_back(me->join_or_start(pair.there_address, "echo", Fragment(i, "hi")));
  for (int i = 0; i < count; ++i) {
    const std::optional<Fragment> answer = co_await circuits[static_cast<std::size_t>(i)].receive();
    REQUIRE(answer);
    CHECK(answer->op == i);
  }
}

awaitable<void> burst_into_the_dark(NodePair& pair) {
  pair.there.serve("echo", echo);
  co_await burst(pair, 5000);
  for (const int count : {200, 300, 1000, 5000}) co_await burst(pair, count);
  check_unharmed(pair);
  co_await pair.here.close();
  co_await pair.there.close();
}

TEST_CASE("node: five thousand opens before there is a connection are all answered") {
  NodePair pair(NodePair::Dialler::here);
  run_coroutine(pair.io, burst_into_the_dark(pair));
}

// Beside circuits that are quiet.

awaitable<void> watch(Circuit& circuit) {
  for (;;) co_await circuit.metadata_changed();
}

struct Beside {
  int quiet;
  bool watched; // each waits for its far peer's metadata
  bool peers;   // each conversation starts a peer of its own, which ends with it
};

constexpr int conversations = 200;

awaitable<void> converse(NodePair& pair, Beside beside, Keeper keeper, const std::size_t& ran, std::size_t& cost) {
  co_await pair.meet();
  pair.there.register_service("hold", keeper.service());
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
  for (int i = 0; i < beside.quiet; ++i) {
    held.push_back(me->join_or_start(pair.there_address, "hold", std::nullopt));
    if (beside.watched) me->spawn(watch(held.back()));
  }
  if (!held.empty()) co_await held.back().accepted();
  co_await settle();

  const std::size_t before = ran;
  for (int i = 0; i < conversations; ++i) {
    Circuit circuit = beside.peers ? me->start(pair.there_address, "once", Fragment(1, "x"))
                                   : me->join_or_start(pair.there_address, "echo", Fragment(1, "x"));
    const std::optional<Fragment> answer = co_await circuit.receive();
    REQUIRE(answer);
    circuit.close();
    co_await circuit.ended();
  }
  cost = ran - before;

  me->close();
  held.clear();
  co_await pair.here.close();
  co_await pair.there.close();
}

/// How many handlers run for the conversations.
std::size_t cost_of(Beside beside) {
  NodePair pair(NodePair::Dialler::here);
  std::size_t ran = 0;
  std::size_t cost = 0;
  asio::co_spawn(pair.io, converse(pair, beside, Keeper(), ran, cost), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  while (pair.io.run_one() != 0) ++ran;
  return cost;
}

TEST_CASE("node: a conversation runs the same handlers beside ten thousand circuits that wait for metadata") {
  const std::size_t alone = cost_of({0, true, false});

  const std::size_t beside = cost_of({10'000, true, false});

  CAPTURE(alone);
  CAPTURE(beside);
  CHECK(alone >= conversations);
  CHECK(beside <= alone + conversations); // to wake all of them would cost ten thousand for each conversation
}

TEST_CASE("node: a peer that comes and goes runs the same handlers beside sixty thousand quiet circuits") {
  const std::size_t alone = cost_of({0, false, true});

  const std::size_t beside = cost_of({60'000, false, true});

  CAPTURE(alone);
  CAPTURE(beside);
  CHECK(alone >= conversations);
  CHECK(beside <= alone + conversations);
}

// Many that wait for the same thing.

constexpr std::size_t waiting_count = 1000;

/// The handlers that run while `body` does its work; it returns how many had run before that.
std::size_t handlers_of(awaitable<std::size_t> (*body)(NodePair&, const std::size_t& ran), const Tweak& tweak = {}) {
  NodePair pair(NodePair::Dialler::here, "mem", tweak);
  std::size_t ran = 0;
  std::size_t cost = 0;
  const auto run_and_close = [&]() -> awaitable<void> {
    co_await pair.meet();
    const std::size_t before = co_await body(pair, ran);
    cost = ran - before;
    co_await pair.here.close();
    co_await pair.there.close();
  };
  asio::co_spawn(pair.io, run_and_close(), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  while (pair.io.run_one() != 0) ++ran;
  return cost;
}

constexpr std::size_t sends = 500;

awaitable<void> send_some(std::shared_ptr<Circuit> circuit, Payload payload) {
  co_await circuit->send(Fragment(1, std::move(payload)));
}

awaitable<std::size_t> many_sends(NodePair& pair, const std::size_t& ran) {
  Keeper keeper;
  pair.there.register_service("hold", keeper.service());
  const auto me = pair.here.new_peer("asker");
  const auto circuit = std::make_shared<Circuit>(me->start(pair.there_address, "hold", std::nullopt));
  Circuit far = co_await keeper.next();
  Payload half_of_a_window(std::string(128'000, 'x'));
  for (std::size_t i = 0; i < sends; ++i)
    me->spawn(send_some(circuit, half_of_a_window.slice(0, half_of_a_window.size())));
  co_await settle();

  const std::size_t before = ran;
  for (std::size_t i = 0; i < sends; ++i) {
    const std::optional<Fragment> fragment = co_await far.receive();
    CHECK(fragment);
    co_await settle(); // so that each is granted alone
  }
  co_return before;
}

TEST_CASE("node: five hundred sends that wait on one circuit cost a few handlers each") {
  const std::size_t cost = handlers_of(many_sends);

  CAPTURE(cost);
  CHECK(cost >= sends);
  CHECK(cost <= 80 * sends); // 50 are the test's own; to wake all the others for each would cost 250 more
}

struct Asked {
  Caller caller;
  std::size_t answered = 0;
  Signal changed;
};

awaitable<void> ask(std::shared_ptr<Asked> asked) {
  const Fragment reply = co_await asked->caller.call(Fragment(1, "x"));
  if (++asked->answered == waiting_count) asked->changed.notify_all();
}

awaitable<std::size_t> many_calls(NodePair& pair, const std::size_t& ran) {
  Keeper keeper;
  pair.there.register_service("hold", keeper.service());
  const auto me = pair.here.new_peer("asker");
  const auto asked = std::make_shared<Asked>(Caller(me->start(pair.there_address, "hold", std::nullopt)));
  Circuit far = co_await keeper.next();
  for (std::size_t i = 0; i < waiting_count; ++i) me->spawn(ask(asked));
  co_await settle();

  const std::size_t before = ran;
  for (std::size_t i = 0; i < waiting_count; ++i) {
    std::optional<Fragment> request = co_await far.receive();
    REQUIRE(request);
    co_await far.send(std::move(*request));
    co_await settle(); // so that each arrives alone
  }
  while (asked->answered < waiting_count) co_await asked->changed.wait();
  co_return before;
}

TEST_CASE("node: a thousand calls that wait for their replies cost a few handlers each") {
  const std::size_t cost = handlers_of(many_calls);

  CAPTURE(cost);
  CHECK(cost >= waiting_count);
  CHECK(cost <= 80 * waiting_count); // 50 are the test's own; to wake all for each reply would cost half a million
}

struct Opened {
  std::size_t circuits = 0;
  std::size_t open = 0;
  std::size_t open_max = 0;
  Signal changed;
};

awaitable<void> open_and_close(std::shared_ptr<LocalPeer> me, PeerUrl there, std::shared_ptr<Opened> opened) {
  CircuitOptions options;
  options.deadline = 1h; // the wait has a timer, so that each look at the room is a handler
  Circuit circuit = co_await me->new_circuit_when_room(std::move(there), Fragment(1, "x"), std::move(options));
  opened->open_max = std::max(opened->open_max, ++opened->open);
  const std::optional<Fragment> answer = co_await circuit.receive();
  CHECK(answer);
  circuit.close();
  --opened->open;
  if (++opened->circuits == waiting_count) opened->changed.notify_all();
}

awaitable<std::size_t> many_opens(NodePair& pair, const std::size_t& ran) {
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("asker");
  const auto opened = std::make_shared<Opened>();
  const std::size_t before = ran;
  for (std::size_t i = 0; i < waiting_count; ++i)
    me->spawn(open_and_close(me, PeerUrl(pair.there_address, "echo", PeerId()), opened));
  while (opened->circuits < waiting_count) co_await opened->changed.wait();
  CHECK(opened->open_max <= 2);
  co_return before;
}

TEST_CASE("node: a thousand opens that wait for room cost a few handlers each") {
  const std::size_t cost = handlers_of(many_opens, [](NodeOptions& options) { options.limits.circuits_max = 2; });

  CAPTURE(cost);
  CHECK(cost >= waiting_count);
  CHECK(cost <= 60 * waiting_count); // to wake all for each place would cost half a million
}

// Beside circuits that nobody reads.

awaitable<void> sleep_on(Circuit circuit) {
  co_await sleep_for(std::chrono::hours(1));
  circuit.close();
}

awaitable<void> echo_beside(NodePair& pair, int neighbours) {
  const auto me = pair.here.new_peer("asker");
  Circuit healthy = me->join_or_start(pair.there_address, "echo", Fragment(1, "x"));
  co_await healthy.receive();
  std::vector<Circuit> busy;
  for (int i = 0; i < neighbours; ++i) {
    busy.push_back(me->join_or_start(pair.there_address, "busy", Fragment(1, "job")));
    for (int part = 0; part < 16; ++part) { // about its initial window
      Fragment fragment(1, Payload(std::string(15'700, 'x')));
      if (busy.back().send_one_way(fragment) != SendOutcome::queued) co_await settle();
    }
  }
  co_await settle();

  int rounds = 0;
  for (; rounds < 100; ++rounds) {
    co_await healthy.send(Fragment(2, Payload(std::string(4000, 'y'))));
    const std::optional<Fragment> answer = co_await healthy.receive();
    if (!answer) break;
  }
  Circuit fresh = me->join_or_start(pair.there_address, "echo", Fragment(1, "new"));
  const std::optional<Fragment> answer = co_await fresh.receive();

  CHECK(rounds == 100);
  CHECK(test::text_of(answer) == "new");
  for (const Circuit& circuit : busy) CHECK(circuit.is_open());
}

CO_TEST_CASE("node: a circuit that is read answers beside 90 whose readers have paused with their window unread",
             both_ways, NodePair& pair) {
  pair.there.serve("echo", echo);
  pair.there.serve("busy", sleep_on);
  for (const int neighbours : {31, 40, 90}) {
    INFO(neighbours, " neighbours");
    co_await echo_beside(pair, neighbours);
  }
  check_unharmed(pair);
}

// Callers that leave.

awaitable<void> tally(Circuit circuit) {
  Fragment total;
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    total.part += static_cast<std::int64_t>(fragment->payload.size());
  }
  co_await circuit.send(std::move(total));
}

CO_TEST_CASE("node: a hundred callers that leave, by their handles or with their node, are no failures of the service",
             both_ways, NodePair& pair) {
  pair.there.serve("tally", tally);
  const auto me = pair.here.new_peer("asker");
  std::vector<Circuit> open;
  for (int i = 0; i < 100; ++i) {
    Circuit circuit = me->join_or_start(pair.there_address, "tally", Fragment(0, "half a sentence"));
    co_await circuit.accepted();
    if (i % 2 == 0) open.push_back(std::move(circuit));
  }

  co_await pair.here.close();
  while (pair.there.counters().callers_left < 100) co_await asio::post(asio::use_awaitable);

  CHECK(pair.there.counters().services_failed == 0);
  CHECK(pair.there.counters().callers_left == 100);
  for (const std::string& line : pair.log.lines()) CHECK(line.find("threw") == std::string::npos);
}

// Without descriptors.

/// This process may have so many more than it has, until this goes.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t more) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int free = ::open("/dev/null", O_RDONLY | O_CLOEXEC); // the lowest one
    ::close(free);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(free) + more;
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

/// Of twenty nodes that dial, one after the other, how many were answered; the others are told.
awaitable<int> dial_twenty(Executor executor, std::string address, std::list<Node>& nodes,
                           std::list<Circuit>& circuits) {
  int answered = 0;
  for (int i = 0; i < 20; ++i) {
    nodes.emplace_back(executor);
    circuits.push_back(nodes.back().new_peer("asker")->join_or_start(address, "echo", Fragment(1, "x")));
    const auto failure = co_await failure_of(circuits.back().receive());
    answered += failure ? 0 : 1;
  }
  co_return answered;
}

awaitable<void> lack_descriptors(LogLines& log) {
  const Executor executor = co_await asio::this_coro::executor;
  NodeOptions options;
  options.log = log.sink("there");
  Node there(executor, std::move(options));
  there.serve("echo", echo);
  const std::string address = there.listen("tcp://127.0.0.1:0");
  Node first(executor);
  Circuit old = first.new_peer("asker")->join_or_start(address, "echo", Fragment(1, "x"));
  co_await old.receive();
  std::list<Node> nodes;
  std::list<Circuit> circuits;
  {
    const FewDescriptors few(11); // two for each connection, and one that is left for a dial
    const int answered = co_await dial_twenty(executor, address, nodes, circuits);
    CHECK(answered == 5);
    co_await old.send(Fragment(1, "still there?"));
    const std::optional<Fragment> answer = co_await old.receive();
    CHECK(test::text_of(answer) == "still there?");
  }
  circuits.clear();
  for (Node& node : nodes) co_await node.close();
  Node last(executor);
  Circuit circuit = last.new_peer("asker")->join_or_start(address, "echo", Fragment(1, "well again"));
  const std::optional<Fragment> answer = co_await circuit.receive();
  CHECK(test::text_of(answer) == "well again");

  CHECK(there.counters().connections_turned_away == 15);
  CHECK(log.count("no descriptor") == 1);
  CHECK(log.has_line("are accepted again; 15 were closed meanwhile"));
  for (Node* node : {&first, &last, &there}) co_await node->close();
}

TEST_CASE("node: of twenty nodes that dial one without descriptors, each is told, and it is well again when they go") {
  LogLines log;
  run_coroutine(lack_descriptors(log));
}

// In virtual time.

struct World {
  explicit World(Duration stall_deadline) {
    options.limits.stall_deadline = std::chrono::duration_cast<std::chrono::milliseconds>(stall_deadline);
  }
  Node make(const std::string& name) {
    options.name = name;
    options.media["sim"] = world.medium(name);
    options.random = world.random(name);
    return Node(world.executor(), options);
  }

  NodeOptions options;
  sim::World world{test_seed()};
};

/// How long the two tasks of a circuit live.
struct Lives {
  Duration work;
  Duration stay;
};

awaitable<void> answer(Circuit circuit, Lives lives) {
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) co_return;
    co_await sleep_for(lives.work);
    co_await circuit.send(std::move(*fragment));
  }
}

awaitable<void> route(Circuit circuit, LocalPeer* peer, Lives lives) {
  peer->spawn(answer, std::move(circuit), lives);
  co_await sleep_for(lives.stay);
}

awaitable<void> ask_router(Node& here, Node& there, Lives lives, int& clean) {
  there.register_service("router", [lives](LocalPeer& peer, CircuitInbox& inbox) -> awaitable<void> {
    const Lives both = lives; // the function lives on; this call's captures may not
    for (;;) {
      std::optional<Circuit> circuit = co_await inbox.next();
      if (!circuit) co_return;
      peer.spawn(route, std::move(*circuit), &peer, both);
    }
  });
  there.listen("sim://there");
  const auto me = here.new_peer("asker");
  Circuit bystander = me->join_or_start("sim://there", "router", Fragment(1, "first"));
  for (int i = 0; i < 20; ++i) {
    Circuit circuit = me->join_or_start("sim://there", "router", Fragment(1, "hello"));
    circuit.finish();
    const std::optional<Fragment> echoed = co_await circuit.receive();
    CHECK(test::text_of(echoed) == "hello");
    const std::optional<Fragment> nothing = co_await circuit.receive();
    const End end = co_await circuit.ended();
    clean += !nothing && end.clean();
  }
  co_await sleep_for(lives.stay + 50ms);
  const std::optional<Fragment> first = co_await bystander.receive();
  CHECK(test::text_of(first) == "first");
  co_await bystander.send(Fragment(1, "second"));
  const std::optional<Fragment> second = co_await bystander.receive();
  CHECK(test::text_of(second) == "second");
  CHECK(there.counters().services_failed == 0);
  co_await here.close();
  co_await there.close();
}

TEST_CASE("node: twenty circuits that tasks hand on end cleanly, whichever of the two tasks lives longer") {
  for (const Lives lives : {Lives{20ms, 100ms}, Lives{100ms, 20ms}, Lives{0ms, 50ms}}) {
    World scene(std::chrono::minutes(1));
    Node here = scene.make("here");
    Node there = scene.make("there");
    int clean = 0;
    scene.world.run(ask_router(here, there, lives, clean));
    CHECK(clean == 20);
  }
}

enum class Ending : std::uint8_t { finish_and_drop, close, wait_until_taken };

struct Taken {
  std::size_t bytes = 0;
  int whole = 0;
};

awaitable<void> take(Circuit circuit, Taken* taken) {
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    taken->bytes += fragment->payload.size();
  }
  ++taken->whole;
}

awaitable<void> give(Node& here, Node& there, Ending ending, std::size_t fragment_bytes, Taken& taken) {
  there.serve("take", [into = &taken](Circuit circuit) { return take(std::move(circuit), into); });
  there.listen("sim://there");
  const auto me = here.new_peer("giver");
  std::vector<Circuit> kept;
  for (int i = 0; i < 3; ++i) {
    Circuit circuit = me->join_or_start("sim://there", "take", std::nullopt);
    if (i == 0) co_await circuit.accepted();
    co_await circuit.send(Fragment(1, Payload(std::string(fragment_bytes, 'x'))));
    if (ending == Ending::close) circuit.close();
    else circuit.finish();
    if (ending != Ending::finish_and_drop) kept.push_back(std::move(circuit));
  }
  for (Circuit& circuit : kept) {
    if (ending == Ending::close) {
      const End end = co_await circuit.ended();
      CHECK(end.to_string() == "clean");
    } else {
      co_await circuit.finish_acknowledged();
    }
  }
  kept.clear();
  while (taken.whole < 3) co_await sleep_for(1s);
  co_await here.close();
  co_await there.close();
}

TEST_CASE("node: three fragments of 3 MiB over a link of 300 kB a second are whole, however short stall_deadline is") {
  constexpr std::size_t fragment_bytes = 3 << 20;
  for (const Ending ending : {Ending::finish_and_drop, Ending::close, Ending::wait_until_taken}) {
    INFO("ending ", static_cast<int>(ending));
    World scene(3s);
    sim::LinkOptions link;
    link.bytes_per_second = 300'000;
    scene.world.set_link("here", "there", link);
    Node here = scene.make("here");
    Node there = scene.make("there");
    Taken taken;
    scene.world.run(give(here, there, ending, fragment_bytes, taken), std::chrono::minutes(10));
    CHECK(taken.whole == 3);
    CHECK(taken.bytes == 3 * fragment_bytes);
    CHECK(scene.world.elapsed() > 30s); // of the link
    for (const Node* node : {&here, &there}) CHECK(node->counters().trunks_lost == 0);
  }
}

} // namespace
