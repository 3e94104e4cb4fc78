// A graceful stop: press Ctrl-C. The running circuit goes on to its end, a new one is refused, and the program returns
// from io.run() by itself, without exit() and without anything cut off.
#include "async/clock.hpp"
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <csignal>
#include <iostream>

using namespace trunkline;

namespace {

// A slow piece of work: five ticks, a fifth of a second apart.
awaitable<void> ticks(Circuit circuit) {
  for (int tick = 1; tick <= 5; ++tick) {
    Fragment fragment(tick);
    co_await circuit.send(std::move(fragment));
    co_await sleep_for(std::chrono::milliseconds(200));
  }
}

awaitable<void> count_ticks(Node& here, std::string there) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("counter");
  try {
    for (;;) { // one circuit after another, until a new one is refused
      Circuit circuit = me->join_or_start(there, "ticks", std::nullopt);
      while (auto tick = co_await circuit.receive())
        std::cout << "circuit " << circuit.id() << ", tick " << tick->op << std::endl;
    }
  } catch (const boost::system::system_error& refusal) {
    std::cout << "no new circuit: " << refusal.what() << std::endl;
  }
  co_await here.close();
}

awaitable<void> stop_at_signal(Node& node) {
  asio::signal_set signals(node.executor(), SIGINT, SIGTERM);
  co_await signals.async_wait(asio::use_awaitable);
  std::cout << "draining" << std::endl;
  co_await node.drain(std::chrono::seconds(5)); // circuits that still run then are reset
  co_await node.close();
  std::cout << "drained" << std::endl;
}

} // namespace

int main() {
  using namespace asio::experimental::awaitable_operators;
  asio::io_context io(1);
  Node server(io.get_executor());
  Node client(io.get_executor());
  server.serve("ticks", ticks);
  const std::string there = server.listen("tcp://127.0.0.1:0");
  return run(io, (count_ticks(client, there) && stop_at_signal(server)));
}
