// Control frames in numbers that no honest far side sends. Rows F34, F37, F42; the clock stands still unless a test
// says otherwise, so that "per second" is exact.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("flood: a ping is answered with its number (F37)") {
  Introduced dialogue;

  dialogue.hears(say::ping(0) + say::frame(0x80) + say::ping(~std::uint64_t{0}));

  // The second came before the first was answered.
  CHECK(dialogue.says() == "PONG 18446744073709551615");
  CHECK(dialogue.machine().counters().pings_coalesced == 1);
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST_CASE("flood: no more than pings_answered_per_second_max pings are answered, the rest by one pong (F37)") {
  Introduced dialogue;
  for (std::uint64_t ping = 1; ping <= 100; ++ping) dialogue.hears(say::ping(ping));
  const std::string at_once = dialogue.says();
  CHECK(count(at_once, "PONG") == 10);
  CHECK(dialogue.state() == "open");

  dialogue.passes(1s);

  CHECK(dialogue.says() == "PONG 100");
}

TEST_CASE("flood: more pings than pings_per_second_max break the trunk (F37)") {
  Introduced dialogue;
  for (int second = 0; second < 3; ++second) {
    for (std::uint64_t ping = 1; ping <= 100; ++ping) dialogue.hears(say::ping(ping));
    REQUIRE(dialogue.state() == "open");
    dialogue.passes(1s);
  }

  for (std::uint64_t ping = 1; ping <= 101; ++ping) dialogue.hears(say::ping(ping));

  CHECK(dialogue.state() == "too many control frames");
  CHECK(contains(dialogue.end().text, "pings_per_second_max 100"));
}

TEST_CASE("flood: at most one pong waits for a far side that does not read (F37)") {
  Introduced dialogue;
  dialogue.clogged = true;
  for (int second = 0; second < 10; ++second) {
    for (std::uint64_t ping = 1; ping <= 90; ++ping) dialogue.hears(say::ping(ping));
    dialogue.passes(1s);
  }
  REQUIRE(dialogue.state() == "open");

  dialogue.clogged = false;
  dialogue.settle();

  CHECK(dialogue.says() == "PONG 90");
}

TEST_CASE("flood: a pong that answers nothing is ignored, and many of them make reading pause (F37)") {
  Limits limits;
  limits.control_frames_per_second_max = 100;
  Introduced dialogue(limits);
  for (int pong = 0; pong < 100; ++pong) dialogue.hears(say::pong(12345));
  CHECK(dialogue.machine().wants_input());

  dialogue.hears(say::pong(1));

  CHECK_FALSE(dialogue.machine().wants_input());
  CHECK(dialogue.state() == "open");
}

TEST_CASE("flood: reading pauses until the control frames are made up for, and the trunk lives (F37)") {
  Limits limits;
  limits.control_frames_per_second_max = 100;
  Introduced dialogue(limits);

  int frames = 0;
  for (int tenth = 0; tenth < 100; ++tenth) { // 10 s, as a session that does not read during a pause
    for (; dialogue.machine().wants_input(); ++frames) {
      std::string read;
      for (int frame = 0; frame < 20; ++frame) read += say::peer_ended("peer-of-far-side");
      dialogue.hears(read);
      frames += 19;
    }
    dialogue.passes(100ms);
  }

  CHECK(frames >= 1000);
  CHECK(frames <= 100 + 1000 + 20);
  CHECK(dialogue.state() == "open");
  CHECK(dialogue.machine().counters().reading_pauses >= 50);
  CHECK(dialogue.machine().wants_input() == (dialogue.machine().deadline() > dialogue.now + 1s));
}

TEST_CASE("flood: a far side that is not read is not taken for dead, however long that lasts (F37)") {
  Limits limits;
  limits.control_frames_per_second_max = 1;
  Introduced dialogue(limits);
  std::string read;
  for (int frame = 0; frame < 100; ++frame) read += say::pong(1);

  dialogue.hears(read); // 99 s to make up for
  dialogue.passes(90s);

  CHECK_FALSE(dialogue.machine().wants_input());
  CHECK(dialogue.state() == "open");
  dialogue.passes(10s);
  CHECK(dialogue.machine().wants_input());
}

TEST_CASE(
    "flood: names and user strings of circuits beyond circuit_strings_bytes_max refuse the circuit, released ones "
    "count no more") {
  Limits limits;
  limits.circuit_strings_bytes_max = 2500;
  Introduced dialogue(limits);
  say::Open wordy;
  wordy.user_string = std::string(1000, 'u');
  for (CircuitId id = 1; id <= 3; id += 2) dialogue.hears(say::open(id, wordy));
  dialogue.says();

  dialogue.hears(say::open(5, wordy));
  const std::vector<say::Frame> frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].to_string() == "REFUSE 5 reason 23");
  CHECK(contains(frames[0].fields.text(3), "circuit_strings_bytes_max 2500"));
  dialogue.hears(say::reset(1, 9, "done"));
  dialogue.releases(1);
  dialogue.says();
  dialogue.hears(say::open(7, wordy));

  CHECK_FALSE(contains(dialogue.says(), "REFUSE"));
}

TEST_CASE(
    "flood: closes that a far side makes us say and does not read break the trunk before they fill memory (F34)") {
  const Limits limits;
  Introduced dialogue(limits);
  dialogue.clogged = true;

  CircuitId id = 1;
  for (; id < 1'000'000 && dialogue.state() == "open"; id += 2) {
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
    dialogue.closes(id, End(error::handler_failed, std::string(200, 'x')));
    dialogue.hears(say::reset(id, 9, "done"));
    dialogue.releases(id);
  }

  CHECK(dialogue.state() == "too many control frames");
  CHECK(id * 250 / 2 <= limits.trunk_memory_bytes_max);
}

TEST_CASE("flood: what two peers forward to each other is theirs to bound; the machine forwards nothing (F42)") {
  Introduced dialogue;
  dialogue.hears(say::open(1) + say::data(1, "to all") + say::open(3) + say::data(3, "to all"));

  CHECK(dialogue.says() == "");
}

TEST_CASE("flood: finishes, closes and resets of circuits that are over are dropped for ever (F42)") {
  Introduced dialogue;
  dialogue.hears(say::open(1) + say::close(1));
  dialogue.releases(1);
  dialogue.says();
  dialogue.events();

  for (int frame = 0; frame < 500; ++frame)
    dialogue.hears(say::finish(1) + say::close(1) + say::finish_acknowledged(1) + say::close_received(1));

  CHECK(dialogue.says() == "");
  CHECK(dialogue.events() == "");
  CHECK(dialogue.state() == "open");
  CHECK(dialogue.machine().counters().frames_for_forgotten_circuits == 2000);
}

} // namespace
