// Whole clusters in a simulated world: booted, used through the typed clients, lost and found again.
#include "tests/quarkchain/node_kit.hpp"

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

awaitable<void> boots(sim::World& world) {
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

awaitable<void> grows(sim::World& world) {
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

  const auto found = co_await cluster.master->slave_of(shard(0)).get_transaction(shard(0), hash_of(local));
  REQUIRE(found);
  CHECK(hash_of(found->block.header) == blocks[0]);
  const RootBlock second = co_await SimCluster::next_root_block(&cluster);
  CHECK(second.minor_block_header_list.size() == 8);
  for (auto& slave : cluster.slaves) CHECK(slave.ledger->root_tip()->height == 2);
  const std::vector<HeadersInfo> unconfirmed = co_await cluster.master->get_unconfirmed_headers();
  REQUIRE(unconfirmed.size() == 4);
  for (const HeadersInfo& info : unconfirmed) CHECK(info.header_list.empty());
  co_await cluster.stop();
}

} // namespace

TEST_CASE("cluster: a master boots four slaves, which report every shard's genesis before they answer") {
  in_world(boots);
}
TEST_CASE("cluster: blocks grow, and each one's cross-shard lists are at every other shard before it is acknowledged") {
  in_world(grows);
}
