// Whole clusters in a simulated world: booted, used through the typed clients, lost and found again.
#include "tests/services/quarkchain/whole_cluster.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <boost/system/system_error.hpp>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

using Body = awaitable<void> (*)(sim::World&);

void in_world(Body body, std::uint64_t seed = 5) {
  sim::World world(seed);
  world.run(body(world));
}

constexpr std::uint32_t shard(std::uint32_t chain) { return chain << 16 | 1; }

CO_TEST_CASE("cluster: a master boots four slaves, which report every shard's genesis before they answer", in_world,
             sim::World& world) {
  SimCluster cluster(world, cluster_config(4, 8));
  co_await cluster.boot();
  CHECK(cluster.master->progress() == "active");
  for (std::uint32_t chain = 0; chain < 8; ++chain) {
    CHECK(cluster.chain->stats().contains(shard(chain))); // reported by 145 before PONG
    const auto& slave = cluster.slaves[chain % 4];
    REQUIRE(slave.ledger->tip_of(shard(chain)));
    CHECK(cluster.chain->is_reported(hash_of(*slave.ledger->tip_of(shard(chain)))));
  }
  for (auto& slave : cluster.slaves) {
    CHECK(slave.node->connections().slaves().routes().to_all().size() == 3);
    CHECK(slave.node->connections().slaves().routes().size() == 3); // one connection for each pair
  }
  co_await cluster.stop();
}

CO_TEST_CASE(
    "cluster: blocks grow, and each one's cross-shard lists are at every other shard before it is acknowledged",
    in_world, sim::World& world) {
  SimCluster cluster(world, cluster_config(4, 4));
  co_await cluster.boot();
  const RootBlock first = co_await SimCluster::next_root_block(&cluster);
  CHECK(first.minor_block_header_list.size() == 4); // the genesis blocks
  const TypedTransaction local = some_transaction(0, 0, 7);
  const TypedTransaction across = some_transaction(0, 0x00010000, 8);
  co_await cluster.master->add_transaction(local);
  co_await cluster.master->add_transaction(across);
  std::vector<Hash256> blocks;
  for (int round = 0; round < 2; ++round)
    for (std::uint32_t chain = 0; chain < 4; ++chain)
      blocks.push_back(co_await SimCluster::next_minor_block(&cluster, shard(chain)));
  for (std::size_t i = 0; i < blocks.size(); ++i)
    for (std::uint32_t to = 0; to < 4; ++to)
      if (to != i % 4) CHECK(cluster.slaves[to].ledger->has_xshard_tx_list(shard(to), blocks[i]));
  const auto deposits = cluster.slaves[1].ledger->xshard_tx_list(shard(1), blocks[0]);
  REQUIRE(deposits->tx_list.size() == 1);
  CHECK(deposits->tx_list[0].tx_hash == hash_of(across));
  CHECK(deposits->tx_list[0].from_address.recipient == EvmTransaction::from(across).sender());

  GetTransactionRequest request;
  request.branch.value = shard(0);
  request.tx_hash = hash_of(local);
  const auto found = co_await cluster.master->slave_of(shard(0)).find(request);
  REQUIRE(found);
  CHECK(hash_of(found->minor_block.header) == blocks[0]);
  const RootBlock second = co_await SimCluster::next_root_block(&cluster);
  CHECK(second.minor_block_header_list.size() == 8);
  for (auto& slave : cluster.slaves) CHECK(slave.ledger->root_tip()->height == 2);
  const std::vector<HeadersInfo> unconfirmed = co_await cluster.master->get_unconfirmed_headers();
  REQUIRE(unconfirmed.size() == 4);
  for (const HeadersInfo& info : unconfirmed) CHECK(info.header_list.empty());
  co_await cluster.stop();
}

awaitable<void> until(std::function<bool()> condition) {
  for (int tries = 0; !condition(); ++tries) {
    if (tries > 10'000) throw std::logic_error("a condition never came true");
    co_await sleep_for(10ms); // simulated
  }
}

/// Two clusters of two slaves each.
struct TwoWholeClusters {
  explicit TwoWholeClusters(sim::World& world, const SimCluster::TweakMaster& tweak_b = {})
      : a(world, cluster_config(2, 4), {}, {}, "A-"), b(world, cluster_config(2, 4), {}, tweak_b, "B-") {}
  static awaitable<void> boot(TwoWholeClusters* self) {
    co_await self->a.boot();
    co_await self->b.boot();
    self->a.master->listen_for_peers("sim://A-M:38291");
  }
  static awaitable<void> stop(TwoWholeClusters* self) {
    co_await self->a.stop();
    co_await self->b.stop();
  }
  SimCluster a;
  SimCluster b;
};

CO_TEST_CASE("cluster: two clusters meet, and what a shard adds reaches its peer through both masters", in_world,
             sim::World& world) {
  TwoWholeClusters both(world);
  co_await TwoWholeClusters::boot(&both);
  const std::uint64_t peer = co_await both.b.master->connect_peer("sim://A-M:38291");
  CHECK(both.b.master->peers() == std::vector<std::uint64_t>{peer});
  co_await until([&] { return both.a.master->peers().size() == 1; });
  for (auto* cluster : {&both.a, &both.b})
    for (auto& slave : cluster->slaves) CHECK(slave.node->connections().peers().size() == 2); // one for each shard

  // What a shard of A adds, its peer in B hears of, fetches through both masters, and has.
  for (std::uint32_t chain = 0; chain < 4; ++chain)
    for (int i = 0; i < 3; ++i) co_await SimCluster::next_minor_block(&both.a, shard(chain));
  for (std::uint32_t chain = 0; chain < 4; ++chain) {
    co_await until([&] { return both.b.slaves[chain % 2].ledger->tip_of(shard(chain))->height == 3; });
    CHECK(*both.b.slaves[chain % 2].ledger->tip_of(shard(chain)) ==
          *both.a.slaves[chain % 2].ledger->tip_of(shard(chain)));
    CHECK(both.b.chain->is_reported(hash_of(*both.b.slaves[chain % 2].ledger->tip_of(shard(chain)))));
  }
  CHECK(both.b.master->connections().forwarding().counters().frames_to_slaves > 0);

  both.b.master->disconnect_peer(peer);
  co_await until([&] {
    return both.a.slaves[0].node->connections().peers().size() == 0 &&
           both.b.slaves[1].node->connections().peers().size() == 0;
  });
  CHECK(both.a.master->peers().empty());
  const std::uint64_t again = co_await both.b.master->connect_peer("sim://A-M:38291");
  CHECK(again != peer);
  co_await TwoWholeClusters::stop(&both);
}

CO_TEST_CASE("cluster: who says HELLO of another network, is ourselves, or says nothing is not admitted", in_world,
             sim::World& world) {
  struct Case {
    const char* line;
    SimCluster::TweakMaster tweak;
  };
  const std::vector<Case> cases{
      {"network_id is 9, expected 3", [](MasterNodeOptions& options) { options.peers.network_id = 9; }},
      {"version is 1, expected 0", [](MasterNodeOptions& options) { options.peers.version = 1; }}};
  for (const Case& each : cases) {
    TwoWholeClusters both(world, each.tweak);
    co_await TwoWholeClusters::boot(&both);
    bool refused = false;
    try {
      (void)co_await both.b.master->connect_peer("sim://A-M:38291");
    } catch (const std::exception&) {
      refused = true;
    }
    CHECK(refused);
    CHECK(both.a.log.has_line(each.line));
    CHECK(both.a.master->peers().empty());
    CHECK(both.a.slaves[0].node->connections().peers().size() == 0);
    co_await TwoWholeClusters::stop(&both);
  }
  TwoWholeClusters both(world);
  co_await TwoWholeClusters::boot(&both);
  bool itself = false;
  try {
    (void)co_await both.a.master->connect_peer("sim://A-M:38291");
  } catch (const std::exception&) {
    itself = true;
  }
  CHECK(itself);
  CHECK(both.a.log.has_line("the peer is ourselves"));
  const auto silent = co_await world.medium("outside")->dial("sim://A-M:38291"); // never says HELLO
  co_await sleep_for(20s);
  CHECK(both.a.log.has_line("is not admitted"));
  CHECK(both.a.master->connections().connections().size() == 0);
  (void)co_await SimCluster::next_root_block(&both.a);
  co_await TwoWholeClusters::stop(&both);
}

/// A peer of a shard asks before its slave is lost and after it has come back.
CO_TEST_CASE("cluster: a peer asks a shard again whose slave was away", in_world, sim::World& world) {
  const auto keeps_going = [](MasterNodeOptions& options) { options.ends_with_slave = false; };
  const auto waits = [](SlaveNodeOptions& options, std::shared_ptr<Backend>&) {
    options.master_hosts = {"A-M"};
    options.waits_for_new_master = true;
  };
  SimCluster a(world, cluster_config(2, 2), waits, keeps_going, "A-");
  SimCluster b(world, cluster_config(2, 2), {}, {}, "B-");
  co_await a.boot();
  co_await b.boot();
  a.master->listen_for_peers("sim://A-M:38291");
  const std::uint64_t peer = co_await b.master->connect_peer("sim://A-M:38291");
  const PeerShard shard_of_a{shard(1), peer};
  co_await until([&] { return a.master->peers().size() == 1; });
  GetMinorBlockListRequest genesis;
  genesis.minor_block_hash_list.push_back(hash_of(*b.slaves[1].ledger->tip_of(shard(1))));
  BackendHost& asks = b.slaves[1].node->host();
  CHECK((co_await asks.ask(shard_of_a, genesis)).minor_block_list.size() == 1);

  world.on_crash("A-S1", [&] { a.slaves[1].node.reset(); });
  world.on_restart("A-S1", [&] { a.start_slave(1); });
  world.crash("A-S1", sim::Crash::reset);
  co_await until([&] { return a.master->slaves().size() == 1; });
  world.restart("A-S1");
  co_await a.master->boot_slave("S1");

  CHECK((co_await asks.ask(shard_of_a, genesis)).minor_block_list.size() == 1);
  co_await a.stop();
  co_await b.stop();
}

/// One more than peers_max; connections that say nothing are not counted, however many there are.
CO_TEST_CASE("cluster: clusters beyond peers_max are turned away and counted, and silent connections keep none out",
             in_world, sim::World& world) {
  SimCluster a(world, cluster_config(1, 1), {}, [](MasterNodeOptions& options) { options.peers.peers_max = 1; }, "A-");
  SimCluster b(world, cluster_config(1, 1), {}, {}, "B-");
  SimCluster c(world, cluster_config(1, 1), {}, {}, "C-");
  for (SimCluster* cluster : {&a, &b, &c}) co_await cluster->boot();
  a.master->listen_for_peers("sim://A-M:38291");
  std::vector<std::unique_ptr<Transport>> silent;
  for (int i = 0; i < 300; ++i)
    silent.push_back(co_await world.medium("outside-" + std::to_string(i % 10))->dial("sim://A-M:38291"));
  co_await b.master->connect_peer("sim://A-M:38291");
  co_await until([&] { return a.master->peers().size() == 1; });
  CHECK(a.log.has_line("turned away: it has not said who it is"));

  bool refused = false;
  try {
    (void)co_await c.master->connect_peer("sim://A-M:38291");
  } catch (const std::exception&) {
    refused = true;
  }
  CHECK(refused);
  CHECK(a.master->peers_turned_away() == 1);
  CHECK(a.log.has_line("is turned away: peers_max is 1"));
  for (SimCluster* cluster : {&a, &b, &c}) co_await cluster->stop();
}

/// P2P_COMMAND_SIZE_LIMIT is of connections with other clusters, and not of those with slaves.
CO_TEST_CASE("cluster: P2P_COMMAND_SIZE_LIMIT bounds what other clusters say, and not what slaves say", in_world,
             sim::World& world) {
  ClusterConfig config = cluster_config(1, 1);
  config.quarkchain.p2p_command_size_limit = 20;
  SimCluster a(world, config, {}, {}, "A-");
  co_await a.boot(); // its slave says more than that
  CHECK(a.master->progress() == "active");
  a.master->listen_for_peers("sim://A-M:38291");
  SimCluster b(world, cluster_config(1, 1), {}, {}, "B-");
  co_await b.boot();
  bool refused = false;
  try {
    (void)co_await b.master->connect_peer("sim://A-M:38291");
  } catch (const std::exception&) {
    refused = true;
  }
  CHECK(refused);
  co_await a.stop();
  co_await b.stop();
}

/// The least that a node author writes.
class Balances final : public Backend {
 public:
  awaitable<void> create_shards(RootBlock) override { co_return; }
  std::vector<std::uint32_t> shards() const override { return {0x00000001}; }
  awaitable<GetAccountDataResponse> on(GetAccountDataRequest request) override {
    GetAccountDataResponse reply;
    reply.error_code = 9; // out of its reach: only what is thrown refuses
    AccountBranchData& data = reply.account_branch_data_list.emplace_back();
    data.branch.value = 0x00000001;
    data.token_balances.balance_map.set(BigUint(35760), BigUint(request.address.full_shard_key + 1));
    co_return reply;
  }
};

CO_TEST_CASE("cluster: a backend of one's own answers what it implements, and the table the rest", in_world,
             sim::World& world) {
  const auto replace = [](SlaveNodeOptions&, std::shared_ptr<Backend>& backend) {
    backend = std::make_shared<Balances>();
  };
  SimCluster cluster(world, cluster_config(1, 1), replace);
  co_await cluster.boot();
  Address address;
  address.full_shard_key = 6;
  const SlaveClient slave = cluster.master->slave("S0").within(5s);
  GetAccountDataRequest of_address;
  of_address.address = address;
  const GetAccountDataResponse accounts = co_await slave.ask(of_address);
  CHECK(accounts.account_branch_data_list.at(0).token_balances.balance_map.of(BigUint(35760)) == BigUint(7));
  std::uint32_t code = 0;
  try {
    const GetCodeRequest code_of_nobody;
    (void)co_await slave.ask(code_of_nobody);
  } catch (const Refused& refused) {
    code = refused.code();
  }
  CHECK(code == 1);
  CHECK(cluster.slaves[0].node->master_counters().unserved == 1);
  CHECK((co_await cluster.master->get_account_data(address)).size() == 1);
  co_await cluster.stop();
}

CO_TEST_CASE("cluster: a slave that was away gets the root blocks that it has missed", in_world, sim::World& world) {
  const auto keeps_going = [](MasterNodeOptions& options) { options.ends_with_slave = false; };
  const auto waits = [](SlaveNodeOptions& options, std::shared_ptr<Backend>&) {
    options.master_hosts = {"M"};
    options.waits_for_new_master = true;
  };
  SimCluster cluster(world, cluster_config(2, 2), waits, keeps_going);
  co_await cluster.boot();
  std::string healthy;
  try {
    co_await cluster.master->boot_slave("S1");
  } catch (const BootFailure& failure) {
    healthy = failure.what();
  }
  CHECK(healthy == "slave \"S1\" is connected"); // it stays
  for (int i = 0; i < 3; ++i) co_await SimCluster::next_root_block(&cluster);
  world.on_crash("S1", [&] { cluster.slaves[1].node.reset(); });
  world.on_restart("S1", [&] { cluster.start_slave(1); });
  world.crash("S1", sim::Crash::reset);
  co_await until([&] { return cluster.master->slaves().size() == 1; });
  std::string refused;
  try {
    co_await SimCluster::next_minor_block(&cluster, shard(0)); // its list has nowhere to go
  } catch (const Refused& failure) {
    refused = failure.what();
  }
  CHECK(refused.find("error_code 1") != std::string::npos);
  CHECK(cluster.log.has_line("slave \"S1\", which runs 0x00010001, is not connected"));
  // It misses two root blocks: the master tells only who is there.
  for (int i = 0; i < 2; ++i) {
    const std::vector<HeadersInfo> none;
    Address nobody;
    const RootBlock block = cluster.chain->next_block(hash_of(cluster.chain->tip().header), none, nobody);
    AddRootBlockRequest request;
    request.root_block = block;
    (void)co_await cluster.master->slave("S0").ask(request);
    cluster.chain->add(block);
  }
  world.restart("S1");
  co_await cluster.master->boot_slave("S1");
  CHECK(cluster.slaves[1].ledger->root_tip()->height == 5);
  co_await until([&] { return cluster.slaves[0].node->connections().slaves().routes().knows("S1"); });
  co_await SimCluster::next_minor_block(&cluster, shard(0));
  CHECK(cluster.slaves[1].ledger->has_xshard_tx_list(shard(1), hash_of(*cluster.slaves[0].ledger->tip_of(shard(0)))));
  co_await cluster.stop();
}

} // namespace
