// The same networks over real sockets and real time: that the ports are free again, and that nodes are components.
#include "async/component/group.hpp"
#include "peer/node_component.hpp"
#include "peer/channel/network.hpp"
#include "tests/support/co_test_case.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/names.hpp"
#include "transport/tcp.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace trunkline;
using namespace std::chrono_literals;

namespace {

/// Runs a body on a context of its own.
void on_a_context(awaitable<void> (*body)(asio::io_context&)) {
  asio::io_context io(1);
  test::run_coroutine(io, body(io));
}

std::shared_ptr<Network> make(asio::io_context& io, const std::string& address) {
  NetworkOptions options;
  options.listen = {address};
  return std::make_shared<Network>(io.get_executor(), std::move(options));
}

constexpr auto never = std::chrono::milliseconds::max();

/// Every name is this host.
std::shared_ptr<Names> loopback() {
  return std::make_shared<Names>([](const std::string&) {
    Names::Answer answer;
    answer.addresses.push_back(asio::ip::make_address("127.0.0.1"));
    return answer;
  });
}

NodeOptions node_without_deadlines() {
  NodeOptions options;
  for (std::chrono::milliseconds* const deadline :
       {&options.limits.handshake_deadline, &options.limits.keepalive_interval, &options.limits.write_deadline,
        &options.limits.stall_deadline, &options.limits.goodbye_deadline, &options.connect_deadline,
        &options.redial.maximum})
    *deadline = never;
  TcpOptions tcp;
  tcp.resolve_deadline = never;
  tcp.next_address_delay = never;
  options.media["tcp"] = make_tcp_medium(tcp, loopback());
  return options;
}

std::shared_ptr<Network> make_without_deadlines(asio::io_context& io) {
  NetworkOptions options;
  options.node = node_without_deadlines();
  options.node.allow_plaintext = true; // a name that only the test knows to be this machine
  options.listen = {"tcp://127.0.0.1:0"};
  for (std::chrono::milliseconds* const deadline :
       {&options.send_deadline, &options.evict_idle_after, &options.idle_timeout, &options.redial_backoff_max,
        &options.stop_deadline, &options.operator_deadline})
    *deadline = never;
  return std::make_shared<Network>(io.get_executor(), std::move(options));
}

} // namespace

CO_TEST_CASE("network: over tcp messages arrive, and a stopped network's port serves another one at once", on_a_context,
             asio::io_context& io) {
  std::string heard;
  auto one = make(io, "tcp://127.0.0.1:0");
  auto other = make(io, "tcp://127.0.0.1:0");
  Conduit from = one->register_processor("chat", [](NodeId, Message) -> awaitable<void> { co_return; });
  Conduit to = other->register_processor("chat", [&](NodeId, Message message) -> awaitable<void> {
    heard += message.payload.text();
    co_return;
  });
  one->start();
  other->start();
  co_await one->ready();
  co_await other->ready();
  const std::string address = other->addresses().at(0);
  const NodeId there = co_await one->connect(address);
  CHECK(there == other->local_id());
  for (const char* text : {"a", "b", "c"}) {
    const SendResult sent = co_await from.send_acked(there, text);
    CHECK(sent);
  }
  CHECK(heard == "abc");
  BroadcastOptions options;
  options.deadline = 1ns; // has passed when its sends begin
  const std::vector<NodeId> targets = {there};
  const std::vector<SendResult> results = co_await from.broadcast(targets, "late", options);
  CHECK(results.at(0).error == SendError::timed_out);
  CHECK(one->metrics().connections_outbound == 1);
  co_await other->stop();
  const SendResult late = co_await from.send(there, "d");
  CHECK(late.error == SendError::connect_failed);

  // The port is free at once, for another one.
  auto again = make(io, address);
  again->start();
  const bool ready = co_await again->ready_or_done();
  CHECK(ready);
  co_await again->stop();
  co_await one->stop();
}

CO_TEST_CASE("component: a node is one, and stops with its group", on_a_context, asio::io_context& io) {
  NodeOptions options;
  const auto node = std::make_shared<NodeComponent>("node", Node(io.get_executor(), options),
                                                    std::vector<std::string>{"tcp://127.0.0.1:0"});
  const auto network = make(io, "tcp://127.0.0.1:0");
  const auto group = std::make_shared<ComponentGroup>(io.get_executor(), "house",
                                                      std::vector<std::shared_ptr<Component>>{node, network});
  const auto scope = Scope::make_root({});
  group->start(scope);
  co_await group->ready();
  CHECK(node->node().addresses().size() == 1);
  const NodeId found = co_await network->connect(node->node().addresses().at(0));
  CHECK(found == node->node().id());
  scope->cancel();
  co_await group->done();
  CHECK(node->node().links_count() == 0);
}

CO_TEST_CASE("component: a node that cannot listen is irrecoverable, and done", on_a_context, asio::io_context& io) {
  std::string failed;
  const auto node =
      std::make_shared<NodeComponent>("node", Node(io.get_executor()), std::vector<std::string>{"tcp://nowhere"});
  const auto scope = Scope::make_root([&](const std::string& component, std::exception_ptr) { failed = component; });
  node->start(scope);
  co_await node->done();
  CHECK(failed == "node");
  CHECK_FALSE(node->is_ready());
}

CO_TEST_CASE("network: the longest of each duration is never due, and cuts nothing short", on_a_context,
             asio::io_context& io) {
  auto one = make_without_deadlines(io);
  auto other = make_without_deadlines(io);
  std::string heard;
  Conduit from = one->register_processor("chat", [](NodeId, Message) -> awaitable<void> { co_return; });
  Conduit to = other->register_processor("chat", [&](NodeId, Message message) -> awaitable<void> {
    heard += message.payload.text();
    co_return;
  });
  one->start();
  other->start();
  co_await one->ready();
  co_await other->ready();
  const std::string address = other->addresses().at(0);
  const NodeId there = co_await one->connect("tcp://name.test" + address.substr(address.rfind(':')));
  CHECK(there == other->local_id());
  for (const char* text : {"a", "b", "c"}) {
    const SendResult sent = co_await from.send_acked(there, text);
    CHECK_MESSAGE(sent, sent.text);
  }
  CHECK(heard == "abc");
  CHECK(one->metrics().evictions == 0);
  co_await one->stop();
  co_await other->stop();
}

CO_TEST_CASE("component: a node with the longest stop_deadline waits for what runs there", on_a_context,
             asio::io_context& io) {
  const auto node = std::make_shared<NodeComponent>("node", Node(io.get_executor(), node_without_deadlines()),
                                                    std::vector<std::string>{"tcp://127.0.0.1:0"}, never);
  node->node().serve("tell", [](Circuit circuit) -> awaitable<void> {
    std::optional<Fragment> asked = co_await circuit.receive();
    if (asked) co_await circuit.send(std::move(*asked));
  });
  const auto scope = Scope::make_root({});
  node->start(scope);
  co_await node->ready();
  Node here(io.get_executor(), node_without_deadlines());
  const auto me = here.new_peer("asker");
  Circuit circuit =
      me->join_or_start(node->node().addresses().at(0), "tell", std::nullopt, CircuitOptions({}, {}, true));
  co_await circuit.accepted();
  scope->cancel();
  for (int turn = 0; turn < 50; ++turn) co_await asio::post(asio::use_awaitable);
  co_await circuit.send(Fragment(1, "still there?"));
  const std::optional<Fragment> answer = co_await circuit.receive();
  CHECK(answer->payload.text() == "still there?");
  circuit.close();
  co_await node->done();
  co_await here.close();
}
