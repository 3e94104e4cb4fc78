// Five nodes that all listen over memory and all run the same code, in two figures. In the mesh every peer has a
// circuit to every other one, however many of them dial each other at once; in the ring a fragment goes round from
// neighbour to neighbour, each of which holds one circuit in and one out.
#include "async/tasks.hpp"
#include "tests/peer/node_pair.hpp"

#include <set>

using namespace trunkline;
using namespace trunkline::test;

namespace {

constexpr std::size_t nodes_count = 5;

/// The node with the number i listens on "mem://i".
struct World {
  World() {
    for (std::size_t i = 0; i < nodes_count; ++i) {
      NodeOptions options;
      options.name = std::to_string(i);
      options.media["mem"] = memory;
      nodes.push_back(std::make_unique<Node>(io.get_executor(), std::move(options)));
      nodes.back()->listen(address(i));
    }
  }
  static std::string address(std::size_t i) { return "mem://" + std::to_string(i); }

  asio::io_context io{1};
  std::shared_ptr<MemoryMedium> memory = std::make_shared<MemoryMedium>();
  std::vector<std::unique_ptr<Node>> nodes;
};

awaitable<void> close_all(World& world) {
  for (const auto& node : world.nodes) co_await node->close();
}

// The mesh.

constexpr std::int64_t messages_count = 200; // from each to each

/// What a member of the mesh has heard, by sender.
using Heard = std::map<std::string, std::vector<std::int64_t>>;

awaitable<void> hear(Heard* heard, Circuit circuit) {
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) co_return;
    (*heard)[fragment->subject].push_back(fragment->part);
  }
}

/// Says everything to one other member; everything was taken there when it returns.
awaitable<void> tell(std::string name, Circuit circuit) {
  for (std::int64_t i = 0; i < messages_count; ++i) {
    Fragment fragment;
    fragment.subject = name;
    fragment.part = i;
    co_await circuit.send(std::move(fragment));
    if (i % 7 == 0) co_await asio::post(asio::use_awaitable);
  }
  circuit.finish();
  co_await circuit.finish_acknowledged();
}

awaitable<void> tell_all(World& world, std::vector<Heard>& heard) {
  for (std::size_t i = 0; i < nodes_count; ++i)
    world.nodes[i]->serve("hear", [of = &heard[i]](Circuit circuit) { return hear(of, std::move(circuit)); });
  std::exception_ptr failure;
  Tasks tellers(world.io.get_executor(), [&failure](std::exception_ptr thrown) { failure = std::move(thrown); });
  std::vector<std::shared_ptr<LocalPeer>> peers;
  // Nothing runs in between: every node dials every other one, and each pair of them at once.
  for (std::size_t i = 0; i < nodes_count; ++i) {
    peers.push_back(world.nodes[i]->new_peer("teller"));
    for (std::size_t j = 0; j < nodes_count; ++j)
      if (i != j)
        tellers.spawn(tell(std::to_string(i), peers.back()->join_or_start(World::address(j), "hear", std::nullopt)));
  }
  co_await tellers.join();
  if (failure) std::rethrow_exception(failure);
}

awaitable<void> mesh(World& world, std::vector<Heard>& heard) {
  co_await tell_all(world, heard);
  // One of the two trunks of each pair drains; its circuits have ended.
  const auto superfluous = [&world] {
    std::size_t count = 0;
    for (const auto& node : world.nodes) count += node->links_count() - (nodes_count - 1);
    return count;
  };
  while (superfluous() > 0) co_await asio::post(asio::use_awaitable);
  for (const auto& node : world.nodes) {
    CHECK(node->links_count() == nodes_count - 1);
    CHECK(node->counters().trunks_lost == 0);
    CHECK(node->local_peers("hear").size() == 1);
  }
  // What is opened now finds the trunk that there is, from either side.
  for (std::size_t i = 0; i < nodes_count; ++i) {
    const bool dialled = co_await world.nodes[i]->dial(World::address((i + 1) % nodes_count));
    CHECK_FALSE(dialled);
  }
  co_await close_all(world);
}

// The ring.

constexpr std::int64_t rounds_count = 20;

/// A member of the ring: hands on what comes from the one before it to the one behind it, one step further.
awaitable<void> hand_on(std::string next, LocalPeer& peer, CircuitInbox& inbox) {
  Circuit out = peer.join_or_start(next, "ring", std::nullopt);
  std::optional<Circuit> in = co_await inbox.next();
  if (!in) co_return;
  for (;;) {
    std::optional<Fragment> fragment = co_await in->receive();
    if (!fragment) break;
    ++fragment->part;
    fragment->subject += peer.url().address().substr(6);
    co_await out.send(std::move(*fragment));
  }
  out.finish();
  co_await out.finish_acknowledged();
}

/// The first member, which sends the token round and sees it come back.
awaitable<void> turn(std::string next, std::vector<Fragment>* seen, LocalPeer& peer, CircuitInbox& inbox) {
  Circuit out = peer.join_or_start(next, "ring", std::nullopt);
  std::optional<Circuit> in = co_await inbox.next();
  Fragment token;
  token.payload = Payload(std::string(10'000, 't'));
  for (std::int64_t round = 0; round < rounds_count; ++round) {
    co_await out.send(std::move(token));
    std::optional<Fragment> back = co_await in->receive();
    if (!back) co_return;
    seen->push_back(*back);
    token = std::move(*back);
  }
  out.finish(); // goes round too, and comes back as the end of what is heard
  const std::optional<Fragment> end = co_await in->receive();
  CHECK_FALSE(end.has_value());
}

awaitable<void> ring(World& world, std::vector<Fragment>& seen) {
  for (std::size_t i = 0; i < nodes_count; ++i) {
    const std::string next = World::address((i + 1) % nodes_count);
    PeerServiceFunc member = [next](LocalPeer& peer, CircuitInbox& inbox) { return hand_on(next, peer, inbox); };
    if (i == 0)
      member = [next, to = &seen](LocalPeer& peer, CircuitInbox& inbox) { return turn(next, to, peer, inbox); };
    world.nodes[i]->register_service("ring", std::move(member), 1);
  }

  const auto first = world.nodes[0]->start_local_peer("ring"); // the others start as the ring closes
  co_await first->ended();

  for (const auto& node : world.nodes) {
    while (!node->local_peers("ring").empty()) co_await asio::post(asio::use_awaitable);
    CHECK(node->counters().dials == 1);
    CHECK(node->links_count() == 2); // to either neighbour
    CHECK(node->counters().services_failed == 0);
  }
  co_await close_all(world);
}

} // namespace

TEST_CASE("mesh: five nodes that all dial each other at once keep one trunk per pair, and no fragment is lost") {
  World world;
  std::vector<Heard> heard(nodes_count);

  run_coroutine(world.io, mesh(world, heard));

  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < messages_count; ++i) all.push_back(i);
  for (std::size_t i = 0; i < nodes_count; ++i) {
    CHECK(heard[i].size() == nodes_count - 1);
    for (const auto& [name, parts] : heard[i]) {
      CAPTURE(name);
      CHECK(parts == all);
    }
  }
}

TEST_CASE("ring: a fragment goes round five nodes again and again, and its end goes round after it") {
  World world;
  std::vector<Fragment> seen;

  run_coroutine(world.io, ring(world, seen));

  REQUIRE(seen.size() == rounds_count);
  std::string path;
  for (std::int64_t round = 0; round < rounds_count; ++round) {
    path += "1234";
    const Fragment& token = seen[static_cast<std::size_t>(round)];
    CHECK(token.part == 4 * (round + 1));
    CHECK(token.subject == path);
    CHECK(token.payload.size() == 10'000);
  }
}
