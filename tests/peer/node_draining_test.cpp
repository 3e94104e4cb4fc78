// Draining: no new circuits, those that run finish in peace, what is left at the deadline is reset, and then nothing is
// left.
#include "tests/peer/every_medium.hpp"
#include "tests/peer/node_pair.hpp"
#include "transport/sim/world.hpp"
#include "tests/support/note_thrown.hpp"
#include "tests/support/co_test_case.hpp"

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<void> drain_and_note(Node& node, Duration deadline, std::shared_ptr<bool> done) {
  co_await node.drain(deadline);
  *done = true;
}

CO_TEST_CASE("node: draining refuses new circuits both ways and lets those that run finish", over_media,
             NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("browser");
  const auto done = std::make_shared<bool>(false);
  Circuit near = me->new_circuit(pair.url_there(*store), Fragment(0, "first"));
  Circuit far = co_await keeper.next();
  co_await far.receive();

  me->spawn(drain_and_note(pair.there, std::chrono::hours(1), done));
  Circuit late = me->new_circuit(pair.url_there(*store)); // on its way when the drain begins
  const End refused = co_await late.ended();
  CHECK((refused.code == error::draining || refused.code == error::connect_failed));
  co_await settle();
  CHECK_THROWS_WITH(store->new_circuit(pair.url_here(*me)), doctest::Contains("draining"));
  CHECK(near.new_circuit().end()->code == error::draining);
  CHECK(far.new_circuit().end()->code == error::draining);

  CHECK_FALSE(*done);
  for (int i = 0; i < 100; ++i) co_await near.send(Fragment(i, "x"));
  co_await far.send(Fragment(0, "answer"));
  far.finish();
  for (int i = 0; i < 100; ++i) {
    const std::optional<Fragment> fragment = co_await far.receive();
    REQUIRE(fragment);
    CHECK(fragment->op == i);
  }
  const std::optional<Fragment> answer = co_await near.receive();
  CHECK(text_of(answer) == "answer");
  near.close();
  const End end = co_await far.ended();
  CHECK(end.clean());
  while (!*done) co_await asio::post(asio::use_awaitable);
  CHECK(pair.there.links_count() == 0);
  CHECK_FALSE(store->is_ending());
  CHECK(pair.there.addresses().empty());
}

CO_TEST_CASE("node: draining without circuits ends at once", both_ways, NodePair& pair) {
  co_await pair.there.drain(std::chrono::hours(1));
  CHECK(pair.there.links_count() == 0);
  while (pair.here.links_count() > 0) co_await asio::post(asio::use_awaitable);
  co_await pair.there.drain(std::chrono::hours(1)); // again: nothing to do
}

CO_TEST_CASE("node: a drain that is cancelled throws operation_aborted, and nothing else", both_ways, NodePair& pair) {
  const auto me = pair.here.new_peer("asker");
  pair.there.serve("keep", echo);
  Circuit kept = me->join_or_start(pair.there_address, "keep", Fragment(1));
  co_await kept.receive();

  std::string thrown;
  const auto failed = co_await as_result(
      within(std::chrono::milliseconds(20), note_thrown(pair.here.drain(std::chrono::hours(1)), thrown)));

  CHECK(failed.error() == error::timed_out);
  CHECK(thrown == "aborted");
}

CO_TEST_CASE("node: both nodes may drain at once", both_ways, NodePair& pair) {
  const auto done = std::make_shared<bool>(false);
  const auto me = pair.here.new_peer("browser");
  me->spawn(drain_and_note(pair.here, std::chrono::hours(1), done));
  co_await pair.there.drain(std::chrono::hours(1));
  while (!*done) co_await asio::post(asio::use_awaitable);
  CHECK(pair.here.links_count() == 0);
}

} // namespace

namespace {

struct Simulated {
  explicit Simulated(std::uint64_t seed) : world(seed), one(make("one")), other(make("other")) {
    other.register_service("store", keeper.service());
    other.listen("sim://other");
  }
  Node make(const std::string& name) {
    NodeOptions options;
    options.name = name;
    options.media["sim"] = world.medium(name);
    options.random = world.random(name);
    return Node(world.executor(), std::move(options));
  }

  sim::World world;
  Keeper keeper;
  Node one;
  Node other;
};

} // namespace

static awaitable<void> deadline_resets(Simulated& pair, bool from_dialler);
TEST_CASE("node: circuits that outlive the drain deadline are reset on both sides") {
  for (const bool from_dialler : {true, false}) {
    Simulated pair(test_seed());
    pair.world.run(deadline_resets(pair, from_dialler));
  }
}
static awaitable<void> deadline_resets(Simulated& pair, bool from_dialler) {
  const auto me = pair.one.new_peer("browser");
  Circuit near = me->join_or_start("sim://other", "store", Fragment(0, "x"));
  Circuit far = co_await pair.keeper.next();
  const TimePoint begin = pair.world.now();

  Node& drained = from_dialler ? pair.one : pair.other;
  co_await drained.drain(std::chrono::seconds(7));

  for (Circuit* circuit : {&near, &far}) {
    const End end = co_await circuit->ended();
    CHECK(end.code == error::draining);
  }
  CHECK(pair.world.now() - begin >= std::chrono::seconds(7));
  CHECK(pair.world.now() - begin < std::chrono::seconds(9));
  CHECK(drained.links_count() == 0);
}

static awaitable<void> drain_while_dialling(Simulated& pair);
TEST_CASE("node: a trunk that is still being dialled does not hold up a drain beyond its deadline") {
  Simulated pair(test_seed());
  pair.world.run(drain_while_dialling(pair));
}
static awaitable<void> drain_while_dialling(Simulated& pair) {
  pair.world.partition("one", "other");
  const auto me = pair.one.new_peer("browser");
  Circuit near = me->join_or_start("sim://other", "store", Fragment(0, "x"));
  co_await sleep_for(std::chrono::seconds(1));

  co_await pair.one.drain(std::chrono::seconds(2));

  const End end = co_await near.ended();
  CHECK(end.code == error::draining);
  CHECK(pair.world.elapsed() == std::chrono::seconds(3));
}
