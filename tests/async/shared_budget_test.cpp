#include "async/shared_budget.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "tests/async/in_world.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

awaitable<void> hold_one(std::shared_ptr<SharedBudget> budget, std::string* seen, char letter, Duration time) {
  BudgetShare share(std::move(budget));
  co_await share.wait_for_one();
  seen->push_back(letter);
  co_await sleep_for(time);
}

} // namespace

TEST_CASE("shared budget: the shares together take no more than there is, and what is refused takes nothing") {
  const auto budget = std::make_shared<SharedBudget>(10);
  BudgetShare first(budget);
  {
    BudgetShare second(budget);
    CHECK(first.add(6));
    CHECK(!second.add(5));
    CHECK(!second.add(static_cast<std::size_t>(-1)));
    CHECK(second.add(4));
    CHECK(budget->amount_used() == 10);
  }
  CHECK(budget->amount_used() == 6);
}

TEST_CASE("shared budget: a share gives back no more than it has") {
  const auto budget = std::make_shared<SharedBudget>(10);
  BudgetShare first(budget), second(budget);
  CHECK((first.add(3) && second.add(3)));

  first.give_back(100);
  CHECK(budget->amount_used() == 3);
}

CO_TEST_CASE("shared budget: waiters get what is given back in the order in which they came", in_world,
             sim::World& world) {
  const auto budget = std::make_shared<SharedBudget>(2);
  std::string seen;
  Tasks tasks(world.executor());

  for (const char letter : {'a', 'b', 'c', 'd', 'e'}) tasks.spawn(hold_one(budget, &seen, letter, 1s));
  co_await sleep_for(500ms);
  CHECK(seen == "ab");
  co_await sleep_for(1s);
  CHECK(seen == "abcd");
  co_await tasks.join();

  CHECK(seen == "abcde");
  CHECK(budget->amount_used() == 0);
}

CO_TEST_CASE("shared budget: what many held at once wakes as many", in_world, sim::World& world) {
  const auto budget = std::make_shared<SharedBudget>(3);
  std::string seen;
  Tasks tasks(world.executor());
  {
    BudgetShare all(budget);
    CHECK(all.add(3));
    for (const char letter : {'a', 'b', 'c'}) tasks.spawn(hold_one(budget, &seen, letter, 1s));
    co_await sleep_for(1s);
    CHECK(seen == "");
  }
  co_await sleep_for(500ms);
  CHECK(seen == "abc");
  co_await tasks.join();
}

CO_TEST_CASE("shared budget: a waiter that is cancelled after its wake-up passes it on", in_world, sim::World& world) {
  const auto budget = std::make_shared<SharedBudget>(1);
  std::string seen;
  Tasks first(world.executor()), second(world.executor());
  {
    BudgetShare share(budget);
    CHECK(share.add(1));
    first.spawn(hold_one(budget, &seen, 'a', 1s));
    second.spawn(hold_one(budget, &seen, 'b', 1s));
    co_await sleep_for(1s);
  }
  first.cancel(); // woken by the share that went, not resumed yet
  co_await second.join();

  CHECK(seen == "b");
  CHECK(budget->amount_used() == 0);
}
