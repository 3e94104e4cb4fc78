// A hundred thousand circuits whose own next frame makes us reset them, in five seconds, by a far side that says raw
// bytes: how many services start, and who pays.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

/// The machine alone, with a service that takes each circuit at once and lets go of it when it has ended.
class Served {
 public:
  explicit Served(Instant begin) : machine_(native_machine(false, Limits(), "node-of-our-side", begin)) {
    hears(say::introduction(say::Hello()), begin);
  }

  void hears(const std::string& bytes, Instant now) {
    machine_->feed(as_bytes(bytes), now);
    settle(now);
  }
  /// Time passes as far as the machine asks for.
  void ticks(Instant now) {
    while (machine_->deadline() <= now && !machine_->over()) {
      machine_->tick(std::max(now, machine_->deadline()));
      settle(now);
    }
  }

  Machine& machine() { return *machine_; }
  int started() const noexcept { return started_; }

 private:
  void settle(Instant now) {
    for (bool moved = true; moved;) {
      moved = machine_->has_events();
      events_.clear();
      machine_->collect_events(events_);
      for (TrunkEvent& event : events_) on_event(event);
      while (machine_->has_output()) {
        machine_->collect_output(output_, 1 << 20, now);
        machine_->written(now);
      }
    }
  }
  void on_event(TrunkEvent& event) {
    if (!event.circuit || event.circuit->released()) return;
    if (event.kind == TrunkEvent::Kind::opened && event.circuit->cancelled) {
      machine_->release(*event.circuit);
    } else if (event.kind == TrunkEvent::Kind::opened) {
      ++started_;
      machine_->accept(*event.circuit, our_peer());
      machine_->left_backlog(*event.circuit);
    } else if (event.kind == TrunkEvent::Kind::ended) {
      machine_->release(*event.circuit);
    }
  }

  std::unique_ptr<Machine> machine_;
  std::vector<TrunkEvent> events_;
  Output output_;
  int started_ = 0;
};

TEST_CASE(
    "circuit: of a hundred thousand opens in five seconds that make us reset them a service starts for few (F17)") {
  Instant now = time_begins;
  Served served(now);
  CircuitId next = 1;
  for (int batch = 0; batch < 2000; ++batch) { // 50 every 2.5 ms
    std::string bytes;
    for (int open = 0; open < 50; ++open, next += 2)
      bytes += say::open(next) + say::data(next, "a") + say::finish(next) + say::data(next, "b");
    served.hears(bytes, now);
    now += 2500us;
    served.ticks(now);
  }

  // The burst of five seconds' worth, what the rate gives in five seconds, and one batch that was taken together.
  const int rate = static_cast<int>(Limits().cancelled_opens_per_second_max);
  CHECK(served.started() <= 2 * 5 * rate + 50);
  CHECK(served.machine().counters().opens_cancelled == 100'000);
  CHECK_FALSE(served.machine().over());
  CHECK(served.machine().memory_bytes() == 0);
}

} // namespace
