// The snippets of docs/tour.md and docs/lifetime.md that are not in examples/: compiled, run, and true.
#include "async/within.hpp"
#include "circuit/caller.hpp"
#include "circuit/while_open.hpp"
#include "peer/node.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace trunkline;

namespace {

constexpr std::int32_t op_line = 1;

// Never waits: a sample that does not fit now is left out, and the caller learns how many were.
std::size_t publish(Circuit& circuit, const std::vector<std::string>& samples) {
  std::size_t left_out = 0;
  for (const std::string& sample : samples)
    if (circuit.send_one_way(Fragment(op_line, sample)) != SendOutcome::queued) ++left_out;
  return left_out;
}

awaitable<bool> send_for_sure(Circuit& circuit, std::vector<std::string> lines) {
  for (std::string& line : lines) co_await circuit.send(Fragment(op_line, std::move(line)));
  circuit.finish();
  const result<void> taken = co_await as_result(circuit.finish_acknowledged());
  co_return taken.has_value(); // false: the circuit ended first, and how much was taken is unknown
}

awaitable<std::optional<Fragment>> receive_soon(Circuit& circuit) {
  try {
    co_return co_await within(std::chrono::milliseconds(20), circuit.receive());
  } catch (const boost::system::system_error& failure) {
    if (failure.code() != error::timed_out) throw; // the reason of the circuit's end, say
  }
  co_return std::nullopt; // too late; what comes now is taken by the next receive
}

awaitable<void> read_lines(Circuit& circuit, std::vector<std::string>& lines) {
  while (auto line = co_await circuit.receive()) lines.emplace_back(line->payload.text());
}

awaitable<void> read_complaints(Circuit& circuit, std::vector<std::string>& complaints) {
  while (auto complaint = co_await circuit.receive_error()) complaints.push_back(complaint->err);
}

awaitable<void> read_both(Circuit& circuit, std::vector<std::string>& lines, std::vector<std::string>& complaints) {
  using namespace asio::experimental::awaitable_operators;
  co_await (read_lines(circuit, lines) && read_complaints(circuit, complaints));
}

// A collector: takes lines, and answers each circuit with their number when the sender has finished.
awaitable<void> collect(Circuit circuit) {
  Fragment total;
  while (co_await circuit.receive()) ++total.part; // lint-allow: a local stands before the loop, which is sound
  co_await circuit.send(std::move(total));
}

awaitable<void> grumble(Circuit circuit) {
  co_await circuit.send(Fragment(op_line, "well"));
  co_await circuit.send(Fragment::error("this is too much"));
  co_await circuit.send(Fragment(op_line, "so be it"));
}

awaitable<void> tell_role(Circuit circuit) {
  const std::optional<Fragment> question = co_await circuit.receive();
  const Metadata* known = circuit.remote_metadata(); // null when there is none
  const std::string role = known ? known->at("role") : "nobody"; // by itself: g++ 12 frees it twice inside a co_await
  co_await circuit.send(Fragment(op_line, role));
}

awaitable<std::string> search(std::string what) {
  co_await sleep_for(std::chrono::milliseconds(1));
  co_return "no " + what + " anywhere";
}

awaitable<void> find(Circuit circuit) {
  const std::optional<Fragment> wanted = co_await circuit.receive();
  std::string found = co_await while_open(circuit, search(std::string(wanted.value().payload.text())));
  co_await circuit.send(Fragment(op_line, std::move(found)));
}

std::vector<std::string> noted;

void note(std::string text) { noted.push_back(std::move(text)); }

NodeOptions with_notes() {
  NodeOptions options;
  options.on_link = [](LinkChange change, const LinkInfo& link) {
    if (change == LinkChange::opened && link.reconnected) note(link.name + " is back");
  };
  return options;
}

awaitable<void> come_back(Node& node, std::string address) {
  node.keep_connected(address); // whether anybody listens there yet or not
  const LinkInfo link = co_await node.wait_for_connection(address, std::chrono::seconds(10));
  CHECK(link.dialled);
}

awaitable<Fragment> answer_slowly(Fragment call) {
  co_await sleep_for(std::chrono::milliseconds(1));
  call.payload = Payload("42");
  co_return call;
}

awaitable<void> answer_all(Circuit circuit) {
  co_await answer_calls(circuit, [](Fragment call) { return answer_slowly(std::move(call)); });
}

awaitable<void> follow_leader(Circuit circuit) {
  while (!circuit.remote_metadata() || !circuit.remote_metadata()->contains("role"))
    co_await circuit.metadata_changed(); // returns when it has changed
  co_await circuit.send(Fragment(op_line, "hail"));
}

awaitable<void> with_nodes(std::function<awaitable<void>(Node&, Node&, std::string)> body) {
  const Executor executor = co_await asio::this_coro::executor;
  Node here(executor);
  Node there(executor);
  const auto collect_all = [](LocalPeer& peer, CircuitInbox& circuits) -> awaitable<void> {
    while (auto circuit = co_await circuits.next()) peer.spawn(collect, std::move(*circuit));
  };
  there.register_service("collect", collect_all);
  there.serve("grumble", grumble);
  there.serve("asker", tell_role);
  there.serve("find", find);
  there.serve("follow", follow_leader);
  co_await body(here, there, there.listen("tcp://127.0.0.1:0"));
  co_await here.close();
  co_await there.close();
}

} // namespace

TEST_CASE("snippets: send_one_way never waits, and says what it left out") {
  const auto body = [](Node& here, Node&, std::string there) -> awaitable<void> {
    const auto me = here.new_peer("me");
    Circuit circuit = me->join_or_start(there, "collect", std::nullopt);
    const std::size_t left_out = publish(circuit, std::vector<std::string>(5000, "a sample"));
    CHECK(left_out > 0); // the initial window holds about a thousand
    circuit.finish();
    const std::optional<Fragment> total = co_await circuit.receive();
    CHECK(total.value().part == static_cast<std::int64_t>(5000 - left_out));
  };
  test::run_coroutine(with_nodes(body));
}

TEST_CASE("snippets: an acknowledged finish says that everything was taken") {
  const auto body = [](Node& here, Node&, std::string there) -> awaitable<void> {
    const auto me = here.new_peer("me");
    Circuit circuit = me->join_or_start(there, "collect", std::nullopt);
    const bool taken = co_await send_for_sure(circuit, std::vector<std::string>(10, "line"));
    CHECK(taken);
    Circuit refused = me->join_or_start(there, "nobody", std::nullopt);
    const bool taken_by_nobody = co_await send_for_sure(refused, std::vector<std::string>(1, "line"));
    CHECK(!taken_by_nobody);
  };
  test::run_coroutine(with_nodes(body));
}

TEST_CASE("snippets: a receive that ran out of time took nothing") {
  const auto body = [](Node& here, Node&, std::string there) -> awaitable<void> {
    const auto me = here.new_peer("me");
    Circuit circuit = me->join_or_start(there, "collect", std::nullopt);
    const std::optional<Fragment> early = co_await receive_soon(circuit);
    CHECK(!early);
    circuit.finish();
    const std::optional<Fragment> total = co_await circuit.receive();
    CHECK(total.value().part == 0);
  };
  test::run_coroutine(with_nodes(body));
}

TEST_CASE("snippets: data and errors are two queues of one circuit") {
  const auto body = [](Node& here, Node&, std::string there) -> awaitable<void> {
    const auto me = here.new_peer("me");
    Circuit circuit = me->join_or_start(there, "grumble", std::nullopt);
    std::vector<std::string> lines;
    std::vector<std::string> complaints;
    co_await read_both(circuit, lines, complaints);
    CHECK(lines == std::vector<std::string>{"well", "so be it"});
    CHECK(complaints == std::vector<std::string>{"this is too much"});
  };
  test::run_coroutine(with_nodes(body));
}

static awaitable<void> ways_to_a_circuit(Node& here, std::string there);
TEST_CASE("snippets: there are five ways to a circuit") {
  const auto body = [](Node& here, Node&, std::string there) { return ways_to_a_circuit(here, there); };
  test::run_coroutine(with_nodes(body));
}
static awaitable<void> ways_to_a_circuit(Node& here, std::string there) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");

  // 1. To the instance that runs there, or to a new one when none does.
  Circuit first = me->join_or_start(there, "collect", Fragment(op_line, "hello"));

  // 2. To an instance of one's own, started by the same packet that opens the circuit.
  Circuit second = me->start(there, "collect", Fragment(op_line, "hello"));

  // 3. To an instance that is known by its URL. This one is started first, which waits for the answer.
  const RemotePeer started = co_await me->start_only(there, "collect", std::chrono::seconds(5));
  Circuit third = me->new_circuit(started.url, Fragment(op_line, "hello"));

  // 4. Another one between the same two peers.
  Circuit fourth = third.new_circuit(Fragment(op_line, "hello"));

  // Each with an optional wait for acceptance.
  CircuitOptions options("a name to see in logs");
  options.wants_answer = true;
  Circuit fifth = me->new_circuit(started.url, std::move(options));
  co_await fifth.accepted();

  CHECK(third.remote_peer().id == started.url.peer_id());
  CHECK(fourth.remote_peer().id == third.remote_peer().id);
  CHECK(second.remote_peer().id != third.remote_peer().id);
  CHECK(fifth.name() == "a name to see in logs");
  for (Circuit* circuit : {&first, &second, &third, &fourth}) {
    circuit->finish();
    const std::optional<Fragment> total = co_await circuit->receive();
    CHECK(total.value().part == 1);
  }
}

static awaitable<void> metadata(Node& here, Node& there, std::string address);
TEST_CASE("snippets: a peer's metadata is known before its first fragment is taken") {
  test::run_coroutine(with_nodes(metadata));
}
static awaitable<void> metadata(Node& here, Node& there, std::string address) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  me->set_metadata("role", "leader"); // sent to every peer with a circuit to this one, now and when it changes
  Circuit circuit = me->join_or_start(address, "asker", Fragment(op_line, "what am I?"));
  const std::optional<Fragment> answer = co_await circuit.receive();
  CHECK(answer.value().payload.text() == "leader");
  CHECK(there.local_peers("asker").size() == 1);
}

static awaitable<void> following(Node& here, Node&, std::string address);
TEST_CASE("snippets: a change of a peer's metadata is waited for") { test::run_coroutine(with_nodes(following)); }
static awaitable<void> following(Node& here, Node&, std::string address) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  Circuit circuit = me->join_or_start(address, "follow", std::nullopt);
  co_await circuit.accepted();
  me->set_metadata("role", "leader");
  const std::optional<Fragment> answer = co_await circuit.receive();
  CHECK(answer.value().payload.text() == "hail");
  me->remove_metadata("role"); // and is withdrawn
}

static awaitable<void> asking(Node& here, Node&, std::string address);
TEST_CASE("snippets: a request has a deadline, which its handler can hand on") {
  test::run_coroutine(with_nodes(asking));
}
static awaitable<void> asking(Node& here, Node&, std::string address) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  const Fragment answer = co_await me->request(address, "find", Fragment(op_line, "needle"), std::chrono::seconds(2));
  CHECK(answer.payload.text() == "no needle anywhere");

  CircuitOptions limited;
  limited.deadline = std::chrono::seconds(20);
  const std::shared_ptr<LocalPeer> helper = here.new_peer("helper");
  Circuit circuit = me->join_or_start(address, "collect", std::nullopt, std::move(limited));
  CircuitOptions options;
  options.inherit(circuit); // no later than our own caller waits
  Circuit elsewhere = helper->join_or_start(address, "collect", std::nullopt, std::move(options));
  CHECK(elsewhere.deadline() == circuit.deadline());
  circuit.close();
  elsewhere.close();
}

static awaitable<void> reconnecting(Node&, Node& there, std::string address);
TEST_CASE("snippets: a connection that is kept comes back, and on_link says so") {
  test::run_coroutine(with_nodes(reconnecting));
}
static awaitable<void> reconnecting(Node&, Node& there, std::string address) {
  noted.clear();
  Node node(there.executor(), with_notes());
  co_await come_back(node, address);
  CHECK(noted.empty());
  node.end_link(node.links().at(0).trunk, Duration::zero(), End());
  while (noted.empty()) co_await sleep_for(std::chrono::milliseconds(1));
  CHECK(noted.at(0) == " is back"); // a node without a name
  co_await node.close();
}
static awaitable<void> calling(Node& here, Node& there, std::string address);
TEST_CASE("snippets: calls have deadlines, and a service says how many circuits it works on") {
  test::run_coroutine(with_nodes(calling));
}
static awaitable<void> calling(Node& here, Node& there, std::string address) {
  ServiceOptions few;
  few.circuits_max = 8; // at once
  few.queue_max = 100;
  few.queue_deadline = std::chrono::seconds(1);
  there.serve("answer", answer_all, few);
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  Caller caller(me->join_or_start(address, "answer", std::nullopt));
  const Fragment reply = co_await caller.call(Fragment(op_line, "?"), std::chrono::seconds(2));
  CHECK(reply.payload.text() == "42");
  caller.circuit().close();
}

static awaitable<void> searching(Node& here, Node&, std::string address);
TEST_CASE("snippets: work for a circuit goes on while it is open") { test::run_coroutine(with_nodes(searching)); }
static awaitable<void> searching(Node& here, Node&, std::string address) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  Circuit circuit = me->join_or_start(address, "find", Fragment(op_line, "needle"));
  const std::optional<Fragment> answer = co_await circuit.receive();
  CHECK(answer.value().payload.text() == "no needle anywhere");
}
