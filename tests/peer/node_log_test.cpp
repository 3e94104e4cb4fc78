// A program's log sink and its on_link run in the middle of a node's work. Here each of their calls throws once, one
// after another, in a scenario that makes a node say nearly everything it has to say; the node has to serve on as if
// nothing had been thrown.
#include "tests/peer/node_pair.hpp"

#include <boost/system/system_error.hpp>

#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// Throws at one of its calls.
class ThrowsOnce {
 public:
  explicit ThrowsOnce(int at) : left_(at) {}
  void call() {
    ++calls_;
    if (left_ >= 0 && left_-- == 0) throw std::runtime_error("no space left on device");
  }
  int calls() const noexcept { return calls_; }

 private:
  int left_;
  int calls_ = 0;
};

awaitable<void> echo(Circuit circuit) {
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) co_return;
    co_await circuit.send(std::move(*fragment));
  }
}

awaitable<void> boom(Circuit circuit) {
  co_await circuit.receive();
  throw std::runtime_error("boom");
}

/// How a circuit to a service ends whose first answer is asked for.
awaitable<std::string> ask(Node& node, std::string address, std::string service) {
  std::string said;
  try {
    Circuit circuit = node.new_peer("asker")->join_or_start(address, service, Fragment(1, "x"));
    const std::optional<Fragment> answer = co_await circuit.receive();
    said = answer ? "answered" : "ended";
    circuit.close();
  } catch (const boost::system::system_error& thrown) {
    said = to_string(static_cast<error>(thrown.code().value()));
  }
  co_return said;
}

struct World {
  World(ThrowsOnce& log, ThrowsOnce& on_link) : server(io.get_executor(), options(log, on_link)) {
    server.serve("echo", echo);
    server.serve("boom", boom);
    server.listen("mem://server");
  }
  NodeOptions options(ThrowsOnce& log, ThrowsOnce& on_link) const {
    NodeOptions with;
    with.media["mem"] = memory;
    with.handshakes_max = 1;
    with.trunks_max = 3;
    with.log = [&log](LogLevel, std::string_view) { log.call(); };
    with.on_link = [&on_link](LinkChange, const LinkInfo&) { on_link.call(); };
    return with;
  }
  Node client() {
    NodeOptions with;
    with.media["mem"] = memory;
    return Node(io.get_executor(), std::move(with));
  }

  asio::io_context io{1};
  std::shared_ptr<Medium> memory = std::make_shared<MemoryMedium>();
  Node server;
};

awaitable<void> everything(World& world) {
  const std::string there = "mem://server";
  const auto silent = co_await world.memory->dial(there); // gives way to the next one
  const auto garbage = co_await world.memory->dial(there);
  const std::string words = "GET / HTTP/1.1\r\n\r\n";
  const auto bytes = std::as_bytes(std::span(words));
  const std::span<const std::span<const std::byte>> piece(&bytes, 1);
  co_await garbage->write(piece);
  while (world.server.counters().connections_unrecognised == 0) co_await asio::post(asio::use_awaitable);

  Node one = world.client();
  Node two = world.client();
  const std::string first = co_await ask(one, there, "echo");
  CHECK(first == "answered");
  const std::string failed = co_await ask(one, there, "boom");
  CHECK(failed == "handler failed");
  const std::string refused = co_await ask(one, there, "nowhere");
  CHECK(refused == "no service");
  const std::string again = co_await ask(one, there, "echo");
  CHECK(again == "answered");
  const std::string of_another = co_await ask(two, there, "echo");
  CHECK(of_another == "answered");
  co_await one.close();
  while (world.server.links().size() > 1) co_await asio::post(asio::use_awaitable);
  Node three = world.client();
  const std::string afterwards = co_await ask(three, there, "echo");
  CHECK(afterwards == "answered");
  co_await two.close();
  co_await three.close();
  co_await world.server.close();
}

/// Returns how often each of the two was called.
std::pair<int, int> run_with(int log_throws_at, int on_link_throws_at) {
  ThrowsOnce log(log_throws_at);
  ThrowsOnce on_link(on_link_throws_at);
  World world(log, on_link);
  INFO("log throws at ", log_throws_at, ", on_link at ", on_link_throws_at);
  run_coroutine(world.io, everything(world));
  return {log.calls(), on_link.calls()};
}

} // namespace

TEST_CASE("node: a log sink that throws costs its line and nothing else, whatever the line") {
  const int lines = run_with(-1, -1).first;
  CHECK(lines >= 8);
  for (int i = 0; i < lines; ++i) CHECK(run_with(i, -1).first == lines);
}

TEST_CASE("node: an on_link that throws costs nothing, and the log says so") {
  const auto [lines, changes] = run_with(-1, -1);
  CHECK(changes >= 5);
  for (int i = 0; i < changes; ++i) {
    const auto [lines_then, changes_then] = run_with(-1, i);
    CHECK(changes_then == changes);
    CHECK(lines_then == lines + 1);
  }
}

namespace {

awaitable<void> come_and_go(NodePair& pair) {
  Node& listener = pair.dialler == NodePair::Dialler::here ? pair.there : pair.here;
  const std::string address = listener.addresses().front();
  const std::string words = "complete nonsense\r\n";
  const auto bytes = std::as_bytes(std::span(words));
  const std::span<const std::span<const std::byte>> piece(&bytes, 1);
  for (std::uint64_t i = 1; i <= 200; ++i) {
    const auto garbage = co_await pair.memory->dial(address);
    co_await garbage->write(piece);
    while (listener.counters().connections_unrecognised < i) co_await asio::post(asio::use_awaitable);
  }
  const auto me = pair.here.new_peer("caller");
  for (int i = 0; i < 200; ++i) {
    Circuit circuit = me->join_or_start(pair.there_address, "nowhere", Fragment(1, "x"));
    const End end = co_await circuit.ended();
    CHECK(end.code == error::no_service);
  }
}

} // namespace

TEST_CASE("node: however often far sides do the same, the log keeps the rate of each kind of line") {
  NodePair pair(NodePair::Dialler::here);
  run_coroutine(pair.io, meet_and_run(pair, come_and_go));
  CHECK(pair.log.has_line("not trunkline"));
  CHECK(pair.log.has_line("refused"));
  CHECK(pair.log.lines().size() < 60); // of more than four hundred
}
