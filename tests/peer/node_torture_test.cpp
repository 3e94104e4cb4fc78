// Everything stops in the middle: nodes are destroyed after the n-th handler for every n, and the n-th I/O operation
// fails for every n. Nothing may crash, hang or leak, nothing may run after its owner, and what was acknowledged has
// arrived.
#include "tests/peer/faulty.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/breakpoints.hpp"

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<void> ignore_failures(awaitable<void> operation) {
  try {
    co_await std::move(operation);
  } catch (const boost::system::system_error&) {
    // Whatever was stopped says so; the test is about what stays behind.
  }
}

awaitable<void> talk(std::shared_ptr<LocalPeer> me, std::string there) {
  Circuit echoed = me->join_or_start(there, "echo", Fragment(0, "first"));
  for (int i = 0; i < 3; ++i) co_await echoed.send(Fragment(i, std::string(100, 'x')));
  echoed.finish();
  for (int i = 0; i < 4; ++i) co_await echoed.receive();
  co_await echoed.finish_acknowledged();

  Circuit started = me->start(there, "store", Fragment(0, "first"), CircuitOptions("", "", true));
  co_await started.accepted();
  Circuit beside = started.new_circuit(Fragment(0, "beside"));
  me->set_metadata("colour", "green");
  beside.reset();
  started.close(End(error::access_denied, "enough"));
  co_await started.ended();

  Circuit failing = me->join_or_start(there, "failing", Fragment(0, "x"));
  co_await failing.ended();
  Circuit refused = me->join_or_start(there, "nothing", Fragment(0, "x"));
  co_await refused.ended();
}

awaitable<void> fail_at_once(Circuit circuit) {
  co_await circuit.receive();
  throw std::runtime_error("planted");
}

/// Two nodes that dial each other at once and talk both ways.
struct Village {
  explicit Village(asio::io_context& io) : one(make(io, "one")), other(make(io, "other")) {
    one->listen("mem://one");
    other->listen("mem://other");
    peers = {one->new_peer("left"), other->new_peer("right")};
    peers[0]->spawn(ignore_failures(talk(peers[0], "mem://other")));
    peers[1]->spawn(ignore_failures(talk(peers[1], "mem://one")));
  }

  std::unique_ptr<Node> make(asio::io_context& io, const std::string& name) {
    NodeOptions options;
    options.name = name;
    options.media["mem"] = memory;
    options.redial.initial = {}; // a dial that fails does so at once
    auto node = std::make_unique<Node>(io.get_executor(), std::move(options));
    node->serve("echo", echo);
    node->serve("failing", fail_at_once);
    node->register_service("store", keeper.service());
    return node;
  }

  std::shared_ptr<Medium> memory = std::make_shared<MemoryMedium>();
  Keeper keeper;
  std::unique_ptr<Node> one;
  std::unique_ptr<Node> other;
  std::vector<std::shared_ptr<LocalPeer>> peers;
};

} // namespace

TEST_CASE("node: destroyed after any handler, with its context, it leaves nothing behind") {
  const std::size_t runs =
      stop_after_each_handler(After::destroy_all, [](asio::io_context& io) { return std::make_unique<Village>(io); });
  CHECK(runs > 50);
}

TEST_CASE("node: destroyed after any handler, its context runs out of work by itself") {
  const std::size_t runs =
      stop_after_each_handler(After::run_on, [](asio::io_context& io) { return std::make_unique<Village>(io); });
  CHECK(runs > 50);
}

TEST_CASE("node: when it is destroyed after any handler, the other one lives on without its trunk") {
  bool at_rest = false;
  std::size_t stop_after = 0;
  for (; !at_rest; ++stop_after) {
    CAPTURE(stop_after);
    asio::io_context io(1);
    Village village(io);
    for (std::size_t ran = 0; ran < stop_after && !at_rest; ++ran)
      at_rest = io.run_one_for(std::chrono::seconds(1)) == 0;
    Node& survivor = stop_after % 2 ? *village.other : *village.one;

    (stop_after % 2 ? village.one : village.other).reset();
    io.restart();
    while (io.poll() > 0 && survivor.links_count() > 0) {}

    CHECK(survivor.links_count() == 0);
    CHECK(survivor.local_peers().size() > 0);
  }
  CHECK(stop_after > 50);
}

namespace {

struct Received {
  int count = 0;
  bool in_order = true;
  bool complete = false;
};

awaitable<void> receive_all(Circuit circuit, std::shared_ptr<Received> received) {
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    received->in_order = received->in_order && fragment->op == received->count;
    ++received->count;
  }
  received->complete = true;
}

awaitable<void> receive_circuits(std::shared_ptr<Received> received, LocalPeer& peer, CircuitInbox& inbox) {
  for (;;) {
    std::optional<Circuit> circuit = co_await inbox.next();
    if (!circuit) co_return;
    peer.spawn(receive_all, std::move(*circuit), received);
  }
}

awaitable<void> send_all(NodePair& pair, std::shared_ptr<bool> acknowledged) {
  const auto me = pair.here.new_peer("sender");
  Circuit circuit = me->join_or_start(pair.there_address, "sink", Fragment(0, std::string(1000, 'x')));
  for (int i = 1; i < 100; ++i) co_await circuit.send(Fragment(i, std::string(10000, 'x')));
  circuit.finish();
  co_await circuit.finish_acknowledged();
  *acknowledged = true;
}

awaitable<void> meet_and_send(NodePair& pair, std::shared_ptr<bool> acknowledged) {
  if (pair.dialler == NodePair::Dialler::there) co_await ignore_failures(pair.meet());
  co_await ignore_failures(send_all(pair, acknowledged));
  co_await pair.here.close();
  co_await pair.there.close();
}

} // namespace

TEST_CASE("node: whichever I/O operation fails, everything ends and what was acknowledged has arrived") {
  for (const auto dialler : {NodePair::Dialler::here, NodePair::Dialler::there}) {
    int acknowledged_count = 0;
    const std::size_t runs = fail_each_io([&](FailPoint& point) {
      CAPTURE(point.operations());
      const auto received = std::make_shared<Received>();
      const auto acknowledged = std::make_shared<bool>(false);
      std::shared_ptr<FaultyMedium> medium;
      NodePair pair(dialler, "mem", [&](NodeOptions& options) {
        if (!medium) medium = std::make_shared<FaultyMedium>(options.media["mem"], &point);
        options.media["mem"] = medium;
      });
      pair.there.register_service(
          "sink", [received](LocalPeer& peer, CircuitInbox& inbox) { return receive_circuits(received, peer, inbox); });

      run_coroutine(pair.io, meet_and_send(pair, acknowledged));

      CHECK(received->in_order);
      if (*acknowledged) {
        CHECK(received->count == 100);
        CHECK(received->complete);
      }
      if (received->complete) CHECK(received->count == 100);
      acknowledged_count += *acknowledged;
    });
    CHECK(runs > 20);
    CHECK(acknowledged_count > 0);
    CHECK(acknowledged_count < static_cast<int>(runs));
  }
}
