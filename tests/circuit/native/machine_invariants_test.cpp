// Each part of the machine states an inequality over its own members. Here each part miscounts by one, and the input
// that makes it do so is noticed at its end.

#include <doctest/doctest.h>
#include "tests/support/planted_bug.hpp"

#include "tests/circuit/native/machine_under_test.hpp"

#ifdef TRUNKLINE_PLANTED_BUGS

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("writer: bytes that are not in the output are noticed") {
  Introduced dialogue;

  const std::string broken = noticed("writer", [&] { dialogue.opens(); });

  CHECK(broken == "output: bytes == control + small");
}

TEST_CASE("reader: a chunk that is longer than its frame is noticed") {
  Joined dialogue;
  dialogue.resets(1);
  const std::string frame = say::data(1, "late");

  const std::string broken = noticed("reader", [&] { dialogue.hears(frame.substr(0, frame.size() - 4)); });

  CHECK(broken == "reader: chunk_left <= chunk <= its maximum");
}

TEST_CASE("circuits: a circuit of ours that counts twice is noticed") {
  Introduced dialogue;

  const std::string broken = noticed("circuits", [&] { dialogue.opens(); });

  CHECK(broken == "circuits: opened_here <= on the wire");
}

TEST_CASE("held opens: an open that waits twice is noticed") {
  Limits limits;
  limits.cancelled_opens_per_second_max = 1;
  Introduced dialogue(limits);
  for (CircuitId id = 1; id <= 11; id += 2) { // the burst, and one that is handed out without
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
    dialogue.hears(say::reset(id));
    dialogue.releases(id);
  }
  dialogue.hears(say::open(13));

  const std::string broken = noticed("held opens", [&] { dialogue.hears(say::open(15)); });

  CHECK(broken == "held opens: opens_waiting == the sum over the peers");
}

TEST_CASE("local peers: a byte of metadata that takes no room is noticed") {
  Introduced dialogue;

  const std::string broken =
      noticed("local peers", [&] { dialogue.machine().set_metadata(*our_peer(), {{"key", "value"}}); });

  CHECK(broken == "local peers: room == the sum of the peers'");
}

TEST_CASE("scheduler: a byte promised to nobody is noticed") {
  Introduced dialogue;
  dialogue.opens();

  const std::string broken =
      noticed("scheduler", [&] { dialogue.sends(2, Fragment(1, Payload(std::string(400'000, 'x')))); });

  CHECK(broken == "scheduler: promised == the sum of the circuits'");
}

TEST_CASE("window: a byte that counts as consumed twice is noticed") {
  Joined dialogue;
  dialogue.hears(say::data(1, "abc"));

  const std::string broken = noticed("window", [&] { dialogue.takes(1); });

  CHECK(broken == "window: receive_credit + consumed + unread == window + extras");
}

TEST_CASE("keepalive: a far side that was heard in the future is noticed") {
  Introduced dialogue;

  const std::string broken = noticed("keepalive", [&] { dialogue.hears(say::ping(1)); });

  CHECK(broken == "keepalive: heard_at <= now");
}

TEST_CASE("farewell: a goodbye that takes longer than it may is noticed") {
  Introduced dialogue;
  dialogue.machine().close(End());
  dialogue.settle();

  const std::string broken = noticed("farewell", [&] { dialogue.passes(1ms); });

  CHECK(broken == "farewell: over_at <= now + goodbye_deadline");
}

TEST_CASE("far peers: a byte of metadata that no peer has is noticed") {
  Introduced dialogue;

  const std::string broken =
      noticed("far peers", [&] { dialogue.hears(say::peer_metadata("peer-of-far-side", {{"key", "value"}})); });

  CHECK(broken == "far peers: metadata_bytes == the sum of its peers'");
}

TEST_CASE("flood guard: pings that count twice are noticed") {
  Introduced dialogue;

  const std::string broken = noticed("flood guard", [&] {
    for (std::uint64_t number = 0; number < 51; ++number) dialogue.hears(say::ping(number));
  });

  CHECK(broken == "flood guard: pings <= max + 1");
}

TEST_CASE("node pool: one spare node too many is noticed") {
  Joined dialogue(Limits(), 3);
  std::string fragments;
  for (CircuitId id : {1, 3, 5})
    for (int count = 0; count < 800; ++count) fragments += say::data(id, "x");
  dialogue.hears(fragments);

  const std::string broken = noticed("node pool", [&] {
    for (CircuitId id : {1, 3, 5}) dialogue.takes(id);
  });

  CHECK(broken == "node pool: spares <= spares_max");
}

TEST_CASE("scheduler: a circuit that is counted twice among those that share is noticed") {
  Introduced dialogue;
  dialogue.opens();

  const std::string broken =
      noticed("holders", [&] { dialogue.sends(2, Fragment(1, Payload(std::string(4000, 'x')))); });

  CHECK(broken == "scheduler: holders == the circuits that hold more than a little");
}

TEST_CASE("deadlines: a deadline that is kept a moment too late is noticed") {
  Introduced dialogue;
  OpenRequest request = open_request();
  request.deadline = dialogue.now + 1s;

  const std::string broken = noticed("deadlines", [&] { dialogue.opens(std::move(request)); });

  CHECK(broken == "deadlines: each is of a circuit that lives");
}

TEST_CASE("closings: a close that was looked at in the future is noticed") {
  Introduced dialogue;
  dialogue.opens();

  const std::string broken = noticed("closings", [&] { dialogue.closes(2); });

  CHECK(broken == "closings: looked_at <= now");
}

} // namespace

#endif
