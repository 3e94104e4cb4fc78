// A master and its slaves over real sockets.
#include "tests/services/quarkchain/tcp_slave.hpp"
#include "tests/support/co_test_case.hpp"
#include "transport/tls.hpp"

#include <doctest/doctest.h>

#include <boost/asio/this_coro.hpp>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

struct TcpCluster {
  explicit TcpCluster(const Executor& executor, bool encrypted = false) {
    TcpSlave::Tweak tweak;
    if (encrypted) {
      for (int node = 0; node < 4; ++node) keys.push_back(IdentityKey::draw());
      tweak = [this](SlaveNodeOptions& slave) {
        slave.address = "tls://127.0.0.1:0";
        slave.connections.media["tls"] = medium_of(slaves.size());
      };
      options.connections.media["tls"] = medium_of(3);
    }
    const Media media_of_master = options.connections.media;
    for (const char* id : {"S0", "S1", "S2"}) {
      slaves.push_back(std::make_unique<TcpSlave>(executor, id, tweak, &addresses));
      addresses[id] = slaves.back()->address;
    }
    options = MasterNodeOptions::of(slaves[0]->config);
    options.address_of = [this](const SlaveConfig& slave) { return addresses.at(slave.id); };
    options.connections.limits.goodbye_deadline = 20ms;
    options.connections.log = log.sink();
    options.connections.media = media_of_master;
  }
  /// Of one node, which trusts the keys of the others.
  std::shared_ptr<Medium> medium_of(std::size_t node) const {
    TrustOptions trust;
    for (const IdentityKey& key : keys) trust.pins.push_back(key.id());
    return make_tls_medium(std::make_shared<Identity>(keys[node], std::move(trust)));
  }
  void start(const Executor& executor) {
    chain = std::make_shared<RootChain>(slaves[0]->config.quarkchain, make_memory_store());
    master = std::make_unique<MasterNode>(executor, options, chain);
  }
  static awaitable<void> stop(TcpCluster* self) {
    if (self->master) co_await self->master->stop(Duration::zero());
    for (const auto& slave : self->slaves) co_await slave->node->stop(Duration::zero());
  }
  std::map<std::string, std::string> addresses;
  std::vector<std::unique_ptr<TcpSlave>> slaves;
  MasterNodeOptions options;
  std::shared_ptr<RootChain> chain;
  std::unique_ptr<MasterNode> master;
  LogLines log;
  std::vector<IdentityKey> keys;
};

awaitable<void> boot_and_work(bool encrypted) {
  const Executor executor = co_await asio::this_coro::executor;
  TcpCluster cluster(executor, encrypted);
  cluster.start(executor);
  co_await cluster.master->boot();
  CHECK(cluster.master->progress() == "active");
  CHECK(cluster.chain->stats().size() == 3);
  const std::vector<HeadersInfo> none;
  Address nobody;
  const RootBlock block = cluster.chain->next_block(hash_of(cluster.chain->tip().header), none, nobody);
  CHECK(co_await cluster.master->add_root_block(block));
  CHECK(cluster.slaves[2]->backend->ledger->root_tip()->height == 1);
  for (const auto& slave : cluster.slaves) CHECK(slave->node->connections().slaves().routes().to_all().size() == 2);
  co_await cluster.master->create_peer(5);
  for (const auto& slave : cluster.slaves) CHECK(slave->node->connections().peers().peers().contains(5));
  co_await TcpCluster::stop(&cluster);
}

CO_TEST_CASE("lifecycle: a master boots its slaves, gives them root blocks and peers", over_tcp) {
  co_await boot_and_work(false);
}

CO_TEST_CASE("lifecycle: over TLS a cluster is the same, and only the addresses differ", over_tcp) {
  co_await boot_and_work(true);
}

CO_TEST_CASE("bad input: a master that finds another slave than expected says both", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  TcpCluster cluster(executor);
  std::swap(cluster.addresses["S1"], cluster.addresses["S2"]);
  cluster.start(executor);
  std::string failure;
  try {
    co_await cluster.master->boot();
  } catch (const BootFailure& thrown) {
    failure = thrown.what();
  }
  CHECK(failure.find("is slave \"S2\", expected \"S1\"") != std::string::npos);
  co_await TcpCluster::stop(&cluster);
}

/// Only logged, as pyquarkchain does; the slaves themselves look closer.
CO_TEST_CASE("bad input: another shard list is logged by the master and refused between slaves, with both", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  TcpCluster cluster(executor);
  cluster.options.slaves[1].full_shard_id_list = {0x10001, 0x1};
  cluster.start(executor);
  std::string failure;
  try {
    co_await cluster.master->boot();
  } catch (const BootFailure& thrown) {
    failure = thrown.what();
  }
  CHECK(cluster.log.has_line("slave \"S1\" runs 0x00010001, expected 0x00010001, 0x00000001"));
  CHECK(failure.find("slave \"S0\" cannot connect to slave \"S1\"") != std::string::npos);
  CHECK(failure.find("[0x00010001], expected \"S1\" with [0x00010001 0x00000001]") != std::string::npos);
  co_await TcpCluster::stop(&cluster);
}

} // namespace
