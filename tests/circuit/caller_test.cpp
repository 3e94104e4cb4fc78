// What stands on a circuit: calls and their replies, messages of a type, work that ends with its circuit. Calls are
// made by the side that dialled and by the one that accepted.
#include "circuit/caller.hpp"
#include "circuit/typed.hpp"
#include "circuit/while_open.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <google/protobuf/wrappers.pb.h>

#include <cstddef>
#include <cstring>
#include <new>

using namespace trunkline;
using namespace trunkline::test;

namespace {

constexpr std::int32_t op_echo = 1;
constexpr std::int32_t op_hold = 2;    // answered when the next one comes, after it
constexpr std::int32_t op_refuse = 3;  // answered with an error
constexpr std::int32_t op_finish = 4;  // never answered: the service is done
constexpr std::int32_t op_reset = 5;

awaitable<void> reply_to(Circuit& circuit, const Fragment& request) {
  Fragment reply(request.op, request.payload.text());
  if (request.op == op_refuse) reply.err = "not today";
  reply.part = request.part;
  co_await circuit.send(std::move(reply));
}

awaitable<void> answer(Circuit circuit) {
  std::optional<Fragment> held;
  while (std::optional<Fragment> request = co_await circuit.receive()) {
    if (request->op == op_finish) break;
    if (request->op == op_reset) co_return circuit.reset(End(error::access_denied, "no more of that"));
    if (request->op == op_hold) {
      held = std::move(request);
      continue;
    }
    co_await reply_to(circuit, *request);
    if (held) co_await reply_to(circuit, *std::exchange(held, std::nullopt));
  }
}

Circuit to_service(NodePair& pair, const char* service, awaitable<void> (*function)(Circuit)) {
  pair.there.serve(service, function);
  return pair.here.new_peer("caller")->join_or_start(pair.there_address, service, std::nullopt);
}

CO_TEST_CASE("caller: a call gets its own reply, passes over late ones, and an error is a reply too", everywhere,
             NodePair& pair) {
  Circuit circuit = to_service(pair, "answer", answer);
  for (const char* text : {"one", "two", "three"}) {
    const Fragment reply = co_await call(circuit, Fragment(op_echo, text));
    CHECK(reply.payload.text() == text);
  }
  // A call that was given up: the next call drops its reply.
  const auto late = co_await failure_of(within(std::chrono::milliseconds(1), call(circuit, Fragment(op_hold, "late"))));
  CHECK(late == make_error_code(error::timed_out));
  const Fragment first = co_await call(circuit, Fragment(op_echo, "after"));
  const Fragment second = co_await call(circuit, Fragment(op_echo, "after that"));
  CHECK(first.payload.text() == "after");
  CHECK(second.payload.text() == "after that");
  const Fragment refused = co_await call(circuit, Fragment(op_refuse, "please"));
  CHECK(refused.err == "not today");
  const auto finished = co_await failure_of(call(circuit, Fragment(op_finish)));
  CHECK(finished == make_error_code(error::circuit_closed));
}

awaitable<void> note_text(Caller& caller, Fragment request, std::vector<std::string>& replies) {
  const Fragment reply = co_await caller.call(std::move(request));
  replies.emplace_back(reply.err.empty() ? reply.payload.text() : reply.err);
}

awaitable<void> note_failure(Caller& caller, Fragment request, std::vector<boost::system::error_code>& failures) {
  const auto failure = co_await failure_of(caller.call(std::move(request)));
  failures.push_back(failure);
}

CO_TEST_CASE("caller: many calls at once get their replies in whatever order these come", both_ways, NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  Caller caller(to_service(pair, "answer", answer));
  std::vector<std::string> replies;
  co_await (note_text(caller, Fragment(op_hold, "first"), replies) &&
            note_text(caller, Fragment(op_refuse, "second"), replies) &&
            note_text(caller, Fragment(op_echo, "third"), replies));
  std::ranges::sort(replies);
  CHECK(replies == std::vector<std::string>{"first", "not today", "third"});
  CHECK(caller.late_replies() == 0);
}

// The call that reads for all goes; another one has to read from then on.
CO_TEST_CASE("caller: when the call that reads is cancelled, another one reads on", both_ways, NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  Caller caller(to_service(pair, "answer", answer));
  std::vector<std::string> replies;
  std::vector<boost::system::error_code> failures;
  Signal cancel;
  const auto reader = [&]() -> awaitable<void> {
    co_await (note_failure(caller, Fragment(op_hold, "held"), failures) || cancel.wait());
    co_await note_text(caller, Fragment(op_echo, "lets go"), replies);
  };
  const auto canceller = [&]() -> awaitable<void> {
    co_await settle();
    cancel.notify_all();
  };
  co_await (reader() && note_text(caller, Fragment(op_hold, "waits"), replies) && canceller());
  std::ranges::sort(replies);
  CHECK(replies == std::vector<std::string>{"lets go", "waits"});
}

awaitable<void> all_pending_calls_fail(NodePair& pair, std::int32_t op, error reason) {
  using namespace asio::experimental::awaitable_operators;
  Caller caller(to_service(pair, "answer", answer));
  std::vector<boost::system::error_code> failures;
  co_await (note_failure(caller, Fragment(op_hold, "one"), failures) &&
            note_failure(caller, Fragment(op_hold, "two"), failures) && note_failure(caller, Fragment(op), failures));
  CHECK(failures == std::vector(3, make_error_code(reason)));
}

CO_TEST_CASE("caller: when the far side finishes without replying, all calls fail as closed", both_ways,
             NodePair& pair) {
  return all_pending_calls_fail(pair, op_finish, error::circuit_closed);
}
CO_TEST_CASE("caller: when the circuit is reset, all calls fail with the reason", both_ways, NodePair& pair) {
  return all_pending_calls_fail(pair, op_reset, error::access_denied);
}

// The handle goes elsewhere while something waits on it.

/// A circuit in memory that holds nothing it may be taken for once the handle is gone.
class Dropped {
 public:
  explicit Dropped(Circuit circuit) : circuit_(new (memory_) Circuit(std::move(circuit))) {}
  Circuit& circuit() noexcept { return *circuit_; }
  awaitable<void> drop() {
    co_await settle();
    circuit_->~Circuit();
    std::memset(memory_, 0x5a, sizeof(memory_));
  }

 private:
  alignas(Circuit) std::byte memory_[sizeof(Circuit)];
  Circuit* circuit_;
};

awaitable<void> expect_aborted(awaitable<void> waiting) {
  const auto failure = co_await failure_of(std::move(waiting));
  CHECK(failure == asio::error::operation_aborted);
}

awaitable<void> note_reply(Circuit& circuit, std::string& heard) {
  const Fragment reply = co_await call(circuit, Fragment(op_echo, "hello"));
  heard = reply.payload.text();
}

awaitable<void> move_and_answer(Circuit& from, Circuit& to, Circuit& far) {
  co_await settle();
  to = std::move(from);
  for (;;) {
    const std::optional<Fragment> request = co_await far.receive();
    REQUIRE(request);
    if (request->part == 0) continue;
    co_await reply_to(far, *request);
    co_return;
  }
}

CO_TEST_CASE("caller: the handle may move while a request waits for credit", both_ways, NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  Circuit circuit = pair.here.new_peer("caller")->start(pair.there_address, "store", std::nullopt);
  Circuit far = co_await keeper.next();
  while (circuit.send_one_way(Fragment(0, std::string(8000, 'x'))) == SendOutcome::queued) {}
  Circuit moved;
  std::string heard;

  co_await (note_reply(circuit, heard) && move_and_answer(circuit, moved, far));

  CHECK(heard == "hello");
  CHECK(moved.is_open());
}

CO_TEST_CASE("caller: a call whose handle is dropped is aborted", both_ways, NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  Dropped here(pair.here.new_peer("caller")->start(pair.there_address, "store", std::nullopt));
  std::string heard;

  co_await (expect_aborted(note_reply(here.circuit(), heard)) && here.drop());
}

awaitable<Fragment> echo_call(Fragment request) { co_return request; }

awaitable<void> ask_move_ask(Circuit& caller, Circuit& from, Circuit& to) {
  for (const char* text : {"one", "two", "three"}) {
    const Fragment reply = co_await call(caller, Fragment(op_echo, text));
    CHECK(reply.payload.text() == text);
    if (from) to = std::move(from);
  }
  caller.finish();
}

CO_TEST_CASE("caller: the handle may move while its calls are answered", both_ways, NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  Circuit circuit = pair.here.new_peer("caller")->start(pair.there_address, "store", std::nullopt);
  Circuit far = co_await keeper.next();
  Circuit moved;

  co_await (answer_calls(far, echo_call) && ask_move_ask(circuit, far, moved));

  CHECK(moved.counters().fragments_received == 3);
}

awaitable<Fragment> answer_late(Fragment request) {
  co_await settle();
  co_await settle();
  co_return request;
}

CO_TEST_CASE("caller: calls whose handle is dropped while they are answered are aborted", both_ways, NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  Circuit circuit = pair.here.new_peer("caller")->start(pair.there_address, "store", std::nullopt);
  Dropped far(co_await keeper.next());
  Fragment request(op_echo, "one");
  request.part = 1;
  co_await circuit.send(std::move(request));

  co_await (expect_aborted(answer_calls(far.circuit(), answer_late)) && far.drop());
}

using google::protobuf::Int64Value;
using google::protobuf::StringValue;

awaitable<void> count_letters(Circuit circuit) {
  while (const std::optional<StringValue> text = co_await receive_message<StringValue>(circuit)) {
    Int64Value count;
    count.set_value(static_cast<std::int64_t>(text->value().size()));
    co_await send_message(circuit, 7, count);
  }
}

CO_TEST_CASE("typed: messages of a type cross both ways, from empty to large", everywhere, NodePair& pair) {
  Circuit circuit = to_service(pair, "letters", count_letters);
  for (const std::size_t size : {std::size_t(0), std::size_t(5), std::size_t(100'000)}) {
    StringValue text;
    text.set_value(std::string(size, 'x'));
    co_await send_message(circuit, 6, text);
    const std::optional<Fragment> fragment = co_await circuit.receive();
    REQUIRE(fragment);
    CHECK(fragment->op == 7);
    Int64Value count;
    from_fragment(*fragment, count);
    CHECK(count.value() == static_cast<std::int64_t>(size));
  }
  circuit.finish();
  const std::optional<StringValue> nothing = co_await receive_message<StringValue>(circuit);
  CHECK_FALSE(nothing);
}

CO_TEST_CASE("typed: what is no such message is refused with type, op and size, and the circuit lives", both_ways,
             NodePair& pair) {
  Circuit circuit = to_service(pair, "echo", echo);
  co_await circuit.send(Fragment(9, "\xff\xff\xff"));
  std::string text;
  try {
    const std::optional<StringValue> never = co_await receive_message<StringValue>(circuit);
    CHECK_FALSE(never);
  } catch (const boost::system::system_error& thrown) {
    CHECK(thrown.code() == make_error_code(error::cannot_decode));
    text = thrown.what();
  }
  for (const char* part : {"3 bytes", "op 9", "google.protobuf.StringValue"}) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  }
  co_await circuit.send(Fragment(0, "")); // the circuit lives on
  const std::optional<StringValue> empty = co_await receive_message<StringValue>(circuit);
  REQUIRE(empty);
  CHECK(empty->value().empty());
}

/// What a handler that works for one circuit, without looking at it, has heard.
struct Work {
  bool ended = false;
  boost::system::error_code failure;
  Signal changed;
};

awaitable<void> for_ever(Signal& never) { co_await never.wait(); }

awaitable<void> work_while_open(std::shared_ptr<Work> work, Circuit circuit) {
  Signal never;
  const auto failure = co_await failure_of(while_open(circuit, for_ever(never)));
  CHECK_FALSE(never.has_waiters()); // has ended before
  work->failure = failure;
  work->ended = true;
  work->changed.notify_all();
}

awaitable<boost::system::error_code> what_work_hears(NodePair& pair, std::function<void(LocalPeer&, Circuit&)> end) {
  const auto work = std::make_shared<Work>();
  pair.there.serve("work", [work](Circuit circuit) { return work_while_open(work, std::move(circuit)); });
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "work", std::nullopt);
  co_await circuit.accepted();
  circuit.finish(); // ends nothing
  co_await settle();
  CHECK_FALSE(work->ended);
  end(*me, circuit);
  while (!work->ended) co_await work->changed.wait();
  co_return work->failure;
}

CO_TEST_CASE("while_open: work is cancelled when the far side resets its circuit, and hears why", both_ways,
             NodePair& pair) {
  const auto heard = co_await what_work_hears(
      pair, [](LocalPeer&, Circuit& circuit) { circuit.reset(End(error::access_denied, "changed my mind")); });
  CHECK(heard == make_error_code(error::access_denied));
}

CO_TEST_CASE("while_open: work is cancelled when the far peer ends, and hears why", both_ways, NodePair& pair) {
  const auto heard = co_await what_work_hears(pair, [](LocalPeer& me, Circuit&) { me.close(); });
  CHECK(heard == make_error_code(error::peer_ended));
}

CO_TEST_CASE("while_open: what the work returns or throws passes, and a closed circuit has none", both_ways,
             NodePair& pair) {
  Circuit circuit = to_service(pair, "echo", echo);
  const auto seven = []() -> awaitable<int> { co_return 7; };
  const auto broken = []() -> awaitable<int> {
    throw std::runtime_error("broken");
    co_return 0;
  };
  const int value = co_await while_open(circuit, seven());
  CHECK(value == 7);
  bool thrown = false;
  try {
    const int never = co_await while_open(circuit, broken());
    CHECK(never == 0);
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  CHECK(thrown);
  circuit.close();
  Signal never;
  const auto closed = co_await failure_of(while_open(circuit, for_ever(never)));
  CHECK(closed == make_error_code(error::circuit_closed));
}

CO_TEST_CASE("circuit: both queues can be received from at once", both_ways, NodePair& pair) {
  Circuit circuit = to_service(pair, "echo", echo);
  Circuit far;
  {
    Keeper keeper;
    pair.there.register_service("store", keeper.service());
    circuit = pair.here.new_peer("reader")->start(pair.there_address, "store", std::nullopt);
    far = co_await keeper.next();
  }
  const auto sender = [](Circuit& to) -> awaitable<void> {
    co_await settle();
    co_await to.send(Fragment::error("trouble", 1));
    co_await settle();
    co_await to.send(Fragment(2, "no trouble"));
    to.finish();
  };
  std::vector<std::string> heard;
  const auto reader = [&heard](Circuit& from) -> awaitable<void> {
    for (;;) {
      const std::optional<Fragment> fragment = co_await from.receive_any();
      if (!fragment) break;
      heard.emplace_back(fragment->err.empty() ? fragment->payload.text() : fragment->err);
    }
  };
  using namespace asio::experimental::awaitable_operators;
  co_await (sender(far) && reader(circuit));
  CHECK(heard == std::vector<std::string>{"trouble", "no trouble"});
}

} // namespace
