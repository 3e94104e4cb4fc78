// What the far side may send: credit to the byte, windows that widen, and readers that do not read. Rows F29, F33, F36.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("flow: one byte beyond a circuit's credit breaks the trunk and says by how much (F29)") {
  Joined dialogue;
  for (int frame = 0; frame < 3; ++frame) dialogue.hears(say::data(1, std::string(65'536, 'd')));
  const std::size_t left = 262'144 - 3 * 65'792;

  dialogue.hears(say::data(1, std::string(left - 256 + 1, 'd')));

  CHECK(dialogue.state() == "flow control violated");
  CHECK(dialogue.says() == "GOODBYE reason 42");
  CAPTURE(dialogue.end().text);
  CHECK(contains(dialogue.end().text, std::to_string(left + 1)));
  CHECK(contains(dialogue.end().text, std::to_string(left)));
}

TEST_CASE("flow: exactly a circuit's credit is taken (F29)") {
  Joined dialogue;
  for (int frame = 0; frame < 3; ++frame) dialogue.hears(say::data(1, std::string(65'536, 'd')));

  dialogue.hears(say::data(1, std::string(262'144 - 3 * 65'792 - 256, 'd')));

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.model().granted(1) == 0);
}

TEST_CASE("flow: one byte beyond the trunk's credit breaks the trunk though the circuit has credit (F29)") {
  Joined dialogue(tiny_memory(), 6);
  std::int64_t left = say::trunk_window;
  for (CircuitId id = 1; left > 262'144; id += 2) {
    for (int frame = 0; frame < 3; ++frame, left -= 65'792) dialogue.hears(say::data(id, std::string(65'536, 'd')));
  }
  REQUIRE(dialogue.state() == "open");
  REQUIRE(dialogue.model().granted() == left);
  for (; left > 65'792; left -= 65'792) dialogue.hears(say::data(11, std::string(65'536, 'd')));
  REQUIRE(dialogue.state() == "open");

  dialogue.hears(say::data(9, std::string(static_cast<std::size_t>(left) - 256 + 1, 'd')));

  CHECK(dialogue.state() == "flow control violated");
  CHECK(contains(dialogue.end().text, "trunk"));
}

TEST_CASE("flow: metadata counts as payload does (F29)") {
  Joined dialogue;
  say::Said said;
  said.subject = std::string(5000, 's');

  dialogue.hears(say::data(1, std::string(1000, 'd'), said));
  CHECK(dialogue.machine().memory_bytes() == 1000 + said.metadata().size() + 256);
  dialogue.takes(1);

  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("flow: data without credit on a circuit that we have closed breaks the trunk, too (F29)") {
  Joined dialogue;
  dialogue.closes(1);

  std::string packet;
  for (int frame = 0; frame < 4; ++frame) packet += say::data(1, std::string(65'536, 'd'));
  dialogue.hears(packet);

  CHECK(dialogue.state() == "flow control violated");
}

TEST_CASE("flow: with both sides out of credit and nobody reading, control still passes (F33)") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  for (int side : {0, 1}) {
    TrunkCircuit& circuit = side == 0 ? *here : *there;
    for (Fragment next(1, Payload(std::string(30'000, 'x')));
         pair.sides[side].machine().send(circuit, next) == SendOutcome::queued;)
      next = Fragment(1, Payload(std::string(30'000, 'x')));
  }
  pair.pump();

  auto [other_here, other_there] = pair.join(pair.answerer(), Fragment(1, "control and other circuits pass"));
  CHECK(pair.dialler().machine().take(*other_there)->payload.text() == "control and other circuits pass");
  pair.dialler().machine().reset(*here, End(error::circuit_reset, "enough"));
  pair.pump();

  CHECK(there->ended);
  CHECK(other_here->opened_here);
}

TEST_CASE("flow: both sides out of credit go on as soon as both read (F33)") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  std::size_t sent[2] = {0, 0};
  std::size_t taken[2] = {0, 0};
  for (int round = 0; round < 50; ++round) {
    for (int side : {0, 1}) {
      TrunkCircuit& circuit = side == 0 ? *here : *there;
      Fragment next(1, Payload(std::string(30'000, 'x')));
      while (pair.sides[side].machine().send(circuit, next) == SendOutcome::queued) {
        ++sent[side];
        next = Fragment(1, Payload(std::string(30'000, 'x')));
      }
    }
    pair.pump();
    for (int side : {0, 1}) {
      TrunkCircuit& circuit = side == 0 ? *here : *there;
      while (pair.sides[side].machine().take(circuit)) ++taken[1 - side];
    }
    pair.pump();
  }

  for (int side : {0, 1}) {
    TrunkCircuit& circuit = side == 0 ? *here : *there;
    while (pair.sides[side].machine().take(circuit)) ++taken[1 - side];
  }
  for (int side : {0, 1}) {
    CHECK(taken[side] == sent[side]);
    CHECK(sent[side] > 200);
  }
}

TEST_CASE("flow: what an application leaves unread never exceeds the window, and no more is read beside it (F36)") {
  Joined dialogue;
  const std::string large(60'000, 'd');
  while (dialogue.model().granted(1) >= say::cost(large.size())) dialogue.hears(say::data(1, large));

  CHECK(dialogue.machine().memory_bytes() <= 262'144);
  CHECK(dialogue.says() == "");
  dialogue.takes(1);

  CHECK(dialogue.model().granted(1) >= 262'144 / 2);
}

/// Sum of the credit frames for a circuit, or for the trunk with 0.
std::int64_t granted_in(const std::vector<say::Frame>& frames, CircuitId circuit) {
  std::int64_t sum = 0;
  for (const say::Frame& frame : frames)
    if (frame.type == say::CREDIT && frame.circuit == circuit) sum += static_cast<std::int64_t>(frame.fields.number(2));
  return sum;
}

TEST_CASE("flow: what is granted to a circuit is what was taken from it, to the byte") {
  Limits limits;
  limits.circuit_window_bytes_max = 256 * 1024; // the window does not widen
  Joined dialogue(limits);
  std::int64_t granted = 0;
  for (int half = 1; half <= 20; ++half) {
    dialogue.hears(say::data(1, std::string(65'536 - 256, 'd')) + say::data(1, std::string(65'536 - 256, 'd')));
    dialogue.takes(1);
    granted += granted_in(dialogue.frames(), 1);

    REQUIRE(granted == half * 131'072);
  }
  CHECK(dialogue.model().granted(1) == 262'144);
}

TEST_CASE("flow: what is granted to the trunk is what was taken from it, to the byte") {
  Joined dialogue(tiny_memory());
  std::int64_t granted = 0;
  for (int quarter = 1; quarter <= 20; ++quarter) {
    for (int frame = 0; frame < 4; ++frame) {
      dialogue.hears(say::data(1, std::string(65'536 - 256, 'd')));
      dialogue.takes(1);
    }
    granted += granted_in(dialogue.frames(), 0);

    REQUIRE(granted == quarter * 262'144);
  }
  CHECK(dialogue.model().granted() == say::trunk_window);
}

TEST_CASE("flow: the trunk's own window is announced at once and is half of its memory") {
  Dialogue dialogue;

  CHECK(granted_in(dialogue.frames(), 0) ==
        static_cast<std::int64_t>(Limits().trunk_memory_bytes_max / 2) - say::trunk_window);
}

TEST_CASE("flow: a circuit's window widens when it is what holds the sender back, up to its limit") {
  Limits limits;
  limits.circuit_window_bytes_max = 1 * mib;
  Joined dialogue(limits);
  std::int64_t widest = 0;
  for (int round = 0; round < 200; ++round) {
    while (dialogue.model().granted(1) >= 60'256) dialogue.hears(say::data(1, std::string(60'000, 'd')));
    dialogue.takes(1);
    widest = std::max(widest, dialogue.model().granted(1));
    dialogue.passes(100us);
  }

  CHECK(widest > static_cast<std::int64_t>(mib / 2));
  CHECK(widest <= static_cast<std::int64_t>(mib));
}

TEST_CASE("flow: a circuit's window stays as it is when the application is what holds the sender back") {
  Joined dialogue;
  for (int round = 0; round < 20; ++round) {
    while (dialogue.model().granted(1) >= 60'256) dialogue.hears(say::data(1, std::string(60'000, 'd')));
    dialogue.passes(5s);
    dialogue.hears(say::pong(0));
    dialogue.takes(1);
  }

  CHECK(dialogue.model().granted(1) <= 262'144);
}

TEST_CASE("flow: when the trunk's credit is used up for stall_deadline, the reader that holds most loses its circuit") {
  Limits limits;
  limits.keepalive_interval = 1h;
  limits.trunk_memory_bytes_max = 2 * mib;
  limits.fragment_bytes_max = 512 * 1024;
  Joined dialogue(limits, 6);
  for (const CircuitId id : {1, 3, 5, 7})
    for (int i = 0; i < 4; ++i) dialogue.hears(say::data(id, std::string(id == 5 ? 64'000 : 60'000, 'd')));
  while (dialogue.model().granted() >= 60'000) dialogue.hears(say::data(9, std::string(59'000, 'd')));
  dialogue.hears(say::data(9, std::string(static_cast<std::size_t>(dialogue.model().granted()) - 256, 'd')));
  REQUIRE(dialogue.model().granted() == 0);
  dialogue.events();

  dialogue.passes(59s);
  CHECK(dialogue.events() == "");
  dialogue.passes(2s);

  CHECK(dialogue.events() == "ended 5: stalled");
  CHECK(contains(dialogue.circuit(5).end->text,
                 "257024 bytes lay unread for stall_deadline 60000 ms while the trunk's credit was used up"));
  CHECK(dialogue.model().granted() >= 257'024);
  dialogue.passes(1h);
  CHECK(dialogue.events() == "");
}

TEST_CASE("flow: readers that hold most of a trunk's memory keep it as long as there is credit left") {
  Limits limits;
  limits.keepalive_interval = 100h;
  limits.trunk_memory_bytes_max = 2 * mib;
  limits.fragment_bytes_max = 512 * 1024;
  Joined dialogue(limits, 5);
  for (const CircuitId id : {1, 3, 5, 7})
    for (int i = 0; i < 4; ++i) dialogue.hears(say::data(id, std::string(64'000, 'd')));
  dialogue.events();

  for (int minute = 0; minute < 100; ++minute) {
    dialogue.passes(1min);
    dialogue.hears(say::data(9, "alive"));
    REQUIRE(dialogue.takes(9) == "alive");
  }

  CHECK_FALSE(contains(dialogue.events(), "ended"));
}

TEST_CASE("flow: when a large fragment finds no memory for stall_deadline, the reader that holds most of it loses it") {
  Limits limits;
  limits.keepalive_interval = 1h;
  MachinePair pair(limits, limits);
  std::vector<std::pair<TrunkCircuit*, TrunkCircuit*>> joined;
  for (int i = 0; i < 4; ++i) joined.push_back(pair.join(pair.dialler()));
  for (std::size_t i = 0; i < joined.size(); ++i) {
    Fragment fragment(1, Payload(std::string(i == 1 ? 4 * mib : 3 * mib, 'x')));
    while (pair.dialler().machine().send(*joined[i].first, fragment) != SendOutcome::queued) pair.pump();
    pair.pump();
  }
  const auto ended = [&] {
    std::string which;
    for (const auto& [here, there] : joined) which += there->ended ? '1' : '0';
    return which;
  };

  pair.pass(59s);
  CHECK(ended() == "0000");
  pair.pass(2s);

  CHECK(ended() == "0100");
  CHECK(contains(joined[1].second->end->text, "while a fragment waited for memory"));
  for (const std::size_t i : {0, 2, 3}) { // the last one has waited behind the third
    CHECK(pair.answerer().machine().take(*joined[i].second).has_value());
    pair.pump();
  }
}

/// Three circuits, of which two have filled the memory for large fragments while a fourth one waits for it. Their
/// readers take what came before that after 55 s; the first circuit holds little, and nobody reads it.
struct FullPool {
  MachinePair pair;
  std::vector<std::pair<TrunkCircuit*, TrunkCircuit*>> joined;

  static Limits limits() {
    Limits limits;
    limits.keepalive_interval = 1h;
    return limits;
  }
  FullPool() : pair(limits(), limits()) {
    for (int i = 0; i < 4; ++i) joined.push_back(pair.join(pair.dialler()));
    sends(0, 5000);
    for (const std::size_t i : {1, 2}) sends(i, 100);
    for (const std::size_t i : {1, 2, 3}) sends(i, 4 * mib);
  }
  void sends(std::size_t i, std::size_t bytes) {
    Fragment fragment(1, Payload(std::string(bytes, 'x')));
    while (pair.dialler().machine().send(*joined[i].first, fragment) != SendOutcome::queued) pair.pump();
    pair.pump();
  }
  bool takes(std::size_t i) {
    const bool taken = pair.answerer().machine().take(*joined[i].second).has_value();
    pair.pump();
    return taken;
  }
};

TEST_CASE("flow: when a large fragment finds no memory, a circuit that holds none of it keeps what lies unread there") {
  FullPool full;
  full.pair.pass(55s);
  for (const std::size_t i : {1, 2}) REQUIRE(full.takes(i));

  full.pair.pass(59s);
  for (const auto& [here, there] : full.joined) CHECK_FALSE(there->ended);
  full.pair.pass(40s);

  CHECK_FALSE(full.joined[0].second->ended);
  CHECK(full.takes(0));
  CHECK(full.joined[1].second->ended); // its large one has lain there for long enough
  CHECK(full.takes(2));
  CHECK(full.takes(3));
}

TEST_CASE("flow: a closed circuit whose large fragment waits for memory outlasts those who keep it from others") {
  FullPool full;
  full.pair.dialler().machine().close(*full.joined[3].first, End());
  full.pair.pass(55s);
  for (const std::size_t i : {1, 2}) REQUIRE(full.takes(i));

  full.pair.pass(80s);

  CHECK(full.joined[1].second->ended);
  CHECK(full.takes(3));
  CHECK(full.joined[3].first->ended);
  CHECK_FALSE(full.joined[3].first->end);
}

TEST_CASE("flow: a reader that reads nothing but holds little keeps its circuit for ever") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits, 2);
  dialogue.hears(say::data(1, std::string(60'000, 'd')));

  for (int minute = 0; minute < 20; ++minute) {
    dialogue.passes(1min);
    dialogue.hears(say::data(3, "alive"));
    dialogue.takes(3);
  }

  CHECK_FALSE(dialogue.circuit(1).ended);
  CHECK(dialogue.takes(1) == "60000 bytes");
}

TEST_CASE("flow: what a trunk says that it holds is what it holds, for large fragments, too") {
  Joined dialogue;
  dialogue.hears(say::first_of_more(1, 4 * mib, std::string(1000, 'x')));
  CHECK(dialogue.machine().memory_bytes() <= 4 * mib + 4096);
  CHECK(dialogue.machine().memory_bytes() >= 4 * mib);
  for (std::size_t sent = 1000; sent < 4 * mib;) {
    const std::size_t size = std::min<std::size_t>(60'000, 4 * mib - sent);
    sent += size;
    REQUIRE(dialogue.model().granted(1) >= static_cast<std::int64_t>(size));
    dialogue.hears(sent == 4 * mib ? say::continues_last(1, std::string(size, 'x'))
                                   : say::continues(1, std::string(size, 'x')));
    REQUIRE(dialogue.machine().memory_bytes() <= 4 * mib + 4096);
  }

  CHECK(dialogue.takes(1) == "4194304 bytes");
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE(
    "flow: what is granted to the trunk counts circuits that ended, were reset, closed or never existed for long") {
  Joined dialogue(tiny_memory());
  std::int64_t sent = 0;
  CircuitId id = 3;
  const auto frame = [&](const say::Bytes& before, const say::Bytes& after) {
    dialogue.hears(say::open(id) + before + say::data(id, std::string(65'536 - 256, 'd')) + after);
    sent += 65'536;
    id += 2;
  };

  for (int round = 0; round < 40; ++round) {
    frame(say::reset(id), ""); // data behind a reset
    frame("", say::reset(id - 0)); // unread when reset
    dialogue.releases(id - 2);
    frame("", say::finish(id));
    dialogue.takes(id - 2);
    dialogue.releases(id - 2);
    dialogue.hears(say::close_received(id - 2));
    frame("", say::close(id));
    dialogue.releases(id - 2);
    frame("", "");
    dialogue.refuses(id - 2);
    frame("", "");
    dialogue.closes(id - 2);
    dialogue.hears(say::close_received(id - 2));
    dialogue.releases(id - 2);
    dialogue.releases(id - 12);
    REQUIRE(dialogue.state() == "open");
    dialogue.passes(1s);
  }

  CHECK(sent > 10 * say::trunk_window);
  CHECK(dialogue.machine().memory_bytes() == 0);
  CHECK(dialogue.model().granted() > say::trunk_window - say::trunk_window / 4);
  CHECK(dialogue.model().granted() <= say::trunk_window);
}

} // namespace
