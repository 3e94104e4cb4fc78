// Runs out of memory at every single allocation. The allocator of this program fails the n-th allocation of a scene,
// for n = 1, 2, ... until the scene plays to its end without a failure. What is asked of the machine: an exception may
// leave the call that needed the memory, and nothing else may; afterwards its owner can still let it go.
#include <doctest/doctest.h>

#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/circuit/native/every_frame.hpp"

namespace {

thread_local bool failing = false;
thread_local std::size_t allocations_left = 0; // until one fails
thread_local std::size_t failures = 0;

void* allocate(std::size_t size) {
  if (failing && --allocations_left == 0) {
    failing = false; // one failure at a time: whoever handles it may allocate
    ++failures;
    throw std::bad_alloc();
  }
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}

} // namespace

// protobuf 3.21 forgets what it was about to add when it runs out of memory, so leaks are not looked for here.
extern "C" int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() { return 1; }

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace trunkline;
using namespace trunkline::test;

/// From construction to destruction, the n-th allocation fails.
class FailNth {
 public:
  explicit FailNth(std::size_t nth) {
    failures = 0;
    allocations_left = nth;
    failing = true;
  }
  ~FailNth() { failing = false; }
};

/// A machine and the handles that its owner holds; what a session does when a call throws is to lose the trunk.
struct Owner {
  std::unique_ptr<Machine> machine = native_machine(false, Limits(), "node-of-our-side", time_begins);
  std::vector<TrunkCircuit*> circuits;
  std::vector<TrunkEvent> events;
  Output output;

  void collect_events() {
    machine->collect_events(events);
    for (TrunkEvent& event : events)
      if (event.kind == TrunkEvent::Kind::opened) circuits.push_back(event.circuit);
  }
  void let_go() {
    machine->disconnected(End(error::trunk_lost, "no memory"));
    collect_events();
    for (TrunkCircuit* circuit : circuits) {
      while (machine->take(*circuit)) {}
      while (machine->take_error(*circuit)) {}
      machine->release(*circuit);
    }
    machine.reset();
  }
};

/// Plays the scene with every allocation failing in turn; how many failures there were.
template <class Scene> std::size_t run_out_of_memory(Scene&& scene) {
  for (std::size_t nth = 1; nth < 100'000; ++nth) {
    Owner owner;
    owner.circuits.reserve(100);
    std::size_t failed = 0;
    {
      FailNth fail(nth);
      try {
        scene(owner);
      } catch (const std::bad_alloc&) {}
      failed = failures;
    }
    owner.let_go();
    if (failed == 0) return nth - 1;
  }
  return 0;
}

TEST_CASE("allocation: the scenes really fail, and at the allocation that was meant") {
  FailNth fail(2);

  auto first = std::make_unique<int>(1);
  CHECK_THROWS_AS(std::make_unique<int>(2), std::bad_alloc);
  auto third = std::make_unique<int>(3);

  CHECK(*first + *third == 4);
}

TEST_CASE("allocation: a machine that runs out of memory on any byte that arrives can still be let go") {
  const std::string bytes = every_frame();

  const std::size_t allocations = run_out_of_memory([&](Owner& owner) {
    owner.machine->feed(as_bytes(bytes), time_begins);
    owner.collect_events();
  });

  CHECK(allocations > 50);
}

TEST_CASE("allocation: the same, with the bytes in small pieces and the events taken in between") {
  const std::string bytes = every_frame();

  const std::size_t allocations = run_out_of_memory([&](Owner& owner) {
    for (std::size_t at = 0; at < bytes.size(); at += 11) {
      owner.machine->feed(as_bytes(std::string_view(bytes).substr(at, 11)), time_begins);
      owner.collect_events();
      for (TrunkCircuit* circuit : owner.circuits)
        while (owner.machine->take(*circuit)) {}
    }
  });

  CHECK(allocations > 50);
}

TEST_CASE("allocation: a machine that runs out of memory while it sends can still be let go") {
  const std::size_t allocations = run_out_of_memory([&](Owner& owner) {
    owner.machine->feed(as_bytes(say::introduction()), time_begins);
    Fragment first(1, "a subject", Payload(std::string(100, 'f')));
    first.args.set("key", "a value that is too long to lie inside of a string");
    TrunkCircuit* circuit = owner.machine->open(open_request(), std::move(first), time_begins);
    owner.circuits.push_back(circuit);
    for (int fragment = 0; fragment < 40; ++fragment) {
      Fragment next(fragment, Payload(std::string(fragment % 5 == 0 ? 70'000 : 200, 'x')));
      owner.machine->send(*circuit, next);
      if (fragment % 7 == 0) {
        owner.machine->collect_output(owner.output, 10'000, time_begins);
        owner.machine->written(time_begins);
      }
    }
    owner.machine->set_metadata(*our_peer(), {{"key", "value"}});
    owner.machine->end_peer(*our_peer(),
                            End(error::handler_failed, "because of something that takes some words to say"));
    owner.machine->finish(*circuit);
    owner.machine->close(*circuit, End(error::handler_failed, "because of something that takes some words to say"));
    owner.machine->drain(time_begins + std::chrono::seconds(1));
    owner.machine->tick(time_begins + std::chrono::seconds(30));
    owner.machine->collect_output(owner.output, 1 << 20, time_begins);
    owner.collect_events();
  });

  CHECK(allocations > 50);
}

TEST_CASE("allocation: a fragment that there is no memory for loses nothing that had arrived before") {
  std::size_t kept = 0;
  const std::string before = say::introduction() + say::open(1) + say::data(1, std::string(1000, 'b'));
  for (std::size_t nth = 1; nth < 10; ++nth) {
    Owner owner;
    owner.machine->feed(as_bytes(before), time_begins);
    owner.collect_events();
    {
      FailNth fail(nth);
      try {
        owner.machine->feed(as_bytes(say::data(1, std::string(50'000, 'n'))), time_begins);
      } catch (const std::bad_alloc&) {}
    }
    owner.machine->disconnected(End(error::trunk_lost, "no memory"));
    const auto fragment = owner.machine->take(*owner.circuits.at(0));
    kept += fragment && fragment->payload.size() == 1000;
    owner.let_go();
  }

  CHECK(kept == 9);
}

} // namespace
