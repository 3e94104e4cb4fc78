// The sync service as a component: behind its node in a group, refusing what is new at its end, and failing.
#include "services/sync/component.hpp"

#include "async/component/group.hpp"
#include "peer/node_component.hpp"
#include "tests/services/sync/scratch.hpp"
#include "transport/sim/world.hpp"

#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::sync;
using namespace std::chrono_literals;

namespace {

struct Household {
  Household() : world(1) {
    root = Scope::make_root([this](const std::string& component, std::exception_ptr failure) {
      try {
        std::rethrow_exception(failure);
      } catch (const std::exception& thrown) {
        failures.push_back(component + ": " + thrown.what());
      }
    });
    node = std::make_shared<NodeComponent>("node", make_node("home"), std::vector<std::string>{"sim://home"});
  }
  Node make_node(const std::string& host) {
    NodeOptions options;
    options.media["sim"] = world.medium(host);
    options.random = world.random(host);
    return Node(world.executor(), std::move(options));
  }
  std::shared_ptr<ServiceComponent> service(std::shared_ptr<Root> served = nullptr) {
    sync::ServiceOptions options;
    options.root = std::move(served);
    return std::make_shared<ServiceComponent>(world.executor(), "sync", node->node(), std::move(options), 3s);
  }

  sim::World world;
  std::shared_ptr<Scope> root;
  std::vector<std::string> failures;
  std::shared_ptr<NodeComponent> node;
};

} // namespace

TEST_CASE(
    "component: sync is ready once it is registered, refuses what comes after its end, and stops before its node") {
  Household house;
  const test::Scratch scratch;
  const auto sync = house.service(Root::open(scratch.path()));
  const auto group = std::make_shared<ComponentGroup>(house.world.executor(), "house",
                                                      std::vector<std::shared_ptr<Component>>{house.node, sync});
  group->start(house.root);
  house.world.run(group->ready());
  REQUIRE(sync->service());
  Node visitor = house.make_node("visitor");
  {
    const auto me = visitor.new_peer("me"); // somebody who asked and says nothing: a sync that runs
    Circuit asking = me->join_or_start("sim://home", "sync", std::nullopt);
    house.world.run(asking.accepted());
    house.world.run_for(100ms);
    CHECK(sync->service()->running_count() == 1);
    house.root->cancel();
    house.world.run_for(1s);
    CHECK_FALSE(sync->is_done());
    CHECK_FALSE(house.node->is_done());
    house.world.run(sync->done()); // at its deadline
  }
  house.world.run(group->done());
  CHECK(house.node->is_done());
  CHECK(house.failures.empty());
  house.world.run(visitor.close());
}

TEST_CASE(
    "component: a sync service that is cancelled before it is ready registers nothing; a second one is a failure") {
  Household house;
  const auto cancelled = house.service();
  const auto scope = Scope::make_root({});
  cancelled->start(scope);
  scope->cancel();
  house.world.run(cancelled->done());
  CHECK_FALSE(cancelled->is_ready());
  CHECK_FALSE(cancelled->service());

  const auto first = house.service();
  const auto second = house.service();
  first->start(house.root);
  house.world.run(first->ready());
  second->start(house.root);
  house.world.run(second->done());
  CHECK_FALSE(second->is_ready());
  REQUIRE(house.failures.size() == 1);
  CHECK(house.failures[0].starts_with("sync: "));
  house.world.run(first->done()); // with everything below the root
}
