// How things go wrong, and how each shows on the other side. Only one of these ends more than one circuit.
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <iostream>
#include <stdexcept>
#include <vector>

using namespace trunkline;

namespace {

constexpr std::int32_t op_add = 1, op_sum = 2;

// Adds numbers. A line that is none gets an error fragment, and the circuit goes on.
awaitable<void> adder(Circuit circuit) {
  std::int64_t sum = 0;
  while (auto line = co_await circuit.receive()) {
    const std::string text(line->payload.text());
    if (text == "quit") {
      circuit.close(End(error::access_denied, "nobody quits here")); // what was sent before arrives first
      co_return;
    }
    if (text == "bug") throw std::logic_error("the secret cause"); // resets this circuit, ends nothing else
    if (text.find_first_not_of("0123456789") != std::string::npos) {
      co_await circuit.send(Fragment::error("\"" + text + "\" is not a number"));
    } else {
      sum += std::stoll(text);
    }
  }
  Fragment result(op_sum);
  result.part = sum;
  co_await circuit.send(std::move(result));
}

awaitable<void> send_lines(Circuit& circuit, std::vector<std::string> lines) {
  for (const std::string& line : lines) co_await circuit.send(Fragment(op_add, line));
  circuit.finish();
}

// Expected outcomes are values; breakage throws, with a code and a text that says what happened and where.
awaitable<void> show_end(const char* what, Circuit circuit) {
  try {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    std::cout << what << ": " << (fragment ? std::to_string(fragment->part) : "finished without a word") << std::endl;
  } catch (const boost::system::system_error& failure) {
    std::cout << what << ": " << failure.what() << std::endl;
  }
}

awaitable<void> program(Node& here, Node& there) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("sender");
  const std::string address = there.listen("tcp://127.0.0.1:0");

  Circuit sum = me->join_or_start(address, "adder", std::nullopt);
  const std::vector<std::string> lines{"1", "two", "3"};
  co_await send_lines(sum, lines);
  const std::optional<Fragment> complaint = co_await sum.receive_error(); // the second queue of every circuit
  std::cout << "complaint: " << complaint.value().err << std::endl;
  co_await show_end("sum", std::move(sum));

  Circuit closed = me->join_or_start(address, "adder", Fragment(op_add, "quit"));
  co_await show_end("closed with a reason", std::move(closed));
  Circuit failed = me->join_or_start(address, "adder", Fragment(op_add, "bug"));
  co_await show_end("the service threw", std::move(failed));
  Circuit unknown = me->join_or_start(address, "addre", std::nullopt);
  co_await show_end("no such service", std::move(unknown));

  // Opening does not wait, so it does not fail: a circuit to an address without a listener ends with the reason.
  Circuit nowhere = me->join_or_start("tcp://127.0.0.1:1", "adder", std::nullopt);
  co_await show_end("nobody listens", std::move(nowhere));

  // And the only thing that ends all circuits at once: the connection, or the far node, is gone.
  Circuit lonely = me->join_or_start(address, "adder", std::nullopt);
  co_await lonely.accepted();
  co_await there.close();
  co_await show_end("the far node closed", std::move(lonely));
  co_await here.close();
}

} // namespace

int main() {
  asio::io_context io(1);
  Node here(io.get_executor());
  Node there(io.get_executor());
  there.serve("adder", adder);
  return run(io, program(here, there));
}
