// Deadlines, cancellation, and a server that goes away and comes back while its client goes on.
#include "async/clock.hpp"
#include "async/within.hpp"
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <iostream>
#include <optional>

using namespace trunkline;
using namespace std::chrono_literals;

namespace {

// Works for as many milliseconds as it is told. Where it waits it is cancelled when nobody waits for its answer any
// more.
awaitable<void> work(Circuit circuit) {
  const std::optional<Fragment> order = co_await circuit.receive();
  try {
    co_await sleep_for(std::chrono::milliseconds(order.value().part));
  } catch (const boost::system::system_error&) {
    std::cout << "handler: nobody waits for \"" << order->subject << "\" any more" << std::endl;
    throw;
  }
  co_await circuit.send(Fragment(0, "done"));
}

Fragment order(std::string what, std::chrono::milliseconds how_long) {
  Fragment fragment(0, std::move(what), {});
  fragment.part = how_long.count();
  return fragment;
}

awaitable<void> show(std::string what, awaitable<Fragment> asked) {
  const result<Fragment> answer = co_await as_result(std::move(asked));
  std::cout << what << ": " << (answer ? std::string(answer->payload.text()) : answer.error().message()) << std::endl;
}

// Whether the same question may have an answer later. Only a program knows which of its questions may be asked twice.
bool is_worth_another_try(const boost::system::error_code& code) {
  return code == error::connect_failed || code == error::trunk_lost || code == error::node_closed ||
         code == error::draining;
}

awaitable<Fragment> ask_until_answered(Node& here, LocalPeer& me, std::string address) {
  for (;;) {
    const result<Fragment> answer = co_await as_result(me.request(address, "work", order("again", 1ms), 5s));
    if (answer) co_return answer.value();
    if (!is_worth_another_try(answer.error())) throw boost::system::system_error(answer.error());
    std::cout << "once more, after: " << answer.error().message() << std::endl;
    co_await here.wait_for_connection(address, 30s); // dials at the pace of NodeOptions::redial: no hot loop
  }
}

awaitable<void> listen_later(Node& node, std::string address) {
  co_await sleep_for(200ms);
  node.listen(address);
}

awaitable<void> program(Node& here) {
  const Executor executor = here.executor();
  std::optional<Node> there(std::in_place, executor);
  there->serve("work", work);
  const std::string address = there->listen("tcp://127.0.0.1:0");
  const std::shared_ptr<LocalPeer> me = here.new_peer("client");
  here.keep_connected(address);

  // The time left crosses the wire: both sides give up at the same moment.
  co_await show("in time", me->request(address, "work", order("short", 1ms), 5s));
  co_await show("too late", me->request(address, "work", order("long", 60s), 50ms));

  // Cancelling what waits is enough: `within` does it here, asio::cancellation_signal and `||` do the same.
  co_await show("given up", within(50ms, me->request(address, "work", order("longer", 60s))));

  co_await there->close();
  NodeOptions as_before;
  as_before.id = there->id(); // by its id a node is known again; a node with a key has that key's
  there.emplace(executor, std::move(as_before));
  there->serve("work", work);
  me->spawn(listen_later(*there, address));
  const Fragment answer = co_await ask_until_answered(here, *me, address);
  std::cout << "after the restart: " << answer.payload.text() << std::endl;

  co_await here.close();
  co_await there->close();
}

} // namespace

int main() {
  asio::io_context io(1);
  NodeOptions options;
  options.on_link = [](LinkChange change, const LinkInfo& link) {
    if (change == LinkChange::opened) std::cout << (link.reconnected ? "connected again" : "connected") << std::endl;
  };
  Node here(io.get_executor(), options);
  return run(io, program(here));
}
