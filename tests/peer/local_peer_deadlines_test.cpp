// Deadlines and cancellation across the wire: a handler is cancelled where it waits when its caller gives it up, requests
// and calls carry their time with them, and a service works on no more circuits at once than it says. Time is real here,
// but nothing is waited out: what a deadline ends would otherwise wait for an hour.
#include "async/tasks.hpp"
#include "circuit/caller.hpp"
#include "tests/support/note_thrown.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"
#include "transport/medium.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

/// What happens to the handlers of a test.
struct Log {
  std::vector<std::string> lines;
  Signal changed;

  void add(std::string line) {
    lines.push_back(std::move(line));
    changed.notify_all();
  }
  awaitable<void> wait_for(std::size_t count) {
    while (lines.size() < count) co_await changed.wait();
  }
  bool has(std::string_view line) const { return std::ranges::find(lines, line) != lines.end(); }
};

/// Takes one fragment, then works for an hour on something else than its circuit.
awaitable<void> works(Circuit circuit, std::shared_ptr<Log> log) {
  struct Gone {
    std::shared_ptr<Log> log;
    bool ended = false;
    ~Gone() { log->add(ended ? "ended" : "cancelled"); }
  } gone{log};
  co_await circuit.receive();
  log->add("began");
  co_await sleep_for(1h);
  gone.ended = true;
}

/// The same, but it waits on its circuit.
awaitable<void> listens(Circuit circuit, std::shared_ptr<Log> log) {
  log->add("began");
  try {
    for (;;) {
      const std::optional<Fragment> fragment = co_await circuit.receive();
      if (!fragment) break;
    }
    log->add("ended");
  } catch (const boost::system::system_error& thrown) {
    log->add(thrown.code().message());
  }
}

CircuitServiceFunc with(std::shared_ptr<Log> log, awaitable<void> (*function)(Circuit, std::shared_ptr<Log>)) {
  return [log, function](Circuit circuit) { return function(std::move(circuit), log); };
}

/// Calls `ask` with longer and longer times until its handler has begun before it was over: machines may be busy.
template <class Ask> awaitable<void> until_it_began(std::shared_ptr<Log> log, Ask ask) {
  const std::size_t before = log->lines.size();
  for (Duration time = 20ms; log->lines.size() == before; time *= 2) {
    co_await ask(time);
    co_await settle();
  }
  co_await log->wait_for(before + 2);
  CHECK(log->lines.at(before) == "began");
  CHECK(log->lines.at(before + 1) == "cancelled");
}

/// Gives an operation up when the handler has written one more line.
template <class T> awaitable<void> give_up(awaitable<T> operation, std::shared_ptr<Log> log) {
  using namespace asio::experimental::awaitable_operators;
  const std::size_t before = log->lines.size();
  co_await (outcome_of(std::move(operation)) || log->wait_for(before + 1));
  co_await log->wait_for(before + 2);
  CHECK(log->lines.at(before) == "began");
  CHECK(log->lines.at(before + 1) == "cancelled");
}

CircuitOptions in(Duration time) {
  CircuitOptions options;
  options.deadline = time;
  return options;
}

// Circuits.

awaitable<void> ends_at_its_deadline(LocalPeer& me, std::string address, Duration time) {
  const TimePoint before = std::chrono::steady_clock::now();
  Circuit circuit = me.join_or_start(address, "works", Fragment(1), in(time));
  REQUIRE(circuit.deadline());
  CHECK(*circuit.deadline() >= before + time);
  const auto failure = co_await failure_of(circuit.receive());
  CHECK(failure == make_error_code(error::deadline_passed));
  CHECK(std::chrono::steady_clock::now() >= before + time);
}

CO_TEST_CASE("deadline: both sides know it, both end with it, and a handler that works is cancelled", everywhere,
             NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("works", with(log, works));
  const auto me = pair.here.new_peer("asker");
  const auto ask = [&](Duration time) { return ends_at_its_deadline(*me, pair.there_address, time); };
  co_await until_it_began(log, ask);
  co_await settle();
  CHECK(pair.there.counters().services_failed == 0);
  CHECK(pair.there.counters().callers_left >= 1);

  const Circuit without = me->join_or_start(pair.there_address, "works", Fragment(1));
  CHECK_FALSE(without.deadline());
}

awaitable<void> opens_another(Circuit circuit, LocalPeer* me, std::string address, std::shared_ptr<Log> log) {
  co_await circuit.receive();
  const std::optional<TimePoint> mine = circuit.deadline();
  CircuitOptions options;
  options.inherit(circuit);
  const Circuit other = me->join_or_start(address, "sink", Fragment(1), std::move(options));
  const Circuit same = circuit.new_circuit();
  log->add(mine && other.deadline() == mine && same.deadline() == mine ? "inherited" : "lost");
  circuit.finish();
}

CO_TEST_CASE("deadline: what a handler opens inherits it", both_ways, NodePair& pair) {
  const auto log = std::make_shared<Log>();
  const auto helper = pair.there.new_peer("helper");
  pair.there.serve("opens", [log, helper, address = pair.here_address](Circuit circuit) {
    return opens_another(std::move(circuit), helper.get(), address, log);
  });
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "opens", Fragment(1), in(1h));
  co_await log->wait_for(1);
  CHECK(log->has("inherited"));
  helper->close();
}

/// Its dials never end.
class NeverMedium final : public Medium {
 public:
  std::string_view scheme() const noexcept override { return "never"; }
  std::string_view form() const noexcept override { return "never://name"; }
  bool has_hosts() const noexcept override { return false; }
  bool has_ports() const noexcept override { return false; }
  bool is_local() const noexcept override { return true; }
  awaitable<std::unique_ptr<Transport>> dial(std::string) override {
    co_await sleep_for(1h);
    co_return nullptr;
  }
  std::unique_ptr<Listener> listen(const Executor&, std::string_view) override {
    throw std::logic_error("nobody listens there");
  }
};

awaitable<void> ask_never(asio::io_context& io) {
  NodeOptions options;
  options.media["never"] = std::make_shared<NeverMedium>();
  Node node(io.get_executor(), std::move(options));
  const auto me = node.new_peer("asker");
  Circuit circuit = me->join_or_start("never://mind", "works", Fragment(1), in(20ms));
  Circuit later = me->join_or_start("never://mind", "works", Fragment(1), in(40ms));
  Circuit never = me->join_or_start("never://mind", "works", Fragment(1));
  for (Circuit* one : {&circuit, &later}) {
    const auto failure = co_await failure_of(one->receive());
    CHECK(failure == make_error_code(error::deadline_passed));
  }
  CHECK(never.is_open());
  co_await node.close();
}

TEST_CASE("deadline: it passes also while the connection is not there yet") {
  asio::io_context io(1);
  run_coroutine(io, ask_never(io));
}

/// How a caller may go, and whether a handler that works on something else is cancelled by that.
enum class Goes : std::uint8_t { resets, drops, closes, closes_with_reason, loses };

awaitable<void> caller_goes(NodePair& pair, Goes how, bool runs_on, bool expect_cancelled) {
  INFO("caller ", static_cast<int>(how), runs_on ? ", runs on" : "");
  const auto log = std::make_shared<Log>();
  ServiceOptions options;
  options.runs_on = runs_on;
  const std::string name = "works " + std::to_string(static_cast<int>(how)) + (runs_on ? " on" : "");
  pair.there.serve(name, [log](Circuit circuit) { return works(std::move(circuit), log); }, options);
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, name, Fragment(1));
  co_await log->wait_for(1);
  if (how == Goes::resets) circuit.reset(End(error::access_denied, "no"));
  if (how == Goes::drops) circuit = Circuit();
  if (how == Goes::closes) circuit.close();
  if (how == Goes::closes_with_reason) circuit.close(End(error::access_denied, "enough"));
  if (how == Goes::loses) pair.here.end_link(circuit.trunk(), Duration::zero(), End(error::access_denied, "away"));
  if (expect_cancelled) co_await log->wait_for(2);
  co_await settle();
  co_await settle();
  CHECK(log->has("cancelled") == expect_cancelled);
  CHECK_FALSE(log->has("ended"));
}

CO_TEST_CASE("cancellation: a handler that works is cancelled when its caller gives it up, unless it runs on", both_ways,
             NodePair& pair) {
  for (const Goes how : {Goes::resets, Goes::drops}) {
    co_await caller_goes(pair, how, false, true);
    co_await caller_goes(pair, how, true, false);
  }
  // What was sent before a close is to be served.
  for (const Goes how : {Goes::closes, Goes::closes_with_reason}) co_await caller_goes(pair, how, false, false);
  CHECK(pair.there.counters().services_failed == 0);
  co_await caller_goes(pair, Goes::loses, false, true);
}

CO_TEST_CASE("cancellation: a handler that waits on its circuit hears why instead", both_ways, NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("listens", with(log, listens));
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "listens", std::nullopt);
  co_await log->wait_for(1);
  circuit.reset(End(error::access_denied, "no"));
  co_await log->wait_for(2);
  CHECK(log->has("access denied"));
}

awaitable<void> resets_and_works_on(Circuit circuit, std::shared_ptr<Log> log) {
  co_await circuit.receive();
  circuit.reset(End(error::access_denied, "no"));
  for (int turn = 0; turn < 5; ++turn) co_await asio::post(asio::use_awaitable);
  log->add("ended");
}

CO_TEST_CASE("cancellation: a handler that gives its circuit up itself goes on", both_ways, NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("resets", with(log, resets_and_works_on));
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "resets", Fragment(1));
  co_await circuit.ended();
  co_await log->wait_for(1);
  CHECK(log->has("ended"));
}

// Room.

awaitable<void> open_and_note(std::shared_ptr<LocalPeer> me, PeerUrl there, std::shared_ptr<std::vector<Circuit>> open) {
  Circuit circuit = co_await me->new_circuit_when_room(there, Fragment(1));
  open->push_back(std::move(circuit));
}

awaitable<void> wait_for_room(NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("asker");
  const PeerUrl there = pair.url_there(*store);
  const auto open = std::make_shared<std::vector<Circuit>>();
  for (int i = 0; i < 10; ++i) me->spawn(open_and_note(me, there, open));
  co_await settle();
  CHECK(open->size() == 3); // circuits_max
  Circuit refused = me->new_circuit(there);
  const End end = co_await refused.ended();
  CHECK(end.code == make_error_code(error::circuit_limit_reached));
  const auto late = co_await failure_of(me->new_circuit_when_room(there, std::nullopt, in(5ms)));
  CHECK(late == make_error_code(error::deadline_passed));
  std::string thrown;
  auto waiting = note_thrown(me->new_circuit_when_room(there, std::nullopt, in(1h)), thrown);
  const auto cancelled = co_await as_result(within(5ms, std::move(waiting)));
  CHECK(cancelled.error() == error::timed_out);
  CHECK(thrown == "aborted");

  std::vector<Circuit> far;
  for (int ended = 0; ended < 10; ++ended) {
    while (far.empty()) far.push_back(co_await keeper.next());
    REQUIRE_FALSE(open->empty());
    open->front().close();
    open->erase(open->begin());
    far.clear();
    co_await settle();
    CHECK(open->size() <= 3);
  }
  CHECK(open->empty());
  CHECK(pair.there.counters().circuits_refused == 0);
}

TEST_CASE("room: an open that waits for room is never refused, and goes on when a circuit has ended") {
  const auto few = [](NodeOptions& options) { options.limits.circuits_max = 3; };
  both_ways(wait_for_room, few);
}

awaitable<void> wait_for_the_hello(NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("asker");
  const PeerUrl there(pair.there_address, "store", PeerId());
  const auto open = std::make_shared<std::vector<Circuit>>();
  for (int i = 0; i < 10; ++i) me->spawn(open_and_note(me, there, open));
  for (int ended = 0; ended < 10; ++ended) {
    const Circuit far = co_await keeper.next();
    CHECK(open->size() <= 3); // circuits_max
    open->front().close();
    open->erase(open->begin());
  }
  CHECK(pair.there.counters().circuits_refused == 0);
  co_await pair.here.close();
  co_await pair.there.close();
}

TEST_CASE("room: before the far side has said how many it takes, no more are opened than it will take") {
  NodePair pair(NodePair::Dialler::here, "mem", [](NodeOptions& options) { options.limits.circuits_max = 3; });
  run_coroutine(pair.io, wait_for_the_hello(pair));
}

awaitable<void> cancel_with_room(NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("asker");
  Circuit first = me->new_circuit(pair.url_there(*store));
  const auto open = std::make_shared<std::vector<Circuit>>();
  Tasks tasks(me->executor());
  Task& waiting = tasks.spawn_cancellable(open_and_note(me, pair.url_there(*store), open));
  co_await settle();

  first.reset(); // there is room, and who waits for it is told by a post
  waiting.cancel();
  co_await tasks.join();
  co_await settle();

  CHECK(open->empty());
  CHECK(me->circuits_count() == 0);
  CHECK(pair.there.counters().opens_cancelled <= 1); // the first one
}

TEST_CASE("room: an open that is cancelled when there is room for it opens nothing") {
  both_ways(cancel_with_room, [](NodeOptions& options) { options.limits.circuits_max = 1; });
}

// Requests.

awaitable<void> doubles(Circuit circuit) {
  const std::optional<Fragment> request = co_await circuit.receive();
  if (!request || request->op == 2) co_return;
  if (request->op == 3) co_return co_await circuit.send(Fragment::error("not\na number"));
  const std::optional<Fragment> more = co_await circuit.receive();
  CHECK_FALSE(more); // a request is all that its caller says
  co_await circuit.send(Fragment(1, std::string(request->payload.text()) + std::string(request->payload.text())));
}

CO_TEST_CASE("request: opens, asks, takes the reply and closes; errors are exceptions", everywhere, NodePair& pair) {
  pair.there.serve("doubles", doubles);
  const auto me = pair.here.new_peer("asker");
  for (int i = 0; i < 20; ++i) {
    const Fragment reply = co_await me->request(pair.there_address, "doubles", Fragment(1, "ab"), 1h);
    CHECK(reply.payload.text() == "abab");
  }
  std::string words;
  try {
    co_await me->request(pair.there_address, "doubles", Fragment(3));
  } catch (const ErrorReply& thrown) {
    CHECK(thrown.code() == make_error_code(error::answered_with_error));
    CHECK(thrown.reply().err == "not\na number");
    words = thrown.what();
  }
  CHECK(words.starts_with("the far side says: not\\x0aa number"));
  const auto silent = co_await failure_of(me->request(pair.there_address, "doubles", Fragment(2)));
  CHECK(silent == make_error_code(error::circuit_closed));
  const auto nobody = co_await failure_of(me->request(pair.there_address, "triples", Fragment(1)));
  CHECK(nobody == make_error_code(error::no_service));
  co_await settle();
  CHECK(pair.there.counters().circuits_held == 0);
  CHECK(pair.there.counters().services_failed == 0);
  CHECK(me->circuits_count() == 0);
}

CO_TEST_CASE("request: its deadline and its cancellation reach the handler", both_ways, NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("works", with(log, works));
  const auto me = pair.here.new_peer("asker");
  const auto ask = [&](Duration time) -> awaitable<void> {
    const auto late = co_await failure_of(me->request(pair.there_address, "works", Fragment(1), time));
    CHECK(late == make_error_code(error::deadline_passed));
  };
  co_await until_it_began(log, ask);
  auto asked = me->request(pair.there_address, "works", Fragment(1));
  co_await give_up(std::move(asked), log);
}

// Calls.

constexpr std::int32_t op_echo = 1, op_work = 2, op_throw = 3;

awaitable<Fragment> answer_one(std::shared_ptr<Log> log, Fragment request) {
  struct Gone {
    std::shared_ptr<Log> log;
    std::string what;
    ~Gone() {
      if (!what.empty()) log->add(what);
    }
  } gone{log, {}};
  if (request.op == op_throw) throw std::runtime_error("a secret");
  if (request.op == op_work) {
    log->add("began");
    gone.what = "cancelled";
    co_await sleep_for(1h);
    gone.what = "ended";
  }
  if (request.subject == "deadline?") request.subject = request.deadline() ? "yes" : "no";
  co_return request;
}

awaitable<void> answers(Circuit circuit, std::shared_ptr<Log> log) {
  const auto answer = [log](Fragment request) { return answer_one(log, std::move(request)); };
  co_await answer_calls(circuit, answer);
}

CO_TEST_CASE("call: its deadline and its cancellation reach what works on it, and no other call", everywhere,
             NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  const auto log = std::make_shared<Log>();
  pair.there.serve("answers", with(log, answers));
  const auto me = pair.here.new_peer("asker");
  Caller caller(me->join_or_start(pair.there_address, "answers", std::nullopt));
  const Payload nothing;
  const Fragment first = co_await caller.call(Fragment(op_echo, "deadline?", nothing));
  CHECK(first.subject == "no");
  const Fragment second = co_await caller.call(Fragment(op_echo, "deadline?", nothing), 1h);
  CHECK(second.subject == "yes");

  const auto ask = [&](Duration time) -> awaitable<void> {
    const auto late = co_await failure_of(caller.call(Fragment(op_work), time));
    CHECK(late == make_error_code(error::timed_out));
  };
  co_await until_it_began(log, ask);

  auto worked_on = give_up(caller.call(Fragment(op_work)), log);
  auto beside = caller.call(Fragment(op_echo, "beside"));
  const auto both = co_await (std::move(worked_on) && std::move(beside));
  CHECK(both.payload.text() == "beside");

  const Fragment after = co_await caller.call(Fragment(op_echo, "after"));
  CHECK(after.payload.text() == "after");
  CHECK(caller.late_replies() == 0);
  caller.circuit().finish();
  const End end = co_await caller.circuit().ended();
  CHECK(end.clean());
  CHECK(pair.there.counters().services_failed == 0);
}

CO_TEST_CASE("call: a call of many that fails takes the others with it, and the handler", both_ways, NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  const auto log = std::make_shared<Log>();
  pair.there.serve("answers", with(log, answers));
  const auto me = pair.here.new_peer("asker");
  Caller caller(me->join_or_start(pair.there_address, "answers", std::nullopt));
  const auto both =
      co_await (failure_of(caller.call(Fragment(op_work))) && failure_of(caller.call(Fragment(op_throw))));
  CHECK(std::get<0>(both) == make_error_code(error::handler_failed));
  CHECK(std::get<1>(both) == make_error_code(error::handler_failed));
  co_await log->wait_for(2);
  CHECK(log->lines.back() == "cancelled");
  CHECK(pair.there.counters().services_failed == 1);
}

CO_TEST_CASE("call: a caller who leaves cancels all that works for it, and is no failure", both_ways, NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("answers", with(log, answers));
  {
    const auto me = pair.here.new_peer("asker");
    Caller caller(me->join_or_start(pair.there_address, "answers", std::nullopt));
    auto call = as_result(caller.call(Fragment(op_work)));
    using namespace asio::experimental::awaitable_operators;
    co_await (std::move(call) || log->wait_for(1));
    caller.circuit().reset();
  }
  co_await log->wait_for(2);
  CHECK(log->lines.back() == "cancelled");
  co_await settle();
  CHECK(pair.there.counters().services_failed == 0);
}

/// Answers calls, and has something else to do when no more of them come.
awaitable<void> answers_and_goes_on(Circuit circuit, std::shared_ptr<Log> log) {
  struct Gone {
    std::shared_ptr<Log> log;
    ~Gone() { log->add("gone"); }
  } gone{log};
  const auto answer = [log](Fragment request) { return answer_one(log, std::move(request)); };
  try {
    co_await answer_calls(circuit, answer);
    log->add("answered");
  } catch (const boost::system::system_error&) {
    log->add("failed");
  }
  co_await sleep_for(1h);
}

CO_TEST_CASE("call: a handler that goes on after answer_calls is cancelled with its peer", both_ways, NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("answers", with(log, answers_and_goes_on));
  const auto me = pair.here.new_peer("asker");
  Circuit finished = me->join_or_start(pair.there_address, "answers", std::nullopt);
  finished.finish();
  co_await log->wait_for(1);
  CHECK(log->lines.back() == "answered");
  Caller left(me->join_or_start(pair.there_address, "answers", std::nullopt));
  auto calling = as_result(left.call(Fragment(op_work)));
  using namespace asio::experimental::awaitable_operators;
  co_await (std::move(calling) || log->wait_for(2));

  co_await pair.there.close(); // would wait for an hour

  CHECK(std::ranges::count(log->lines, "gone") == 2);
}

CO_TEST_CASE("call: a handler that goes on after answer_calls is cancelled when its caller leaves", both_ways,
             NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("answers", with(log, answers_and_goes_on));
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "answers", std::nullopt);
  circuit.finish();
  co_await log->wait_for(1);
  circuit.reset();
  co_await log->wait_for(2);
  CHECK(log->lines == std::vector<std::string>{"answered", "gone"});
}

awaitable<void> answers_one_at_a_time(Circuit circuit, std::shared_ptr<Log> log) {
  AnswerOptions options;
  options.calls_max = 1;
  const auto answer = [log](Fragment request) { return answer_one(log, std::move(request)); };
  co_await answer_calls(circuit, answer, options);
}

CO_TEST_CASE("call: calls that are given up make room for others also when calls_max are running", both_ways,
             NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("answers", with(log, answers_one_at_a_time));
  const auto me = pair.here.new_peer("asker");
  const auto caller = std::make_shared<Caller>(me->join_or_start(pair.there_address, "answers", std::nullopt));
  Tasks calls(me->executor());
  const auto work = [](std::shared_ptr<Caller> of) -> awaitable<void> { co_await of->call(Fragment(op_work)); };
  for (int i = 0; i < 200; ++i) calls.spawn(work(caller));
  co_await log->wait_for(1);
  co_await settle();
  CHECK(log->lines.size() == 1); // the others wait

  calls.cancel();
  co_await calls.join();
  const Fragment after = co_await caller->call(Fragment(op_echo, "after"));

  CHECK(after.payload.text() == "after");
  CHECK(log->lines == std::vector<std::string>{"began", "cancelled"}); // of the others, none has begun
}

CO_TEST_CASE("call: a deadline passes also for a call that waits for its turn", both_ways, NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  const auto log = std::make_shared<Log>();
  pair.there.serve("answers", with(log, answers_one_at_a_time));
  const auto me = pair.here.new_peer("asker");
  Caller caller(me->join_or_start(pair.there_address, "answers", std::nullopt));
  auto first = failure_of(caller.call(Fragment(op_work), 60ms));
  auto second = failure_of(caller.call(Fragment(op_work), 20ms));
  auto third = caller.call(Fragment(op_echo, "third"));
  const auto all = co_await (std::move(first) && std::move(second) && std::move(third));
  CHECK(std::get<0>(all) == make_error_code(error::timed_out));
  CHECK(std::get<1>(all) == make_error_code(error::timed_out));
  CHECK(std::get<2>(all).payload.text() == "third");
}

CO_TEST_CASE("call: words about calls that are not there, or are answered, change nothing", both_ways, NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("answers", with(log, answers_one_at_a_time));
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "answers", std::nullopt);
  for (std::int64_t part = 1; part <= 5000; ++part) {
    Fragment word = Fragment::cancelling(part % 7);
    co_await circuit.send(std::move(word));
    if (part % 500 != 0) continue;
    const Fragment reply = co_await call(circuit, Fragment(op_echo, "there"));
    CHECK(reply.payload.text() == "there");
  }
  CHECK(pair.there.counters().services_failed == 0);
}

CO_TEST_CASE("call: to answer none at a time is an error in words", both_ways, NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("asker");
  Circuit near = me->join_or_start(pair.there_address, "store", std::nullopt);
  Circuit far = co_await keeper.next();
  AnswerOptions none;
  none.calls_max = 0;
  std::string words;
  const auto never = [](Fragment request) -> awaitable<Fragment> { co_return request; };
  try {
    co_await answer_calls(far, never, none);
  } catch (const std::invalid_argument& thrown) {
    words = thrown.what();
  }
  CHECK(words == "calls_max is 0, expected at least 1");
}

/// Reads what a handler without `answer_calls` sees.
awaitable<void> counts(Circuit circuit, std::shared_ptr<Log> log) {
  for (;;) {
    std::optional<Fragment> fragment = circuit.try_receive();
    if (!fragment) fragment = co_await circuit.receive();
    if (!fragment) break;
    log->add(std::to_string(fragment->op));
  }
  log->add("end");
}

CO_TEST_CASE("call: a handler that just receives sees no word about calls", both_ways, NodePair& pair) {
  const auto log = std::make_shared<Log>();
  pair.there.serve("counts", with(log, counts));
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "counts", std::nullopt);
  for (int i = 0; i < 3; ++i) {
    const auto late = co_await failure_of(call(circuit, Fragment(op_work), 5ms));
    CHECK(late == make_error_code(error::timed_out));
  }
  circuit.finish();
  co_await log->wait_for(4);
  CHECK(log->lines == std::vector<std::string>{"2", "2", "2", "end"});
}

// Limits of a service.

/// Works until it is let go.
struct Gate {
  std::size_t working = 0;
  std::size_t working_max = 0;
  bool open = false;
  Signal changed;
};

awaitable<void> works_at(Circuit circuit, std::shared_ptr<Gate> gate) {
  ++gate->working;
  gate->working_max = std::max(gate->working_max, gate->working);
  gate->changed.notify_all();
  while (!gate->open) co_await gate->changed.wait();
  --gate->working;
  co_await circuit.send(Fragment(1, "done"));
}

CO_TEST_CASE("service: it works on no more circuits at once than it says, queues so many, and refuses the rest by name",
             both_ways, NodePair& pair) {
  const auto gate = std::make_shared<Gate>();
  ServiceOptions options;
  options.circuits_max = 2;
  options.queue_max = 3;
  pair.there.serve("gate", [gate](Circuit circuit) { return works_at(std::move(circuit), gate); }, options);
  const auto me = pair.here.new_peer("asker");
  std::vector<Circuit> circuits;
  for (int i = 0; i < 8; ++i) circuits.push_back(me->join_or_start(pair.there_address, "gate", std::nullopt));
  while (gate->working < 2) co_await gate->changed.wait();
  co_await settle();
  CHECK(gate->working == 2);
  for (std::size_t i = 5; i < 8; ++i) {
    const End end = co_await circuits.at(i).ended();
    CHECK(end.code == make_error_code(error::service_limit_reached));
    CHECK(end.text.find("queue_max is 3") != std::string::npos);
  }

  gate->open = true;
  gate->changed.notify_all();
  for (std::size_t i = 0; i < 5; ++i) {
    const std::optional<Fragment> done = co_await circuits.at(i).receive();
    CHECK(test::text_of(done) == "done");
  }
  CHECK(gate->working_max == 2);
}

CO_TEST_CASE("service: no more wait than queue_max while all places are taken", both_ways, NodePair& pair) {
  const auto gate = std::make_shared<Gate>();
  ServiceOptions options;
  options.circuits_max = 2;
  options.queue_max = 3;
  pair.there.serve("gate", [gate](Circuit circuit) { return works_at(std::move(circuit), gate); }, options);
  const auto me = pair.here.new_peer("asker");
  std::vector<Circuit> circuits;
  for (int i = 0; i < 2; ++i) circuits.push_back(me->join_or_start(pair.there_address, "gate", std::nullopt));
  while (gate->working < 2) co_await gate->changed.wait();

  for (int i = 0; i < 4; ++i) circuits.push_back(me->join_or_start(pair.there_address, "gate", std::nullopt));
  const End end = co_await circuits.back().ended();
  CHECK(end.code == make_error_code(error::service_limit_reached));
  CHECK(end.text.find("3 circuits wait for service \"gate\"") != std::string::npos);

  gate->open = true;
  gate->changed.notify_all();
  for (std::size_t i = 0; i < 5; ++i) {
    const std::optional<Fragment> done = co_await circuits.at(i).receive();
    CHECK(test::text_of(done) == "done");
  }
  CHECK(gate->working_max == 2);
}

CO_TEST_CASE("service: circuits that were cancelled in its queue refuse nobody", both_ways, NodePair& pair) {
  const auto gate = std::make_shared<Gate>();
  ServiceOptions options;
  options.circuits_max = 1;
  options.queue_max = 20;
  pair.there.serve("gate", [gate](Circuit circuit) { return works_at(std::move(circuit), gate); }, options);
  const auto me = pair.here.new_peer("asker");
  Circuit first = me->join_or_start(pair.there_address, "gate", std::nullopt);
  while (gate->working < 1) co_await gate->changed.wait();
  const auto fill = [&](std::size_t count) {
    std::vector<Circuit> circuits;
    for (std::size_t i = 0; i < count; ++i)
      circuits.push_back(me->join_or_start(pair.there_address, "gate", std::nullopt));
    return circuits;
  };
  for (const int given_up : {17, 7, 13, 1}) { // most of the queue, and few of it
    std::vector<Circuit> circuits = fill(20);
    co_await settle();
    circuits.erase(circuits.begin() + 3, circuits.begin() + 3 + given_up);
    co_await settle();
    std::vector<Circuit> others = fill(20 - circuits.size() + 1);
    const End end = co_await others.back().ended();
    CHECK(end.text.find("20 circuits wait for service \"gate\"") != std::string::npos);
    others.pop_back();
    for (const Circuit& other : others) CHECK(other.is_open());
    circuits.clear();
    others.clear();
    co_await settle();
  }
  CHECK(pair.there.counters().circuits_refused == 4);

  Circuit last = me->join_or_start(pair.there_address, "gate", std::nullopt);
  gate->open = true;
  gate->changed.notify_all();
  const std::optional<Fragment> done = co_await last.receive();
  CHECK(test::text_of(done) == "done");
}

CO_TEST_CASE("service: a circuit that waits too long in its queue is refused, the ones that are served go on", both_ways,
             NodePair& pair) {
  const auto gate = std::make_shared<Gate>();
  ServiceOptions options;
  options.circuits_max = 1;
  options.queue_deadline = 20ms;
  pair.there.serve("gate", [gate](Circuit circuit) { return works_at(std::move(circuit), gate); }, options);
  const auto me = pair.here.new_peer("asker");
  Circuit first = me->join_or_start(pair.there_address, "gate", std::nullopt);
  Circuit second = me->join_or_start(pair.there_address, "gate", Fragment(1));
  Circuit third = me->join_or_start(pair.there_address, "gate", Fragment(1));
  for (Circuit* late : {&second, &third}) {
    const End end = co_await late->ended();
    CHECK(end.code == make_error_code(error::service_limit_reached));
    CHECK(end.text.find("queue_deadline of 20 ms") != std::string::npos);
  }
  CHECK(first.is_open());
  CHECK(gate->working == 1);
  gate->open = true;
  gate->changed.notify_all();
  const std::optional<Fragment> done = co_await first.receive();
  CHECK(test::text_of(done) == "done");
}

CO_TEST_CASE("service: options that cannot be are refused by name", both_ways, NodePair& pair) {
  ServiceOptions nothing;
  nothing.queue_max = 0;
  CHECK_THROWS_WITH(pair.there.serve("never", echo, nothing), doctest::Contains("queue_max is 0"));
  ServiceOptions past;
  past.queue_deadline = Duration::zero();
  CHECK_THROWS_WITH(pair.there.serve("never", echo, past), doctest::Contains("queue_deadline"));
  ServiceOptions one;
  one.circuits_max = 1;
  one.queue_max = 0;
  pair.there.serve("one", echo, one);
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "one", Fragment(1, "x"));
  const std::optional<Fragment> answer = co_await circuit.receive();
  CHECK(test::text_of(answer) == "x");
}

} // namespace
