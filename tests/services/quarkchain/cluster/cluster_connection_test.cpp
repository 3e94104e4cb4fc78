// The connections of slaves and masters in a simulated world: who is who, who finds whom again, and in which order
// things end.
#include "tests/services/quarkchain/cluster/text_cluster.hpp"
#include "tests/services/quarkchain/protocol/wire.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <boost/asio/experimental/awaitable_operators.hpp>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

const SlaveIdentity s0("S0", {0x10001, 0x20001});
const SlaveIdentity s1("S1", {0x30001});
const SlaveIdentity s2("S2", {0x40001});

using Body = awaitable<void> (*)(sim::World&);

void in_world(Body body, std::uint64_t seed = 5) {
  sim::World world(seed);
  world.run(body(world));
}

/// A bare connection: what it is given is written, what comes is read.
awaitable<void> write_text(Transport& to, std::string text) {
  const std::string kept = std::move(text);
  const auto bytes = trunkline::test::as_bytes(kept);
  co_await to.write(std::span(&bytes, 1));
}

awaitable<std::string> read_frames(Transport& from, Framing framing, std::size_t count) {
  std::string bytes;
  std::string text;
  std::vector<std::byte> buffer(4096);
  for (std::size_t have = 0; have < count;) {
    const std::size_t read = co_await from.read_some(buffer);
    if (read == 0) co_return text + "(end)";
    bytes.append(reinterpret_cast<const char*>(buffer.data()), read);
    const std::vector<Frame> frames = decode(framing, bytes);
    have += frames.size();
    if (!frames.empty()) text += quarkchain::test::to_string(frames) + ";";
  }
  co_return text;
}

std::string ping(Framing framing, const std::string& payload, std::uint64_t rpc_id = 1) {
  return encode(framing, Frame{op_ping, rpc_id, payload, 0, 0});
}

std::string peer_command(std::uint32_t branch, std::uint64_t peer) {
  return encode(Framing::cluster, Frame{op_peer_command, 0, "x", branch, peer});
}

/// One after another.
template <class First, class... Rest> awaitable<void> stop_all(First& first, Rest&... rest) {
  co_await first.stop(Duration::zero());
  if constexpr (sizeof...(rest) > 0) co_await stop_all(rest...);
}

using Kept = std::vector<std::unique_ptr<Transport>>;

// Who is who.

CO_TEST_CASE("cluster slave: the first connection is the master, however long it is silent, later ones are slaves",
             in_world, sim::World& world) {
  TestSlave slave(world, s0);
  auto outside = world.medium("outside");
  const auto first = co_await outside->dial(slave.address);
  co_await until([&] { return slave.slave.master() != nullptr; });
  const auto second = co_await outside->dial(slave.address);
  co_await write_text(*second, ping(Framing::slave, to_text(s1)));
  CHECK(co_await read_frames(*second, Framing::slave, 1) == "130 #1 \"S0;10001,20001,\";");
  co_await sleep_for(1h); // the master may be silent for as long as it likes
  co_await write_text(*first, ping(Framing::cluster, ""));
  CHECK(co_await read_frames(*first, Framing::cluster, 1) == "130 #1 \"S0;10001,20001,\";");
  CHECK(slave.slave.slaves().routes().knows("S1"));
  co_await stop_all(slave.slave);
}

CO_TEST_CASE("cluster slave: with an allow-list a stranger never becomes the master", in_world, sim::World& world) {
  TestSlave slave(world, s0, [](ClusterSlaveOptions& options) { options.master_hosts = {"keeper"}; });
  const auto scanner = co_await world.medium("scanner")->dial(slave.address);
  co_await until([&] { return slave.slave.slaves().unidentified() == 1; });
  CHECK(slave.slave.master() == nullptr);
  const auto keeper = co_await world.medium("keeper")->dial(slave.address);
  co_await until([&] { return slave.slave.master() != nullptr; });
  co_await write_text(*keeper, ping(Framing::cluster, ""));
  CHECK(co_await read_frames(*keeper, Framing::cluster, 1) == "130 #1 \"S0;10001,20001,\";");
  scanner->close();
  co_await sleep_for(1s);
  CHECK(slave.slave.master() != nullptr);
  co_await stop_all(slave.slave);
}

CO_TEST_CASE("cluster slave: a thousand silent connections are bounded, named, and keep no slave out", in_world,
             sim::World& world) {
  TestSlave slave(world, s0);
  auto outside = world.medium("outside");
  const auto master = co_await outside->dial(slave.address);
  std::vector<std::unique_ptr<Transport>> silent;
  for (int i = 0; i < 1000; ++i) silent.push_back(co_await outside->dial(slave.address));
  co_await sleep_for(1s);
  SlavePool& pool = slave.slave.slaves();
  const std::size_t kept = pool.unidentified();
  CHECK(kept <= 256);
  CHECK(pool.counters().unidentified_closed == 1000 - kept);
  CHECK(slave.log.has_line("unidentified_max is 256, 64 of one host"));
  CHECK(slave.log.has_line("connection from sim://outside"));
  CHECK(slave.log.lines().size() < 60); // not one for each
  for (const char* host : {"outside", "elsewhere"}) { // the real one comes from where the silent ones come from, or not
    const auto real = co_await world.medium(host)->dial(slave.address);
    const TimePoint began_at = world.now();
    co_await write_text(*real, ping(Framing::slave, to_text(s1)));
    CHECK(co_await read_frames(*real, Framing::slave, 1) == "130 #1 \"S0;10001,20001,\";");
    CHECK(world.now() - began_at < 1s);
  }
  co_await write_text(*master, ping(Framing::cluster, ""));
  CHECK(co_await read_frames(*master, Framing::cluster, 1) == "130 #1 \"S0;10001,20001,\";");
  co_await sleep_for(10s);
  CHECK(pool.unidentified() == 0);
  CHECK(pool.counters().identify_timeouts + pool.counters().unidentified_closed == 1000);
  CHECK(slave.log.has_line("no PING within identify_deadline 10000 ms"));
  CHECK(slave.log.lines().size() < 120);
  co_await until([&] { return slave.slave.connections().size() == 1; });
  const auto late = co_await outside->dial(slave.address); // there is room again
  co_await write_text(*late, ping(Framing::slave, to_text(s1)));
  CHECK(co_await read_frames(*late, Framing::slave, 1) == "130 #1 \"S0;10001,20001,\";");
  co_await stop_all(slave.slave);
}

CO_TEST_CASE("cluster slave: the first PING of a slave counts, one without shards closes", in_world,
             sim::World& world) {
  TestSlave slave(world, s0);
  auto outside = world.medium("outside");
  const auto master = co_await outside->dial(slave.address);
  const auto other = co_await outside->dial(slave.address);
  co_await write_text(*other, ping(Framing::slave, to_text(s1)));
  co_await read_frames(*other, Framing::slave, 1);
  co_await write_text(*other, ping(Framing::slave, to_text(s2), 2));
  CHECK(co_await read_frames(*other, Framing::slave, 1) == "130 #2 \"S0;10001,20001,\";");
  const XshardRoutes& routes = slave.slave.slaves().routes();
  CHECK(routes.knows("S1"));
  CHECK_FALSE(routes.knows("S2"));
  CHECK(routes.to(0x30001).size() == 1);
  CHECK(routes.to(0x40001).empty());

  const auto shardless = co_await outside->dial(slave.address);
  co_await write_text(*shardless, ping(Framing::slave, "S3;"));
  CHECK((co_await read_frames(*shardless, Framing::slave, 1)).ends_with("(end)"));
  CHECK(slave.log.has_line("says that it runs no shard"));
  const auto boastful = co_await outside->dial(slave.address);
  co_await write_text(*boastful, ping(Framing::slave, "S3;10001,10001,10001,10001,10001,"));
  CHECK((co_await read_frames(*boastful, Framing::slave, 1)).ends_with("(end)"));
  CHECK(slave.log.has_line("says that it runs 5 shards, there are 4"));
  CHECK(slave.slave.slaves().counters().identities_refused == 2);
  co_await stop_all(slave.slave);
}

/// Whoever says that it is S1, as often as it likes, keeps neither the master nor the newest S1 out.
CO_TEST_CASE("cluster slave: the master finds room however many have connected, and one id has only so many links",
             in_world, sim::World& world) {
  TestSlave slave(world, s0, [](ClusterSlaveOptions& options) {
    options.connections.connections_max = 4;
    options.master_hosts = {"keeper"};
    options.slaves.known_ids = {"S0", "S1", "S2"};
    options.slaves.links_per_slave_max = 3;
  });
  auto outside = world.medium("outside");
  Kept strangers;
  for (int i = 0; i < 3; ++i) {
    strangers.push_back(co_await outside->dial(slave.address));
    co_await write_text(*strangers.back(), ping(Framing::slave, to_text(s1)));
    CHECK(co_await read_frames(*strangers.back(), Framing::slave, 1) == "130 #1 \"S0;10001,20001,\";");
  }
  strangers.push_back(co_await outside->dial(slave.address));
  co_await write_text(*strangers.back(), ping(Framing::slave, "S9;10001,"));
  CHECK((co_await read_frames(*strangers.back(), Framing::slave, 1)).ends_with("(end)"));
  CHECK(slave.log.has_line("slave \"S9\" is not one of the 3 of the configuration"));
  co_await until([&] { return slave.slave.connections().size() == 3; });
  strangers.push_back(co_await outside->dial(slave.address));
  co_await write_text(*strangers.back(), ping(Framing::slave, to_text(s1))); // the fourth: the first one goes
  CHECK(co_await read_frames(*strangers.back(), Framing::slave, 1) == "130 #1 \"S0;10001,20001,\";");
  CHECK(co_await read_frames(*strangers.front(), Framing::slave, 1) == "(end)");
  CHECK(slave.slave.slaves().counters().links_replaced == 1);
  CHECK(slave.log.has_line("links_per_slave_max 3"));
  co_await until([&] { return slave.slave.connections().size() == 3; });

  strangers.push_back(co_await outside->dial(slave.address));
  co_await sleep_for(std::chrono::milliseconds(1100)); // it says nothing for so long that it gives way to the next
  strangers.push_back(co_await outside->dial(slave.address));
  co_await until([&] { return slave.slave.connections().counters().turned_away == 1; });
  CHECK(slave.log.has_line("it has not said who it is"));
  co_await write_text(*strangers.back(), ping(Framing::slave, to_text(s2)));
  CHECK(co_await read_frames(*strangers.back(), Framing::slave, 1) == "130 #1 \"S0;10001,20001,\";");
  strangers.push_back(co_await outside->dial(slave.address)); // and where all have said who they are, nobody does
  co_await until([&] { return slave.slave.connections().counters().turned_away == 2; });
  CHECK(slave.log.has_line("turned away: connections_max 4 reached"));
  const auto keeper = co_await world.medium("keeper")->dial(slave.address);
  co_await write_text(*keeper, ping(Framing::cluster, ""));
  CHECK(co_await read_frames(*keeper, Framing::cluster, 1) == "130 #1 \"S0;10001,20001,\";");
  CHECK(slave.slave.master() != nullptr);
  co_await stop_all(slave.slave);
}

// Slaves find each other.

/// Each slave takes its first connection for the master's.
template <class... Rest> awaitable<void> give_masters(sim::World& world, Kept& kept, TestSlave& slave, Rest&... rest) {
  kept.push_back(co_await world.medium("keeper")->dial(slave.address));
  co_await until([&] { return slave.slave.master() != nullptr; });
  if constexpr (sizeof...(rest) > 0) co_await give_masters(world, kept, rest...);
}

awaitable<bool> all_well(TestSlave& slave, std::vector<SlaveTarget> targets) {
  const std::size_t count = targets.size();
  const std::vector<std::string> results = co_await slave.slave.slaves().connect(std::move(targets));
  co_return results == std::vector<std::string>(count);
}

CO_TEST_CASE("slave pool: each pair of slaves has one connection, and both sides use it", in_world, sim::World& world) {
  TestSlave a(world, s0), b(world, s1), c(world, s2);
  Kept masters;
  co_await give_masters(world, masters, a, b, c);
  std::vector<SlaveTarget> all;
  for (const TestSlave* slave : {&a, &b, &c}) all.push_back(slave->target());
  CHECK(co_await all_well(a, all));
  CHECK(co_await all_well(b, all));
  CHECK(co_await all_well(c, all));
  CHECK(a.slave.slaves().counters().dials == 2);
  CHECK(b.slave.slaves().counters().dials == 1); // a is known already
  CHECK(c.slave.slaves().counters().dials == 0);
  for (TestSlave* slave : {&a, &b, &c}) CHECK(slave->slave.slaves().routes().to_all().size() == 2);
  CHECK(a.slave.slaves().routes().to(0x30001).size() == 1);
  const RpcReply reply = co_await c.slave.slaves().routes().to(0x10001).front()->call(op_ping, Payload(to_text(s2)));
  CHECK(parse_identity(reply.payload.text()) == s0); // over the connection that the other side dialled
  CHECK(co_await all_well(a, all));
  CHECK(a.slave.slaves().counters().dials == 2);
  co_await stop_all(a.slave, b.slave, c.slave);
}

CO_TEST_CASE(
    "slave pool: a wrong id, a wrong shard list, silence and nobody each have their text, and can be tried again",
    in_world, sim::World& world) {
  TestSlave a(world, s0, [](ClusterSlaveOptions& options) { options.slaves.greet_deadline = 2s; });
  Kept masters;
  auto silent_medium = world.medium("silent");
  const auto silent = silent_medium->listen(world.executor(), "sim://silent");
  {
    TestSlave b(world, s1);
    co_await give_masters(world, masters, a, b);
    std::vector<SlaveTarget> wrong;
    wrong.emplace_back(SlaveIdentity("S9", {0x30001}), b.address);
    wrong.emplace_back(SlaveIdentity("S1", {0x30001, 0x40001}), b.address);
    wrong.emplace_back(s2, "sim://S2");
    wrong.emplace_back(SlaveIdentity("silent", {0x40001}), "sim://silent");
    wrong.emplace_back(SlaveIdentity("nowhere", {0x40001}), "");
    const std::vector<std::string> results = co_await a.slave.slaves().connect(wrong);
    CHECK(results.at(0).find("is slave \"S1\" with shards [0x00030001], expected \"S9\"") != std::string::npos);
    CHECK(results.at(1).find("expected \"S1\" with [0x00030001 0x00040001]") != std::string::npos);
    CHECK(results.at(2).find("sim://S2") != std::string::npos);
    CHECK(results.at(3).find("no PONG from sim://silent within greet_deadline 2000 ms") != std::string::npos);
    CHECK(results.at(4).find("no address") != std::string::npos);
    CHECK(a.slave.slaves().routes().size() == 0);
    CHECK(a.slave.slaves().counters().dials_failed == 4);
    co_await until([&] { return a.slave.connections().size() == 1; }); // nothing leaks

    std::vector<SlaveTarget> right(1, b.target());
    CHECK(co_await all_well(a, right));
    CHECK(a.slave.slaves().routes().knows("S1"));
    co_await stop_all(a.slave, b.slave);
  }
}

CO_TEST_CASE("slave pool: only so many slaves are remembered", in_world, sim::World& world) {
  TestSlave a(world, s0, [](ClusterSlaveOptions& options) { options.slaves.slaves_max = 3; });
  Kept masters;
  co_await give_masters(world, masters, a);
  std::vector<SlaveTarget> named;
  for (int i = 0; i < 5; ++i) named.emplace_back(SlaveIdentity(fmt::format("T{}", i), {0x30001}), "sim://nobody");
  const std::vector<std::string> results = co_await a.slave.slaves().connect(named);
  for (int i = 0; i < 5; ++i)
    CHECK((results.at(static_cast<std::size_t>(i)).find("slaves_max is 3") != std::string::npos) == (i >= 3));
  co_await stop_all(a.slave);
}

/// Both slaves dial each other in the same moment, over and over with other delays: each must have a way to the other.
awaitable<void> simultaneous(sim::World& world) {
  sim::LinkOptions link;
  link.jitter = 5ms;
  world.set_link("S0", "S1", link);
  TestSlave a(world, s0), b(world, s1);
  Kept masters;
  co_await give_masters(world, masters, a, b);
  using namespace asio::experimental::awaitable_operators;
  std::vector<SlaveTarget> to_b(1, b.target());
  std::vector<SlaveTarget> to_a(1, a.target());
  const auto results = co_await (a.slave.slaves().connect(to_b) && b.slave.slaves().connect(to_a));
  CHECK(std::get<0>(results) == std::vector<std::string>{""});
  CHECK(std::get<1>(results) == std::vector<std::string>{""});
  co_await sleep_for(1min);
  for (TestSlave* slave : {&a, &b}) {
    const auto routes = slave->slave.slaves().routes().to_all();
    REQUIRE(routes.size() == 1); // one way to one slave, though there may be two links
    CHECK(routes.front()->is_open());
  }
  co_await stop_all(a.slave, b.slave);
}

CO_TEST_CASE("slave pool: a lost link leaves the routes and is dialled again with growing delays", in_world,
             sim::World& world) {
  TestSlave a(world, s0), b(world, s1);
  Kept masters;
  co_await give_masters(world, masters, a, b);
  std::vector<SlaveTarget> all;
  for (const TestSlave* slave : {&a, &b}) all.push_back(slave->target());
  co_await a.slave.slaves().connect(all);
  co_await b.slave.slaves().connect(all);
  CHECK(a.slave.slaves().routes().to(0x30001).size() == 1);

  world.reset("S0", "S1");
  co_await until([&] { return a.slave.slaves().routes().size() == 0; });
  CHECK(a.slave.slaves().routes().to(0x30001).empty());
  co_await until([&] { return a.slave.slaves().routes().knows("S1") && b.slave.slaves().routes().knows("S0"); });
  CHECK(a.slave.slaves().counters().lost == 1);
  CHECK(a.slave.slaves().counters().redials + b.slave.slaves().counters().redials >= 1);
  const RpcReply reply = co_await a.slave.slaves().routes().to(0x30001).front()->call(op_ping, Payload(to_text(s0)));
  CHECK(parse_identity(reply.payload.text()) == s1);

  world.partition("S0", "S1"); // for a while nobody is reached: the delays grow
  world.reset("S0", "S1");
  const std::uint64_t redials = a.slave.slaves().counters().redials;
  co_await sleep_for(10min);
  const std::uint64_t tries = a.slave.slaves().counters().redials - redials;
  CHECK(tries >= 3);
  CHECK(tries <= 25); // 1, 2, 4 ... 30 s and 10 s for each attempt
  world.heal("S0", "S1");
  co_await until([&] { return a.slave.slaves().routes().knows("S1"); });
  co_await stop_all(a.slave, b.slave);
}

/// The link is lost in the moment in which it is made again: before whoever dials it hears that it was.
CO_TEST_CASE("slave pool: a link that is lost again in the moment in which it was made is dialled again", in_world,
             sim::World& world) {
  int times = 0;
  TestSlave* losing = nullptr;
  TestSlave a(world, s0, [&](ClusterSlaveOptions& options) {
    options.slaves.log = [&](LogLevel, std::string_view line) {
      if (line.find("connected to slave") == std::string_view::npos || ++times != 2) return;
      for (const auto& circuit : losing->slave.slaves().routes().to_all()) circuit->close(End(error::trunk_lost));
    };
  });
  losing = &a;
  TestSlave b(world, s1);
  Kept masters;
  co_await give_masters(world, masters, a, b);
  std::vector<SlaveTarget> to_b(1, b.target());
  CHECK(co_await all_well(a, to_b));

  world.reset("S0", "S1");
  co_await until([&] { return times == 2; });
  co_await sleep_for(1min);

  CHECK(times == 3);
  CHECK(a.slave.slaves().routes().knows("S1"));
  CHECK(a.slave.slaves().counters().redials == 2);
  co_await stop_all(a.slave, b.slave);
}

awaitable<void> strict_parity(sim::World& world);
TEST_CASE("slave pool: in strict parity a lost link stays in the routes and is never dialled again") {
  in_world(strict_parity);
}
awaitable<void> strict_parity(sim::World& world) {
  const auto strict = [](ClusterSlaveOptions& options) { options.slaves.strict_parity = true; };
  TestSlave a(world, s0, strict), b(world, s1, strict);
  Kept masters;
  co_await give_masters(world, masters, a, b);
  std::vector<SlaveTarget> to_b(1, b.target());
  co_await a.slave.slaves().connect(to_b);
  world.reset("S0", "S1");
  co_await sleep_for(1h);
  CHECK(a.slave.slaves().counters().redials == 0);
  CHECK(a.slave.slaves().routes().knows("S1"));
  REQUIRE(a.slave.slaves().routes().to(0x30001).size() == 1);
  const std::string failed =
      co_await failure_of(a.slave.slaves().routes().to(0x30001).front()->call(op_ping, Payload()));
  CHECK(failed == "trunk lost");
  CHECK(co_await all_well(a, to_b)); // known, so not dialled
  CHECK(a.slave.slaves().counters().dials == 1);
  const auto again = co_await world.medium("outside")->dial(a.address); // whoever comes again does not add up
  co_await write_text(*again, ping(Framing::slave, to_text(s1)));
  CHECK(co_await read_frames(*again, Framing::slave, 1) == "130 #1 \"S0;10001,20001,\";");
  CHECK(a.slave.slaves().routes().size() == 1);
  CHECK(a.slave.slaves().routes().to(0x30001).front()->is_open());
  co_await stop_all(a.slave, b.slave);
}

// The master and virtual peers.

CO_TEST_CASE("virtual peers: created from the id they are told, filled up when shards appear, destroyed once", in_world,
             sim::World& world) {
  TestSlave slave(world, s0);
  TestMaster master(world, "master");
  const auto control = co_await master.master.connect_slave(slave.address, s0.full_shard_ids);
  VirtualPeers& peers = slave.slave.peers();
  co_await control->call(op_create, Payload("7")); // before any shard exists
  CHECK(peers.size() == 0);
  CHECK(peers.peers().contains(7));
  co_await control->call(op_ping, Payload("root tip"));
  CHECK(peers.size() == 2);
  const auto seven = peers.find(0x10001, 7);
  REQUIRE(seven);
  co_await control->call(op_create, Payload("7")); // again: the same objects
  CHECK(peers.find(0x10001, 7) == seven);
  co_await control->call(op_create, Payload("8"));
  CHECK(peers.size() == 4);
  CHECK(peers.on_branch(0x10001).size() == 2);
  co_await control->call(op_create, Payload("0")); // reserved
  CHECK(peers.size() == 4);
  CHECK(peers.counters().refused == 1);
  CHECK(peers.find(0x30001, 7) == nullptr);

  for (const char* id : {"7", "7", "99"}) co_await control->command(op_destroy, Payload(id));
  co_await control->call(op_ping, Payload());
  CHECK_FALSE(seven->is_open());
  CHECK(peers.size() == 2);
  peers.add_branch(0x30001); // a shard that appears now brings back nobody
  CHECK(peers.find(0x30001, 7) == nullptr);
  CHECK(peers.find(0x30001, 8) != nullptr);
  co_await stop_all(master.master, slave.slave);
}

/// Two clusters of one master and one slave each, connected.
struct TwoTextClusters {
  explicit TwoTextClusters(sim::World& of, const TestMaster::Tweak& tweak_a = {},
                           const TestSlave::Tweak& tweak_slave = {})
      : world(of), slave_a(of, s0, tweak_slave), slave_b(of, SlaveIdentity("T0", {0x10001, 0x20001})),
        a(of, "A", tweak_a), b(of, "B") {}

  awaitable<void> meet() {
    for (auto [master, slave] : {std::pair{&a, &slave_a}, {&b, &slave_b}}) {
      const auto control = co_await master->master.connect_slave(slave->address, slave->identity.full_shard_ids);
      co_await control->call(op_ping, Payload("root tip"));
    }
    a.master.listen("sim://A",
                    [this](std::shared_ptr<ClusterConnection> connection) { a.accepted = std::move(connection); });
    of_b = co_await b.master.connect_peer("sim://A");
    co_await until([this] { return a.accepted != nullptr; });
  }
  awaitable<void> admit() {
    co_await a.admit(7, a.accepted);
    co_await b.admit(1, of_b);
  }
  awaitable<void> stop() { co_await stop_all(a.master, b.master, slave_a.slave, slave_b.slave); }

  sim::World& world;
  TestSlave slave_a, slave_b;
  TestMaster a, b;
  std::shared_ptr<ClusterConnection> of_b;
};

CO_TEST_CASE("forwarding: what a peer says to a shard reaches its slave, and back, with its own ids", in_world,
             sim::World& world) {
  TwoTextClusters two(world);
  co_await two.meet();
  co_await two.admit();
  const auto at_a = two.slave_a.slave.peers().find(0x10001, 7);
  const auto at_b = two.slave_b.slave.peers().find(0x10001, 1);
  REQUIRE(at_a);
  REQUIRE(at_b);
  for (int i = 0; i < 3; ++i) {
    const RpcReply from_a = co_await at_b->call(op_peer_request, Payload("b" + std::to_string(i)));
    CHECK(from_a.payload.text() == "00010001/7 answers b" + std::to_string(i));
    const RpcReply from_b = co_await at_a->call(op_peer_request, Payload("a" + std::to_string(i)));
    CHECK(from_b.payload.text() == "00010001/1 answers a" + std::to_string(i));
  }
  co_await two.slave_b.slave.peers().find(0x20001, 1)->command(op_peer_command, Payload(std::string(500'000, 'x')));
  co_await until([&] { return !two.slave_a.heard.empty(); });
  CHECK(two.slave_a.heard == "00020001/7 " + std::string(500'000, 'x') + ";");
  CHECK(two.a.master.forwarding().pairs() == 2);
  CHECK(two.a.master.forwarding().counters().frames_to_slaves == 7);
  CHECK(two.a.master.forwarding().counters().frames_to_peers == 6);

  const auto root = two.of_b->control();
  CHECK((co_await root->call(3, Payload("the root chain"))).payload.text() == "the root chain");
  co_await root->command(op_peer_command, Payload("to the master"));
  co_await until([&] { return two.a.heard == "to the master;"; });
  co_await two.stop();
}

CO_TEST_CASE("forwarding: nothing passes before the slaves are ready, and nothing is lost", in_world,
             sim::World& world) {
  TwoTextClusters two(world);
  co_await two.meet();
  co_await two.b.admit(1, two.of_b); // B talks already, A is not ready
  co_await two.slave_b.slave.peers().find(0x10001, 1)->command(op_peer_command, Payload("early"));
  co_await sleep_for(1s);
  CHECK(two.slave_a.heard == "");
  CHECK(two.a.master.forwarding().pairs() == 0);
  co_await two.a.admit(7, two.a.accepted);
  co_await until([&] { return two.slave_a.heard == "00010001/7 early;"; });
  co_await two.stop();
}

CO_TEST_CASE("forwarding: a peer that leaves takes its virtual peers along and nothing else", in_world,
             sim::World& world) {
  TwoTextClusters two(world);
  co_await two.meet();
  co_await two.admit();
  const auto at_a = two.slave_a.slave.peers().find(0x10001, 7);
  co_await at_a->call(op_peer_request, Payload("x"));
  two.of_b->close();
  co_await until([&] { return !two.a.gone.empty(); });
  CHECK(two.a.gone == "7: Success;");
  CHECK(two.a.master.forwarding().pairs() == 0);
  // Frames for a peer that is gone are dropped, and the slave's connection goes on.
  co_await at_a->command(op_peer_command, Payload("nobody hears it"));
  const auto control = two.a.master.slaves().front();
  co_await control->command(op_destroy, Payload("7"));
  co_await control->call(op_ping, Payload());
  CHECK(two.slave_a.slave.peers().find(0x10001, 7) == nullptr);
  co_await two.stop();
}

CO_TEST_CASE("forwarding: a peer that speaks to a shard that no slave runs is closed", in_world, sim::World& world) {
  TwoTextClusters two(world);
  co_await two.meet();
  co_await two.admit();
  two.b.master.forwarding().add_slave(two.b.master.slaves().front(), {0x30001}); // at A no slave does
  two.slave_b.slave.peers().add_branch(0x30001);
  const auto peer = two.slave_b.slave.peers().find(0x30001, 1);
  REQUIRE(peer);
  co_await peer->command(op_peer_command, Payload("x"));
  co_await until([&] { return !two.a.gone.empty(); });
  CHECK(two.a.master.forwarding().counters().unroutable == 1);
  CHECK(two.a.log.has_line("branch 0x00030001, which no slave runs"));
  CHECK((co_await two.a.master.slaves().front()->call(op_ping, Payload())).payload.text() == to_text(s0));
  co_await two.stop();
}

/// A slave speaks to a peer in the name of a shard that is another's, before that one has.
CO_TEST_CASE("forwarding: a slave cannot speak for a shard that is not its own", in_world, sim::World& world) {
  TwoTextClusters two(world);
  TestSlave liar(world, SlaveIdentity("L", {0x30001}));
  co_await two.a.master.connect_slave(liar.address, liar.identity.full_shard_ids);
  co_await two.meet();
  co_await two.admit();
  for (const std::uint32_t branch : {0x10001, 0x40001}) {
    liar.slave.peers().add_branch(branch);
    co_await liar.slave.peers().find(branch, 7)->command(op_peer_command, Payload("a lie"));
  }
  co_await until([&] { return two.a.master.forwarding().counters().foreign == 2; });
  CHECK(two.a.master.forwarding().pairs() == 0);
  CHECK(two.a.log.has_line("which it does not run: dropped"));

  const auto at_b = two.slave_b.slave.peers().find(0x10001, 1);
  CHECK((co_await at_b->call(op_peer_request, Payload("x"))).payload.text() == "00010001/7 answers x");
  CHECK(two.slave_b.heard == "");
  co_await stop_all(liar.slave);
  co_await two.stop();
}

/// What a peer was told is over begins anew when a slave comes for it.
CO_TEST_CASE("forwarding: a peer reaches a shard again whose slave was away", in_world, sim::World& world) {
  TwoTextClusters two(world, [](ClusterMasterOptions& options) { options.ends_with_slave = false; });
  co_await two.meet();
  co_await two.admit();
  const auto at_b = two.slave_b.slave.peers().find(0x10001, 1);
  CHECK((co_await at_b->call(op_peer_request, Payload("x"))).payload.text() == "00010001/7 answers x");
  const auto at_a = two.slave_a.slave.peers().find(0x10001, 7);
  for (int i = 0; i < 3; ++i) co_await at_a->call(op_peer_request, Payload("x"));
  world.reset("A", "S0");
  co_await until([&] { return two.a.master.slaves().empty(); });

  TestSlave again(world, SlaveIdentity("S0-again", s0.full_shard_ids));
  const auto control = co_await two.a.master.connect_slave(again.address, again.identity.full_shard_ids);
  co_await control->call(op_ping, Payload("root tip"));
  co_await control->call(op_create, Payload("7"));

  CHECK((co_await at_b->call(op_peer_request, Payload("y"))).payload.text() == "00010001/7 answers y");
  const auto back_at_a = again.slave.peers().find(0x10001, 7); // its ids begin anew, for the peer they go on
  for (int i = 0; i < 3; ++i)
    CHECK((co_await back_at_a->call(op_peer_request, Payload("z"))).payload.text() == "00010001/1 answers z");
  CHECK(two.a.master.forwarding().pairs() == 1);
  co_await stop_all(again.slave);
  co_await two.stop();
}

/// How many commands have arrived, and whether in order and each once: their text is their number.
std::size_t commands_in_order(const std::string& heard, const std::string& from, std::size_t bytes) {
  std::size_t count = 0;
  std::size_t at = 0;
  for (;; ++count) {
    std::string expected = from + " " + std::to_string(count);
    expected.resize(from.size() + 1 + bytes, 'x');
    expected += ';';
    if (heard.compare(at, expected.size(), expected) != 0) break;
    at += expected.size();
  }
  CHECK(at == heard.size());
  return count;
}

/// Sends its commands as fast as it may.
awaitable<void> flood(std::shared_ptr<RpcCircuit> peer, std::size_t count, std::size_t bytes) {
  for (std::size_t i = 0; i < count; ++i) {
    std::string text = std::to_string(i);
    text.resize(bytes, 'x');
    Payload payload(text);
    co_await peer->command(op_peer_command, std::move(payload));
  }
}

/// Far more than every limit on the way, for a slave whose link pauses: the peer's own connection is not read
/// meanwhile.
CO_TEST_CASE("forwarding: a slave's link that pauses holds its peer back, loses nothing of it, and delays nobody else",
             in_world, sim::World& world) {
  TwoTextClusters two(world, [](ClusterMasterOptions& options) {
    options.connections.limits.peer_inbox_bytes_max = 64 * 1024;
    options.connections.limits.peer_output_bytes_max = 64 * 1024;
  });
  TestSlave other(world, SlaveIdentity("S9", {0x30001}));
  co_await two.a.master.connect_slave(other.address, other.identity.full_shard_ids);
  co_await two.meet();
  co_await two.admit();
  const auto first = two.slave_b.slave.peers().find(0x10001, 1);
  Tasks tasks(world.executor());
  for (const Duration pause : {Duration(200ms), Duration(5s)}) {
    two.slave_a.heard.clear();
    world.stall("A", "S0", pause);
    tasks.spawn(flood(first, 3000, 1000));
    co_await sleep_for(pause / 2);
    CHECK(two.a.accepted->machine().memory_bytes() < 64 * 1024 + (256 << 10)); // and what one read brought
    const auto at_other = two.a.master.slaves().front();
    CHECK((co_await at_other->call(op_ping, Payload())).payload.text() == to_text(other.identity)); // as ever
    co_await tasks.join();
    co_await until([&] { return two.slave_a.heard.size() >= 3000 * 1012; });
    CHECK(commands_in_order(two.slave_a.heard, "00010001/7", 1000) == 3000);
  }
  CHECK(two.a.accepted->counters().pauses > 0);
  CHECK(two.a.master.forwarding().counters().pairs_ended == 0);
  CHECK(two.a.log.has_line("bytes unread for shards, peer_inbox_bytes_max is 65536: reading pauses"));
  CHECK((co_await two.of_b->control()->call(3, Payload("root"))).payload.text() == "root");
  co_await stop_all(other.slave);
  co_await two.stop();
}

/// The slave's connection is everybody's: what one peer does not take is not waited for. The peer misses something from
/// then on, so it is closed as a whole, and comes back.
CO_TEST_CASE("forwarding: a peer that does not read is closed with the reason, and the slave goes on", in_world,
             sim::World& world) {
  TwoTextClusters two(world, [](ClusterMasterOptions& options) {
    options.connections.limits.peer_inbox_bytes_max = 64 * 1024;
    options.connections.limits.peer_output_bytes_max = 64 * 1024;
    options.connections.limits.output_bytes_max = 64 * 1024;
  });
  co_await two.meet();
  co_await two.admit();
  const auto at_a = two.slave_a.slave.peers().find(0x10001, 7);
  world.stall("A", "B", 1h);
  co_await flood(at_a, 3000, 1000);
  co_await until([&] { return !two.a.gone.empty(); });
  CHECK(two.a.gone == "7: stalled;");
  CHECK(two.a.log.has_line("no more forwarding for peer 7 on branch 0x00010001: stalled"));
  CHECK(two.a.log.has_line(" is over: stalled"));
  const auto control = two.a.master.slaves().front();
  CHECK((co_await control->call(op_ping, Payload())).payload.text() == to_text(s0));
  co_await two.stop();
}

CO_TEST_CASE("cluster master: the loss of a slave ends it, or is left out", in_world, sim::World& world) {
  TestSlave a(world, s0), b(world, s1);
  TestMaster strict(world, "strict");
  co_await strict.master.connect_slave(a.address, s0.full_shard_ids);
  const auto kept = co_await strict.master.connect_slave(b.address, s1.full_shard_ids);
  world.reset("strict", "S0");
  const End end = co_await strict.master.stopped();
  CHECK(end.to_string().find("the slave at sim://S0 is gone") != std::string::npos);
  co_await until([&] { return !kept->is_open(); });
  co_await strict.master.stop(0s);
  CHECK((co_await a.slave.stopped()).to_string().find("the master is gone") != std::string::npos);
  co_await stop_all(a.slave, b.slave);

  TestSlave c(world, s2);
  TestMaster lenient(world, "lenient", [](ClusterMasterOptions& options) { options.ends_with_slave = false; });
  co_await lenient.master.connect_slave(c.address, s2.full_shard_ids);
  world.reset("lenient", "S2");
  co_await until([&] { return lenient.master.slaves().empty(); });
  CHECK(lenient.log.has_line("is gone"));
  co_await stop_all(lenient.master, c.slave);
}

CO_TEST_CASE("cluster master: a slave is dialled until it listens", in_world, sim::World& world) {
  TestMaster master(world, "master");
  Tasks tasks(world.executor());
  std::shared_ptr<RpcCircuit> control;
  tasks.spawn([](TestMaster* of, std::shared_ptr<RpcCircuit>* into) -> awaitable<void> {
    *into = co_await of->master.connect_slave("sim://S0", s0.full_shard_ids);
  }(&master, &control));
  co_await sleep_for(5s);
  CHECK_FALSE(control);
  TestSlave slave(world, s0);
  co_await until([&] { return control != nullptr; });
  CHECK((co_await control->call(op_ping, Payload())).payload.text() == to_text(s0));
  co_await stop_all(master.master, slave.slave);
}

// The end.

CO_TEST_CASE("cluster slave: the loss of the master ends everything", in_world, sim::World& world) {
  TestSlave a(world, s0), b(world, s1);
  TestMaster master(world, "master");
  const auto control = co_await master.master.connect_slave(a.address, s0.full_shard_ids);
  co_await control->call(op_ping, Payload("root tip"));
  co_await control->call(op_create, Payload("7"));
  Kept masters;
  co_await give_masters(world, masters, b);
  std::vector<SlaveTarget> to_b(1, b.target());
  co_await a.slave.slaves().connect(to_b);
  const auto silent = co_await world.medium("outside")->dial(a.address);
  co_await until([&] { return a.slave.slaves().unidentified() == 1; });
  const auto peer = a.slave.peers().find(0x10001, 7);

  world.reset("master", "S0");
  CHECK((co_await a.slave.stopped()).to_string().find("the master is gone") != std::string::npos);
  CHECK_FALSE(peer->is_open());
  CHECK(a.slave.slaves().routes().size() == 0);
  co_await a.slave.stop(10s); // already decided: only waits
  CHECK(a.slave.connections().size() == 0);
  CHECK((co_await failure_of(world.medium("outside")->dial(a.address))) != "");
  CHECK(co_await a.slave.wait_for_master() == nullptr);
  co_await until([&] { return b.slave.slaves().routes().size() == 0; });
  co_await stop_all(master.master, b.slave);
}

CO_TEST_CASE("cluster slave: it may wait for a new master instead", in_world, sim::World& world) {
  TestSlave slave(world, s0, [](ClusterSlaveOptions& options) {
    options.waits_for_new_master = true;
    options.master_hosts = {"one", "two"};
  });
  const auto one = co_await world.medium("one")->dial(slave.address);
  const auto first = co_await slave.slave.wait_for_master();
  slave.slave.peers().add_branch(0x10001);
  slave.slave.peers().create(7);
  const auto peer = slave.slave.peers().find(0x10001, 7);
  one->close();
  co_await until([&] { return slave.slave.master() == nullptr; });
  CHECK_FALSE(peer->is_open());
  CHECK(slave.log.has_line("waiting for a new one"));
  const auto stranger = co_await world.medium("stranger")->dial(slave.address);
  co_await sleep_for(1s);
  CHECK(slave.slave.master() == nullptr);
  const auto two = co_await world.medium("two")->dial(slave.address);
  const auto second = co_await slave.slave.wait_for_master();
  REQUIRE(second);
  CHECK(second != first);
  co_await write_text(*two, ping(Framing::cluster, ""));
  CHECK(co_await read_frames(*two, Framing::cluster, 1) == "130 #1 \"S0;10001,20001,\";");
  slave.slave.peers().create(8);
  CHECK(slave.slave.peers().find(0x10001, 8) != nullptr);
  co_await stop_all(slave.slave);
}

CO_TEST_CASE("cluster slave: a frame for an unknown branch ends it, one for an unknown peer does not", in_world,
             sim::World& world) {
  TestSlave slave(world, s0);
  const auto master = co_await world.medium("master")->dial(slave.address);
  co_await write_text(*master, ping(Framing::cluster, "root tip"));
  co_await read_frames(*master, Framing::cluster, 1);
  co_await write_text(*master, peer_command(0x10001, 99)); // an unknown peer: dropped
  co_await write_text(*master, ping(Framing::cluster, "", 2));
  CHECK(co_await read_frames(*master, Framing::cluster, 1) == "130 #2 \"S0;10001,20001,\";");
  co_await write_text(*master, peer_command(0x90001, 99)); // an unknown branch
  CHECK((co_await slave.slave.stopped()).to_string().find("not one of the 4 configured branches") != std::string::npos);
  co_await slave.slave.stop(0s);
}

CO_TEST_CASE("cluster slave: stopping with nothing left to say waits for no deadline", in_world, sim::World& world) {
  TestSlave slave(world, s0);
  TestMaster master(world, "keeper");
  co_await master.master.connect_slave(slave.address, s0.full_shard_ids);
  const TimePoint begin = world.now();

  co_await slave.slave.stop(10s);
  co_await master.master.stop(10s);

  CHECK(world.now() - begin < ClusterLimits().goodbye_deadline);
}

CO_TEST_CASE("cluster slave: stopping lets what runs end until the deadline", in_world, sim::World& world) {
  for (const bool patient : {true, false}) {
    TestSlave slave(world, s0);
    TestMaster master(world, "master", [](ClusterMasterOptions& options) { options.ends_with_slave = false; });
    const auto control = co_await master.master.connect_slave(slave.address, s0.full_shard_ids);
    Tasks tasks(world.executor());
    std::string result = "pending";
    tasks.spawn([](std::shared_ptr<RpcCircuit> circuit, std::string* into) -> awaitable<void> {
      *into = co_await failure_of(circuit->call(op_slow, Payload())); // 3 s
    }(control, &result));
    co_await sleep_for(1s);
    const TimePoint begin = world.now();
    const Duration deadline = patient ? 10s : 1s;
    co_await slave.slave.stop(deadline);
    const Duration took = world.now() - begin;
    co_await until([&] { return result != "pending"; });
    CHECK(result == (patient ? "" : "circuit closed"));
    CHECK(took >= (patient ? Duration(1900ms) : Duration(1s)));
    CHECK(took <= (patient ? Duration(3500ms) : Duration(2500ms)));
    CHECK((co_await failure_of(world.medium("outside")->dial(slave.address))) != "");
    CHECK(slave.slave.connections().size() == 0);
    co_await slave.slave.stop(1s); // again
    co_await master.master.stop(0s);
  }
}

CO_TEST_CASE("slave pool: nothing comes into a closed one", in_world, sim::World& world) {
  TestSlave a(world, s0), b(world, s1);
  Kept masters;
  co_await give_masters(world, masters, a, b);
  a.slave.slaves().close();
  std::vector<SlaveTarget> to_b(1, b.target());
  CHECK((co_await a.slave.slaves().connect(to_b)).front().find("stopping") != std::string::npos);
  std::vector<SlaveTarget> to_a(1, a.target());
  CHECK((co_await b.slave.slaves().connect(to_a)).front() != "");
  CHECK(a.slave.slaves().unidentified() == 0);
  co_await stop_all(a.slave, b.slave);
}

} // namespace

TEST_CASE("slave pool: two slaves that dial each other at once keep a way to each other") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    in_world(simultaneous, seed);
  }
}
