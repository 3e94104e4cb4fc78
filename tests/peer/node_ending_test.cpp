// How circuits, peers and nodes end: what each side hears, what survives, and that everything is gone afterwards.
#include "async/tasks.hpp"
#include "tests/peer/faulty.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// A store there, a browser here, and both ends of one circuit between them.
struct Ends {
  Ends() = default;
  Keeper keeper;
  std::shared_ptr<LocalPeer> store;
  std::shared_ptr<LocalPeer> browser;
  Circuit near;
  Circuit far;
};

awaitable<void> open(NodePair& pair, Ends& ends) {
  pair.there.register_service("store", ends.keeper.service());
  ends.store = pair.there.start_local_peer("store");
  ends.browser = pair.here.new_peer("browser");
  ends.near = ends.browser->new_circuit(pair.url_there(*ends.store), Fragment(0, "first"));
  ends.far = co_await ends.keeper.next();
  const std::optional<Fragment> first = co_await ends.far.receive();
  CHECK(text_of(first) == "first");
}

awaitable<void> expect_end(Circuit& circuit, error reason) {
  const End end = co_await circuit.ended();
  INFO(end.to_string());
  CHECK(end.code == make_error_code(reason));
}

awaitable<void> expect_clean_end(Circuit& circuit) {
  const End end = co_await circuit.ended();
  INFO(end.to_string());
  CHECK(end.clean());
}

awaitable<void> expect_failure(awaitable<void> operation, error reason) {
  const boost::system::error_code code = co_await failure_of(std::move(operation));
  CHECK(code == make_error_code(reason));
}

/// Both queues of a circuit throw the reason.
awaitable<void> expect_both_queues(Circuit& circuit, error reason) {
  const auto reads = co_await failure_of(circuit.receive());
  const auto errors = co_await failure_of(circuit.receive_error());
  CHECK(reads == make_error_code(reason));
  CHECK(errors == make_error_code(reason));
}

/// Holds its circuit and does not hear that it was cancelled, until it is let go.
PeerServiceFunc stubborn(std::shared_ptr<Signal> let_go) {
  return [let_go](LocalPeer&, CircuitInbox& circuits) -> awaitable<void> {
    const std::optional<Circuit> held = co_await circuits.next();
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await let_go->wait();
  };
}

CO_TEST_CASE(
    "node: a service that goes on after it was cancelled holds up neither the far side nor a drain, and is counted "
    "(F26)",
    both_ways, NodePair& pair) {
  const auto let_go = std::make_shared<Signal>();
  pair.there.register_service("stubborn", stubborn(let_go));
  const auto store = pair.there.start_local_peer("stubborn");
  const auto browser = pair.here.new_peer("browser");
  Circuit taken = browser->new_circuit(pair.url_there(*store), CircuitOptions("", "", true));
  co_await taken.accepted();
  CHECK(pair.there.counters().circuits_held == 0);
  taken.reset();
  Circuit near = taken.new_circuit(CircuitOptions("", "", true));
  co_await near.accepted(); // the reset was there before
  CHECK(pair.there.counters().circuits_held == 1);
  CHECK(pair.there.counters().peers_ending == 0);

  store->close();
  co_await expect_end(near, error::peer_ended);
  CHECK(pair.there.counters().peers_ending == 1);
  CHECK(pair.there.counters().circuits_held == 1);
  co_await pair.there.drain(std::chrono::seconds(1));
  CHECK(pair.there.links_count() == 0);
  CHECK(pair.there.counters().peers_ending == 1);
  CHECK(pair.there.counters().circuits_held == 1); // the trunk is gone, the service still has it

  let_go->notify_all();
  co_await pair.there.close();
  CHECK(pair.there.counters().peers_ending == 0);
  CHECK(pair.there.counters().circuits_held == 0);
}

CO_TEST_CASE("circuit: a clean close arrives behind the data and ends it on both sides", everywhere, NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);

  co_await ends.near.send(Fragment(0, "last"));
  ends.near.close();
  ends.near.close();
  const std::optional<Fragment> last = co_await ends.far.receive();
  const std::optional<Fragment> end = co_await ends.far.receive();

  CHECK(text_of(last) == "last");
  CHECK(text_of(end) == "(end)");
  co_await expect_clean_end(ends.far);
  co_await expect_clean_end(ends.near);
  co_await expect_failure(ends.near.send(Fragment(1)), error::circuit_closed);
  co_await expect_failure(ends.far.send(Fragment(1)), error::circuit_closed);
  CHECK_FALSE(ends.near.is_open());
  CHECK_FALSE(ends.store->is_ending());
  CHECK_FALSE(ends.browser->is_ending());
}

CO_TEST_CASE("circuit: a close with a reason ends it on both sides with that reason, after the data", both_ways,
             NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);

  for (Circuit* closer : {&ends.near, &ends.far}) {
    Circuit* other = closer == &ends.near ? &ends.far : &ends.near;
    co_await closer->send(Fragment(0, "before"));
    closer->close(End(error::access_denied, "not today"));
    const std::optional<Fragment> before = co_await other->receive();
    CHECK(text_of(before) == "before");
    co_await expect_both_queues(*other, error::access_denied);
    const End there = co_await other->ended();
    const End here = co_await closer->ended();
    CHECK(there.code == error::access_denied);
    CHECK(there.text == "not today");
    CHECK(here.code == error::access_denied);

    if (closer == &ends.near) { // and the other way round, on a second circuit
      ends.near = ends.browser->new_circuit(pair.url_there(*ends.store));
      ends.far = co_await ends.keeper.next();
    }
  }
}

CO_TEST_CASE("circuit: both ends may close at once", both_ways, NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);

  ends.near.close();
  ends.far.close();

  co_await expect_clean_end(ends.near);
  co_await expect_clean_end(ends.far);
  CHECK(ends.browser->circuits_count() == 0);
  CHECK(ends.store->circuits_count() == 0);
}

CO_TEST_CASE("circuit: it ends when both sides have finished and taken everything", both_ways, NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);

  ends.near.finish();
  ends.far.finish();
  co_await ends.near.receive();
  co_await ends.far.receive();

  co_await ends.near.finish_acknowledged();
  co_await ends.far.finish_acknowledged();
  co_await expect_clean_end(ends.near);
  co_await expect_clean_end(ends.far);
}

CO_TEST_CASE("circuit: a reset says its reason to both queues of the far side", both_ways, NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);

  ends.far.reset(End(error::stalled, "gave up"));

  co_await expect_end(ends.far, error::stalled);
  co_await expect_both_queues(ends.near, error::stalled);
  const End end = co_await ends.near.ended();
  CHECK(end.text == "gave up");
  co_await expect_failure(ends.near.send(Fragment(1)), error::stalled);
}

CO_TEST_CASE("circuit: a dropped handle abandons what was not finished, and closes what was", both_ways,
             NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);

  ends.near = Circuit();
  co_await expect_end(ends.far, error::circuit_abandoned);

  ends.near = ends.browser->new_circuit(pair.url_there(*ends.store), Fragment(0, "complete"));
  ends.near.finish();
  ends.near = Circuit();
  ends.far = co_await ends.keeper.next();
  const std::optional<Fragment> complete = co_await ends.far.receive();
  const std::optional<Fragment> end = co_await ends.far.receive();
  CHECK(text_of(complete) == "complete");
  CHECK(text_of(end) == "(end)");
  co_await expect_clean_end(ends.far);
}

CO_TEST_CASE("peer: its end closes its circuits on both sides, and no others", both_ways, NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);
  const auto other = pair.here.new_peer("bystander");
  Circuit bystander = other->new_circuit(pair.url_there(*ends.store));
  Circuit bystander_far = co_await ends.keeper.next();

  ends.browser->close();
  CHECK(ends.browser->is_ending());
  co_await expect_failure(ends.near.send(Fragment(1)), error::peer_ended);
  co_await ends.browser->ended();

  co_await expect_both_queues(ends.far, error::peer_ended);
  co_await expect_both_queues(ends.near, error::peer_ended);
  co_await expect_end(ends.near, error::peer_ended);
  CHECK_THROWS_WITH(ends.browser->new_circuit(pair.url_there(*ends.store)), doctest::Contains("peer ended"));
  CHECK_FALSE(ends.near.new_circuit().is_open());
  CHECK(ends.store->circuits_count() == 1);
  CHECK_FALSE(ends.store->is_ending());
  co_await bystander.send(Fragment(0, "still here"));
  const std::optional<Fragment> fragment = co_await bystander_far.receive();
  CHECK(text_of(fragment) == "still here");

  ends.store->close(End(error::access_denied, "closing time"));
  co_await ends.store->ended();
  CHECK(ends.keeper.ended() == 1); // its inbox said nullopt
  co_await expect_end(bystander, error::access_denied);
  const auto late = other->new_circuit(pair.url_there(*ends.store)).end();
  CHECK_FALSE(late);
  Circuit too_late = other->new_circuit(pair.url_there(*ends.store));
  co_await expect_end(too_late, error::no_peer);
}

CO_TEST_CASE("peer: circuits that it never took from its inbox end with it", both_ways, NodePair& pair) {
  // A service that never looks into its inbox.
  pair.there.register_service("idle", [](LocalPeer&, CircuitInbox&) { return sleep_for(std::chrono::hours(1)); });
  const auto idle = pair.there.start_local_peer("idle");
  const auto browser = pair.here.new_peer("browser");
  Circuit one = browser->new_circuit(pair.url_there(*idle), Fragment(0, "x"), CircuitOptions("", "", true));
  co_await one.accepted();

  idle->close();
  co_await idle->ended();

  co_await expect_end(one, error::peer_ended);
}

awaitable<void> hear_and_throw(Circuit& circuit) {
  co_await circuit.receive();
  throw std::runtime_error("a secret");
}

/// Throws when its first circuit says something, from within what it calls, while it holds the circuit.
awaitable<void> fail(LocalPeer&, CircuitInbox& inbox) {
  std::optional<Circuit> circuit = co_await inbox.next();
  co_await hear_and_throw(*circuit);
}

/// Drops its circuit by an exception of its own that it catches, and goes on.
awaitable<void> fail_and_go_on(LocalPeer&, CircuitInbox& inbox) {
  try {
    std::optional<Circuit> circuit = co_await inbox.next();
    co_await hear_and_throw(*circuit);
  } catch (const std::runtime_error&) {}
  std::optional<Circuit> second = co_await inbox.next();
  co_await second->send(Fragment(0, "still here"));
  second->finish();
}

CO_TEST_CASE(
    "peer: a circuit that an exception drops within its service, which catches it, is abandoned, and the service "
    "lives",
    both_ways, NodePair& pair) {
  pair.there.register_service("sturdy", fail_and_go_on);
  const auto browser = pair.here.new_peer("browser");
  Circuit dropped = browser->start(pair.there_address, "sturdy", Fragment(0, "go on"));
  co_await expect_end(dropped, error::circuit_abandoned);
  Circuit second = dropped.new_circuit();
  const std::optional<Fragment> fragment = co_await second.receive();
  CHECK(text_of(fragment) == "still here");
  CHECK(pair.there.counters().services_failed == 0);
}

awaitable<void> service_throws(NodePair& pair);
TEST_CASE(
    "peer: an exception that leaves a service resets the circuits of its peer only, and keeps its text to itself") {
  both_ways(service_throws);
}
TEST_CASE("peer: with expose_errors the text of an exception crosses the wire") {
  both_ways(service_throws, [](NodeOptions& options) { options.expose_errors = true; });
}
awaitable<void> service_throws(NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);
  pair.there.register_service("fragile", fail);
  Circuit doomed = ends.browser->start(pair.there_address, "fragile", std::nullopt);
  Circuit doomed_too = doomed.new_circuit();
  Circuit safe = ends.browser->start(pair.there_address, "fragile", std::nullopt, CircuitOptions("", "", true));
  co_await safe.accepted();

  co_await doomed.send(Fragment(0, "go on"));

  for (Circuit* circuit : {&doomed, &doomed_too}) {
    const End end = co_await circuit->ended();
    CHECK(end.code == error::handler_failed);
    CHECK((end.text.find("a secret") != std::string::npos) == pair.exposed);
  }
  CHECK(safe.is_open());
  CHECK(ends.far.is_open());
  CHECK(pair.log.has_line("there: service \"fragile\" threw"));
  CHECK(pair.log.has_line("a secret"));
  CHECK(pair.there.counters().services_failed == 1);
  CHECK(pair.there.local_peers("fragile").size() == 1);
}

awaitable<void> half_echo(Circuit circuit) {
  const std::optional<Fragment> fragment = co_await circuit.receive();
  co_await circuit.send(Fragment(0, "half of the answer"));
  if (text_of(fragment) == "throw") throw std::runtime_error("a secret");
}

CO_TEST_CASE("peer: a spawned handler closes its circuit by returning and resets it by throwing", both_ways,
             NodePair& pair) {
  pair.there.serve("half", half_echo);
  const auto browser = pair.here.new_peer("browser");
  Circuit good = browser->join_or_start(pair.there_address, "half", std::nullopt);
  Circuit bad = browser->join_or_start(pair.there_address, "half", Fragment(0, "throw"));

  co_await expect_end(bad, error::handler_failed);
  co_await good.send(Fragment(0, "do not throw"));
  const std::optional<Fragment> answer = co_await good.receive();
  const std::optional<Fragment> end = co_await good.receive();

  CHECK(text_of(answer) == "half of the answer");
  CHECK(text_of(end) == "(end)");
  co_await expect_clean_end(good);
  CHECK(pair.log.has_line("a secret"));
}

/// A service whose handlers store their circuits elsewhere and return.
struct Elsewhere {
  std::vector<Circuit> circuits;
  Signal changed;
};

awaitable<void> put_elsewhere(Circuit circuit, std::shared_ptr<Elsewhere> elsewhere) {
  elsewhere->circuits.push_back(std::move(circuit));
  elsewhere->changed.notify_all();
  co_return;
}

awaitable<void> give_away(std::shared_ptr<Elsewhere> elsewhere, LocalPeer& peer, CircuitInbox& inbox) {
  for (;;) {
    std::optional<Circuit> circuit = co_await inbox.next();
    if (!circuit) co_return;
    peer.spawn(put_elsewhere, std::move(*circuit), elsewhere);
  }
}

CO_TEST_CASE("peer: a circuit that its handler moved elsewhere lives on there", both_ways, NodePair& pair) {
  const auto elsewhere = std::make_shared<Elsewhere>();
  pair.there.register_service(
      "giver", [elsewhere](LocalPeer& peer, CircuitInbox& inbox) { return give_away(elsewhere, peer, inbox); });
  const auto browser = pair.here.new_peer("browser");
  Circuit near = browser->join_or_start(pair.there_address, "giver", std::nullopt);
  while (elsewhere->circuits.empty()) co_await elsewhere->changed.wait();
  co_await settle(); // the handler has returned

  Circuit far = std::move(elsewhere->circuits.front());
  co_await far.send(Fragment(0, "alive"));
  const std::optional<Fragment> fragment = co_await near.receive();
  CHECK(text_of(fragment) == "alive");
  far = Circuit();
  co_await expect_end(near, error::circuit_abandoned);
}

CO_TEST_CASE("node: closing it ends its peers and says so to both queues of every circuit, on both sides", everywhere,
             NodePair& pair) {
  Ends ends;
  co_await open(pair, ends);
  Circuit back = ends.store->new_circuit(pair.url_here(*ends.browser)); // refused, browsers take none
  co_await expect_end(back, error::no_peer);

  co_await pair.there.close();
  co_await pair.there.close();

  for (Circuit* circuit : {&ends.near, &ends.far}) {
    co_await expect_both_queues(*circuit, error::node_closed);
    co_await expect_failure(circuit->send(Fragment(1)), error::node_closed);
  }
  CHECK(ends.keeper.ended() == 1);
  CHECK(ends.store->is_ending());
  CHECK_FALSE(ends.browser->is_ending());
  CHECK_THROWS_WITH(ends.store->new_circuit(pair.url_here(*ends.browser)), doctest::Contains("node closed"));
  const auto dialled = co_await failure_of(pair.there.dial("mem://anywhere"));
  CHECK(dialled == error::node_closed);
  CHECK(pair.there.links_count() == 0);
  CHECK(pair.there.addresses().empty());
}

awaitable<void> wait_for_ever(std::shared_ptr<bool> gone) {
  struct Gone {
    std::shared_ptr<bool> flag;
    ~Gone() { *flag = true; }
  } mark{gone};
  co_await sleep_for(std::chrono::hours(1));
}

CO_TEST_CASE("peer: its tasks are cancelled and joined when it ends", both_ways, NodePair& pair) {
  const auto browser = pair.here.new_peer("browser");
  const auto one_gone = std::make_shared<bool>(false);
  const auto other_gone = std::make_shared<bool>(false);
  browser->spawn(wait_for_ever(one_gone));
  browser->spawn(wait_for_ever(other_gone));
  co_await settle();
  CHECK_FALSE(*one_gone);

  browser->close();
  co_await browser->ended();

  CHECK(*one_gone);
  CHECK(*other_gone);
  browser->spawn(wait_for_ever(one_gone)); // after the end: it is cancelled as soon as it waits
}

/// Two tasks through whose hands one circuit goes, and when each of them ends.
struct Handover {
  enum class Throws { neither, first, second };

  Handover() = default;
  /// Lets a task go on to its end.
  void let_end(bool& which) {
    which = true;
    changed.notify_all();
  }

  bool to_itself = false; // within one peer
  Throws throws = Throws::neither;
  std::shared_ptr<LocalPeer> other;
  bool first_may_end = false;
  bool second_may_end = false;
  Signal changed;
};

awaitable<void> takes_over(Circuit circuit, std::shared_ptr<Handover> handover) {
  co_await circuit.send(Fragment(0, "taken over"));
  while (!handover->second_may_end) co_await handover->changed.wait();
  if (handover->throws == Handover::Throws::second) throw std::runtime_error("the second one");
}

awaitable<void> hands_over(Circuit circuit, LocalPeer* peer, std::shared_ptr<Handover> handover) {
  LocalPeer* const to = handover->to_itself ? peer : handover->other.get();
  to->spawn(takes_over, std::move(circuit), handover);
  while (!handover->first_may_end) co_await handover->changed.wait();
  if (handover->throws == Handover::Throws::first) throw std::runtime_error("the first one");
}

awaitable<void> dispatch(LocalPeer& peer, CircuitInbox& circuits, std::shared_ptr<Handover> handover) {
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) co_return;
    peer.spawn(hands_over, std::move(*circuit), &peer, handover);
  }
}

CO_TEST_CASE("peer: a task may hand its circuit to another one, which then decides alone how the circuit ends",
             both_ways, NodePair& pair) {
  using Throws = Handover::Throws;
  pair.there.serve("echo", echo);
  const auto browser = pair.here.new_peer("browser");
  Circuit bystander = browser->join_or_start(pair.there_address, "echo", std::nullopt);
  int number = 0;
  std::uint64_t failures = 0;
  for (const bool first_ends_first : {true, false}) {
    for (const bool to_itself : {true, false}) {
      for (const Throws throws : {Throws::neither, Throws::first, Throws::second}) {
        INFO(first_ends_first, " ", to_itself, " ", static_cast<int>(throws));
        const auto handover = std::make_shared<Handover>();
        handover->to_itself = to_itself;
        handover->throws = throws;
        handover->other = pair.there.new_peer("other");
        const std::string name = "dispatcher " + std::to_string(++number);
        pair.there.register_service(
            name, [handover](LocalPeer& peer, CircuitInbox& circuits) { return dispatch(peer, circuits, handover); });
        Circuit near = browser->join_or_start(pair.there_address, name, std::nullopt);
        const std::optional<Fragment> first = co_await near.receive();
        CHECK(text_of(first) == "taken over");

        handover->let_end(first_ends_first ? handover->first_may_end : handover->second_may_end);
        co_await settle();
        CHECK(near.is_open() == first_ends_first);
        handover->let_end(first_ends_first ? handover->second_may_end : handover->first_may_end);
        const End end = co_await near.ended();

        CHECK(end.clean() == (throws != Throws::second));
        if (!end.clean()) CHECK(end.code == error::handler_failed);
        co_await settle(); // the other task has ended, too
        if (throws != Throws::neither) ++failures;
        CHECK(pair.there.counters().services_failed == failures);
        CHECK(pair.there.counters().circuits_held == 0);
      }
    }
  }
  co_await bystander.send(Fragment(0, "still here"));
  const std::optional<Fragment> answer = co_await bystander.receive();
  CHECK(text_of(answer) == "still here");
}

/// Waits for circuits, and owns a peer of its own node.
PeerServiceFunc owns(std::shared_ptr<LocalPeer> peer) {
  return [peer](LocalPeer&, CircuitInbox& circuits) -> awaitable<void> {
    for (;;) {
      const std::optional<Circuit> circuit = co_await circuits.next();
      if (!circuit) co_return;
    }
  };
}

/// A node that has services which own its peers, one that runs and one that does not.
std::weak_ptr<LocalPeer> give_owners(Node& node) {
  const auto owned = node.new_peer("owned");
  node.register_service("runs", owns(owned));
  node.register_service("idle", owns(owned));
  node.serve("circuits", [owned](Circuit circuit) { return echo(std::move(circuit)); });
  node.start_local_peer("runs");
  return owned;
}

CO_TEST_CASE("node: services that own peers of their node keep neither alive once the node is closed", both_ways,
             NodePair& pair) {
  const std::weak_ptr<LocalPeer> owned = give_owners(pair.there);
  Circuit circuit = pair.here.new_peer("me")->join_or_start(pair.there_address, "circuits", Fragment(0, "hello"));
  const std::optional<Fragment> echoed = co_await circuit.receive();
  CHECK(text_of(echoed) == "hello");
  CHECK_FALSE(owned.expired());

  co_await pair.there.close();
  co_await settle();

  CHECK(owned.expired());
}

TEST_CASE("node: services that own peers of their node keep neither alive once the node is destroyed") {
  std::weak_ptr<LocalPeer> owned;
  asio::io_context io(1);
  {
    Node node(io.get_executor());
    owned = give_owners(node);
    io.poll();
    CHECK_FALSE(owned.expired());
  }
  io.restart();
  io.run();
  CHECK(owned.expired());
}

TEST_CASE("node: services that own peers of their node keep neither alive when the context is never run again") {
  std::weak_ptr<LocalPeer> owned;
  {
    asio::io_context io(1);
    Node node(io.get_executor());
    owned = give_owners(node);
  }
  CHECK(owned.expired());
}

CO_TEST_CASE("node: a service that is registered at a closed node is not kept", both_ways, NodePair& pair) {
  const auto owned = pair.there.new_peer("owned");
  co_await pair.there.close();
  const auto mark = std::make_shared<int>();

  pair.there.register_service("late", [owned, mark](LocalPeer&, CircuitInbox&) -> awaitable<void> { co_return; });

  CHECK(mark.use_count() == 1);
  CHECK_THROWS_AS(pair.there.start_local_peer("late"), boost::system::system_error);
}

CO_TEST_CASE("node: the function of a service that runs on after the node was closed is not taken from it", both_ways,
             NodePair& pair) {
  const auto let_go = std::make_shared<Signal>();
  const std::weak_ptr<Signal> used = let_go;
  pair.there.register_service("stubborn", stubborn(let_go));
  Circuit circuit = pair.here.new_peer("me")->join_or_start(pair.there_address, "stubborn", std::nullopt,
                                                            CircuitOptions("", "", true));
  co_await circuit.accepted();
  co_await settle();
  const long count = used.use_count();

  Tasks closing(pair.there.executor());
  closing.spawn(pair.there.close());
  co_await settle();
  CHECK(pair.there.counters().peers_ending == 1);
  CHECK(used.use_count() == count - 1); // the node's own copy

  let_go->notify_all();
  co_await closing.join();
  co_await settle();
  CHECK(used.use_count() == 1);
}

/// Calls its node when the node lets go of it.
struct CallsBack {
  CallsBack(Node& of, bool& note) : node(of), called(note) {}
  CallsBack(const CallsBack&) = delete;
  ~CallsBack() {
    node.register_service("too late", [](LocalPeer&, CircuitInbox&) -> awaitable<void> { co_return; });
    called = node.local_peers().empty();
  }
  Node& node;
  bool& called;
};

CO_TEST_CASE("node: what a service owns may call the node that lets go of it", both_ways, NodePair& pair) {
  bool called = false;
  pair.there.register_service("idle", owns(pair.there.new_peer("owned")));
  pair.there.register_service(
      "calls", [mine = std::make_shared<CallsBack>(pair.there, called)](LocalPeer&, CircuitInbox&) -> awaitable<void> {
        co_return;
      });

  co_await pair.there.close();

  CHECK(called);
}

} // namespace

namespace {

// The far handle outlives its node here: what was received stays readable.
awaitable<void> lose_trunk(NodePair& pair, std::shared_ptr<FaultyMedium> medium) {
  co_await pair.meet();
  {
    Ends ends;
    co_await open(pair, ends);
    co_await ends.near.send(Fragment(0, "arrived before"));
    Circuit waiting = ends.browser->new_circuit(pair.url_there(*ends.store), Fragment(0, "x"));
    Circuit waiting_far = co_await ends.keeper.next();

    medium->break_all();

    co_await expect_end(ends.near, error::trunk_lost);
    co_await expect_end(ends.far, error::trunk_lost);
    const std::optional<Fragment> arrived = co_await ends.far.receive();
    CHECK(text_of(arrived) == "arrived before");
    for (Circuit* circuit : {&ends.near, &ends.far, &waiting}) co_await expect_both_queues(*circuit, error::trunk_lost);
    co_await expect_failure(ends.near.send(Fragment(1)), error::trunk_lost);
    CHECK_FALSE(ends.store->is_ending());
    CHECK_FALSE(ends.browser->is_ending());
    CHECK(pair.here.counters().trunks_lost == 1);
    CHECK(pair.there.counters().trunks_lost == 1);

    // Whoever knows where the other listens dials again.
    if (pair.dialler == NodePair::Dialler::here) {
      Circuit again = ends.browser->new_circuit(pair.url_there(*ends.store), Fragment(0, "again"));
      Circuit again_far = co_await ends.keeper.next();
      CHECK(again.dialled());
    }
  }
  co_await pair.here.close();
  co_await pair.there.close();
}

} // namespace

TEST_CASE("circuit: a lost trunk says trunk_lost to both queues of both ends, after what had arrived") {
  for (const auto dialler : {NodePair::Dialler::here, NodePair::Dialler::there}) {
    std::shared_ptr<FaultyMedium> medium;
    NodePair pair(dialler, "mem", [&](NodeOptions& options) {
      if (!medium) medium = std::make_shared<FaultyMedium>(options.media["mem"]);
      options.media["mem"] = medium;
    });
    run_coroutine(pair.io, lose_trunk(pair, medium));
  }
}
