// The same rpc objects over the cluster framing and over a native trunk: what handlers saw and callers got is compared.
#include "async/within.hpp"
#include "tests/services/quarkchain/rpc/both_dialects.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <stdexcept>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;
using namespace std::chrono_literals;

namespace {

/// 1 echoes, 3 waits a second, 5 calls back on the same connection before it answers, 7 throws, 9 never returns, 11 is
/// a command.
std::shared_ptr<RpcServer> make_server(std::vector<std::string>& seen, sim::World&) {
  auto server = std::make_shared<RpcServer>("far");
  const auto note = [&seen](const RpcRequest& request) {
    seen.push_back(fmt::format("{} got {} #{} {}", request.circuit->name(), request.op, request.rpc_id,
                               request.payload.size() > 20 ? fmt::format("{} bytes", request.payload.size())
                                                           : std::string(request.payload.text())));
  };
  server->serve(1, "ECHO", 2, [note](RpcRequest request) -> awaitable<Payload> {
    note(request);
    co_return std::move(request.payload);
  });
  server->serve(3, "SLOW", 4, [note](RpcRequest request) -> awaitable<Payload> {
    note(request);
    co_await sleep_for(1s);
    co_return std::move(request.payload);
  });
  server->serve(5, "BACK", 6, [note](RpcRequest request) -> awaitable<Payload> {
    note(request);
    RpcReply reply = co_await request.circuit->call(1, Payload("back"));
    Payload payload("called back: " + std::string(reply.payload.text()));
    co_return payload;
  });
  server->serve(7, "FAIL", 8, [note](RpcRequest request) -> awaitable<Payload> {
    note(request);
    throw std::runtime_error("it went wrong");
    co_return Payload();
  });
  server->serve(9, "NEVER", 10, [note](RpcRequest request) -> awaitable<Payload> {
    note(request);
    for (;;) co_await sleep_for(1h);
  });
  server->hear(11, "COMMAND", [note](RpcRequest request) -> awaitable<void> {
    note(request);
    co_return;
  });
  for (const std::uint8_t reply : {2, 4, 6, 8, 10}) server->know(reply, "REPLY");
  return server;
}

std::string printed(const RpcReply& reply) {
  return fmt::format(
      "{} {}", reply.op,
      reply.payload.size() > 40 ? fmt::format("{} bytes", reply.payload.size()) : std::string(reply.payload.text()));
}

awaitable<std::string> outcome(awaitable<RpcReply> call) {
  std::string text;
  try {
    text = printed(co_await std::move(call));
  } catch (const boost::system::system_error& failure) {
    text = failure.code() == error::timed_out ? "timed out" : "closed";
  }
  co_return text;
}

awaitable<void> keep_outcome(awaitable<RpcReply> call, std::vector<std::string>* into, std::string label) {
  const std::string text = co_await outcome(std::move(call));
  into->push_back(label + " -> " + text);
}

} // namespace

static awaitable<void> calls_both_ways(Ends& ends, Transcript& seen);
TEST_CASE("rpc over both dialects: calls, commands and calls back while serving") {
  const Transcript seen = over_both(calls_both_ways, make_server);
  CHECK(seen.here == std::vector<std::string>{"2 a", "00000000/0 got 1 #1 b", "2 ", "2 1000000 bytes",
                                              "00000000/0 got 1 #2 back", "6 called back: back",
                                              "00000000/0 got 5 #3 d"});
  CHECK(seen.there.at(0) == "00000000/0 got 1 #1 a");
  CHECK(seen.there.back() == "6 called back: back");
}
static awaitable<void> calls_both_ways(Ends& ends, Transcript& seen) {
  seen.here.push_back(co_await outcome(ends.here->call(1, Payload("a"))));
  seen.there.push_back(co_await outcome(ends.there->call(1, Payload("b"))));
  seen.here.push_back(co_await outcome(ends.here->call(1, Payload())));
  seen.here.push_back(co_await outcome(ends.here->call(1, Payload(std::string(1'000'000, 'x')))));
  co_await ends.here->command(11, Payload("one"));
  co_await ends.here->command(11, Payload("two"));
  seen.here.push_back(co_await outcome(ends.here->call(5, Payload("c")))); // served while we wait
  seen.there.push_back(co_await outcome(ends.there->call(5, Payload("d"))));
}

static awaitable<void> many_at_once(Ends& ends, Transcript& seen);
TEST_CASE("rpc over both dialects: many calls at once, answered as they are done") {
  const Transcript seen = over_both(many_at_once, make_server);
  REQUIRE(seen.here.size() == 65);
  CHECK(seen.here.front() == "0 -> 2 0");
  CHECK(seen.here.back() == "slow -> 4 slow");
}
static awaitable<void> many_at_once(Ends& ends, Transcript& seen) {
  Tasks tasks(ends.world.executor());
  tasks.spawn(keep_outcome(ends.here->call(3, Payload("slow")), &seen.here, "slow"));
  for (int i = 0; i < 64; ++i)
    tasks.spawn(keep_outcome(ends.here->call(1, Payload(std::to_string(i))), &seen.here, std::to_string(i)));
  co_await tasks.join();
}

static awaitable<void> deadlines_and_late_replies(Ends& ends, Transcript& seen);
TEST_CASE("rpc over both dialects: a call has its deadline, and its late reply harms nothing") {
  const Transcript seen = over_both(deadlines_and_late_replies, make_server);
  CHECK(seen.here == std::vector<std::string>{"timed out", "4 in time", "timed out", "2 and on", "late 1"});
}
static awaitable<void> deadlines_and_late_replies(Ends& ends, Transcript& seen) {
  seen.here.push_back(co_await outcome(ends.here->call(3, Payload("too slow"), 500ms)));
  seen.here.push_back(co_await outcome(ends.here->call(3, Payload("in time"), 5s)));
  seen.here.push_back(co_await outcome(ends.here->call(9, Payload("never"), 2s)));
  seen.here.push_back(co_await outcome(ends.here->call(1, Payload("and on"))));
  seen.here.push_back(fmt::format("late {}", ends.serves_here->counters().late_replies));
}

static awaitable<void> virtual_peers(Ends& ends, Transcript& seen);
TEST_CASE("rpc over both dialects: virtual peers are apart from each other and from the connection") {
  const Transcript seen = over_both(virtual_peers, make_server);
  CHECK(seen.there.at(0) == "00010001/7 got 1 #1 to 7");
  CHECK(seen.there.at(1) == "00010001/8 got 1 #1 to 8");
}
static awaitable<void> virtual_peers(Ends& ends, Transcript& seen) {
  const auto seven = co_await ends.meet_on(Route(0x10001, 7), ends.serves_here, ends.serves_there);
  const auto eight = co_await ends.meet_on(Route(0x10001, 8), ends.serves_here, ends.serves_there);
  seen.here.push_back(co_await outcome(seven.first->call(1, Payload("to 7"))));
  seen.here.push_back(co_await outcome(eight.first->call(1, Payload("to 8"))));
  seen.there.push_back(co_await outcome(eight.second->call(5, Payload("from 8"))));
  // The cluster framing has no words for the end of a virtual peer: there the caller hears nothing, here the reason.
  const std::string failed = co_await outcome(seven.first->call(7, Payload("fails"), 3s));
  seen.here.push_back(failed == "timed out" || failed == "closed" ? "failed" : failed);
  seen.here.push_back(fmt::format("7 is {} there", seven.second->is_open() ? "open" : "closed"));
  seen.here.push_back(co_await outcome(eight.first->call(1, Payload("8 goes on"))));
  seen.here.push_back(co_await outcome(ends.here->call(1, Payload("so do we"))));
  for (const auto& both : {seven, eight}) {
    both.first->close();
    both.second->close();
  }
}

static awaitable<void> the_end(Ends& ends, Transcript& seen);
TEST_CASE("rpc over both dialects: the end of one side ends calls and handlers of both") {
  const Transcript seen = over_both(the_end, make_server);
  CHECK(seen.here.back() == "0 pending, 0 running");
}
static awaitable<void> the_end(Ends& ends, Transcript& seen) {
  Tasks tasks(ends.world.executor());
  tasks.spawn(keep_outcome(ends.here->call(9, Payload("a")), &seen.here, "pending"));
  tasks.spawn(keep_outcome(ends.there->call(9, Payload("b")), &seen.there, "pending"));
  co_await sleep_for(1s);
  seen.here.push_back(fmt::format("{} pending, {} running", ends.here->calls_pending(), ends.here->requests_running()));
  ends.there->close();
  co_await tasks.join();
  (void)co_await ends.here->ended();
  seen.here.push_back(co_await outcome(ends.here->call(1, Payload("too late"))));
  seen.here.push_back(fmt::format("{} pending, {} running", ends.here->calls_pending(), ends.here->requests_running()));
}

static awaitable<void> a_rule_is_broken(Ends& ends, Transcript& seen);
TEST_CASE("rpc over both dialects: a broken rule ends the connection") {
  const Transcript seen = over_both(a_rule_is_broken, make_server);
  CHECK(seen.here.at(0) == "closed");
  CHECK(seen.there.at(0) == "unknown opcodes 1");
}
static awaitable<void> a_rule_is_broken(Ends& ends, Transcript& seen) {
  seen.here.push_back(co_await outcome(ends.here->call(99, Payload("unknown"))));
  seen.there.push_back(fmt::format("unknown opcodes {}", ends.serves_there->counters().unknown_opcodes));
}
