// The five ways to a circuit, what it carries, and what both ends know about it. Every scenario runs with either node
// dialling: nothing in it may depend on who did.
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"

#include <set>

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<void> expect_text(Circuit& circuit, std::string text) {
  const std::optional<Fragment> fragment = co_await circuit.receive();
  CHECK(text_of(fragment) == text);
}

CO_TEST_CASE("peer: a circuit opened by url carries its first fragment first, and both ends know who is who",
             everywhere, NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("browser");

  Circuit near =
      me->new_circuit(pair.url_there(*store), Fragment(7, "subject", "first"), CircuitOptions("a name", "a string"));
  Circuit far = co_await keeper.next();

  const std::optional<Fragment> first = co_await far.receive();
  REQUIRE(first);
  CHECK(first->op == 7);
  CHECK(first->subject == "subject");
  CHECK(first->payload.text() == "first");
  CHECK(first->serial() == 1);
  CHECK(first->from_peer_id() == me->id());
  CHECK(first->to_peer_id() == store->id());
  CHECK(first->from_service() == "browser");
  CHECK(first->to_service() == "store");
  CHECK(first->circuit_id() == near.id());
  CHECK(near.id() == far.id());
  CHECK(near.opened_here());
  CHECK_FALSE(far.opened_here());
  CHECK_FALSE(near.dialled());
  for (const Circuit* end : {&near, &far}) {
    CHECK(end->name() == "a name");
    CHECK(end->user_string() == "a string");
    CHECK(end->is_open());
  }
  CHECK(near.local_peer().id == me->id());
  CHECK(near.remote_peer().id == store->id());
  CHECK(far.local_peer().id == store->id());
  CHECK(far.remote_peer().id == me->id());
  CHECK(far.remote_peer().service == "browser");
  CHECK(far.local_url() == store->url().to_string() + "/" + std::to_string(far.id()));
  CHECK(near.remote_url() == pair.url_there(*store).to_string() + "/" + std::to_string(near.id()));
  CHECK(near.local_url() == me->url().to_string() + "/" + std::to_string(near.id()));
  CHECK(far.remote_url() == pair.url_here(*me).to_string() + "/" + std::to_string(far.id()));
}

/// Takes what waits each time it is woken, without waiting in between.
awaitable<void> take_all_at_once(CircuitInbox& circuits, std::vector<std::size_t>& batches,
                                 std::vector<std::string>& names) {
  while (std::optional<Circuit> circuit = co_await circuits.next()) {
    batches.push_back(0);
    for (; circuit; circuit = circuits.try_next()) {
      ++batches.back();
      names.push_back(circuit->name());
      circuit->close();
    }
  }
  CHECK_FALSE(circuits.try_next());
}

CO_TEST_CASE("peer: circuits that wait in the inbox are taken without waiting, in order", everywhere, NodePair& pair) {
  std::vector<std::size_t> batches;
  std::vector<std::string> names;
  pair.there.register_service(
      "store", [&](LocalPeer&, CircuitInbox& circuits) { return take_all_at_once(circuits, batches, names); });
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("browser");
  std::vector<Circuit> circuits;
  for (const char* name : {"one", "two", "three"})
    circuits.push_back(me->new_circuit(pair.url_there(*store), Fragment(), CircuitOptions(name, "")));
  for (Circuit& circuit : circuits) {
    const std::optional<Fragment> nothing = co_await circuit.receive();
    CHECK_FALSE(nothing);
  }
  CHECK(names == std::vector<std::string>{"one", "two", "three"});
  CHECK(batches.front() > 1); // they came in one packet
}

CO_TEST_CASE("peer: what follows the first fragment arrives in order, and a finish leaves the other direction open",
             everywhere, NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("browser");

  Circuit near = me->new_circuit(pair.url_there(*store), Fragment(0, "first"));
  CHECK(near.counters().fragments_sent == 1);
  for (int i = 0; i < 10; ++i) CHECK(near.send_one_way(Fragment(i, std::to_string(i))) == SendOutcome::queued);
  near.finish();
  Circuit far = co_await keeper.next();

  co_await expect_text(far, "first");
  for (int i = 0; i < 10; ++i) co_await expect_text(far, std::to_string(i));
  co_await expect_text(far, "(end)");
  CHECK(far.counters().fragments_received == 11);
  CHECK(far.is_open());
  co_await near.finish_acknowledged();
  co_await far.send(Fragment(0, "the other direction goes on"));
  co_await expect_text(near, "the other direction goes on");
}

// The counts of both peers agree after every step, whichever side opens or closes.
CO_TEST_CASE("peer: the circuits of two peers are counted alike on both sides, whoever opens or closes them", both_ways,
             NodePair& pair) {
  Keeper keeper_there;
  Keeper keeper_here;
  pair.there.register_service("store", keeper_there.service());
  pair.here.register_service("store", keeper_here.service());
  const auto there = pair.there.start_local_peer("store");
  const auto here = pair.here.start_local_peer("store");

  Circuit one = here->new_circuit(pair.url_there(*there), Fragment(0, "one"));
  Circuit one_far = co_await keeper_there.next();
  CHECK(here->circuits_count() == 1);
  CHECK(there->circuits_count() == 1);
  Circuit two = one.new_circuit(Fragment(0, "two"), CircuitOptions("second"));
  Circuit two_far = co_await keeper_there.next();
  CHECK(two_far.name() == "second");
  Circuit three = one_far.new_circuit(Fragment(0, "three"));
  Circuit three_far = co_await keeper_here.next();
  CHECK(here->circuits_count() == 3);
  CHECK(there->circuits_count() == 3);

  for (Circuit* end : {&one, &two, &three, &three_far, &two_far, &one_far})
    for (int i = 0; i < 10; ++i) co_await end->send(Fragment(i, "x"));
  co_await expect_text(one_far, "one");
  co_await expect_text(two_far, "two");
  co_await expect_text(three_far, "three");
  for (Circuit* end : {&one, &two, &three, &three_far, &two_far, &one_far}) {
    for (int i = 0; i < 10; ++i) {
      const std::optional<Fragment> fragment = co_await end->receive();
      REQUIRE(fragment);
      CHECK(fragment->op == i);
    }
    CHECK(end->counters().fragments_sent == (end->opened_here() ? 11 : 10));
    CHECK(end->counters().fragments_received == (end->opened_here() ? 10 : 11));
  }

  one_far.close();
  const End one_end = co_await one.ended();
  CHECK(one_end.clean());
  co_await one_far.ended();
  CHECK(here->circuits_count() == 2);
  CHECK(there->circuits_count() == 2);
  two.close();
  co_await two_far.ended();
  co_await two.ended();
  CHECK(here->circuits_count() == 1);
  CHECK(there->circuits_count() == 1);
  CHECK(three.is_open());
  CHECK_FALSE(here->is_ending());
  CHECK_FALSE(there->is_ending());
}

CO_TEST_CASE("peer: a fragment with an error arrives on errors, both ways, and leaves the circuit open", both_ways,
             NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("browser");
  Circuit near = me->new_circuit(pair.url_there(*store));
  Circuit far = co_await keeper.next();

  for (Circuit* from : {&near, &far}) {
    Circuit* to = from == &near ? &far : &near;
    co_await from->send(Fragment::error("something is odd"));
    co_await from->send(Fragment(1, "an ordinary one"));
    const std::optional<Fragment> complaint = co_await to->receive_error();
    REQUIRE(complaint);
    CHECK(complaint->err == "something is odd");
    CHECK(complaint->type() == FragmentType::error);
    co_await expect_text(*to, "an ordinary one");
  }
  CHECK(me->circuits_count() == 1);
  CHECK(store->circuits_count() == 1);
}

CO_TEST_CASE(
    "peer: starting an instance and opening a circuit to it is one flight, and the opener knows its id at once",
    both_ways, NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("browser");

  Circuit one = me->start(pair.there_address, "store", Fragment(0, "first"));
  Circuit two = me->start(pair.there_address, "store", std::nullopt, CircuitOptions("", "", true));
  Circuit one_far = co_await keeper.next();
  Circuit two_far = co_await keeper.next();
  co_await two.accepted();

  CHECK(keeper.started() == 2);
  CHECK(pair.there.local_peers("store").size() == 2);
  CHECK(one.remote_peer().id == one_far.local_peer().id);
  CHECK(two.remote_peer().id == two_far.local_peer().id);
  CHECK(one.remote_peer().id != two.remote_peer().id);
  CHECK(one.remote_peer().id == pair.there.local_peers("store").front()->id());
  co_await expect_text(one_far, "first");
  CHECK_FALSE(two_far.try_receive());
}

awaitable<void> join_or_start(NodePair& pair);
TEST_CASE("peer: those who join or start an instance all reach the same one") { both_ways(join_or_start); }
awaitable<void> join_or_start(NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("browser");

  Circuit one = me->join_or_start(pair.there_address, "store", Fragment(0, "one"));
  Circuit two = me->join_or_start(pair.there_address, "store", Fragment(0, "two"));
  Circuit three = me->new_circuit(PeerUrl(pair.there_address, "store", PeerId()), Fragment(0, "three"));
  CHECK(one.remote_peer().id.empty());
  co_await one.accepted();
  co_await two.accepted();
  co_await three.accepted();

  REQUIRE(pair.there.local_peers("store").size() == 1);
  const auto store = pair.there.local_peers("store").front();
  for (Circuit* circuit : {&one, &two, &three}) CHECK(circuit->remote_peer().id == store->id());
  CHECK(one.remote_url() == pair.url_there(*store).to_string() + "/" + std::to_string(one.id()));
  for (const char* text : {"one", "two", "three"}) {
    Circuit far = co_await keeper.next();
    co_await expect_text(far, text);
    far.close();
  }
}

awaitable<void> start_only(NodePair& pair);
TEST_CASE("node: an instance is started there without a circuit, and can be reached by its url") {
  both_ways(start_only);
}
awaitable<void> start_only(NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());

  const RemotePeer remote =
      co_await pair.here.new_peer("starter")->start_only(pair.there_address, "store", std::chrono::seconds(20));

  CHECK_FALSE(remote.dialled);
  REQUIRE(pair.there.local_peers("store").size() == 1);
  CHECK(pair.there.local_peers("store").front()->id() == remote.url.peer_id());
  CHECK(remote.url.service() == "store");
  CHECK(keeper.waiting() == 0); // it was started without a circuit
  const auto me = pair.here.new_peer("browser");
  Circuit near = me->new_circuit(remote.url, Fragment(0, "hello"));
  Circuit far = co_await keeper.next();
  co_await expect_text(far, "hello");
}

// Both nodes run the same service; each starts one on the other, and the other opens back to who opened.
CO_TEST_CASE("node: either side starts peers on the other, and opens circuits back to who opened one", both_ways,
             NodePair& pair) {
  Keeper keeper_there;
  Keeper keeper_here;
  pair.there.register_service("store", keeper_there.service());
  pair.here.register_service("store", keeper_here.service());

  const RemotePeer remote_there =
      co_await pair.here.new_peer("starter")->start_only(pair.there_address, "store", std::chrono::seconds(20));
  const RemotePeer remote_here =
      co_await pair.there.new_peer("starter")->start_only(pair.here_address, "store", std::chrono::seconds(20));
  const auto local_here = pair.here.local_peers("store").front();
  CHECK(local_here->id() == remote_here.url.peer_id());
  Circuit near = local_here->new_circuit(remote_there.url, Fragment(0, "forth"));
  Circuit far = co_await keeper_there.next();
  co_await expect_text(far, "forth");
  const auto local_there = pair.there.local_peers("store").front();
  Circuit back = local_there->new_circuit(PeerUrl::parse(far.remote_url()), Fragment(0, "back"));
  Circuit back_far = co_await keeper_here.next();
  co_await expect_text(back_far, "back");

  CHECK(back_far.local_peer().id == local_here->id());
  CHECK(pair.here.links_count() == 1);
  CHECK(pair.there.links_count() == 1);
}

CO_TEST_CASE("node: a served function answers each circuit by a call of its own, in one instance", everywhere,
             NodePair& pair) {
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("caller");

  std::vector<Circuit> circuits;
  for (int i = 0; i < 5; ++i) {
    circuits.push_back(me->join_or_start(pair.there_address, "echo", Fragment(i, "hello")));
    circuits.back().finish();
  }

  for (int i = 0; i < 5; ++i) {
    const std::optional<Fragment> answer = co_await circuits[static_cast<std::size_t>(i)].receive();
    REQUIRE(answer);
    CHECK(answer->op == i);
    co_await expect_text(circuits[static_cast<std::size_t>(i)], "(end)");
  }
  CHECK(pair.there.local_peers("echo").size() == 1);
  const End end = co_await circuits.front().ended();
  CHECK(end.clean());
}

CO_TEST_CASE("peer: payloads from nothing to fragment_bytes_max come through whole", everywhere, NodePair& pair) {
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("caller");
  Circuit circuit = me->join_or_start(pair.there_address, "echo", std::nullopt);

  for (const std::size_t size :
       {std::size_t(0), std::size_t(1), std::size_t(65536), std::size_t(65537), std::size_t(4 << 20)}) {
    std::string payload(size, 'x');
    for (std::size_t at = 0; at < size; at += 997) payload[at] = static_cast<char>(at);
    co_await circuit.send(Fragment(1, payload));
    const std::optional<Fragment> answer = co_await circuit.receive();
    REQUIRE(answer);
    CHECK(answer->payload.size() == size);
    CHECK(answer->payload.text() == payload);
  }
}

awaitable<void> huge_fragments(NodePair& pair);
TEST_CASE("peer: a fragment of 256 MiB comes back as it was, where both sides allow it") {
  both_ways(huge_fragments, [](NodeOptions& options) {
    options.limits.fragment_bytes_max = std::size_t(1) << 30;
    options.limits.trunk_memory_bytes_max = std::size_t(2) << 30;
  });
}
awaitable<void> huge_fragments(NodePair& pair) {
  pair.there.serve("echo", echo);
  const auto me = pair.here.new_peer("caller");
  Circuit circuit = me->join_or_start(pair.there_address, "echo", std::nullopt, CircuitOptions("", "", true));
  co_await circuit.accepted();
  Payload payload = Payload::uninitialized(std::size_t(256) << 20);
  const std::span<std::byte> bytes = payload.writable();
  for (std::size_t at = 0; at < bytes.size(); at += 4093) bytes[at] = static_cast<std::byte>(at >> 12);
  Fragment fragment(1, payload);
  co_await circuit.send(std::move(fragment));
  const std::optional<Fragment> answer = co_await circuit.receive();
  REQUIRE(answer);
  CHECK(std::ranges::equal(answer->payload.bytes(), payload.bytes()));
}

CO_TEST_CASE("peer: user metadata reaches the far side before the first fragment, and again when it changes", both_ways,
             NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("browser");

  me->set_metadata("colour", "green");
  Circuit near = me->new_circuit(pair.url_there(*store), Fragment(0, "first"));
  Circuit far = co_await keeper.next();
  REQUIRE(far.remote_metadata());
  CHECK(far.remote_metadata()->at("colour") == "green");
  CHECK_FALSE(near.remote_metadata());

  me->set_metadata("colour", "red");
  me->set_metadata("size", "large");
  store->set_metadata("leader", "yes");
  near.send_one_way(Fragment(0, "second"));
  co_await expect_text(far, "first");
  co_await expect_text(far, "second");
  CHECK(far.remote_metadata()->at("colour") == "red");
  CHECK(far.remote_metadata()->at("size") == "large");
  co_await far.send(Fragment(0, "answer"));
  co_await expect_text(near, "answer");
  CHECK(near.remote_metadata()->at("leader") == "yes");
  CHECK_THROWS_AS(me->set_metadata("too much", std::string(5000, 'x')), std::length_error);
}

CO_TEST_CASE("peer: a change of the far peer's metadata can be waited for, and a key can be taken back", both_ways,
             NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("browser");
  Circuit near = me->new_circuit(pair.url_there(*store), Fragment(0, "first"));
  Circuit far = co_await keeper.next();

  asio::co_spawn(co_await asio::this_coro::executor, settle(), [&](std::exception_ptr) {
    store->set_metadata("leader", "yes");
    store->set_metadata("size", "large");
  });
  co_await near.metadata_changed();
  REQUIRE(near.remote_metadata());
  CHECK(near.remote_metadata()->at("leader") == "yes");
  store->remove_metadata("nobody's");
  store->remove_metadata("leader");
  while (near.remote_metadata()->contains("leader")) co_await near.metadata_changed();
  CHECK(near.remote_metadata()->at("size") == "large");
  store->remove_metadata("size");
  co_await near.metadata_changed();
  CHECK_FALSE(near.remote_metadata());

  const result<void> cancelled = co_await as_result(within(std::chrono::milliseconds(1), near.metadata_changed()));
  CHECK(cancelled.error() == error::timed_out);
  asio::co_spawn(co_await asio::this_coro::executor, settle(),
                 [&](std::exception_ptr) { far.reset(End(error::access_denied, "go away")); });
  const auto failure = co_await failure_of(near.metadata_changed());
  CHECK(failure == make_error_code(error::access_denied));
}

// rpc25519's README case: ten circuits opened from each side, nine and nine closed, two left.
CO_TEST_CASE("peer: ten circuits opened from each side close one by one", both_ways, NodePair& pair) {
  Keeper keeper_there;
  Keeper keeper_here;
  pair.there.register_service("store", keeper_there.service());
  pair.here.register_service("store", keeper_here.service());
  const auto there = pair.there.start_local_peer("store");
  const auto here = pair.here.start_local_peer("store");

  std::vector<Circuit> opened;
  std::vector<Circuit> taken;
  for (int i = 0; i < 10; ++i) {
    opened.push_back(here->new_circuit(pair.url_there(*there), Fragment(i)));
    opened.push_back(there->new_circuit(pair.url_here(*here), Fragment(i)));
  }
  for (int i = 0; i < 10; ++i) {
    taken.push_back(co_await keeper_there.next());
    taken.push_back(co_await keeper_here.next());
  }
  CHECK(here->circuits_count() == 20);
  CHECK(there->circuits_count() == 20);
  for (std::size_t i = 0; i < 18; ++i) opened[i].close();
  for (std::size_t i = 0; i < 18; ++i) {
    const End end = co_await opened[i].ended();
    CHECK(end.clean());
    co_await taken[i].ended();
  }

  CHECK(here->circuits_count() == 2);
  CHECK(there->circuits_count() == 2);
  CHECK(opened[18].is_open());
  CHECK(taken[19].is_open());
}

} // namespace

namespace {

awaitable<void> real_port(Node& node) {
  node.register_service("store", Keeper().service());
  const std::string address = node.listen("tcp://127.0.0.1:0");
  const auto peer = node.start_local_peer("store");

  CHECK(address.starts_with("tcp://127.0.0.1:"));
  CHECK(address != "tcp://127.0.0.1:0");
  CHECK(peer->url().address() == address);
  CHECK(node.addresses() == std::vector<std::string>{address});
  co_await node.close();
}

awaitable<void> named_as_it_listens(Node& node) {
  const auto peer = node.new_peer("browser");
  CHECK(peer->url().address() == "node://" + node.id().to_string());

  const std::string everywhere_address = node.listen("tcp://0.0.0.0:0");
  CHECK(peer->url().address() == everywhere_address);
  const std::string address = node.listen("tcp://127.0.0.1:0");
  CHECK(peer->url().address() == address); // a host that others can use goes before "any of mine"
  co_await node.close();
}

} // namespace

TEST_CASE("node: listening on port 0 gives peers a url with the real port") {
  asio::io_context io(1);
  Node node(io.get_executor());
  run_coroutine(io, real_port(node));
}

TEST_CASE("peer: its url is node://ID until its node listens, and prefers a host that others can dial") {
  asio::io_context io(1);
  NodeOptions options;
  options.allow_plaintext = true;
  Node node(io.get_executor(), std::move(options));
  run_coroutine(io, named_as_it_listens(node));
}
