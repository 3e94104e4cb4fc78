// A slave and a master as components of a group: ready in their order, stopped in the opposite one, cancelled before
// they are ready, and failing.
#include "services/quarkchain/component.hpp"

#include "async/component/group.hpp"
#include "tests/services/quarkchain/whole_cluster.hpp"

#include <doctest/doctest.h>

#include <exception>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

/// A cluster of two slaves whose nodes are not started, and who hears of failures.
struct Household {
  explicit Household(const SimCluster::TweakMaster& tweak = {})
      : world(3), cluster(world, cluster_config(2, 2), {}, tweak) {
    root = Scope::make_root([this](const std::string& component, std::exception_ptr failure) {
      try {
        std::rethrow_exception(failure);
      } catch (const std::exception& thrown) {
        failures.push_back(component + ": " + thrown.what());
      }
    });
  }
  std::shared_ptr<SlaveComponent> slave(std::size_t i) {
    const std::string& id = cluster.slaves[i].id;
    SlaveNodeOptions options = SlaveNodeOptions::of(cluster.config, id);
    options.address = "sim://" + id;
    options.address_of = [](const SlaveInfo& info) { return "sim://" + info.id; };
    options.connections.media["sim"] = world.medium(id);
    LedgerOptions ledger = LedgerOptions::of(cluster.config, id);
    ledger.unix_time = [this] { return cluster.unix_time(); };
    auto node = std::make_shared<SlaveNode>(world.executor(), std::move(options),
                                            make_ledger(std::move(ledger), make_memory_store()));
    return std::make_shared<SlaveComponent>(world.executor(), id, std::move(node));
  }
  std::shared_ptr<MasterComponent> master() {
    cluster.start_master();
    return std::make_shared<MasterComponent>(world.executor(), "M",
                                             std::shared_ptr<MasterNode>(std::move(cluster.master)));
  }

  sim::World world;
  SimCluster cluster;
  std::shared_ptr<Scope> root;
  std::vector<std::string> failures;
};

} // namespace

TEST_CASE("component: slaves and their master are ready when the cluster is booted, and stop with their group") {
  Household house;
  const auto one = house.slave(0);
  const auto other = house.slave(1);
  const auto master = house.master();
  const auto group = std::make_shared<ComponentGroup>(house.world.executor(), "cluster",
                                                      std::vector<std::shared_ptr<Component>>{one, other, master});
  group->start(house.root);
  house.world.run(group->ready());
  CHECK(master->node().progress() == "active");
  CHECK(one->address() == "sim://S0");
  house.root->cancel();
  house.world.run(group->done());
  for (const std::shared_ptr<Component>& each : std::vector<std::shared_ptr<Component>>{one, other, master})
    CHECK(each->is_done());
  CHECK(house.world.connections_open() == 0);
  const auto free_again = house.world.medium("S0")->listen(house.world.executor(), "sim://S0");
}

TEST_CASE("component: a master that is cancelled while it boots was never ready, and is done; so is a slave") {
  Household house;
  const auto one = house.slave(0); // the other one never comes
  const auto master = house.master();
  one->start(house.root);
  master->start(house.root);
  house.world.run_for(5s);
  CHECK(one->is_ready());
  CHECK_FALSE(master->is_ready());
  house.root->cancel();
  house.world.run(master->done());
  house.world.run(one->done());
  CHECK_FALSE(master->is_ready());
  const auto late = house.slave(1);
  late->start(house.root);
  CHECK(late->is_done());
  CHECK_FALSE(late->is_ready());
  CHECK(house.failures.empty());
}

TEST_CASE("component: a cluster that cannot boot, and an address that cannot be bound, are irrecoverable") {
  {
    Household house([](MasterNodeOptions& options) { options.all_shards.push_back(0x00070001); });
    const auto master = house.master();
    master->start(house.root);
    house.world.run(master->done());
    CHECK_FALSE(master->is_ready());
    REQUIRE(house.failures.size() == 1);
    CHECK(house.failures[0].starts_with("M: no slave of the configuration runs"));
  }
  Household house;
  const auto taken = house.world.medium("S0")->listen(house.world.executor(), "sim://S0");
  const auto slave = house.slave(0);
  slave->start(house.root);
  house.world.run(slave->done());
  CHECK_FALSE(slave->is_ready());
  REQUIRE(house.failures.size() == 1);
  CHECK(house.failures[0].find("sim://S0") != std::string::npos);
}

TEST_CASE("component: the loss of its master is irrecoverable for a slave; that somebody stops it is not") {
  Household house;
  const auto one = house.slave(0);
  const auto other = house.slave(1);
  const auto master = house.master();
  const auto masters_own = Scope::make_root({});
  one->start(house.root);
  const auto others_own = Scope::make_root({});
  other->start(others_own);
  master->start(masters_own);
  house.world.run(master->ready());
  house.world.run(other->node().stop(Duration::zero()));
  house.world.run(other->done());
  CHECK_FALSE(others_own->is_cancelled()); // nobody was told of a failure
  masters_own->cancel();
  house.world.run(master->done());
  house.world.run(one->done());
  REQUIRE(house.failures.size() == 1);
  CHECK(house.failures[0].find("S0: ") == 0);
  CHECK(house.failures[0].find("the master is gone") != std::string::npos);
  CHECK(house.root->is_cancelled());
}
