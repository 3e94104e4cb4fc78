// What the far side counts against its control_frames_per_second_max is paced here: an old far side would break the
// trunk, and one with a small limit would not read for so long that our writes look dead.
#include <doctest/doctest.h>

#include <string>

#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

say::Hello takes_few(std::uint64_t control_frames_per_second_max) {
  say::Hello hello;
  hello.features = {"shares"};
  hello.limits = {{15, control_frames_per_second_max}};
  return hello;
}

struct Grants {
  int tiny = 0; // below 1024 bytes: they count as control frames
  int all = 0;
};

/// Thirty initial windows lie unread, and hardly any of the trunk's credit is left; beside them, one message after the
/// other is taken at once, within no time.
Grants grants_beside_unread_windows(Dialogue& dialogue, int messages) {
  for (CircuitId id = 1; id <= 63; id += 2) {
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
    for (int frames = 0; frames < 4 && id < 61; ++frames)
      dialogue.hears(say::data(id, std::string(65'536 - 256, 'x')));
  }
  for (int frames = 0; frames < 3; ++frames) dialogue.hears(say::data(61, std::string(65'536 - 256, 'x')));
  dialogue.frames();

  Grants grants;
  for (int message = 0; message < messages; ++message) {
    dialogue.hears(say::data(63, std::string(64, 'm')));
    REQUIRE(dialogue.takes_one(63).has_value());
    for (const say::Frame& frame : dialogue.frames()) {
      if (frame.type != say::CREDIT) continue;
      ++grants.all;
      grants.tiny += frame.fields.number(2) < 1024;
    }
  }
  return grants;
}

TEST_CASE("flow: a far side that does not share is never granted less than 1024 bytes") {
  Introduced dialogue;
  const Grants grants = grants_beside_unread_windows(dialogue, 20'000);

  CHECK(grants.tiny == 0);
  CHECK(grants.all > 0);
  CHECK(dialogue.state() == "open");
}

TEST_CASE("flow: small grants keep to half of the far side's control_frames_per_second_max") {
  Dialogue dialogue;
  dialogue.introduce(takes_few(100));
  const Grants grants = grants_beside_unread_windows(dialogue, 5000);

  CHECK(grants.tiny > 10); // as small as they are of use, while there is patience
  CHECK(grants.tiny <= 60);
  CHECK(grants.all > 500);
  CHECK(dialogue.state() == "open");
}

TEST_CASE("trunk: circuits that are given up before their answer owe the far side five seconds of reading at most") {
  Dialogue dialogue;
  dialogue.introduce(takes_few(100));
  int given_up = 0;
  for (;; ++given_up) {
    TrunkCircuit& circuit = dialogue.opens();
    if (circuit.ended) {
      CHECK(circuit.end->code == make_error_code(error::circuit_limit_reached));
      CHECK(contains(circuit.end->text, "control_frames_per_second_max of the far side is 100"));
      dialogue.machine().release(circuit);
      break;
    }
    const CircuitId id = circuit.id;
    dialogue.resets(id);
    dialogue.releases(id);
    REQUIRE(given_up < 1000);
  }
  CHECK(given_up > 590);
  CHECK(given_up <= 601);
  CHECK_FALSE(dialogue.machine().may_open());
  dialogue.events();

  dialogue.passes(1s);

  CHECK(contains(dialogue.events(), "may_open"));
  CHECK(dialogue.machine().may_open());
}

TEST_CASE("trunk: circuits that were answered before they are given up cost the far side's patience nothing") {
  Dialogue dialogue;
  dialogue.introduce(takes_few(100));
  for (int asked = 0; asked < 5000; ++asked) {
    const CircuitId id = dialogue.opens(Fragment(1, "question")).id;
    dialogue.hears(say::data(id, "answer"));
    REQUIRE(dialogue.takes(id) == "answer");
    dialogue.resets(id);
    dialogue.releases(id);
  }

  CHECK(dialogue.machine().may_open());
}

} // namespace
