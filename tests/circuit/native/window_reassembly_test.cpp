// Fragments of several frames: all that begin can be completed, whatever the windows, and within the trunk's memory.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("flow: a fragment of many windows passes, and the window returns to its size") {
  Limits limits;
  limits.circuit_window_bytes_max = 256 * 1024; // it does not widen
  MachinePair pair(limits, limits);
  auto [here, there] = pair.join(pair.dialler());
  const std::string payload(4 * mib, 'p');
  for (int round = 0; round < 5; ++round) {
    Fragment fragment(round, Payload(payload));
    REQUIRE(pair.dialler().machine().send(*here, fragment) == SendOutcome::queued);
    pair.pump(3000);

    const auto taken = pair.answerer().machine().take(*there);
    REQUIRE(taken.has_value());
    CHECK(taken->op == round);
    CHECK(taken->payload.text() == payload);
    pair.pump();
  }

  CHECK(pair.answerer().machine().memory_bytes() == 0);
  CHECK(pair.answerer().model().granted(1) <= 262'144);
  CHECK(pair.answerer().model().granted(1) >= 131'072);
  CHECK(pair.answerer().model().granted() <= 8 * static_cast<std::int64_t>(mib));
  CHECK(pair.answerer().model().granted() > 6 * static_cast<std::int64_t>(mib));
}

/// Many circuits that send one fragment of this size each at the same time; how many of them arrive.
int arriving(const Limits& limits, int circuits, std::size_t size) {
  MachinePair pair(limits, limits);
  std::vector<TrunkCircuit*> there;
  for (int circuit = 0; circuit < circuits; ++circuit) there.push_back(pair.join(pair.dialler()).second);
  pair.pump();
  // Joined first, then all at once: nothing leaves before all of them are queued.
  std::vector<TrunkCircuit*> here;
  pair.dialler().clogged = true;
  for (int circuit = 0; circuit < circuits; ++circuit) {
    TrunkCircuit* opened = pair.dialler().machine().open(pair.request(pair.dialler()),
                                                         Fragment(1, Payload(std::string(size, 'x'))), pair.now);
    here.push_back(opened);
  }
  pair.dialler().clogged = false;

  int arrived = 0;
  std::vector<TrunkCircuit*> readers;
  for (int round = 0; round < 1000; ++round) {
    pair.pump();
    for (TrunkEvent& event : pair.answerer().events()) {
      if (event.kind == TrunkEvent::Kind::opened) {
        pair.answerer().machine().accept(*event.circuit, pair.answerer().peer());
        pair.answerer().machine().left_backlog(*event.circuit);
        readers.push_back(event.circuit);
      }
    }
    const int before = arrived;
    for (TrunkCircuit* reader : readers)
      while (const auto fragment = pair.answerer().machine().take(*reader)) arrived += fragment->payload.size() == size;
    if (arrived == before && round > 3) break;
  }
  return arrived;
}

TEST_CASE("flow: many fragments of two chunks, sent at once on a circuit each, all arrive") {
  CHECK(arriving(Limits(), 10, 100'000) == 10);
  CHECK(arriving(Limits(), 200, 100'000) == 200);
}

TEST_CASE("flow: many fragments within their circuits' windows, together beyond the trunk's, all arrive") {
  CHECK(arriving(Limits(), 100, 250'000) == 100);
  CHECK(arriving(tiny_memory(), 30, 250'000) == 30);
}

TEST_CASE("flow: many fragments larger than their circuits' windows, sent at once, all arrive with the least memory") {
  CHECK(arriving(tiny_memory(), 30, 512 * 1024) == 30);
  CHECK(arriving(Limits(), 60, 1 * mib) == 60);
}

/// How many of `circuits` large fragments arrive that begin while their circuits have little credit left, which grows
/// only afterwards: the reader takes what was sent before them at once, so that windows widen.
int arriving_behind_others(int circuits, std::size_t first, std::size_t second) {
  MachinePair pair;
  MachinePair::Side& here = pair.dialler();
  MachinePair::Side& there = pair.answerer();
  std::vector<std::pair<TrunkCircuit*, TrunkCircuit*>> joined;
  for (int circuit = 0; circuit < circuits; ++circuit) joined.push_back(pair.join(here));
  pair.pump();
  std::vector<std::pair<TrunkCircuit*, std::size_t>> unsent; // their circuit waits for its share
  const auto send = [&](TrunkCircuit* sender, std::size_t size) {
    Fragment fragment(1, Payload(std::string(size, 'x')));
    if (here.machine().send(*sender, fragment) != SendOutcome::queued) unsent.emplace_back(sender, size);
    while (pair.write(here, 1 << 20)) {}
  };
  const auto send_all = [&](std::size_t size) {
    for (const auto& [sender, reader] : joined) send(sender, size);
  };
  int arrived = 0;
  const auto take_all = [&] {
    int taken = 0;
    for (const auto& [sender, reader] : joined)
      while (const auto fragment = there.machine().take(*reader)) {
        ++taken;
        arrived += fragment->payload.size() == second;
      }
    return taken;
  };

  send_all(first);
  const std::size_t before_seconds = here.in_flight();
  send_all(second);
  pair.deliver(here, before_seconds);
  for (int idle = 0; idle < 4;) {
    idle = take_all() > 0 ? 0 : idle + 1;
    pair.pump();
    for (const auto& [sender, size] : std::exchange(unsent, {})) send(sender, size);
    pair.pump();
  }
  return arrived;
}

TEST_CASE("flow: fragments that began with little of their circuits' credit all arrive when it has grown") {
  CHECK(arriving_behind_others(20, 230 * 1024, 1 * mib) == 20);
  CHECK(arriving_behind_others(30, 230 * 1024, 1 * mib) == 30);
  CHECK(arriving_behind_others(32, 200 * 1024, 4 * mib) == 32);
}

TEST_CASE("flow: chunks of one byte of fragments that wait for memory cost about their bytes") {
  Joined dialogue(Limits(), 3);
  for (CircuitId id : {1, 3}) dialogue.hears(say::first_of_more(id, 4 * mib, "x"));
  dialogue.hears(say::first_of_more(5, 4 * mib, "x"));
  const std::size_t held = dialogue.machine().memory_bytes();

  std::string bytes;
  for (int chunk = 0; chunk < 10'000; ++chunk) bytes += say::continues(5, "y");
  dialogue.hears(bytes);

  CHECK(dialogue.machine().memory_bytes() == held + 10'000);
  CHECK(dialogue.state() == "open");
}

TEST_CASE("flow: small fragments pass while a hundred large ones wait for memory") {
  Limits limits = tiny_memory();
  MachinePair pair(limits, limits);
  for (int circuit = 0; circuit < 100; ++circuit)
    pair.dialler().machine().open(pair.request(pair.dialler()), Fragment(1, Payload(std::string(300'000, 'x'))),
                                  pair.now);
  pair.pump();
  std::vector<TrunkCircuit*> readers;
  for (TrunkEvent& event : pair.answerer().events())
    if (event.kind == TrunkEvent::Kind::opened) readers.push_back(event.circuit);

  auto [here, there] = pair.join(pair.dialler(), Fragment(1, "small"));
  int rounds = 0;
  std::optional<Fragment> small;
  for (; rounds < 50 && !small; ++rounds) {
    small = pair.answerer().machine().take(*there);
    for (TrunkCircuit* reader : readers)
      while (pair.answerer().machine().take(*reader)) {}
    pair.pump();
  }

  CHECK(small.has_value());
  CHECK(here->id != 0);
}

TEST_CASE("flow: credit granted for a fragment that is given up is taken back from what is granted later") {
  // The far side is told that it may send the rest of a large fragment, resets instead, and does it again: what it may
  // send must not grow, or it could send more than there is memory for.
  Joined dialogue;
  CircuitId id = 3;
  for (int round = 0; round < 100; ++round, id += 2) {
    dialogue.hears(say::open(id) + say::first_of_more(id, 4 * mib, std::string(1000, 'x')));
    dialogue.hears(say::reset(id));
    REQUIRE(dialogue.state() == "open");
    REQUIRE(dialogue.model().granted() <= static_cast<std::int64_t>(Limits().trunk_memory_bytes_max));
    dialogue.releases(id);
    dialogue.passes(100ms);
  }

  CHECK(dialogue.machine().memory_bytes() == 0);
  // It still works: the credit that it has in advance is worked off first.
  for (int frame = 0; frame < 1000; ++frame) {
    REQUIRE(dialogue.model().granted() >= 60'256);
    dialogue.hears(say::data(1, std::string(60'000, 'd')));
    dialogue.takes(1);
  }
  CHECK(dialogue.model().granted() <= static_cast<std::int64_t>(Limits().trunk_memory_bytes_max / 2));
}

TEST_CASE("flow: a total is charged to the memory budget before it is allocated") {
  Joined dialogue(tiny_memory(), 20);
  for (CircuitId id = 1; id < 40; id += 2) {
    dialogue.hears(say::first_of_more(id, 512 * 1024, std::string(1, 'x')));
    REQUIRE(dialogue.machine().memory_bytes() <= 2 * mib);
  }
  CHECK(dialogue.state() == "open");
}

TEST_CASE("flow: a total beyond fragment_bytes_max resets the circuit before anything is allocated") {
  for (const std::uint64_t total : {std::uint64_t{4 * mib + 1}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    Joined dialogue;

    dialogue.hears(say::first_of_more(1, total, "begun") + say::continues(1, "more of it"));

    CHECK(dialogue.state() == "open");
    CHECK(dialogue.says() == "RESET 1 reason 80");
    CHECK(dialogue.machine().memory_bytes() == 0);
    CHECK(contains(dialogue.circuit(1).end->text, std::to_string(total)));
    CHECK(contains(dialogue.circuit(1).end->text, "fragment_bytes_max 4194304"));
  }
}

TEST_CASE("flow: a fragment of exactly fragment_bytes_max passes, one byte more is not taken for sending") {
  Limits limits;
  limits.fragment_bytes_max = 300'000;
  MachinePair pair(limits, limits);
  auto [here, there] = pair.join(pair.dialler());
  Fragment most(1, Payload(std::string(300'000, 'm')));
  Fragment more(1, Payload(std::string(300'001, 'm')));

  CHECK(pair.dialler().machine().send(*here, more) == SendOutcome::closed);
  CHECK(more.payload.size() == 300'001);
  CHECK(pair.dialler().machine().send(*here, most) == SendOutcome::queued);
  pair.pump();

  CHECK(pair.answerer().machine().take(*there)->payload.size() == 300'000);
}

TEST_CASE("flow: the far side's smaller fragment_bytes_max is heeded once it is known") {
  Dialogue dialogue;
  CHECK(dialogue.machine().fragment_bytes_max() == Limits().fragment_bytes_max);
  say::Hello hello;
  hello.fragment_bytes_max = 1000;

  dialogue.introduce(hello);
  dialogue.opens();

  CHECK(dialogue.machine().fragment_bytes_max() == 1000);
  CHECK(dialogue.sends(2, Fragment(1, Payload(std::string(1001, 'm')))) == SendOutcome::closed);
  CHECK(dialogue.sends(2, Fragment(1, Payload(std::string(1000, 'm')))) == SendOutcome::queued);
}

} // namespace
