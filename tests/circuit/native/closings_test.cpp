// Deadlines count from the last progress, and only of what nobody may be waiting for any more. The link between the two
// machines is slow here: bytes that one has said arrive little by little while time passes.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

/// Of one pair: 60 kB/s each way, and what the operating system holds of it.
class SlowLink {
 public:
  explicit SlowLink(MachinePair& pair) : pair_(pair) {}

  void pass(std::chrono::milliseconds time) {
    for (const Instant until = pair_.now + time; pair_.now < until;) {
      for (MachinePair::Side& side : pair_.sides) {
        if (side.in_flight() < socket_bytes) pair_.write(side, 64 * 1024);
        pair_.deliver(side, 600);
      }
      pair_.now += std::chrono::milliseconds(10);
      for (MachinePair::Side& side : pair_.sides) {
        if (side.machine().deadline() <= pair_.now) side.machine().tick(pair_.now);
        pair_.collect(side);
      }
    }
  }

 private:
  static constexpr std::size_t socket_bytes = 400'000; // more than 6 s of this link
  MachinePair& pair_;
};

Limits impatient() {
  Limits limits;
  limits.stall_deadline = 3s;
  return limits;
}

struct Taken {
  std::size_t bytes = 0;
  int whole = 0; // ended without a reason, after their data
};

/// Three fragments of 600 kB over a slow link, each followed by what `end` does.
template <class Ending> Taken taken_over_a_slow_link(MachinePair& pair, Ending&& end) {
  SlowLink link(pair);
  Taken taken;
  std::vector<std::pair<TrunkCircuit*, TrunkCircuit*>> joined;
  for (int i = 0; i < 3; ++i) joined.push_back(pair.join(pair.dialler()));
  for (const auto& [here, there] : joined) {
    Fragment fragment(1, Payload(std::string(600'000, 'x')));
    while (pair.dialler().machine().send(*here, fragment) != SendOutcome::queued) link.pass(1s);
    end(*here);
  }
  for (int second = 0; second < 90; ++second) {
    link.pass(1s);
    for (const auto& [here, there] : joined)
      while (const auto fragment = pair.answerer().machine().take(*there)) taken.bytes += fragment->payload.size();
  }
  for (const auto& [here, there] : joined) taken.whole += there->finished_there() && !there->end;
  return taken;
}

TEST_CASE(
    "closings: over a slow link that never stops everything arrives before a close, a finish, or a drop after one") {
  SUBCASE("close") {
    MachinePair pair(impatient(), impatient());
    std::vector<TrunkCircuit*> closed;
    const Taken taken = taken_over_a_slow_link(pair, [&](TrunkCircuit& here) {
      pair.dialler().machine().close(here, End());
      closed.push_back(&here);
    });
    CHECK(taken.bytes == 1'800'000);
    CHECK(taken.whole == 3);
    for (const TrunkCircuit* circuit : closed) {
      CHECK(circuit->ended);
      CHECK_FALSE(circuit->end);
    }
  }
  SUBCASE("finish and drop") {
    MachinePair pair(impatient(), impatient());
    const Taken taken = taken_over_a_slow_link(pair, [&](TrunkCircuit& here) {
      pair.dialler().machine().finish(here);
      pair.dialler().machine().release(here);
    });
    CHECK(taken.bytes == 1'800'000);
    CHECK(taken.whole == 3);
  }
  SUBCASE("finish and wait") {
    MachinePair pair(impatient(), impatient());
    std::vector<TrunkCircuit*> finished;
    const Taken taken = taken_over_a_slow_link(pair, [&](TrunkCircuit& here) {
      pair.dialler().machine().finish(here);
      finished.push_back(&here);
    });
    CHECK(taken.bytes == 1'800'000);
    for (const TrunkCircuit* circuit : finished) CHECK(circuit->finish_acknowledged());
  }
}

TEST_CASE("closings: a circuit whose reader pauses is not ended by the sending side, however long that takes") {
  MachinePair pair(impatient(), impatient());
  auto [here, there] = pair.join(pair.dialler());
  Fragment fragment(1, Payload(std::string(60'000, 'x')));
  while (pair.dialler().machine().send(*here, fragment) == SendOutcome::queued)
    fragment = Fragment(1, Payload(std::string(60'000, 'x')));

  pair.pass(std::chrono::hours(2));

  CHECK_FALSE(here->ended);
  CHECK_FALSE(there->ended);
  CHECK(pair.answerer().machine().take(*there).has_value());
}

TEST_CASE("closings: a close behind data that nobody reads is given up after stall_deadline") {
  MachinePair pair(impatient(), impatient());
  auto [here, there] = pair.join(pair.dialler());
  for (int i = 0; i < 5; ++i) {
    Fragment fragment(1, Payload(std::string(60'000, 'x')));
    REQUIRE(pair.dialler().machine().send(*here, fragment) == SendOutcome::queued);
  }
  pair.pump();
  pair.dialler().machine().close(*here, End());

  pair.pass(2900ms);
  CHECK_FALSE(here->ended);
  pair.pass(200ms);

  REQUIRE(here->ended);
  CHECK(here->end->code == error::stalled);
  CHECK(contains(here->end->text, "nothing of it could be sent within stall_deadline 3000 ms"));
}

TEST_CASE("closings: a reader that takes a little now and then keeps a closed circuit alive") {
  MachinePair pair(impatient(), impatient());
  auto [here, there] = pair.join(pair.dialler());
  for (int i = 0; i < 8; ++i) {
    Fragment fragment(1, Payload(std::string(60'000, 'x')));
    if (pair.dialler().machine().send(*here, fragment) != SendOutcome::queued) break;
  }
  pair.dialler().machine().close(*here, End());
  int taken = 0;

  for (int second = 0; second < 60; ++second) {
    pair.pass(1s);
    if (second % 2 == 0) taken += pair.answerer().machine().take(*there).has_value();
  }

  CHECK(here->ended);
  CHECK_FALSE(here->end);
  CHECK(taken >= 4);
}

TEST_CASE("machine: without deadlines nothing is ever due but what was asked for, and no sum overflows") {
  Limits limits;
  for (std::chrono::milliseconds* deadline : {&limits.handshake_deadline, &limits.keepalive_interval,
                                              &limits.write_deadline, &limits.stall_deadline, &limits.goodbye_deadline})
    *deadline = std::chrono::milliseconds::max();
  MachinePair pair(limits, limits);
  auto [here, there] = pair.join(pair.dialler());
  Fragment fragment(1, Payload(std::string(60'000, 'x')));
  while (pair.dialler().machine().send(*here, fragment) == SendOutcome::queued)
    fragment = Fragment(1, Payload(std::string(60'000, 'x')));
  pair.pump();
  pair.dialler().machine().close(*here, End());
  pair.pump();

  pair.pass(std::chrono::hours(24 * 365));

  CHECK_FALSE(here->ended);
  CHECK_FALSE(pair.dialler().closed());
  CHECK(pair.dialler().machine().deadline() == Instant::max());
  CHECK(pair.answerer().machine().deadline() == Instant::max());
}

/// Three fragments of the largest size that memory has room for two of, over a link that takes a minute for each.
struct SlowLargeOnes {
  MachinePair pair{impatient(), impatient()};
  SlowLink link{pair};
  std::vector<std::pair<TrunkCircuit*, TrunkCircuit*>> joined;

  explicit SlowLargeOnes(std::size_t first_bytes, bool first_at_once) {
    for (int i = 0; i < 3; ++i) joined.push_back(pair.join(pair.dialler()));
    for (std::size_t i = 0; i < joined.size(); ++i) {
      Fragment fragment(1, Payload(std::string(i == 0 ? first_bytes : 4 * mib, 'x')));
      while (pair.dialler().machine().send(*joined[i].first, fragment) != SendOutcome::queued) link.pass(1s);
      if (i == 0 && first_at_once) pair.pump();
    }
  }
  bool takes(std::size_t i) { return pair.answerer().machine().take(*joined[i].second).has_value(); }
};

TEST_CASE("closings: a closed fragment that waits for memory behind others is not given up while the link moves") {
  SlowLargeOnes slow(4 * mib, false);
  slow.pair.dialler().machine().close(*slow.joined[2].first, End());
  bool taken[3] = {};
  for (int second = 0; second < 300 && !taken[2]; ++second) {
    slow.link.pass(1s);
    for (std::size_t i = 0; i < 3; ++i) taken[i] = taken[i] || slow.takes(i);
  }

  CHECK(taken[0]);
  CHECK(taken[1]);
  CHECK(taken[2]);
}

TEST_CASE("closings: a reader that has paused loses nothing while what memory is wanted for only waits for the link") {
  SlowLargeOnes slow(3 * mib, true); // it lies unread
  bool taken[3] = {};
  for (int second = 0; second < 300 && !taken[2]; ++second) {
    slow.link.pass(1s);
    for (std::size_t i = 1; i < 3; ++i) taken[i] = taken[i] || slow.takes(i);
  }

  CHECK(taken[1]);
  CHECK(taken[2]);
  CHECK_FALSE(slow.joined[0].second->ended);
  CHECK(slow.takes(0));
}

} // namespace
