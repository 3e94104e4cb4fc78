// Requests and replies over one circuit: many at once, answered in any order, with a deadline where one is wanted.
#include "async/within.hpp"
#include "circuit/caller.hpp"
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <iostream>

using namespace trunkline;

namespace {

constexpr std::int32_t op_length = 1; // how long is the text?
constexpr std::int32_t op_later = 2;  // the same, but answered only after the next request
constexpr std::int32_t op_refused = 3;

// A reply carries the `part` of its request; that is all there is to a call. What a refusal looks like is up to you.
awaitable<void> answer(Circuit& circuit, Fragment request) {
  const bool empty = request.payload.empty();
  Fragment reply(empty ? op_refused : op_length, empty ? "there is no text" : std::to_string(request.payload.size()));
  reply.part = request.part;
  co_await circuit.send(std::move(reply));
}

awaitable<void> measure(Circuit circuit) {
  std::vector<Fragment> waiting;
  while (auto request = co_await circuit.receive()) {
    const bool later = request->op == op_later;
    if (!later) co_await answer(circuit, std::move(*request));
    for (Fragment& earlier : waiting) co_await answer(circuit, std::move(earlier));
    waiting.clear();
    if (later) waiting.push_back(std::move(*request));
  }
}

awaitable<void> program(Node& here, Node& there) {
  using namespace asio::experimental::awaitable_operators;
  const std::shared_ptr<LocalPeer> me = here.new_peer("caller");
  Caller caller(me->join_or_start(there.listen("tcp://127.0.0.1:0"), "measure", std::nullopt));

  // Two calls at once. The first one's answer comes second, and finds its call all the same.
  Fragment first(op_later, "to be patient");
  Fragment second(op_length, "quick");
  const auto replies = co_await (caller.call(std::move(first)) && caller.call(std::move(second)));
  std::cout << "first: " << std::get<0>(replies).payload.text() << ", second: " << std::get<1>(replies).payload.text()
            << std::endl;

  // A deadline is an adapter around the call, and so is having the failure as a value.
  Fragment third(op_later, "nobody asks again");
  const result<Fragment> late =
      co_await as_result(within(std::chrono::milliseconds(100), caller.call(std::move(third))));
  std::cout << "third: " << (late ? "answered" : late.error().message()) << std::endl;

  // Its reply comes with the next one's, is counted, and is dropped.
  const Fragment fourth = co_await caller.call(Fragment(op_length, "four"));
  std::cout << "fourth: " << fourth.payload.text() << std::endl;

  const Fragment fifth = co_await caller.call(Fragment(op_length));
  std::cout << "fifth: " << (fifth.op == op_refused ? "refused, " : "") << fifth.payload.text() << std::endl;
  std::cout << caller.late_replies() << " late reply" << std::endl;

  caller.circuit().close();
  co_await here.close();
  co_await there.close();
}

} // namespace

int main() {
  asio::io_context io(1);
  Node here(io.get_executor());
  Node there(io.get_executor());
  there.serve("measure", measure);
  return run(io, program(here, there));
}
