// The machine as a whole: its counters and limits, and calls from within the handling of its events.
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("trunk: bytes and frames are counted as they pass") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler(), Fragment(1, "first"));
  std::uint64_t said = 0;
  pair.dialler().watch = [&said](const say::Frame& frame) { said += frame.bytes().size(); };
  const std::uint64_t before = pair.dialler().machine().counters().bytes_sent;
  const std::uint64_t heard_before = pair.answerer().machine().counters().bytes_received;
  const std::uint64_t frames_before = pair.answerer().machine().counters().frames_received;

  Fragment fragment(1, Payload(std::string(200'000, 'x')));
  REQUIRE(pair.dialler().machine().send(*here, fragment) == SendOutcome::queued);
  pair.pump(100);

  CHECK(pair.dialler().machine().counters().bytes_sent - before == said);
  CHECK(pair.answerer().machine().counters().bytes_received - heard_before == said);
  CHECK(pair.answerer().machine().counters().frames_received - frames_before >= 4);
  CHECK(there->counters.fragments_received == 2);
}

TEST_CASE("limits: each value that cannot work is refused by name") {
  const auto refusal = [](auto change) {
    Limits limits;
    change(limits);
    try {
      native_machine(false, limits, "node-of-our-side", time_begins);
    } catch (const std::invalid_argument& failure) {
      return std::string(failure.what());
    }
    return std::string("taken");
  };

  CHECK(refusal([](Limits&) {}) == "taken");
  CHECK(contains(refusal([](Limits& l) { l.fragment_bytes_max = 0; }), "fragment_bytes_max is 0"));
  CHECK(contains(refusal([](Limits& l) { l.fragment_bytes_max = (std::size_t{1} << 30) + 1; }),
                 "fragment_bytes_max is 1073741825"));
  CHECK(contains(refusal([](Limits& l) { l.trunk_memory_bytes_max = 1000; }), "trunk_memory_bytes_max is 1000"));
  CHECK(contains(refusal([](Limits& l) { l.circuit_window_bytes_max = 1000; }), "circuit_window_bytes_max is 1000"));
  CHECK(contains(refusal([](Limits& l) { l.send_queue_bytes_max = 1000; }), "send_queue_bytes_max is 1000"));
  CHECK(contains(refusal([](Limits& l) { l.circuits_max = 0; }), "circuits_max is 0"));
  CHECK(contains(refusal([](Limits& l) { l.open_backlog_max = 0; }), "open_backlog_max is 0"));
  CHECK(contains(refusal([](Limits& l) { l.metadata_bytes_max = 5000; }), "metadata_bytes_max is 5000"));
  CHECK(contains(refusal([](Limits& l) { l.name_bytes_max = 0; }), "name_bytes_max is 0"));
  CHECK(contains(refusal([](Limits& l) { l.user_string_bytes_max = 5000; }), "user_string_bytes_max is 5000"));
  CHECK(contains(refusal([](Limits& l) { l.reason_bytes_max = 5000; }), "reason_bytes_max is 5000"));
  CHECK(contains(refusal([](Limits& l) { l.handshake_deadline = 0ms; }), "handshake_deadline is 0"));
  CHECK(contains(refusal([](Limits& l) { l.keepalive_interval = -1ms; }), "keepalive_interval"));
  CHECK(contains(refusal([](Limits& l) { l.write_deadline = 0ms; }), "write_deadline is 0"));
  CHECK(contains(refusal([](Limits& l) { l.stall_deadline = 0ms; }), "stall_deadline is 0"));
  CHECK(contains(refusal([](Limits& l) { l.goodbye_deadline = 0ms; }), "goodbye_deadline is 0"));
}

TEST_CASE("limits: the numbers that the wire fixes are those of the specification") {
  CHECK(frame_bytes_max == say::body_bytes_max);
  CHECK(control_bytes_max == say::control_body_bytes_max);
  CHECK(chunk_bytes_max == say::payload_bytes_max);
  CHECK(static_cast<std::int64_t>(circuit_window_bytes_initial) == say::circuit_window);
  CHECK(static_cast<std::int64_t>(trunk_window_bytes_initial) == say::trunk_window);
  CHECK(static_cast<std::int64_t>(fragment_credit_overhead) == say::fragment_overhead);
}

TEST_CASE("limits: a larger fragment_bytes_max raises the memory so that a fragment can be put together") {
  Limits limits;
  limits.fragment_bytes_max = 40 << 20;
  MachinePair pair(limits, limits);
  auto [here, there] = pair.join(pair.dialler());
  Fragment fragment(1, Payload(std::string(40 << 20, 'x')));

  REQUIRE(pair.dialler().machine().send(*here, fragment) == SendOutcome::queued);
  pair.pump();

  const auto taken = pair.answerer().machine().take(*there);
  REQUIRE(taken.has_value());
  CHECK(taken->payload.size() == 40 << 20);
}

TEST_CASE("trunk: a hundred thousand replies, each sent when the other is taken, need no depth") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler(), Fragment(0, "ping"));
  TrunkCircuit* circuits[2] = {here, there};
  int replies = 0;
  while (replies < 100'000) {
    pair.pump();
    bool moved = false;
    for (int side : {0, 1}) {
      pair.sides[side].events();
      while (auto fragment = pair.sides[side].machine().take(*circuits[side])) {
        Fragment reply(fragment->op + 1, "pong");
        REQUIRE(pair.sides[side].machine().send(*circuits[side], reply) == SendOutcome::queued);
        ++replies;
        moved = true;
      }
    }
    REQUIRE(moved);
  }

  CHECK(here->counters.fragments_sent + there->counters.fragments_sent == 100'001);
}

TEST_CASE("trunk: twenty thousand circuits opened, served and closed one after the other leave nothing") {
  MachinePair pair;
  for (int round = 0; round < 20'000; ++round) {
    TrunkCircuit* here = pair.dialler().machine().open(pair.request(pair.dialler()), Fragment(1, "request"), pair.now);
    pair.dialler().machine().finish(*here);
    pair.pump();
    TrunkCircuit* there = pair.answerer().opened_last();
    pair.answerer().machine().accept(*there, pair.answerer().peer());
    pair.answerer().machine().left_backlog(*there);
    REQUIRE(pair.answerer().machine().take(*there).has_value());
    Fragment reply(2, "reply");
    REQUIRE(pair.answerer().machine().send(*there, reply) == SendOutcome::queued);
    pair.answerer().machine().finish(*there);
    pair.pump();
    REQUIRE(pair.dialler().machine().take(*here).has_value());
    pair.pump();
    REQUIRE(here->ended);
    REQUIRE(there->ended);
    pair.dialler().machine().release(*here);
    pair.answerer().machine().release(*there);
    for (auto& side : pair.sides) side.events();
  }

  for (auto& side : pair.sides) {
    CHECK(side.machine().circuits_count() == 0);
    CHECK(side.machine().memory_bytes() == 0);
  }
}

TEST_CASE("trunk: a hundred thousand circuits of as many peers are open at once") {
  // Whatever is looked up per peer or per circuit must not be searched through.
  Limits limits;
  limits.open_backlog_max = 200'000;
  MachinePair pair(limits, limits);
  const std::string ids = "0123456789abcdef";
  for (int circuit = 0; circuit < 100'000; ++circuit) {
    OpenRequest request = pair.request(pair.dialler());
    std::string id = ids;
    std::memcpy(id.data(), &circuit, sizeof circuit);
    request.from = peer_name(id, "store");
    pair.dialler().machine().open(std::move(request), std::nullopt, pair.now);
  }
  pair.pump();

  CHECK(pair.answerer().machine().circuits_count() == 100'000);
  CHECK_FALSE(pair.answerer().closed());
}

} // namespace
