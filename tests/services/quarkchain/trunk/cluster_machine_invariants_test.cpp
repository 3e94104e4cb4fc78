// Each part of the cluster machine states an inequality over its own members. Here each part miscounts by one, and the
// input that makes it do so is noticed at its end.

#include <doctest/doctest.h>

#include <string>

#include "tests/services/quarkchain/trunk/machine_under_test.hpp"
#include "tests/support/planted_bug.hpp"

#ifdef TRUNKLINE_PLANTED_BUGS

namespace {

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;
using namespace std::chrono_literals;
using trunkline::test::noticed;

constexpr Route seven{0x10001, 7};

Frame frame_of(Route route, std::string payload) {
  Frame frame;
  frame.branch = route.branch;
  frame.cluster_peer_id = route.cluster_peer_id;
  frame.op = 1;
  frame.payload = std::move(payload);
  return frame;
}

TEST_CASE("cluster circuits: a virtual peer beyond circuits_max is noticed") {
  ClusterLimits limits;
  limits.circuits_max = 1;
  MachineUnderTest machine(Framing::cluster, limits);
  machine.opens(seven);

  const std::string broken = noticed("cluster circuits", [&] { machine.opens(Route(0x10001, 8)); });

  CHECK(broken == "cluster circuits: virtual peers <= circuits_max");
}

TEST_CASE("cluster reader: a payload that is longer than its frame is noticed") {
  MachineUnderTest machine;

  const std::string broken = noticed("cluster reader", [&] { machine.hears(frame_of(Route(), "abc")); });

  CHECK(broken == "cluster reader: a payload that is being read is not whole");
}

TEST_CASE("inboxes: a byte that is in nobody's inbox is noticed") {
  MachineUnderTest machine;
  machine.opens(seven);

  const std::string broken = noticed("inboxes", [&] { machine.hears(frame_of(seven, "abc")); });

  CHECK(broken == "inboxes: unread of all peers == the sum of the circuits'");
}

TEST_CASE("cluster writer: a byte that is in no portion is noticed") {
  MachineUnderTest machine;

  const std::string broken = noticed("cluster writer", [&] { machine.sends(machine.control(), 1, 0, "abc"); });

  CHECK(broken == "cluster writer: bytes == the sum of the portions'");
}

TEST_CASE("cluster farewell: an end that takes longer than it may is noticed") {
  MachineUnderTest machine;
  machine.closes(machine.control());

  const std::string broken = noticed("cluster farewell", [&] { machine.passes(1ms); });

  CHECK(broken == "cluster farewell: over_at <= now + goodbye_deadline");
}

} // namespace

#endif
