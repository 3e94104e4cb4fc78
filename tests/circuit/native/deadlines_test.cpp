// Deadlines of circuits and of calls on the wire: what an open and a fragment say of the time that is left, what is done
// when it has passed, and what a far side hears that does not know of it. The test is the far side.
#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

OpenRequest open_for(Dialogue& dialogue, std::chrono::milliseconds time) {
  OpenRequest request = open_request();
  request.deadline = dialogue.now + time;
  return request;
}

TEST_CASE("deadline: an open says what is left of it, and one without a deadline says nothing") {
  Introduced dialogue;
  dialogue.opens(open_for(dialogue, 1500ms));
  dialogue.opens(open_for(dialogue, 2h));
  dialogue.opens();

  const std::vector<say::Frame> frames = dialogue.frames();
  REQUIRE(frames.size() == 3);
  CHECK(frames[0].fields.number(10) == 1500);
  CHECK(frames[0].fields.text(6) == "feed"); // the rest is as it was
  CHECK(frames[1].fields.number(10) == 7'200'000);
  CHECK(frames[2].fields.number(10) == 0);
  CHECK(frames[2].fields.text(6) == "feed");
}

TEST_CASE("deadline: our circuit is reset when it passes, no earlier, and the far side is told") {
  Introduced dialogue;
  const CircuitId id = dialogue.opens(open_for(dialogue, 1500ms)).id;
  dialogue.says();

  dialogue.passes(1499ms);
  CHECK(dialogue.events() == "");
  dialogue.passes(1ms);

  CHECK(contains(dialogue.events(), "ended 2"));
  CHECK(dialogue.circuit(id).end->code == make_error_code(error::deadline_passed));
  CHECK(contains(dialogue.says(), "RESET 2"));
}

TEST_CASE("deadline: a circuit of the far side is reset when the time that it said has passed") {
  Introduced dialogue;
  say::Open said;
  said.remaining_ms = 200;
  dialogue.hears(say::open(1, said) + say::open(3));
  dialogue.accepts(1);
  dialogue.accepts(3);
  CHECK(dialogue.circuit(1).deadline == dialogue.now + 200ms);
  CHECK(dialogue.circuit(3).deadline == Instant::max());
  dialogue.events();

  dialogue.passes(200ms);

  CHECK(contains(dialogue.events(), "ended 1"));
  CHECK(contains(dialogue.says(), "RESET 1"));
  CHECK_FALSE(dialogue.circuit(3).ended);
  CHECK(dialogue.state() == "open");
}

TEST_CASE("deadline: one that is said as almost for ever is none that overflows") {
  Introduced dialogue;
  say::Open said;
  said.remaining_ms = ~std::uint64_t{0};
  dialogue.hears(say::open(1, said));
  dialogue.accepts(1);
  CHECK(dialogue.circuit(1).deadline > dialogue.now + 24h);
  CHECK_FALSE(dialogue.circuit(1).ended);
}

TEST_CASE("deadline: a circuit that has ended before is forgotten, and one that would begin too late never begins") {
  Introduced dialogue;
  const CircuitId id = dialogue.opens(open_for(dialogue, 100ms)).id;
  dialogue.resets(id);
  CHECK(dialogue.machine().circuits_deadline() == Instant::max());
  dialogue.says();

  OpenRequest late = open_request();
  late.deadline = dialogue.now;
  TrunkCircuit& never = dialogue.opens(std::move(late));
  CHECK(never.ended);
  CHECK(never.end->code == make_error_code(error::deadline_passed));
  CHECK(dialogue.says() == "");
}

TEST_CASE("deadline: many pass in the order of their times") {
  Introduced dialogue;
  for (const int ms : {300, 100, 200, 100}) dialogue.opens(open_for(dialogue, std::chrono::milliseconds(ms)));
  dialogue.says();
  dialogue.events();
  dialogue.passes(1s);
  CHECK(dialogue.events() == "ended 4: deadline passed; ended 8: deadline passed; ended 6: deadline passed; "
                             "ended 2: deadline passed");
}

// Calls.

TEST_CASE("call: a request says what is left when it is written, and that is what arrives") {
  Introduced dialogue;
  const CircuitId id = dialogue.opens().id;
  Fragment request(7, "request");
  request.part = 3;
  request.set_deadline(dialogue.now + 250ms);
  dialogue.says();
  dialogue.clogged = true; // it stays in the output for a while
  CHECK(dialogue.sends(id, std::move(request)) == SendOutcome::queued);
  dialogue.clogged = false;
  dialogue.settle();
  CHECK(contains(dialogue.says(), "DATA 2"));

  std::vector<std::byte> bytes;
  Fragment sent(7);
  sent.set_deadline(time_begins + 250ms);
  wire::put_metadata(bytes, sent, time_begins + 100ms);
  CHECK(bytes.size() == wire::metadata_bytes(sent));
  Fragment heard;
  REQUIRE(wire::get_metadata(bytes, heard, time_begins));
  CHECK(heard.deadline() == time_begins + 150ms);
  CHECK_FALSE(heard.cancels());
}

TEST_CASE("call: the word that gives one up is told from a fragment, and nothing else of it") {
  std::vector<std::byte> bytes;
  const Fragment word = Fragment::cancelling(12);
  wire::put_metadata(bytes, word);
  CHECK(bytes.size() == wire::metadata_bytes(word));
  Fragment heard;
  REQUIRE(wire::get_metadata(bytes, heard));
  CHECK(heard.cancels());
  CHECK_FALSE(heard.deadline());
  CHECK(heard.subject.empty());
  heard.clear();
  CHECK_FALSE(heard.cancels());
}

TEST_CASE("call: only a far side whose Hello names the feature is told that a call was given up") {
  Dialogue old_one;
  old_one.introduce();
  CHECK_FALSE(old_one.machine().far_knows_calls());
  say::Hello hello;
  hello.features = {"something", "calls"};
  Dialogue new_one;
  new_one.introduce(hello);
  CHECK(new_one.machine().far_knows_calls());
}

TEST_CASE("deadline: circuits of the far side whose time passes unanswered count as cancelled ones (F17)") {
  Limits limits;
  limits.cancelled_opens_per_second_max = 10;
  Introduced dialogue(limits);
  say::Open said;
  said.remaining_ms = 1;
  int handed_out = 0;
  CircuitId id = 1;
  for (int flood = 0; flood < 500; ++flood, id += 2) {
    dialogue.hears(say::open(id, said));
    if (dialogue.knows(id)) {
      ++handed_out;
      dialogue.accepts(id);
    }
    dialogue.passes(1ms);
    if (dialogue.knows(id)) dialogue.releases(id);
  }

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.machine().counters().opens_cancelled >= 50);
  CHECK(handed_out <= 60); // a burst of 50, and a few
}

TEST_CASE("call: a word that gives a call up is none for the error queue, whatever else it says") {
  Joined dialogue;
  std::vector<std::byte> bytes;
  Fragment word = Fragment::cancelling(7);
  word.err = "an error, too";
  word.subject = "subject";
  word.args.set("key", "value");
  wire::put_metadata(bytes, word);
  Fragment heard;
  REQUIRE(wire::get_metadata(bytes, heard));

  CHECK(heard.cancels());
  CHECK(heard.err.empty());
  CHECK(heard.subject.empty());
  CHECK(heard.args.size() == 0);
}

} // namespace
