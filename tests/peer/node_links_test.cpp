// What a node says about its connections to those who count, show or end them.
#include "circuit/trunk.hpp"
#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/peer/node_pair.hpp"

#include <algorithm>

using namespace trunkline;
using namespace trunkline::test;

namespace {

std::vector<std::string> changes; // "here opened", ...

void note_changes(NodeOptions& options) {
  changes.clear();
  options.on_link = [name = options.name](LinkChange change, const LinkInfo& view) {
    const char* const words[] = {"opened", "draining", "over"};
    changes.push_back(name + " " + words[static_cast<int>(change)] + (view.trunk ? "" : " without a trunk"));
  };
}

awaitable<void> shows_trunks(NodePair& pair);
TEST_CASE("node: its trunks are shown with who is at the far end, and each is told of once it is open") {
  both_ways(shows_trunks, note_changes);
}
awaitable<void> shows_trunks(NodePair& pair) {
  const auto trunks = pair.here.links();
  REQUIRE(trunks.size() == 1);
  CHECK(trunks[0].counters.bytes_sent > 0);
  CHECK(trunks[0].counters.bytes_received > 0);
  CHECK(trunks[0].node == pair.there.id());
  CHECK(trunks[0].name == "there");
  CHECK(trunks[0].dialled == (pair.dialler == NodePair::Dialler::here));
  CHECK(trunks[0].addresses.empty() == (pair.dialler == NodePair::Dialler::there)); // only one of both listens
  const auto found = pair.here.link_with(pair.there.id());
  REQUIRE(found.has_value());
  CHECK(found->trunk == trunks[0].trunk);
  CHECK_FALSE(pair.here.link_with(pair.here.id()).has_value());
  CHECK(changes.size() == 2);
  co_return;
}

awaitable<void> ends_at_once(NodePair& pair);
TEST_CASE("node: a trunk that is ended at once tells its circuits the reason, and counts as lost nowhere") {
  both_ways(ends_at_once, note_changes);
}
awaitable<void> ends_at_once(NodePair& pair) {
  const auto me = pair.there.new_peer("me");
  Keeper keeper;
  pair.here.register_service("keep", keeper.service());
  Circuit circuit = me->join_or_start(pair.here_address, "keep", Fragment(1, "x"));
  Circuit far = co_await keeper.next();

  pair.here.end_link(pair.here.links().at(0).trunk, Duration::zero(), End(error::draining, "not needed any more"));

  const End end = co_await circuit.ended();
  CHECK(end.to_string().find("not needed any more") != std::string::npos);
  while (pair.here.links_count() + pair.there.links_count() > 0) co_await asio::post(asio::use_awaitable);
  CHECK(pair.here.counters().trunks_lost == 0);
  CHECK(pair.there.counters().trunks_lost == 0);
  CHECK(pair.here.links().empty());
  CHECK(changes.back().find("over") != std::string::npos);
}

awaitable<void> ends_after_the_last_circuit(NodePair& pair);
TEST_CASE("node: a trunk that is ended with a deadline takes no new circuits and ends with its last one") {
  both_ways(ends_after_the_last_circuit, note_changes);
}
awaitable<void> ends_after_the_last_circuit(NodePair& pair) {
  const auto me = pair.there.new_peer("me");
  Keeper keeper;
  pair.here.register_service("keep", keeper.service());
  Circuit circuit = me->join_or_start(pair.here_address, "keep", Fragment(1, "x"));
  Circuit far = co_await keeper.next();

  pair.here.end_link(pair.here.links().at(0).trunk, std::chrono::hours(1), End());
  CHECK(pair.here.links().at(0).draining);
  CHECK_FALSE(pair.here.link_with(pair.there.id()).has_value()); // not for new circuits
  co_await circuit.send(Fragment(2, "y"));
  circuit.finish();
  far.finish();
  for (const char* expected : {"x", "y", "(end)"}) {
    const std::optional<Fragment> fragment = co_await far.receive();
    CHECK(text_of(fragment) == expected);
  }
  const std::optional<Fragment> nothing = co_await circuit.receive();
  CHECK_FALSE(nothing);

  while (pair.here.links_count() + pair.there.links_count() > 0) co_await asio::post(asio::use_awaitable);
  for (const char* told : {"here draining", "there draining", "here over", "there over"}) {
    CAPTURE(told);
    CHECK(std::count(changes.begin(), changes.end(), told) == 1);
  }
}

/// The native machine, but with names of its own.
void speak_a_dialect(NodeOptions& options) {
  options.dialect = [name = options.name](MachineSetup setup, Instant now) {
    CHECK(setup.node_name == name);
    CHECK_FALSE(setup.far_end.empty());
    return native_machine(setup.dialled, setup.limits, name == "here" ? "dialect-of-here." : "dialect-of-there", now);
  };
}

awaitable<void> speaks_a_dialect(NodePair& pair);
TEST_CASE("node: it makes the machine of each trunk with the dialect that it was given") {
  both_ways(speaks_a_dialect, speak_a_dialect);
}
awaitable<void> speaks_a_dialect(NodePair& pair) {
  CHECK(pair.here.links().at(0).name == "dialect-");
  CHECK(pair.there.links().at(0).node == *NodeId::from_bytes("dialect-of-here."));
  pair.there.serve("echo", echo);
  Circuit circuit = pair.here.new_peer("me")->join_or_start(
      "node://" + NodeId::from_bytes("dialect-of-there")->to_string(), "echo", Fragment(0, "hello"));
  const std::optional<Fragment> answer = co_await circuit.receive();
  CHECK(text_of(answer) == "hello");
}

} // namespace

TEST_CASE("node: an id that is given is the id, so that an address book outlives a process") {
  asio::io_context io(1);
  NodeOptions options;
  options.id = *NodeId::from_bytes("0123456789abcdef");
  Node node(io.get_executor(), options);
  CHECK(node.id() == options.id);
}
