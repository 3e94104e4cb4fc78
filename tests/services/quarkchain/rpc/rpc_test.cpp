// The rpc rules on the wire: ids, classes of opcodes, what closes a circuit, what waits, what is bounded.
#include "async/clock.hpp"
#include "tests/services/quarkchain/rpc/rpc_machine.hpp"
#include "tests/support/log_lines.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;
using trunkline::test::LogLines;
using namespace std::chrono_literals;

namespace {

/// A server with one opcode of each kind, whose slow handlers wait until the test releases them.
struct Desk {
  explicit Desk(RpcLimits limits = RpcLimits()) : server(std::make_shared<RpcServer>("far", limits, log.sink())) {
    server->serve(129, "PING", 130, [](RpcRequest request) { return echo(std::move(request)); });
    server->serve(167, "MINE_REQUEST", 168, [this](RpcRequest request) { return slow(this, std::move(request)); });
    server->serve(169, "GEN_TX_REQUEST", 170, [](RpcRequest request) { return fail(std::move(request)); });
    server->hear(155, "DESTROY", [this](RpcRequest request) { return note(this, std::move(request)); });
    server->know(130, "PONG");
    server->know(168, "MINE_RESPONSE");
    server->know(179, "GET_CODE_REQUEST");
    server->on_ended = [this](RpcCircuit&, const End& end) { ended += end.to_string() + ";"; };
  }

  static awaitable<Payload> echo(RpcRequest request) {
    Payload reply("re " + std::string(request.payload.text()));
    co_return reply;
  }
  static awaitable<Payload> slow(Desk* desk, RpcRequest request) {
    ++desk->waiting;
    struct Leave {
      Desk& of;
      ~Leave() { --of.waiting; }
    } leave{*desk};
    while (desk->released == 0) co_await desk->release.wait();
    --desk->released;
    Payload reply("slow " + std::string(request.payload.text()));
    co_return reply;
  }
  static awaitable<Payload> fail(RpcRequest) {
    throw std::runtime_error("it went wrong");
    co_return Payload();
  }
  static awaitable<void> note(Desk* desk, RpcRequest request) {
    desk->heard += std::string(request.payload.text()) + ";";
    co_return;
  }
  void let(int count) {
    released += count;
    release.notify_all();
  }
  const RpcCounters& counters() const { return server->counters(); }

  LogLines log;
  std::string heard;
  std::string ended;
  int waiting = 0;
  int released = 0;
  Signal release;
  std::shared_ptr<RpcServer> server;
};

Frame frame(std::uint8_t op, std::uint64_t rpc_id, std::string payload = {}, Route route = Route()) {
  return Frame{op, rpc_id, std::move(payload), route.branch, route.cluster_peer_id};
}

} // namespace

TEST_CASE("rpc: a request is answered with its id, its metadata and the opcode of the reply") {
  Desk desk;
  RpcMachine machine(desk.server);
  machine.hears(frame(129, 42, "hello"));
  CHECK(machine.says() == "130 #42 \"re hello\"");
  machine.hears(frame(129, 43, "again", Route(0x55, 0)));
  CHECK(machine.says() == "@00000055/0 130 #43 \"re again\"");
}

TEST_CASE("rpc: request ids may skip, and be 0 as the first one only") {
  Desk desk;
  RpcMachine machine(desk.server);
  machine.hears(frame(129, 0, "a"));
  machine.hears(frame(129, 5, "b"));
  machine.hears(frame(129, 500, "c"));
  machine.hears(frame(129, 0xFFFFFFFFFFFFFFFF, "d"));
  CHECK(machine.says() == "130 #0 \"re a\"; 130 #5 \"re b\"; 130 #500 \"re c\"; 130 #18446744073709551615 \"re d\"");
  CHECK(machine.control->is_open());
  machine.hears(frame(129, 0, "e"));
  CHECK_FALSE(machine.control->is_open());
}

TEST_CASE("rpc: a request id that does not increase closes the connection and says both ids") {
  for (const std::uint64_t next : {std::uint64_t{9}, std::uint64_t{8}, std::uint64_t{0}}) {
    Desk desk;
    RpcMachine machine(desk.server);
    machine.hears(frame(129, 9, "a"));
    machine.hears(frame(129, next, "b"));
    CHECK(machine.says() == "130 #9 \"re a\"");
    CHECK_FALSE(machine.control->is_open());
    CHECK(desk.counters().ids_out_of_order == 1);
    CHECK(desk.log.has_line(fmt::format("request 129 PING has rpc id {}, expected more than 9", next)));
    CHECK(desk.log.has_line("tcp://10.0.0.7:38291"));
  }
}

TEST_CASE("rpc: an opcode that nobody knows closes the connection") {
  for (const std::uint8_t op : {std::uint8_t{200}, std::uint8_t{156}, std::uint8_t{0}}) {
    Desk desk;
    RpcMachine machine(desk.server);
    machine.hears(frame(op, 1));
    CHECK_FALSE(machine.control->is_open());
    CHECK(desk.counters().unknown_opcodes == 1);
    CHECK(desk.log.has_line(fmt::format("opcode {} is not known", op)));
    CHECK(machine.says() == "");
  }
}

TEST_CASE("rpc: a request that nobody serves is taken for a reply, and closes the connection when it is none") {
  Desk desk;
  RpcMachine machine(desk.server);
  machine.hears(frame(179, 1));
  CHECK_FALSE(machine.control->is_open());
  CHECK(desk.counters().unexpected_replies == 1);
  CHECK(desk.log.has_line("179 GET_CODE_REQUEST with rpc id 1 is not served here, and answers no call"));
}

TEST_CASE("rpc: a command has rpc id 0 and no reply") {
  Desk desk;
  RpcMachine machine(desk.server);
  machine.hears(frame(155, 0, "one"));
  machine.hears(frame(155, 0, "two"));
  CHECK(desk.heard == "one;two;");
  CHECK(machine.says() == "");
  machine.hears(frame(129, 1, "still here"));
  CHECK(machine.says() == "130 #1 \"re still here\"");
  machine.hears(frame(155, 1, "three"));
  CHECK(desk.heard == "one;two;");
  CHECK_FALSE(machine.control->is_open());
  CHECK(desk.counters().commands_with_id == 1);
  CHECK(desk.log.has_line("command 155 DESTROY has rpc id 1, expected 0"));
}

TEST_CASE("rpc: replies leave in the order in which their handlers end") {
  Desk desk;
  RpcMachine machine(desk.server);
  machine.hears(frame(167, 1, "a"));
  machine.hears(frame(129, 2, "b"));
  CHECK(machine.says() == "130 #2 \"re b\"");
  desk.let(1);
  machine.run();
  CHECK(machine.says() == "168 #1 \"slow a\"");
}

TEST_CASE("rpc: a handler that throws closes its connection and sends nothing") {
  Desk desk;
  RpcMachine machine(desk.server);
  machine.hears(frame(167, 1, "running"));
  machine.hears(frame(169, 2));
  CHECK(machine.says() == "");
  CHECK_FALSE(machine.control->is_open());
  CHECK(machine.control->end()->code == error::handler_failed);
  CHECK(desk.counters().handlers_failed == 1);
  CHECK(desk.log.has_line("handler of 169 GEN_TX_REQUEST failed: it went wrong"));
  CHECK(desk.waiting == 0); // the other one was cancelled
  CHECK(desk.ended == "handler failed: handler of 169 GEN_TX_REQUEST failed: it went wrong;");
}

TEST_CASE("rpc: a handler that throws on a virtual peer closes that peer alone") {
  Desk desk;
  Desk peers;
  RpcMachine machine(desk.server);
  const auto seven = machine.opens(Route(1, 7), peers.server);
  const auto eight = machine.opens(Route(1, 8), peers.server);
  machine.hears(frame(169, 1, "", Route(1, 7)));
  CHECK_FALSE(seven->is_open());
  machine.hears(frame(129, 1, "x", Route(1, 7)));
  machine.hears(frame(129, 1, "y", Route(1, 8)));
  machine.hears(frame(129, 1, "z"));
  CHECK(machine.says() == "@00000001/8 130 #1 \"re y\"; 130 #1 \"re z\"");
  CHECK(machine.machine().cluster_counters().frames_for_unknown_peers == 1);
}

TEST_CASE("rpc: ids of the control circuit and of each virtual peer are counted apart, both ways") {
  Desk desk;
  RpcMachine machine(desk.server);
  const auto seven = machine.opens(Route(1, 7), desk.server);
  const auto eight = machine.opens(Route(2, 7), desk.server);
  machine.hears(frame(129, 9, "a", Route(1, 7)));
  machine.hears(frame(129, 1, "b"));
  machine.hears(frame(129, 2, "c", Route(2, 7)));
  CHECK(machine.says() == "@00000001/7 130 #9 \"re a\"; 130 #1 \"re b\"; @00000002/7 130 #2 \"re c\"");
  const auto one = machine.calls(seven, 129, "x");
  const auto two = machine.calls(eight, 129, "y");
  const auto three = machine.calls(129, "z");
  CHECK(machine.says() == "@00000001/7 129 #1 \"x\"; @00000002/7 129 #1 \"y\"; 129 #1 \"z\"");
  machine.hears(frame(130, 1, "for y", Route(2, 7)));
  CHECK_FALSE(one->text.has_value());
  CHECK(*two->text == "130 \"for y\"");
  CHECK_FALSE(three->text.has_value());
}

TEST_CASE("rpc: a circuit that has ended leaves nothing behind that would keep its context running") {
  Desk desk;
  RpcMachine machine(desk.server);
  const auto answered = machine.calls(129, "a", std::chrono::hours(1));
  machine.hears(frame(130, 1, "pong"));
  CHECK(answered->text == "130 \"pong\"");
  machine.control->close();
  machine.run();
  CHECK(machine.io.stopped());
}

TEST_CASE("rpc: our ids start at 1, and replies find their calls in any order") {
  Desk desk;
  RpcMachine machine(desk.server);
  const auto one = machine.calls(129, "a");
  const auto two = machine.calls(167, "b");
  CHECK(machine.says() == "129 #1 \"a\"; 167 #2 \"b\"");
  machine.hears(frame(168, 2, "mine"));
  machine.hears(frame(130, 1, "pong"));
  CHECK(*one->text == "130 \"pong\"");
  CHECK(*two->text == "168 \"mine\"");
  CHECK(machine.control->is_open());
}

TEST_CASE("rpc: the opcode of a reply is not compared with anything") {
  Desk desk;
  RpcMachine machine(desk.server);
  const auto call = machine.calls(129, "a");
  machine.hears(frame(179, 1, "a request by its opcode"));
  CHECK(*call->text == "179 \"a request by its opcode\"");
  CHECK(machine.control->is_open());
}

TEST_CASE("rpc: a reply that answers no call closes the connection, also the second one to a call") {
  Desk first;
  RpcMachine never(first.server);
  never.hears(frame(130, 1));
  CHECK_FALSE(never.control->is_open());
  CHECK(first.log.has_line("130 PONG with rpc id 1 is not served here, and answers no call"));

  Desk desk;
  RpcMachine machine(desk.server);
  const auto call = machine.calls(129, "a");
  machine.hears(frame(130, 1, "once"));
  CHECK(*call->text == "130 \"once\"");
  machine.hears(frame(130, 1, "twice"));
  CHECK_FALSE(machine.control->is_open());
  CHECK(desk.counters().unexpected_replies == 1);
}

TEST_CASE("rpc: a reply to a call that was cancelled is dropped, and the connection goes on") {
  Desk desk;
  RpcMachine machine(desk.server);
  auto cancelled = std::make_unique<Tasks>(machine.io.get_executor());
  auto outcome = std::make_shared<CallOutcome>();
  cancelled->spawn(record(outcome, machine.control->call(129, Payload("a"))));
  machine.run();
  cancelled.reset();
  machine.run();
  CHECK(machine.control->calls_pending() == 0);
  machine.hears(frame(130, 1, "late"));
  CHECK(desk.counters().late_replies == 1);
  const auto call = machine.calls(129, "b");
  CHECK(machine.says() == "129 #1 \"a\"; 129 #2 \"b\"");
  machine.hears(frame(130, 2, "in time"));
  CHECK(*call->text == "130 \"in time\"");
  machine.hears(frame(130, 1, "late again")); // the same id twice is no late reply any more
  CHECK_FALSE(machine.control->is_open());
}

TEST_CASE("rpc: so many given up ids are remembered, and those before them stay harmless") {
  RpcLimits limits;
  limits.late_replies_max = 4;
  Desk desk(limits);
  RpcMachine machine(desk.server);
  for (int i = 0; i < 20; ++i) {
    auto cancelled = std::make_unique<Tasks>(machine.io.get_executor());
    cancelled->spawn(record(std::make_shared<CallOutcome>(), machine.control->call(129, Payload("a"))));
    machine.run();
    cancelled.reset();
    machine.run();
  }
  const auto live = machine.calls(129, "b");
  for (std::uint64_t id = 1; id <= 20; ++id) machine.hears(frame(130, id));
  CHECK(desk.counters().late_replies == 20);
  CHECK(machine.control->is_open());
  machine.hears(frame(130, 21, "x"));
  CHECK(*live->text == "130 \"x\"");
}

TEST_CASE("rpc: a call that is cancelled before it reaches the wire uses no id") {
  ClusterLimits small;
  small.output_bytes_max = 100;
  small.peer_output_bytes_max = 100;
  Desk desk;
  RpcMachine machine(desk.server, Framing::cluster, small);
  machine.clogged = true;
  const auto first = machine.calls(129, std::string(100, 'x'));
  auto cancelled = std::make_unique<Tasks>(machine.io.get_executor());
  cancelled->spawn(record(std::make_shared<CallOutcome>(), machine.control->call(129, Payload("never"))));
  machine.run();
  const auto third = machine.calls(129, "after");
  cancelled.reset();
  machine.clogged = false;
  machine.run();
  CHECK(machine.says() == "129 #1 100 bytes; 129 #2 \"after\"");
  machine.hears(frame(130, 2, "ok"));
  CHECK(*third->text == "130 \"ok\"");
}

TEST_CASE("rpc: ids are in the order of the wire for calls, commands and replies that wait for the writer") {
  ClusterLimits small;
  small.output_bytes_max = 100;
  small.peer_output_bytes_max = 100;
  Desk desk;
  RpcMachine machine(desk.server, Framing::cluster, small);
  machine.clogged = true;
  std::vector<std::shared_ptr<CallOutcome>> outcomes;
  for (int i = 0; i < 32; ++i) outcomes.push_back(machine.calls(129, fmt::format("{:060}", i)));
  machine.hears(frame(129, 7, "request"));
  machine.clogged = false;
  machine.run();
  std::string expected;
  for (int i = 0; i < 32; ++i) expected += fmt::format("129 #{} \"{:060}\"; ", i + 1, i);
  CHECK(machine.says() == expected + "130 #7 \"re request\"");
  for (std::uint64_t id = 32; id >= 1; --id) machine.hears(frame(130, id, std::to_string(id)));
  for (std::size_t i = 0; i < 32; ++i) CHECK(*outcomes[i]->text == fmt::format("130 \"{}\"", i + 1));
}

TEST_CASE("rpc: the end of the connection fails every call, those that wait for the writer too") {
  ClusterLimits small;
  small.output_bytes_max = 100;
  small.peer_output_bytes_max = 100;
  for (const int how : {0, 1, 2}) {
    CAPTURE(how);
    Desk desk;
    RpcMachine machine(desk.server, Framing::cluster, small);
    machine.clogged = true;
    const auto sent = machine.calls(129, std::string(100, 'x'));
    const auto waits = machine.calls(129, "y");
    if (how == 0) machine.control->close();
    if (how == 1) machine.trunk->disconnected(End());
    if (how == 2) machine.trunk->disconnected(End(error::trunk_lost, "connection reset"));
    machine.run();
    CHECK(*sent->text == (how == 2 ? "trunk lost" : "circuit closed"));
    CHECK(*waits->text == *sent->text);
    CHECK(*machine.calls(129, "z")->text == *sent->text);
    CHECK(machine.control->calls_pending() == 0);
  }
}

TEST_CASE("rpc: no more than requests_in_flight_max handlers run, and the limit is named once") {
  RpcLimits limits;
  limits.requests_in_flight_max = 3;
  Desk desk(limits);
  RpcMachine machine(desk.server);
  for (std::uint64_t id = 1; id <= 10; ++id) machine.hears(frame(167, id, std::to_string(id)));
  CHECK(desk.waiting == 3);
  CHECK(machine.control->requests_running() == 3);
  CHECK(machine.control->requests_waiting() == 7);
  CHECK(desk.counters().requests_delayed == 7);
  CHECK(desk.log.count("requests_in_flight_max 3") == 1);
  for (int i = 0; i < 10; ++i) {
    desk.let(1);
    machine.run();
  }
  CHECK(desk.waiting == 0);
  CHECK(machine.control->requests_waiting() == 0);
  std::string bytes = machine.bytes();
  CHECK(decode(Framing::cluster, bytes).size() == 10);
}

TEST_CASE("rpc: replies get through while handlers are at their limit") {
  RpcLimits limits;
  limits.requests_in_flight_max = 1;
  Desk desk(limits);
  RpcMachine machine(desk.server);
  machine.hears(frame(167, 1, "a"));
  machine.hears(frame(167, 2, "b"));
  const auto call = machine.calls(129, "x");
  machine.hears(frame(130, 1, "pong"));
  CHECK(*call->text == "130 \"pong\"");
}

TEST_CASE("rpc: a reply gets through behind more requests than may wait, whether they come before the call or after") {
  for (const bool before : {true, false}) {
    CAPTURE(before);
    RpcLimits limits;
    limits.requests_in_flight_max = 1;
    limits.requests_waiting_bytes_max = 2000;
    Desk desk(limits);
    RpcMachine machine(desk.server);
    std::uint64_t id = 0;
    const auto floods = [&] {
      for (int i = 0; i < 100; ++i) machine.hears(frame(167, ++id, std::string(100, 'x')));
    };
    if (before) floods();
    const auto call = machine.calls(129, "x");
    if (!before) floods();
    machine.hears(frame(130, 1, "pong"));
    REQUIRE(call->text);
    CHECK(*call->text == "130 \"pong\"");
    desk.let(static_cast<int>(id));
    machine.run();
    CHECK(machine.control->requests_waiting() == 0);
    CHECK(desk.counters().requests == id);
    std::string bytes = machine.bytes();
    CHECK(decode(Framing::cluster, bytes).size() == id + 1);
  }
}

TEST_CASE("rpc: while a call waits requests are read ahead up to their limit, which is named") {
  RpcLimits limits;
  limits.requests_in_flight_max = 1;
  limits.requests_waiting_bytes_max = 2000;
  limits.requests_read_ahead_bytes_max = 5000;
  Desk desk(limits);
  RpcMachine machine(desk.server);
  (void)machine.calls(129, "x");
  for (std::uint64_t id = 1; id <= 100; ++id) machine.hears(frame(167, id, std::string(100, 'x')));
  CHECK(machine.control->requests_waiting() == 22); // of 228 bytes each
  CHECK(desk.log.has_line("requests_read_ahead_bytes_max is 5000"));
}

TEST_CASE("rpc: requests that are handled are bounded in bytes, each circuit's and all of a server's; one is let in") {
  RpcLimits limits;
  limits.requests_in_flight_bytes_max = 3000;
  limits.requests_of_kind_bytes_max = 5000;
  Desk desk;
  Desk peers(limits);
  RpcMachine machine(desk.server);
  std::vector<std::shared_ptr<RpcCircuit>> circuits;
  for (const std::uint64_t peer : {7, 8, 9}) circuits.push_back(machine.opens(Route(1, peer), peers.server));
  const auto hears = [&](std::uint64_t peer, std::uint64_t id, std::size_t size) {
    machine.hears(frame(167, id, std::string(size, 'x'), Route(1, peer)));
  };

  hears(7, 1, 1000);
  hears(7, 2, 1000);
  hears(7, 3, 1000); // 1128 bytes each: beyond its own
  CHECK(circuits[0]->requests_running() == 2);
  CHECK(peers.log.has_line("requests_in_flight_bytes_max is 3000"));
  hears(8, 1, 2000);
  hears(9, 1, 2000); // beyond that of all, though none of its own is handled
  CHECK(circuits[1]->requests_running() == 1);
  CHECK(circuits[2]->requests_running() == 0);
  CHECK(peers.log.has_line("requests_of_kind_bytes_max is 5000"));
  CHECK(peers.counters().requests_delayed == 2);
  machine.hears(frame(129, 1, "ping")); // the connection itself has its own
  CHECK(machine.says() == "130 #1 \"re ping\"");

  for (int i = 0; i < 5; ++i) {
    peers.let(1);
    machine.run();
  }
  std::string bytes = machine.bytes();
  CHECK(decode(Framing::cluster, bytes).size() == 5);
  hears(7, 4, 9000); // larger than either: alone, it is let in
  CHECK(circuits[0]->requests_running() == 1);
  peers.let(1);
  machine.run();
}

TEST_CASE("rpc: handlers that never return stop the reading of their connection, which ends at stall_deadline") {
  ClusterLimits trunk_limits;
  trunk_limits.control_inbox_bytes_max = 4000;
  RpcLimits limits;
  limits.requests_in_flight_max = 2;
  limits.requests_waiting_bytes_max = 2000;
  Desk desk(limits);
  RpcMachine machine(desk.server, Framing::cluster, trunk_limits);
  std::uint64_t id = 0;
  while (machine.machine().wants_input() && id < 1000) machine.hears(frame(167, ++id, std::string(100, 'x')));
  CHECK(id < 40); // 2 run, about 9 wait, about 18 lie in the inbox
  CHECK(machine.machine().memory_bytes() < 4000 + 228);
  machine.trunk->with([&](Machine& of) { of.tick(machine.trunk->now() + 61s); });
  machine.run();
  CHECK_FALSE(machine.control->is_open());
  CHECK(machine.control->end()->code == error::stalled);
  CHECK(machine.control->end()->text.find("control_inbox_bytes_max") != std::string::npos);
  CHECK(desk.waiting == 0);
}

TEST_CASE("rpc: a virtual peer whose handlers never return is closed alone when it goes on talking") {
  ClusterLimits trunk_limits;
  trunk_limits.peer_inbox_bytes_max = 4000;
  RpcLimits limits;
  limits.requests_in_flight_max = 2;
  limits.requests_waiting_bytes_max = 2000;
  Desk desk;
  Desk peers(limits);
  RpcMachine machine(desk.server, Framing::cluster, trunk_limits);
  const auto seven = machine.opens(Route(1, 7), peers.server);
  std::uint64_t id = 0;
  while (seven->is_open() && id < 1000) machine.hears(frame(167, ++id, std::string(100, 'x'), Route(1, 7)));
  CHECK(id < 40);
  CHECK(seven->end()->code == error::stalled);
  CHECK(machine.machine().cluster_counters().peers_overflowed == 1);
  CHECK(peers.waiting == 0);
  machine.hears(frame(129, 1, "ping"));
  CHECK(machine.says() == "130 #1 \"re ping\"");
}

TEST_CASE("rpc: a flood of PINGs whose answers nobody reads is held back and bounded") {
  ClusterLimits trunk_limits;
  trunk_limits.control_inbox_bytes_max = 10'000;
  trunk_limits.output_bytes_max = 10'000;
  trunk_limits.peer_output_bytes_max = 10'000;
  RpcLimits limits;
  limits.requests_in_flight_max = 8;
  limits.requests_waiting_bytes_max = 4000;
  Desk desk(limits);
  RpcMachine machine(desk.server, Framing::slave, trunk_limits);
  machine.clogged = true;
  std::uint64_t id = 0;
  while (machine.machine().wants_input() && id < 100'000) machine.hears(frame(129, ++id, "flood"));
  CHECK(id < 1000);
  CHECK(machine.control->requests_running() == 8);
  CHECK(desk.log.has_line("requests_in_flight_max 8"));
  CHECK(machine.machine().output_bytes() < 10'100);
  machine.clogged = false;
  machine.run();
  CHECK(machine.machine().wants_input());
  CHECK(machine.control->requests_running() == 0);
  std::string bytes = machine.bytes();
  CHECK(decode(Framing::slave, bytes).size() == id);
}

TEST_CASE("rpc: no more than calls_in_flight_max calls wait for replies") {
  RpcLimits limits;
  limits.calls_in_flight_max = 2;
  Desk desk(limits);
  RpcMachine machine(desk.server);
  std::vector<std::shared_ptr<CallOutcome>> outcomes;
  for (int i = 0; i < 4; ++i) outcomes.push_back(machine.calls(129, "x"));
  CHECK(machine.says() == "129 #1 \"x\"; 129 #2 \"x\"");
  CHECK(desk.counters().calls_delayed == 2);
  CHECK(desk.log.has_line("calls_in_flight_max 2"));
  machine.hears(frame(130, 2, "two"));
  CHECK(machine.says() == "129 #3 \"x\"");
  for (const std::uint64_t id : {1, 3, 4}) machine.hears(frame(130, id, "r"));
  for (const auto& outcome : outcomes) CHECK(outcome->text.has_value());
}

TEST_CASE("rpc: what comes after stop_serving is dropped, what runs goes on, and then the circuit is idle") {
  Desk desk;
  RpcMachine machine(desk.server);
  machine.hears(frame(167, 1, "a"));
  machine.control->stop_serving();
  machine.hears(frame(129, 2, "too late"));
  bool idle = false;
  machine.tasks.spawn([](std::shared_ptr<RpcCircuit> circuit, bool* flag) -> awaitable<void> {
    co_await circuit->idle();
    *flag = true;
  }(machine.control, &idle));
  machine.run();
  CHECK_FALSE(idle);
  desk.let(1);
  machine.run();
  CHECK(idle);
  CHECK(machine.says() == "168 #1 \"slow a\"");
}

TEST_CASE("rpc server: an opcode is registered once") {
  Desk desk;
  CHECK_THROWS_AS(desk.server->know(129, "PING"), std::invalid_argument);
  CHECK_THROWS_AS(desk.server->serve(201, "NONE", 202, {}), std::invalid_argument);
  CHECK(desk.server->name_of(129) == "129 PING");
  CHECK(desk.server->name_of(201) == "201");
}
