// How long two sides wait for each other: pings, silence, and output that is not taken. Row F12.
#include <doctest/doctest.h>

#include <string>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("framing: a far side that vanished is noticed after twice the keepalive interval (F12)") {
  Joined dialogue;

  dialogue.passes(14'999ms);
  CHECK(dialogue.says() == "");
  dialogue.passes(2ms);
  CHECK(dialogue.says().starts_with("PING "));
  dialogue.passes(14'900ms);
  CHECK(dialogue.state() == "open");
  dialogue.passes(200ms);

  CHECK(dialogue.state() == "keepalive timeout");
  dialogue.passes(1s);
  CHECK(dialogue.machine().over());
  CHECK(phrase(dialogue.circuit(1).end.get()) == "trunk lost");
}

TEST_CASE("framing: a ping that waits behind our own output says nothing about the far side (F12)") {
  Limits limits;
  limits.write_deadline = 100s;
  Joined dialogue(limits);
  dialogue.clogged = true;
  dialogue.sends(1, Fragment(1, "slow to write"));
  Output output;
  dialogue.machine().collect_output(output, 1 << 20, dialogue.now);
  dialogue.passes(40s); // the ping has been in the output for 25 s

  CHECK(dialogue.state() == "open");
  dialogue.clogged = false;
  dialogue.machine().written(dialogue.now);
  dialogue.settle();
  CHECK(dialogue.says().starts_with("PING "));
  dialogue.passes(14'900ms);
  CHECK(dialogue.state() == "open");
  dialogue.passes(200ms);

  CHECK(dialogue.state() == "keepalive timeout");
}

TEST_CASE("framing: a ping counts from when it was written itself, not from an earlier one's write (F12)") {
  Joined dialogue;
  dialogue.passes(100ms);
  dialogue.clogged = true;
  Output output;
  dialogue.passes(15s);
  dialogue.machine().collect_output(output, 1 << 20, dialogue.now); // the first ping's write is slow
  CHECK_FALSE(output.empty());
  dialogue.hears(say::ping(7));
  dialogue.passes(15'200ms); // a second ping, behind it
  dialogue.machine().written(dialogue.now);
  dialogue.machine().collect_output(output, 1 << 20, dialogue.now); // slow as well
  CHECK_FALSE(output.empty());
  dialogue.passes(16s);
  CHECK(dialogue.state() == "open"); // nobody is dead who was not asked
  dialogue.passes(4'100ms);
  CHECK(dialogue.state() == "write timeout");
}

TEST_CASE("framing: a side that only listens says something now and then (F12)") {
  Joined dialogue;
  std::string said;
  for (int second = 0; second < 40; ++second) {
    dialogue.hears(say::pong(0)); // wants no answer, and nothing is granted for it
    dialogue.passes(1s);
    said += dialogue.says();
  }
  CHECK(std::ranges::count(said, 'P') == 2); // a PING each 15 s
  CHECK(dialogue.state() == "open");
}

TEST_CASE("framing: output that is handed over and never written ends the trunk at write_deadline (F12)") {
  Joined dialogue;
  dialogue.clogged = true;
  dialogue.sends(1, Fragment(1, "unwritten"));
  Output output;
  dialogue.machine().collect_output(output, 1 << 20, dialogue.now);
  REQUIRE_FALSE(output.empty());

  for (int second = 0; second < 19; ++second) {
    dialogue.hears(say::pong(1));
    dialogue.passes(1s);
  }
  CHECK(dialogue.state() == "open");
  dialogue.hears(say::pong(1));
  dialogue.passes(1100ms);

  CHECK(dialogue.state() == "write timeout");
  dialogue.passes(20s);
  CHECK(dialogue.machine().over());
}

TEST_CASE("trunk: silence is broken by one ping per interval, and any byte is a sign of life") {
  Introduced dialogue;
  std::string said;
  for (int interval = 0; interval < 10; ++interval) {
    dialogue.passes(25s);
    said += dialogue.says() + "\n";
    dialogue.hears(say::frame(0x80).substr(0, 1));
    dialogue.hears(say::frame(0x80).substr(1));
  }

  CHECK(dialogue.state() == "open");
  CHECK(std::ranges::count(said, 'P') <= 250 / 15);
  CHECK(std::ranges::count(said, 'P') >= 10);
}

TEST_CASE("trunk: a far side that talks and is talked to is not pinged") {
  Joined dialogue;
  for (int second = 0; second < 60; ++second) {
    dialogue.hears(say::data(1, "alive"));
    dialogue.takes(1);
    if (second % 10 == 0) dialogue.sends(1, Fragment(1, "so are we"));
    dialogue.passes(1s);
  }

  CHECK_FALSE(contains(dialogue.says(), "PING"));
}

TEST_CASE("trunk: the round trip of the last ping is among its counters") {
  Introduced dialogue;
  CHECK(dialogue.machine().counters().round_trip == 0ms);
  dialogue.passes(15s);
  const std::string said = dialogue.says();
  REQUIRE(said.starts_with("PING "));
  dialogue.passes(40ms);
  dialogue.hears(say::pong(std::stoull(said.substr(5))));
  CHECK(dialogue.machine().counters().round_trip == 40ms);
}

TEST_CASE("trunk: two idle sides keep each other alive for a day") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());

  pair.pass(24h);

  CHECK_FALSE(pair.dialler().closed());
  CHECK_FALSE(pair.answerer().closed());
  CHECK_FALSE(here->ended);
  CHECK_FALSE(there->ended);
}

TEST_CASE("trunk: an idle machine wants to be called no more often than its keepalive") {
  Introduced dialogue;
  int ticks = 0;
  Instant now = dialogue.now;
  const Instant until = now + 10min;

  while (dialogue.machine().deadline() < until && !dialogue.closed()) {
    now = dialogue.machine().deadline();
    dialogue.machine().tick(now);
    dialogue.now = now;
    dialogue.settle();
    dialogue.hears(say::pong(1));
    ++ticks;
  }

  CHECK(ticks <= 41);
  CHECK(ticks >= 39);
}

TEST_CASE("trunk: a tick before the deadline does nothing") {
  Introduced dialogue;
  for (int tick = 0; tick < 1000; ++tick) {
    dialogue.now += 10ms;
    dialogue.machine().tick(dialogue.now);
    dialogue.settle();
  }

  CHECK(dialogue.says() == "");
  CHECK(dialogue.events() == "");
}

TEST_CASE("trunk: time that goes backwards hurts nothing") {
  Joined dialogue;
  dialogue.passes(10s);

  dialogue.now -= 8s;
  dialogue.hears(say::data(1, "earlier"));
  dialogue.machine().tick(dialogue.now);
  dialogue.settle();

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.takes(1) == "earlier");
}

TEST_CASE("trunk: time that jumps a day ahead asks for a sign of life first, and ends the trunk once") {
  Joined dialogue;

  dialogue.now += 24h;  // this process may have slept
  dialogue.machine().tick(dialogue.now);
  dialogue.settle();
  CHECK(dialogue.says().starts_with("PING "));
  CHECK(dialogue.state() == "open");
  dialogue.passes(15s);

  CHECK(dialogue.state() == "keepalive timeout");
  CHECK(dialogue.events() == "ended 1: trunk lost; closed: keepalive timeout");
}

TEST_CASE("trunk: what was written in time does not end the trunk") {
  Joined dialogue;
  for (int second = 0; second < 120; ++second) {
    dialogue.sends(1, Fragment(1, "written"));
    dialogue.passes(1s);
    dialogue.hears(say::credit(1, 1024));
  }

  CHECK(dialogue.state() == "open");
}

} // namespace
