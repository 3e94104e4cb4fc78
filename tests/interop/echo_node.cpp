// The C++ side of run.py: a node with two services for a client that knows nothing but docs/wire.md.
//   echo       sends back every fragment, those with `err` set too, and closes when the far side has finished
//   call_back  opens a circuit back to the peer that opened one, sends fragments there, and reports what was answered
// It listens on the address that it is given, prints the one that it has, and runs until SIGTERM or until its input ends.
// Over tls:// it has a key, made for this run, and takes everybody who has one.
#include "peer/node.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

using namespace trunkline;

namespace {

awaitable<void> echo_fragments(Circuit& circuit) {
  while (auto fragment = co_await circuit.receive()) co_await circuit.send(std::move(*fragment));
}

awaitable<void> echo_errors(Circuit& circuit) {
  while (auto fragment = co_await circuit.receive_error()) co_await circuit.send(std::move(*fragment));
}

awaitable<void> echo(Circuit circuit) {
  using namespace asio::experimental::awaitable_operators;
  co_await (echo_fragments(circuit) && echo_errors(circuit));
}

awaitable<void> call_back(Circuit circuit) {
  const std::optional<Fragment> order = co_await circuit.receive(); // its part says how large the large one is
  const std::size_t large_bytes = order ? static_cast<std::size_t>(order->part) : 0;

  Fragment first(1, "first", "hello");
  Circuit back = circuit.new_circuit(std::move(first), CircuitOptions("back", "for the user"));
  Fragment large(2, std::string(large_bytes, 'x'));
  co_await back.send(std::move(large));
  Fragment note = Fragment::error("only a note", 3);
  co_await back.send(std::move(note));
  back.finish();

  Fragment report(4, "report", {});
  while (auto answer = co_await back.receive()) report.part += static_cast<std::int64_t>(answer->payload.size());
  co_await back.finish_acknowledged();
  back.close();
  co_await circuit.send(std::move(report));
}

awaitable<void> run(Node& node) {
  asio::signal_set signals(node.executor(), SIGTERM);
  co_await signals.async_wait(asio::use_awaitable);
  co_await node.close();
}

} // namespace

int main(int count, char** arguments) {
  const std::string address = count > 1 ? arguments[1] : "tcp://127.0.0.1:0";
  const bool encrypted = address.starts_with("tls:");
  asio::io_context io(1);
  NodeOptions options;
  options.name = "echo_node";
  options.limits.keepalive_interval = std::chrono::seconds(1);
  options.log = [](LogLevel, std::string_view line) {
    std::fprintf(stderr, "echo_node: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  if (encrypted) {
    TrustOptions trust;
    trust.strangers = Strangers::accept;
    options.identity = std::make_shared<Identity>(IdentityKey::draw(), trust);
  }
  Node node(io.get_executor(), std::move(options));
  node.serve("echo", echo);
  node.serve("call_back", call_back);
  std::printf("%s\n", node.listen(address).c_str());
  std::fflush(stdout);

  asio::co_spawn(io, run(node), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  io.run();
  std::printf("ended\n");
}
