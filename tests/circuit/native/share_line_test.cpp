// Neighbours whose readers pause, beside circuits that are read. Two machines are joined in memory; the reading side
// plays an application that takes from some circuits only. Whatever the neighbours sent and left unread, the others go
// on, and when the neighbours are read in the end, all that was taken for sending has arrived.
#include <doctest/doctest.h>
#include "tests/support/planted_bug.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

using Joint = std::pair<TrunkCircuit*, TrunkCircuit*>; // here, there

Fragment filled(std::size_t size) { return Fragment(1, Payload(std::string(size, 'x'))); }

class Street {
 public:
  /// `size`: payload bytes of each of their fragments; they send as long as they may.
  Street(int neighbours, std::size_t size) : healthy(pair.join(pair.dialler())) {
    pair.pump();
    for (int neighbour = 0; neighbour < neighbours; ++neighbour) paused.push_back(pair.join(pair.dialler()));
    for (const bool again : {true, true, false}) {
      for (const Joint& joint : paused) {
        for (int most = 0; most < 20; ++most) {
          Fragment fragment = filled(size);
          if (here().send(*joint.first, fragment) != SendOutcome::queued) break;
          ++sent;
        }
      }
      if (again) pair.pump();
    }
    pair.pump();
  }

  Machine& here() { return pair.dialler().machine(); }
  Machine& there() { return pair.answerer().machine(); }

  bool crosses(const Joint& joint, std::size_t size) {
    Fragment fragment = filled(size);
    if (here().send(*joint.first, fragment) != SendOutcome::queued) return false;
    pair.pump();
    const auto taken = there().take(*joint.second);
    pair.pump();
    return taken && taken->payload.size() == size;
  }
  /// Rounds of a request and its answer that pass, out of so many.
  int echoes(const Joint& joint, int rounds, std::size_t size) {
    for (int round = 0; round < rounds; ++round) {
      if (!crosses(joint, size)) return round;
      Fragment answer = filled(size);
      if (there().send(*joint.second, answer) != SendOutcome::queued) return round;
      pair.pump();
      if (!here().take(*joint.first)) return round;
      pair.pump();
    }
    return rounds;
  }
  /// What arrives when the neighbours are read at last.
  int read_all() {
    int taken = 0;
    for (bool moved = true; std::exchange(moved, false);) {
      for (const Joint& joint : paused)
        while (there().take(*joint.second)) {
          ++taken;
          moved = true;
        }
      pair.pump();
    }
    return taken;
  }

  MachinePair pair;
  Joint healthy;
  std::vector<Joint> paused;
  int sent = 0;
};

TEST_CASE("sharing: circuits that are read go on beside any number that nobody reads") {
  for (const int neighbours : {31, 40, 90, 1000}) {
    CAPTURE(neighbours);
    Street street(neighbours, 15'700);

    CHECK(street.echoes(street.healthy, 100, 4000) == 100);
    CHECK(street.crosses(street.healthy, 3 * mib));
    CHECK(street.crosses(street.healthy, 60'000));
    CHECK(street.echoes(street.pair.join(street.pair.dialler()), 10, 4000) == 10);
    CHECK(street.crosses(street.pair.join(street.pair.dialler()), 3 * mib));
    CHECK(street.echoes(street.healthy, 100, 300) == 100);

    CHECK_FALSE(street.pair.dialler().closed());
    CHECK(street.read_all() == street.sent);
  }
}

TEST_CASE("sharing: the sizes of what lies unread make no difference") {
  for (const std::size_t size : {std::size_t{100}, std::size_t{4000}, std::size_t{60'000}, std::size_t{250'000}}) {
    CAPTURE(size);
    Street street(90, size);

    CHECK(street.echoes(street.healthy, 100, 4000) == 100);
    CHECK(street.crosses(street.healthy, 3 * mib));
    CHECK(street.echoes(street.pair.join(street.pair.dialler()), 10, 4000) == 10);

    CHECK(street.read_all() == street.sent);
  }
}

TEST_CASE("sharing: neighbours that come one after another, and take all that they may, leave enough") {
  Street street(0, 0);
  const auto use_up = [&](const Joint& joint) {
    for (int most = 0; most < 100; ++most) {
      Fragment fragment = filled(15'700);
      if (street.here().send(*joint.first, fragment) != SendOutcome::queued) break;
      ++street.sent;
      street.pair.pump();
    }
    street.paused.push_back(joint);
  };
  SUBCASE("unread from the beginning") {
    for (int neighbour = 0; neighbour < 1000; ++neighbour) use_up(street.pair.join(street.pair.dialler()));
  }
  SUBCASE("read for a while, then paused") {
    for (int neighbour = 0; neighbour < 300; ++neighbour) {
      const Joint joint = street.pair.join(street.pair.dialler());
      REQUIRE(street.echoes(joint, 2, 4000) == 2);
      use_up(joint);
    }
  }

  CHECK(street.echoes(street.healthy, 100, 4000) == 100);
  CHECK(street.echoes(street.pair.join(street.pair.dialler()), 10, 300) == 10);
  CHECK(street.echoes(street.pair.join(street.pair.dialler()), 10, 4000) == 10);

  CHECK(street.read_all() == street.sent);
}

TEST_CASE("sharing: a circuit that was read before its neighbours filled the trunk is not held to what it sent then") {
  MachinePair pair;
  const Joint healthy = pair.join(pair.dialler());
  pair.pump();
  for (int i = 0; i < 30; ++i) { // less than what is granted on its own
    Fragment fragment = filled(4000);
    REQUIRE(pair.dialler().machine().send(*healthy.first, fragment) == SendOutcome::queued);
    pair.pump();
    REQUIRE(pair.answerer().machine().take(*healthy.second));
  }
  for (int neighbour = 0; neighbour < 90; ++neighbour) {
    const Joint joint = pair.join(pair.dialler());
    for (Fragment next = filled(15'700); pair.dialler().machine().send(*joint.first, next) == SendOutcome::queued;)
      next = filled(15'700);
    pair.pump();
  }

  for (int i = 0; i < 100; ++i) {
    CAPTURE(i);
    Fragment fragment = filled(4000);
    REQUIRE(pair.dialler().machine().send(*healthy.first, fragment) == SendOutcome::queued);
    pair.pump();
    REQUIRE(pair.answerer().machine().take(*healthy.second));
  }
}

TEST_CASE("sharing: a circuit alone may use half of the trunk's credit, as its window may be") {
  MachinePair pair;
  const Joint bulk = pair.join(pair.dialler());
  for (int round = 0; round < 60; ++round) {
    Fragment fragment = filled(16'000);
    while (pair.dialler().machine().send(*bulk.first, fragment) == SendOutcome::queued) fragment = filled(16'000);
    pair.pump();
    while (pair.answerer().machine().take(*bulk.second)) {}
    pair.pump();
    pair.now += std::chrono::microseconds(100);
  }

  while (pair.answerer().machine().take(*bulk.second)) {}
  pair.pass(2s); // what is due is granted by then
  CHECK(pair.answerer().machine().memory_bytes() == 0);
  for (int i = 0; i < 500; ++i) {
    Fragment fragment = filled(16'000);
    pair.dialler().machine().send(*bulk.first, fragment);
    pair.pump();
  }

  CHECK(pair.answerer().machine().memory_bytes() > 3 * mib);
  CHECK(pair.answerer().machine().memory_bytes() <= 4 * mib + 64 * 1024);
}

TEST_CASE("sharing: readers that pause for long keep their circuits while others have what they need") {
  Street street(40, 15'700);

  for (int minute = 0; minute < 10; ++minute) {
    street.pair.pass(std::chrono::minutes(1));
    REQUIRE(street.echoes(street.healthy, 5, 4000) == 5);
  }

  for (const Joint& joint : street.paused) CHECK_FALSE(joint.second->ended);
  CHECK(street.read_all() == street.sent);
}

TEST_CASE("sharing: a sender that waits for its share is told writable when its reader has read") {
  Street street(40, 15'700);
  TrunkCircuit* const here = street.paused.front().first;
  Fragment refused = filled(15'700);
  while (street.here().send(*here, refused) == SendOutcome::queued) refused = filled(15'700);
  street.pair.pump();
  street.pair.dialler().events();

  while (street.there().take(*street.paused.front().second)) street.pair.pump();
  street.pair.pump();

  bool is_writable = false;
  for (const TrunkEvent& event : street.pair.dialler().events())
    is_writable |= event.kind == TrunkEvent::Kind::writable && event.circuit == here;
  CHECK(is_writable);
  CHECK(street.here().send(*here, refused) == SendOutcome::queued);
}

TEST_CASE("sharing: neighbours that end while they hold or wait leave nothing behind") {
  Street street(90, 100'000);
  for (std::size_t i = 0; i < street.paused.size(); ++i) {
    const auto& [here, there] = street.paused[i];
    if (i % 3 == 0) street.here().reset(*here, End(error::circuit_reset));
    if (i % 3 == 1) street.there().reset(*there, End(error::circuit_reset));
    if (i % 3 == 2) street.there().close(*there, End());
    street.pair.pump();
  }
  for (const auto& [here, there] : street.paused) {
    street.there().release(*there);
    street.here().release(*here);
    street.pair.pump();
  }

  CHECK(street.there().memory_bytes() == 0);
  CHECK(street.echoes(street.healthy, 10, 200'000) == 10);
  CHECK(street.pair.answerer().model().granted() > 7 * static_cast<std::int64_t>(mib));
}

TEST_CASE("sharing: a fragment that begins short is granted whole, and says so in its first frame") {
  Street street(1000, 15'700);
  std::vector<say::Frame> said;
  std::vector<say::Frame> granted;
  street.pair.dialler().watch = [&](const say::Frame& frame) {
    if (frame.is_data()) said.push_back(frame);
  };
  street.pair.answerer().watch = [&](const say::Frame& frame) {
    if (frame.type == say::CREDIT && frame.fields.number(4) != 0) granted.push_back(frame);
  };

  REQUIRE(street.crosses(street.healthy, 1 * mib));

  REQUIRE(said.size() > 1);
  CHECK(said.front().payload.size() <= short_beginning_bytes_max);
  REQUIRE_FALSE(granted.empty());
  CHECK(granted.back().circuit == 0);
  CHECK(granted.back().fields.number(2) == mib - said.front().payload.size());
  CHECK(granted.back().fields.number(4) == street.healthy.first->id);
}

TEST_CASE("sharing: with a far side that does not share circuits use the trunk's credit to its end") {
  Joined dialogue(Limits(), 10); // it says no features
  std::int64_t sent = 0;
  for (CircuitId id = 1; id < 20; id += 2)
    while (dialogue.sends(id, filled(20'000)) == SendOutcome::queued) {}
  for (const say::Frame& frame : dialogue.frames()) sent += frame.is_data() ? frame.cost() : 0;

  CHECK(sent > say::trunk_window - 65'792);
}

#ifdef TRUNKLINE_PLANTED_BUGS
TEST_CASE("sharing: a byte in the line that no circuit queued is noticed") {
  Street street(40, 15'700);
  const Joint joint = street.pair.join(street.pair.dialler());

  const std::string broken = noticed("share line", [&] {
    for (Fragment next = filled(15'700); street.here().send(*joint.first, next) == SendOutcome::queued;)
      next = filled(15'700);
    for (int i = 0; i < 20; ++i) street.here().tick(street.pair.now);
  });

  CHECK(broken == "share line: queued == the sum of the circuits'");
}
#endif

} // namespace
