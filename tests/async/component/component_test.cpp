// The life of components: the rules by which things are started, become ready, fail and are done. Each component here
// is steered by the test: it becomes ready when it may, ends when it may, and notes in which order things happened.
#include "async/component/component.hpp"
#include "async/component/group.hpp"
#include "async/component/worker_pool.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

/// A gate that a component waits at until the test opens it.
struct Gate {
  bool open = true;
  Signal changed;

  void release() {
    open = true;
    changed.notify_all();
  }
  awaitable<void> pass() {
    while (!open) co_await changed.wait();
  }
};

/// Notes "NAME starts", "NAME ready", "NAME stops", "NAME done".
class Steered final : public Component {
 public:
  Steered(Executor executor, std::string name, std::shared_ptr<Names> story = std::make_shared<Names>())
      : Component(std::move(executor), std::move(name)), story_(std::move(story)) {}

  Gate may_be_ready;
  Gate may_end;
  std::exception_ptr fails_at_start;
  std::exception_ptr fails_later;
  Signal fail_now;

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override {
    note("starts");
    if (fails_at_start) std::rethrow_exception(fails_at_start);
    try {
      co_await scope->run(may_be_ready.pass());
      note("ready");
      set_ready();
      if (fails_later) {
        co_await fail_now.wait();
        std::rethrow_exception(fails_later);
      }
    } catch (const boost::system::system_error&) {
      note("never ready");
    }
    co_await scope->cancelled();
    note("stops");
    co_await may_end.pass();
    note("done");
  }
  void start_cancelled(const std::shared_ptr<Scope>&) override { note("not started"); }

 private:
  void note(const char* what) { story_->push_back(name() + " " + what); }

  std::shared_ptr<Names> story_;
};

/// A context, a root that notes failures, and components in it.
struct House {
  explicit House() {
    root = Scope::make_root([this](const std::string& component, std::exception_ptr failure) {
      try {
        std::rethrow_exception(failure);
      } catch (const std::exception& thrown) {
        failures.push_back(component + ": " + thrown.what());
      }
    });
  }
  std::shared_ptr<Steered> make(const std::string& name) {
    return std::make_shared<Steered>(io.get_executor(), name, story);
  }
  std::shared_ptr<ComponentGroup> group(std::vector<std::shared_ptr<Component>> children,
                                        ComponentGroupOptions options = ComponentGroupOptions()) {
    return std::make_shared<ComponentGroup>(io.get_executor(), "group", std::move(children), std::move(options));
  }
  bool told(const std::string& line) const { return std::find(story->begin(), story->end(), line) != story->end(); }
  /// Runs what is ready.
  void settle() {
    io.restart();
    io.poll();
  }

  std::shared_ptr<Names> story = std::make_shared<Names>();
  Names failures;
  std::shared_ptr<Scope> root;
  asio::io_context io{1};
};

awaitable<void> count_ready(std::shared_ptr<Component> component, int* count) {
  co_await component->ready();
  ++*count;
}

awaitable<void> count_done(std::shared_ptr<Component> component, int* count) {
  co_await component->done();
  ++*count;
}

/// Several waiters for both signals.
struct Witnesses {
  Witnesses(asio::io_context& io, const std::shared_ptr<Component>& component) : tasks(io.get_executor()) {
    for (int i = 0; i < 3; ++i) {
      tasks.spawn(count_ready(component, &ready));
      tasks.spawn(count_done(component, &done));
    }
  }
  int ready = 0;
  int done = 0;
  Tasks tasks;
};

} // namespace

TEST_CASE("component: it is ready and done once, for everybody who asks before, after and again (N14, N15)") {
  House house;
  const auto component = house.make("a");
  component->may_be_ready.open = false;
  component->may_end.open = false;
  Witnesses before(house.io, component);

  component->start(house.root);
  house.settle();
  CHECK(component->is_started());
  CHECK(before.ready == 0);
  component->may_be_ready.release();
  house.settle();
  CHECK(before.ready == 3);
  CHECK(before.done == 0);
  Witnesses during(house.io, component);
  house.settle();
  CHECK(during.ready == 3); // already true means already signalled
  house.root->cancel();
  house.settle();
  CHECK_FALSE(component->is_done()); // its last work is not finished
  component->may_end.release();
  house.settle();
  Witnesses after(house.io, component);
  house.settle();

  CHECK(before.done == 3);
  CHECK(during.done == 3);
  CHECK(after.ready == 3);
  CHECK(after.done == 3);
  CHECK(house.failures.empty());
}

TEST_CASE("component: a second start changes nothing and is irrecoverable (N14)") {
  House house;
  const auto component = house.make("a");
  component->start(house.root);
  house.settle();

  component->start(house.root);
  house.settle();

  CHECK(house.failures == Names{"a: component a was started a second time"});
  CHECK(std::count(house.story->begin(), house.story->end(), "a starts") == 1);
  CHECK(component->is_done()); // the tree was stopped
}

TEST_CASE("component: what is thrown at its start or later goes to the sink, and it is done (N14)") {
  for (const bool at_start : {true, false}) {
    CAPTURE(at_start);
    House house;
    const auto component = house.make("a");
    (at_start ? component->fails_at_start : component->fails_later) =
        std::make_exception_ptr(std::runtime_error("broken"));
    component->start(house.root);
    house.settle();
    CHECK(component->is_ready() == !at_start);
    component->fail_now.notify_all();
    house.settle();

    CHECK(house.failures == Names{"a: broken"});
    CHECK(component->is_done());
    CHECK(house.root->is_cancelled());
  }
}

TEST_CASE("component: a start in a cancelled scope runs nothing, is never ready, and is done (T1)") {
  House house;
  const auto component = house.make("a");
  Witnesses witnesses(house.io, component);
  house.root->cancel();

  component->start(house.root);
  house.settle();

  CHECK(witnesses.ready == 0);
  CHECK(witnesses.done == 3);
  CHECK(*house.story == Names{"a not started"});
}

TEST_CASE("component: a waiter that is cancelled changes nothing for the others (N15)") {
  House house;
  const auto component = house.make("a");
  component->may_be_ready.open = false;
  component->start(house.root);
  Witnesses staying(house.io, component);
  {
    Witnesses leaving(house.io, component);
    house.settle();
  }
  house.settle();
  component->may_be_ready.release();
  house.settle();
  CHECK(staying.ready == 3);
}

TEST_CASE("component: one made of a function is as good as any other") {
  House house;
  bool ended = false;
  const auto component = std::make_shared<FunctionComponent>(
      house.io.get_executor(), "f", [&](std::function<void()> ready, std::shared_ptr<Scope> scope) -> awaitable<void> {
        ready();
        co_await scope->cancelled();
        ended = true;
      });
  component->start(house.root);
  house.settle();
  CHECK(component->is_ready());
  house.root->cancel();
  house.settle();
  CHECK(ended);
  CHECK(component->is_done());
}

TEST_CASE("scope: an irrecoverable error goes up to whatever sink the parent is, through any number of levels (N16)") {
  struct Listening final : FailureSink {
    void irrecoverable(const std::string& component, std::exception_ptr) noexcept override {
      heard.push_back(component);
    }
    Names heard;
  };
  const auto sink = std::make_shared<Listening>();
  const auto top = Scope::make_below(sink);
  const auto middle = top->child();
  const auto bottom = Scope::make_below(middle);

  bottom->irrecoverable("deep", std::make_exception_ptr(std::runtime_error("x")));

  CHECK(sink->heard == Names{"deep"});
  CHECK_FALSE(top->is_cancelled()); // that is for the sink to decide
}

TEST_CASE("scope: the root reports every error and is cancelled by the first, also when its report throws (N16)") {
  int reports = 0;
  const auto root = Scope::make_root([&](const std::string&, std::exception_ptr) {
    ++reports;
    throw std::runtime_error("the report itself fails");
  });
  const auto below = root->child()->child();

  below->irrecoverable("one", nullptr);
  CHECK(root->is_cancelled());
  CHECK(below->is_cancelled());
  below->irrecoverable("two", nullptr);
  CHECK(reports == 2);
}

TEST_CASE("scope: a child is cancelled with its parent or alone, and what runs in it is cancelled with it (N16)") {
  House house;
  const auto one = house.root->child();
  const auto other = house.root->child();
  boost::system::error_code code;
  bool finished = false;
  Signal never;
  asio::co_spawn(
      house.io,
      [&]() -> awaitable<void> {
        try {
          co_await other->run(never.wait());
        } catch (const boost::system::system_error& thrown) {
          code = thrown.code();
        }
        co_await one->cancelled();
        finished = true;
      },
      [](std::exception_ptr) {});
  house.settle();
  one->cancel();
  house.settle();
  CHECK_FALSE(house.root->is_cancelled());
  CHECK_FALSE(finished);
  house.root->cancel();
  house.settle();
  CHECK(other->is_cancelled());
  CHECK(house.root->child()->is_cancelled()); // born late
  CHECK(code == asio::error::operation_aborted);
  CHECK(finished);
}

TEST_CASE("group: without children it is ready at once, and done when it is told to end (N17)") {
  House house;
  const auto group = house.group({});
  group->start(house.root);
  house.settle();
  CHECK(group->is_ready());
  CHECK_FALSE(group->is_done());
  house.root->cancel();
  house.settle();
  CHECK(group->is_done());
}

TEST_CASE(
    "group: startup first, children in parallel, ready when all are, shutdown, then children from the last (N17)") {
  House house;
  const auto a = house.make("a");
  const auto b = house.make("b");
  a->may_be_ready.open = false;
  b->may_end.open = false;
  ComponentGroupOptions options;
  options.startup = [&]() -> awaitable<void> {
    house.story->push_back("startup");
    co_return;
  };
  options.shutdown = [&]() -> awaitable<void> {
    house.story->push_back("shutdown");
    co_return;
  };
  const auto group = house.group({a, b}, options);

  group->start(house.root);
  house.settle();
  CHECK(*house.story == Names{"startup", "a starts", "b starts", "b ready"});
  CHECK_FALSE(group->is_ready());
  CHECK(group->late() == Names{"a"});
  a->may_be_ready.release();
  house.settle();
  CHECK(group->is_ready());
  CHECK(group->late().empty());
  house.story->clear();
  house.root->cancel();
  house.settle();
  CHECK(*house.story == Names{"shutdown", "b stops"}); // a is not stopped before b is done
  CHECK_FALSE(group->is_done());
  CHECK(group->late() == Names{"a", "b"});
  b->may_end.release();
  house.settle();
  CHECK(*house.story == Names{"shutdown", "b stops", "b done", "a stops", "a done"});
  CHECK(group->is_done());
}

TEST_CASE("group: the same child twice, and a child that is null, are refused when it is made (N17)") {
  House house;
  const auto a = house.make("a");
  CHECK_THROWS_AS(house.group({a, house.make("b"), a}), std::invalid_argument);
  CHECK_THROWS_AS(house.group({a, nullptr}), std::invalid_argument);
}

TEST_CASE("group: cancelled while a child is not ready, it is never ready, and done all the same (N18)") {
  House house;
  const auto a = house.make("a");
  const auto b = house.make("b");
  a->may_be_ready.open = false;
  const auto group = house.group({a, b});
  Witnesses witnesses(house.io, group);
  group->start(house.root);
  house.settle();

  house.root->cancel();
  house.settle();

  CHECK(witnesses.ready == 0);
  CHECK(witnesses.done == 3);
  CHECK(house.told("a never ready"));
  CHECK(a->is_done());
  CHECK(b->is_done());
}

TEST_CASE("group: cancelled during its startup, no child is started, and it is done (N18)") {
  House house;
  const auto a = house.make("a");
  Gate gate;
  gate.open = false;
  ComponentGroupOptions options;
  options.startup = [&] { return gate.pass(); };
  const auto group = house.group({a}, options);
  group->start(house.root);
  house.settle();
  house.root->cancel();
  house.settle();
  CHECK(group->is_done());
  CHECK_FALSE(group->is_ready());
  CHECK_FALSE(house.told("a starts"));
  CHECK(a->is_done()); // whoever waits for it is not left waiting
  CHECK(house.failures.empty());
}

TEST_CASE(
    "component: cancelled in the turn of its start it does not run, and is done; so are a group and its children") {
  House house;
  const auto alone = house.make("alone");
  const auto a = house.make("a");
  const auto group = house.group({a});
  alone->start(house.root);
  group->start(house.root);
  house.root->cancel();
  house.settle();
  for (const std::shared_ptr<Component>& one : std::vector<std::shared_ptr<Component>>{alone, a, group}) {
    CAPTURE(one->name());
    CHECK(one->is_done());
    CHECK_FALSE(one->is_ready());
  }
  CHECK_FALSE(house.told("alone starts"));
  CHECK_FALSE(house.told("a starts"));
  CHECK(house.failures.empty());
}

TEST_CASE("group: a startup that throws leaves no child that somebody waits for") {
  House house;
  const auto a = house.make("a");
  ComponentGroupOptions options;
  options.startup = []() -> awaitable<void> {
    throw std::runtime_error("no");
    co_return;
  };
  const auto group = house.group({a}, options);
  group->start(house.root);
  house.settle();
  CHECK(group->is_done());
  CHECK(a->is_done());
  CHECK_FALSE(house.told("a starts"));
  CHECK(house.failures.size() == 1);
}

TEST_CASE("group: started in a cancelled scope, it and every child are done, and nobody was ready (N18, T1)") {
  House house;
  const auto a = house.make("a");
  const auto inner = house.group({a});
  const auto outer = std::make_shared<ComponentGroup>(house.io.get_executor(), "outer",
                                                      std::vector<std::shared_ptr<Component>>{inner, house.make("b")});
  Witnesses witnesses(house.io, outer);
  Witnesses deepest(house.io, a);
  house.root->cancel();
  outer->start(house.root);
  house.settle();
  CHECK(witnesses.done == 3);
  CHECK(deepest.done == 3);
  CHECK(witnesses.ready + deepest.ready == 0);
}

TEST_CASE("group: an irrecoverable error of a child deep down stops the whole tree in order") {
  House house;
  const auto a = house.make("a");
  const auto b = house.make("b");
  const auto c = house.make("c");
  b->fails_later = std::make_exception_ptr(std::runtime_error("broken"));
  const auto inner = house.group({a, b});
  const auto outer = std::make_shared<ComponentGroup>(house.io.get_executor(), "outer",
                                                      std::vector<std::shared_ptr<Component>>{inner, c});
  outer->start(house.root);
  house.settle();
  REQUIRE(outer->is_ready());
  house.story->clear();

  b->fail_now.notify_all();
  house.settle();

  CHECK(house.failures == Names{"b: broken"});
  CHECK(*house.story == Names{"c stops", "c done", "a stops", "a done"});
  CHECK(outer->is_done());
}

TEST_CASE("group: a startup or shutdown that throws is irrecoverable, and children are stopped all the same") {
  for (const bool at_start : {true, false}) {
    CAPTURE(at_start);
    House house;
    const auto a = house.make("a");
    ComponentGroupOptions options;
    (at_start ? options.startup : options.shutdown) = []() -> awaitable<void> {
      throw std::runtime_error("no");
      co_return;
    };
    const auto group = house.group({a}, options);
    group->start(house.root);
    house.settle();
    house.root->cancel();
    house.settle();
    CHECK(house.failures == Names{"group: no"});
    CHECK(group->is_done());
    CHECK(house.told("a done") == !at_start);
  }
}

TEST_CASE("group: a child that is late to be ready or to be done is named, again and again") {
  sim::World world(1);
  const auto story = std::make_shared<Names>();
  const auto a = std::make_shared<Steered>(world.executor(), "a", story);
  const auto b = std::make_shared<Steered>(world.executor(), "b", story);
  a->may_be_ready.open = false;
  Names late;
  ComponentGroupOptions options;
  options.late_after = 5s;
  options.on_late = [&](const std::string& what) { late.push_back(what); };
  const auto group = std::make_shared<ComponentGroup>(world.executor(), "house",
                                                      std::vector<std::shared_ptr<Component>>{a, b}, options);
  const auto root = Scope::make_root({});

  group->start(root);
  world.run_for(11s);
  CHECK(late == Names{"group house waits for a to be ready", "group house waits for a to be ready"});
  a->may_be_ready.release();
  world.run_for(60s);
  CHECK(late.size() == 2);
  late.clear();
  b->may_end.open = false;
  root->cancel();
  world.run_for(6s);
  CHECK(late == Names{"group house waits for a, b to be done"});
  world.run_for(6s); // stop_deadline is over: a is stopped although b is not done
  CHECK(a->is_done());
  CHECK(late.back() == "group house waits for b to be done");
  b->may_end.release();
  world.run_for(60s);
  CHECK(group->is_done());
  CHECK(world.idle());
}

TEST_CASE("group: dropped in the middle of anything, nothing of it runs on") {
  for (int handlers = 0; handlers < 40; ++handlers) {
    House house;
    const auto story = house.story;
    {
      const auto group = house.group({house.make("a"), house.group({house.make("b")})});
      group->start(house.root);
      for (int i = 0; i < handlers && house.io.poll_one() == 1; ++i) {
        if (i == 20) house.root->cancel();
      }
    }
  } // the context goes, with whatever waits in it
}

// The worker pool (N19).

namespace {

struct Pool {
  Pool(std::size_t workers, std::size_t queue_max)
      : pool(std::make_shared<WorkerPool>(house.io.get_executor(), "pool", workers, queue_max)) {}
  WorkerPool::Job job(Gate& gate) {
    return [this, &gate](Scope&) { return work(gate); };
  }
  awaitable<void> work(Gate& gate) {
    ++begun;
    co_await gate.pass();
    ++ended;
  }
  WorkerPool::Submitted submit(Gate& gate) { return pool->submit(job(gate)); }

  int begun = 0;
  int ended = 0;
  House house;
  std::shared_ptr<WorkerPool> pool;
};

} // namespace

TEST_CASE("pool: so many jobs run at once, so many wait, and more are refused without waiting (N19)") {
  Pool test(2, 3);
  Gate gate;
  gate.open = false;
  CHECK(test.submit(gate) == WorkerPool::Submitted::not_started);
  test.pool->start(test.house.root);
  test.house.settle();
  CHECK(test.pool->workers() == 2);

  for (int i = 0; i < 2; ++i) CHECK(test.submit(gate) == WorkerPool::Submitted::queued);
  test.house.settle();
  for (int i = 0; i < 3; ++i) CHECK(test.submit(gate) == WorkerPool::Submitted::queued);
  CHECK(test.pool->queue_size() == 3);
  WorkerPool::Job job = test.job(gate);
  CHECK(test.pool->submit(std::move(job)) == WorkerPool::Submitted::queue_full);
  CHECK(job); // it was not moved from
  test.house.settle();
  CHECK(test.begun == 2);
  gate.release();
  test.house.settle();
  CHECK(test.ended == 5);
  CHECK(test.pool->queue_size() == 0);
  CHECK(test.pool->counters().finished == 5);
}

TEST_CASE("pool: at its end running jobs are finished, waiting ones dropped and counted, new ones refused (N19, T2)") {
  Pool test(1, 5);
  Gate gate;
  gate.open = false;
  test.pool->start(test.house.root);
  test.house.settle();
  for (int i = 0; i < 3; ++i) {
    test.submit(gate);
    test.house.settle();
  }
  CHECK(test.begun == 1);

  test.house.root->cancel();
  CHECK(test.submit(gate) == WorkerPool::Submitted::shutting_down); // in the very moment of the end
  test.house.settle();
  CHECK_FALSE(test.pool->is_done());
  CHECK(test.ended == 0);
  gate.release();
  test.house.settle();
  CHECK(test.ended == 1);
  CHECK(test.pool->is_done());
  CHECK(test.pool->counters().dropped == 2);
  CHECK(test.submit(gate) == WorkerPool::Submitted::shutting_down);
}

TEST_CASE("pool: a job that throws costs itself, and one may declare an irrecoverable error (N19)") {
  Pool test(1, 5);
  Gate gate;
  test.pool->start(test.house.root);
  test.house.settle();
  test.pool->submit([](Scope&) -> awaitable<void> {
    throw std::runtime_error("job");
    co_return;
  });
  test.submit(gate);
  test.house.settle();
  CHECK(test.pool->counters().failed == 1);
  CHECK(test.ended == 1);
  CHECK(test.house.failures.empty());
  test.pool->submit([](Scope& scope) -> awaitable<void> {
    scope.irrecoverable("job", std::make_exception_ptr(std::runtime_error("the disk is gone")));
    co_return;
  });
  test.house.settle();
  CHECK(test.house.failures == Names{"job: the disk is gone"});
  CHECK(test.pool->is_done());
}

TEST_CASE("pool: jobs submitted from inside jobs run, and a pool needs a worker and a queue (N19)") {
  Pool test(1, 2);
  Gate gate;
  test.pool->start(test.house.root);
  test.house.settle();
  test.pool->submit([&](Scope&) -> awaitable<void> {
    test.submit(gate);
    co_return;
  });
  test.house.settle();
  CHECK(test.ended == 1);
  CHECK_THROWS_AS(WorkerPool(test.house.io.get_executor(), "p", 0, 1), std::invalid_argument);
  CHECK_THROWS_AS(WorkerPool(test.house.io.get_executor(), "p", 1, 0), std::invalid_argument);
  test.pool->start(test.house.root);
  CHECK(test.house.failures.size() == 1); // a second start
}
