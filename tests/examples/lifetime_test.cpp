// What docs/lifetime.md says of endings: who hears which error, and what may go when.
//
// A peer of service "actor" takes one circuit, sends one fragment on it, and does what the first fragment's op says.
// The other side takes the fragment and looks at what comes next: the code that receive throws, or none for nullopt.
#include "async/tasks.hpp"
#include "async/within.hpp"
#include "peer/node.hpp"
#include "tests/support/co_test_case.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/error.hpp>
#include <doctest/doctest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;

namespace {

enum Act : std::int32_t {
  act_finish,
  act_close,
  act_close_with_reason,
  act_reset,
  act_drop,
  act_throw,
  act_end,
  act_wait
};

awaitable<void> actor(LocalPeer& peer, CircuitInbox& circuits) {
  std::optional<Circuit> circuit = co_await circuits.next();
  if (!circuit) co_return;
  const std::optional<Fragment> order = co_await circuit->receive();
  co_await circuit->send(Fragment(0, "sent before"));
  switch (order.value().op) {
    case act_finish: circuit->finish(); break;
    case act_close: circuit->close(); break;
    case act_close_with_reason: circuit->close(End(error::access_denied, "because")); break;
    case act_reset: circuit->reset(End(error::stalled, "enough")); break;
    case act_drop: circuit.reset(); break;
    case act_throw: throw std::runtime_error("a bug");
    case act_end: peer.close(); break;
    default: break;
  }
  co_await circuits.next(); // until the peer ends
}

bool is(const boost::system::error_code& heard, error code) {
  return code == error::none ? !heard : heard == make_error_code(code);
}

/// What receive says after the fragment: the code, none for nullopt.
awaitable<boost::system::error_code> outcome_of(Circuit& circuit) {
  boost::system::error_code code;
  try {
    while (true) {
      const std::optional<Fragment> fragment = co_await circuit.receive();
      if (!fragment) break;
      CHECK(fragment->payload.text() == "sent before");
    }
  } catch (const boost::system::system_error& failure) {
    code = failure.code();
  }
  co_return code;
}

using Body = std::function<awaitable<void>(Node&, Node&, std::string)>;

awaitable<void> with_nodes(Body body) {
  const Executor executor = co_await asio::this_coro::executor;
  Node here(executor);
  Node there(executor);
  there.register_service("actor", actor);
  co_await body(here, there, there.listen("tcp://127.0.0.1:0"));
  co_await here.close();
  co_await there.close();
}

/// Runs it between two nodes of its own.
void between_nodes(Body body) { test::run_coroutine(with_nodes(std::move(body))); }

awaitable<void> note_outcome(awaitable<std::optional<Fragment>> receive, std::vector<boost::system::error_code>& into) {
  const result<std::optional<Fragment>> taken = co_await as_result(std::move(receive));
  into.push_back(taken.has_error() ? taken.error() : boost::system::error_code());
}

} // namespace

CO_TEST_CASE("lifetime: each ending of the far side is heard as what it was, after what was sent before", between_nodes,
             Node& here, Node&, std::string there) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  const std::vector<std::pair<Act, error>> expected{{act_finish, error::none},
                                                    {act_close, error::none},
                                                    {act_close_with_reason, error::access_denied},
                                                    {act_reset, error::stalled},
                                                    {act_drop, error::circuit_abandoned},
                                                    {act_throw, error::handler_failed},
                                                    {act_end, error::peer_ended}};
  for (const auto& [act, code] : expected) {
    CAPTURE(act);
    Circuit circuit = me->start(there, "actor", Fragment(act));
    const boost::system::error_code heard = co_await outcome_of(circuit);
    CHECK(is(heard, code));
    // And what a send says: after a finish of theirs it works, after every other ending it throws.
    const result<void> sent = co_await as_result(circuit.send(Fragment(1)));
    CHECK(sent.has_value() == (act == act_finish));
    if (!sent) CHECK(sent.error() == make_error_code(code == error::none ? error::circuit_closed : code));
  }
}

CO_TEST_CASE("lifetime: our own finish, close and end are told apart", between_nodes, Node& here, Node&,
             std::string there) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  Circuit finished = me->start(there, "actor", Fragment(act_wait));
  finished.finish();
  const result<void> after_finish = co_await as_result(finished.send(Fragment(1)));
  CHECK(after_finish.error() == make_error_code(error::circuit_closed));
  const std::optional<Fragment> goes_on = co_await finished.receive();
  CHECK(goes_on.value().payload.text() == "sent before");

  finished.close();
  const result<void> after_close = co_await as_result(finished.send(Fragment(1)));
  CHECK(after_close.error() == make_error_code(error::circuit_closed));
  const boost::system::error_code heard = co_await outcome_of(finished);
  CHECK(!heard);

  Circuit reasoned = me->start(there, "actor", Fragment(act_wait));
  reasoned.close(End(error::access_denied, "not you"));
  const boost::system::error_code own_reason = co_await outcome_of(reasoned);
  CHECK(is(own_reason, error::access_denied));

  Circuit last = me->start(there, "actor", Fragment(act_wait));
  me->close();
  const boost::system::error_code heard_last = co_await outcome_of(last);
  CHECK(is(heard_last, error::peer_ended));
  const result<void> after_end = co_await as_result(last.send(Fragment(1)));
  CHECK(is(after_end.error(), error::peer_ended));
  const End end = co_await last.ended();
  CHECK(is(end.code, error::peer_ended));
}

CO_TEST_CASE("lifetime: each refusal is heard as what it was", between_nodes, Node& here, Node& there,
             std::string address) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  there.register_service("single", actor, 1);
  Circuit only = me->start(address, "single", Fragment(act_wait));
  std::vector<std::pair<Circuit, error>> expected;
  expected.emplace_back(me->join_or_start(address, "nobody", std::nullopt), error::no_service);
  expected.emplace_back(me->start(address, "single", std::nullopt), error::service_limit_reached);
  expected.emplace_back(me->new_circuit(PeerUrl(address, "actor", me->id())), error::no_peer);
  expected.emplace_back(me->join_or_start("tcp://127.0.0.1:1", "actor", std::nullopt), error::connect_failed);
  for (auto& [circuit, code] : expected) {
    const boost::system::error_code heard = co_await outcome_of(circuit);
    CHECK(heard == make_error_code(code));
  }
  co_await there.close();
  const boost::system::error_code closed = co_await outcome_of(only);
  CHECK(closed == make_error_code(error::node_closed));
}

CO_TEST_CASE("lifetime: a node that dials itself is told so", between_nodes, Node& here, Node&, std::string) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  Circuit circuit = me->join_or_start(here.listen("tcp://127.0.0.1:0"), "actor", std::nullopt);
  const End end = co_await circuit.ended();
  CHECK(is(end.code, error::trunk_lost));
  CHECK(end.text.find("dialled self") != std::string::npos);
  boost::system::error_code dialled;
  try {
    co_await here.dial(here.addresses().at(0));
  } catch (const boost::system::system_error& failure) {
    dialled = failure.code();
  }
  CHECK(is(dialled, error::dialled_self));
}

CO_TEST_CASE("lifetime: a handle may be dropped or moved while something waits on it", between_nodes, Node& here, Node&,
             std::string there) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  std::vector<boost::system::error_code> outcomes;
  Tasks tasks(co_await asio::this_coro::executor);

  Circuit dropped = me->start(there, "actor", std::nullopt);
  tasks.spawn(note_outcome(dropped.receive(), outcomes));
  co_await sleep_for(std::chrono::milliseconds(1));
  dropped = Circuit();
  co_await tasks.join();
  REQUIRE(outcomes.size() == 1);
  CHECK(outcomes[0] == asio::error::operation_aborted);

  Circuit moved = me->start(there, "actor", std::nullopt);
  tasks.spawn(note_outcome(moved.receive(), outcomes));
  co_await sleep_for(std::chrono::milliseconds(1));
  Circuit elsewhere = std::move(moved);
  co_await elsewhere.send(Fragment(act_close));
  co_await tasks.join();
  REQUIRE(outcomes.size() == 2);
  CHECK(!outcomes[1]); // it got the fragment
}

static awaitable<void> dropped_node(Circuit& circuit);
TEST_CASE("lifetime: a circuit's handle outlives its node") {
  Circuit circuit;
  test::run_coroutine(dropped_node(circuit));
  CHECK(!circuit.is_open());
}
static awaitable<void> dropped_node(Circuit& circuit) {
  const Executor executor = co_await asio::this_coro::executor;
  Node there(executor);
  there.register_service("actor", actor);
  const std::string address = there.listen("tcp://127.0.0.1:0");
  {
    Node here(executor);
    circuit = here.new_peer("me")->start(address, "actor", Fragment(act_finish));
    const std::optional<Fragment> fragment = co_await circuit.receive();
    CHECK(fragment.value().payload.text() == "sent before");
  }
  const boost::system::error_code heard = co_await outcome_of(circuit);
  CHECK((is(heard, error::none) || is(heard, error::node_closed))); // whichever was first, the finish or the end
  co_await there.close();
}
