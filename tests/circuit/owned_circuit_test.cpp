// Who decides how a circuit ends: its handle, the function that serves it, or the task to which that gave it. Each way
// is one row: a function that sends two parts and then lets go of its circuit in some manner, and what the reader on
// the other side must hear after the parts. The rows run once beside a reader that only reads, and once beside readers
// that finish, close, drop or end their peer at the same time, where nothing else may break.
#include "async/clock.hpp"
#include "circuit/caller.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// What the functions of one test share.
struct Stage {
  Signal let_go;
  bool may_end = false;
  std::vector<Circuit> kept;

  awaitable<void> wait() {
    while (!may_end) co_await let_go.wait();
  }
};

struct Hands {
  LocalPeer* peer;
  Stage* stage;
};

awaitable<void> send_parts(Circuit& circuit) {
  for (int part = 0; part < 2; ++part) co_await circuit.send(Fragment(part, "part"));
}

// What a function calls.

awaitable<void> send_and_drop(Circuit circuit) { co_await send_parts(circuit); }

awaitable<void> send_and_throw(Circuit circuit) {
  co_await send_parts(circuit);
  throw std::runtime_error("read error");
}

awaitable<void> send_and_finish(Circuit circuit) {
  co_await send_parts(circuit);
  circuit.finish();
}

// The ways.

awaitable<void> returns(Circuit circuit, Hands) { co_await send_parts(circuit); }

awaitable<void> finishes(Circuit circuit, Hands) {
  co_await send_parts(circuit);
  circuit.finish();
}

awaitable<void> closes(Circuit circuit, Hands) {
  co_await send_parts(circuit);
  circuit.close();
}

awaitable<void> closes_with_reason(Circuit circuit, Hands) {
  co_await send_parts(circuit);
  circuit.close(End(error::access_denied, "enough"));
}

awaitable<void> throws_(Circuit circuit, Hands) {
  co_await send_parts(circuit);
  throw std::runtime_error("a secret");
}

awaitable<void> helper_drops(Circuit circuit, Hands) { co_await send_and_drop(std::move(circuit)); }

awaitable<void> helper_finishes(Circuit circuit, Hands) { co_await send_and_finish(std::move(circuit)); }

awaitable<void> helper_throws(Circuit circuit, Hands) { co_await send_and_throw(std::move(circuit)); }

awaitable<void> helper_throws_and_is_caught(Circuit circuit, Hands) {
  try {
    co_await send_and_throw(std::move(circuit));
  } catch (const std::runtime_error&) {}
}

awaitable<void> helper_drops_and_function_goes_on(Circuit circuit, Hands hands) {
  co_await send_and_drop(std::move(circuit));
  co_await hands.stage->wait();
}

awaitable<void> helper_throws_and_function_goes_on(Circuit circuit, Hands hands) {
  try {
    co_await send_and_throw(std::move(circuit));
  } catch (const std::runtime_error&) {}
  co_await hands.stage->wait();
}

awaitable<void> helper_drops_and_function_throws(Circuit circuit, Hands) {
  co_await send_and_drop(std::move(circuit));
  throw std::runtime_error("too late to say why");
}

awaitable<void> moves_to_a_local(Circuit circuit, Hands) {
  Circuit local = std::move(circuit);
  co_await send_parts(local);
}

awaitable<void> moves_to_a_local_and_throws(Circuit circuit, Hands) {
  Circuit local = std::move(circuit);
  co_await send_parts(local);
  throw std::runtime_error("a secret");
}

awaitable<void> moves_there_and_back(Circuit circuit, Hands) {
  Circuit local = std::move(circuit);
  co_await send_parts(local);
  circuit = std::move(local);
}

awaitable<void> assigns_over_its_parameter(Circuit circuit, Hands) {
  co_await send_parts(circuit);
  circuit = Circuit();
}

awaitable<void> assigns_over_a_local(Circuit circuit, Hands) {
  Circuit local = std::move(circuit);
  co_await send_parts(local);
  local = Circuit();
}

awaitable<void> drops_from_the_heap(Circuit circuit, Hands) {
  auto kept = std::make_unique<Circuit>(std::move(circuit));
  co_await send_parts(*kept);
  kept.reset();
}

awaitable<void> wraps_it_in_a_caller(Circuit circuit, Hands) {
  Caller caller(std::move(circuit));
  co_await send_parts(caller.circuit());
}

awaitable<void> wraps_it_in_a_caller_and_closes(Circuit circuit, Hands) {
  Caller caller(std::move(circuit));
  co_await send_parts(caller.circuit());
  caller.circuit().close();
}

awaitable<void> keeps_it_elsewhere_and_drops_it_there(Circuit circuit, Hands hands) {
  co_await send_parts(circuit);
  hands.stage->kept.push_back(std::move(circuit));
  hands.stage->kept.clear();
}

awaitable<void> hands_it_to_one_that_returns(Circuit circuit, Hands hands) {
  hands.peer->spawn(returns, std::move(circuit), hands);
  co_return;
}

awaitable<void> hands_it_over_and_lives_on(Circuit circuit, Hands hands) {
  hands.peer->spawn(returns, std::move(circuit), hands);
  co_await hands.stage->wait();
}

awaitable<void> hands_it_over_and_throws(Circuit circuit, Hands hands) {
  hands.peer->spawn(returns, std::move(circuit), hands);
  throw std::runtime_error("not about this circuit");
  co_return;
}

awaitable<void> hands_it_to_one_that_throws(Circuit circuit, Hands hands) {
  hands.peer->spawn(throws_, std::move(circuit), hands);
  co_await hands.stage->wait();
}

awaitable<void> hands_it_to_one_whose_helper_drops(Circuit circuit, Hands hands) {
  hands.peer->spawn(helper_drops, std::move(circuit), hands);
  co_await hands.stage->wait();
}

awaitable<void> hands_it_on_twice(Circuit circuit, Hands hands) {
  hands.peer->spawn(hands_it_to_one_that_returns, std::move(circuit), hands);
  co_return;
}

struct Way {
  const char* name;
  awaitable<void> (*function)(Circuit, Hands);
  error end; // after the parts; none: clean
  int failures = 0;
};

constexpr error clean = error::none;
const std::array ways{
    Way{"returns", returns, clean},
    Way{"finishes", finishes, clean},
    Way{"closes", closes, clean},
    Way{"closes with a reason", closes_with_reason, error::access_denied},
    Way{"throws", throws_, error::handler_failed, 1},
    Way{"a helper drops it", helper_drops, error::circuit_abandoned},
    Way{"a helper finishes and drops it", helper_finishes, clean},
    Way{"a helper throws", helper_throws, error::handler_failed, 1},
    Way{"a helper throws and is caught", helper_throws_and_is_caught, error::circuit_abandoned},
    Way{"a helper drops it, the function goes on", helper_drops_and_function_goes_on, error::circuit_abandoned},
    Way{"a helper throws, the function goes on", helper_throws_and_function_goes_on, error::circuit_abandoned},
    Way{"a helper drops it, the function throws", helper_drops_and_function_throws, error::circuit_abandoned, 1},
    Way{"a local one", moves_to_a_local, error::circuit_abandoned},
    Way{"a local one, and it throws", moves_to_a_local_and_throws, error::handler_failed, 1},
    Way{"a local one and back", moves_there_and_back, clean},
    Way{"its parameter is assigned over", assigns_over_its_parameter, error::circuit_abandoned},
    Way{"a local one is assigned over", assigns_over_a_local, error::circuit_abandoned},
    Way{"on the heap", drops_from_the_heap, error::circuit_abandoned},
    Way{"a caller", wraps_it_in_a_caller, error::circuit_abandoned},
    Way{"a caller that is closed", wraps_it_in_a_caller_and_closes, clean},
    Way{"kept elsewhere", keeps_it_elsewhere_and_drops_it_there, error::circuit_abandoned},
    Way{"handed over", hands_it_to_one_that_returns, clean},
    Way{"handed over, the first lives on", hands_it_over_and_lives_on, clean},
    Way{"handed over, the first throws", hands_it_over_and_throws, clean, 1},
    Way{"handed to one that throws", hands_it_to_one_that_throws, error::handler_failed, 1},
    Way{"handed to one whose helper drops it", hands_it_to_one_whose_helper_drops, error::circuit_abandoned},
    Way{"handed on twice", hands_it_on_twice, clean},
};

awaitable<void> dispatch(LocalPeer& peer, CircuitInbox& circuits, Stage* stage) {
  const Hands hands{&peer, stage};
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) co_return;
    const Way& way = ways.at(static_cast<std::size_t>(std::stoi(circuit->name()))); // before it is moved from
    peer.spawn(way.function, std::move(*circuit), hands);
  }
}

void serve_ways(Node& node, Stage& stage) {
  node.register_service(
      "ways", [at = &stage](LocalPeer& peer, CircuitInbox& circuits) { return dispatch(peer, circuits, at); }, 1);
}

Circuit open(NodePair& pair, LocalPeer& me, std::size_t way) {
  return me.join_or_start(pair.there_address, "ways", std::nullopt, CircuitOptions(std::to_string(way)));
}

CO_TEST_CASE("ownership: half a stream never looks whole, however a function lets go of its circuit", both_ways,
             NodePair& pair) {
  Stage stage;
  serve_ways(pair.there, stage);
  const auto me = pair.here.new_peer("reader");
  std::uint64_t failures = 0;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    INFO(ways.at(i).name);
    Circuit circuit = open(pair, *me, i);
    int parts = 0;
    boost::system::error_code end;
    try {
      for (;;) {
        const std::optional<Fragment> part = co_await circuit.receive();
        if (!part) break;
        ++parts;
      }
    } catch (const boost::system::system_error& thrown) {
      end = thrown.code();
    }
    if (ways.at(i).end == clean) {
      CHECK_FALSE(end);
      CHECK(parts == 2);
    } else {
      CHECK(end == make_error_code(ways.at(i).end));
    }
    failures += static_cast<std::uint64_t>(ways.at(i).failures);
  }
  stage.may_end = true;
  stage.let_go.notify_all();
  co_await settle();
  CHECK(pair.there.counters().services_failed == failures);
  CHECK(pair.there.counters().circuits_held == 0);
}

/// What the reader does while the function works.
enum class Reader : std::uint8_t { finishes, closes, resets, drops, ends };

CO_TEST_CASE("ownership: whatever both sides do at once, no other circuit is touched", both_ways, NodePair& pair) {
  Stage stage;
  serve_ways(pair.there, stage);
  pair.there.serve("echo", echo);
  const auto bystander = pair.here.new_peer("bystander");
  Circuit calm = bystander->join_or_start(pair.there_address, "echo", std::nullopt);
  for (std::size_t i = 0; i < ways.size(); ++i) {
    for (const Reader reader : {Reader::finishes, Reader::closes, Reader::resets, Reader::drops, Reader::ends}) {
      for (int turns = 0; turns < 8; ++turns) {
        INFO(ways.at(i).name, ", reader ", static_cast<int>(reader), " after ", turns, " turns");
        const auto me = pair.here.new_peer("reader");
        Circuit circuit = open(pair, *me, i);
        for (int turn = 0; turn < turns; ++turn) co_await asio::post(asio::use_awaitable);
        if (reader == Reader::finishes) circuit.finish();
        if (reader == Reader::closes) circuit.close();
        if (reader == Reader::resets) circuit.reset();
        if (reader == Reader::drops) circuit = Circuit();
        me->close();
        co_await me->ended();
      }
    }
    co_await calm.send(Fragment(0, "still there"));
    const std::optional<Fragment> answer = co_await calm.receive();
    CHECK(test::text_of(answer) == "still there");
  }
  stage.may_end = true;
  stage.let_go.notify_all();
  co_await settle();
  CHECK(pair.there.counters().circuits_held == 0);
  CHECK(pair.there.counters().trunks_lost == 0);
}

// A caller that leaves.

awaitable<void> tally(Circuit circuit) {
  Fragment total;
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    total.part += std::ssize(fragment->payload.text());
  }
  co_await circuit.send(std::move(total));
}

awaitable<void> ask_nobody(Circuit circuit, LocalPeer* me) {
  Circuit other = me->join_or_start("node://nobody", "leaves", Fragment(1));
  co_await other.receive(); // its end is a failure here: nobody who called this has left
  circuit.close();
}

CO_TEST_CASE("ownership: a caller who leaves is an end and no failure, an answer that is missing is a failure",
             both_ways, NodePair& pair) {
  pair.there.serve("tally", tally);
  const auto me = pair.here.new_peer("asker");
  for (int i = 0; i < 5; ++i) {
    Circuit circuit = me->join_or_start(pair.there_address, "tally", Fragment(0, "half a sentence"));
    co_await circuit.accepted();
  }
  Circuit last = me->join_or_start(pair.there_address, "tally", Fragment(0, "x"));
  co_await last.accepted();
  me->close();
  co_await settle();
  CHECK(pair.there.counters().services_failed == 0);
  CHECK(pair.there.counters().callers_left == 6);

  const auto asker = pair.here.new_peer("asker");
  const auto helper = pair.there.new_peer("helper");
  pair.there.serve("asks", [helper](Circuit circuit) { return ask_nobody(std::move(circuit), helper.get()); });
  Circuit asks = asker->join_or_start(pair.there_address, "asks", std::nullopt);
  const auto failure = co_await failure_of(asks.receive());
  CHECK(failure == make_error_code(error::handler_failed));
  CHECK(pair.there.counters().services_failed == 1);
  CHECK(pair.there.counters().callers_left == 6);
  helper->close();
}

awaitable<void> asks_first(Circuit circuit) { co_await circuit.receive(); }
awaitable<void> thinks_first(Circuit circuit) {
  co_await sleep_for(std::chrono::hours(1));
  circuit.close();
}

CO_TEST_CASE("ownership: a task whose own circuit was refused is a failure, not a caller who left", both_ways,
             NodePair& pair) {
  const auto me = pair.here.new_peer("asker");
  std::uint64_t failed = 0;
  for (awaitable<void> (*const task)(Circuit) : {asks_first, thinks_first}) {
    me->spawn(task, me->join_or_start(pair.there_address, "typo", Fragment(1)));
    ++failed;
    while (pair.here.counters().services_failed < failed) co_await asio::post(asio::use_awaitable);
    INFO(pair.log);
    CHECK(pair.log.lines().back().find("here: service \"asker\" threw on circuit") == 0);
    CHECK(pair.log.lines().back().find("no service \"typo\"") != std::string::npos);
  }
  CHECK(pair.here.counters().callers_left == 0);
}

awaitable<void> first_caller(LocalPeer&, CircuitInbox& circuits) {
  std::optional<Circuit> circuit = co_await circuits.next();
  while (circuit) {
    const std::optional<Fragment> fragment = co_await circuit->receive();
    if (!fragment) co_return;
  }
}

CO_TEST_CASE("ownership: a service that ends with its caller is no failure either", both_ways, NodePair& pair) {
  pair.there.register_service("first", first_caller);
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "first", Fragment(1));
  co_await circuit.accepted();
  circuit.reset(End(error::access_denied, "<b>\nno"));
  co_await settle();
  CHECK(pair.there.counters().services_failed == 0);
  CHECK(pair.there.counters().callers_left == 1);
  CHECK(pair.there.local_peers("first").empty());
  CHECK(pair.log.has_line("the far side says: <b>\\x0ano"));
}

} // namespace
