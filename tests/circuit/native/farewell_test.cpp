// How two sides part: drains, goodbyes, and connections that are lost. Rows F11, F41.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("framing: whatever follows a GOODBYE is ignored (F11)") {
  Joined dialogue;

  dialogue.hears(say::goodbye(0, "going home") + std::string(70'000, '\xFF'));
  dialogue.hears(say::data(1, "late") + say::open(3));

  CHECK(dialogue.machine().over());
  const std::string events = dialogue.events();
  CAPTURE(events);
  CHECK_FALSE(contains(events, "opened 3"));
  CHECK_FALSE(contains(events, "readable 1"));
  CHECK(contains(events, "closed"));
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("flood: the text of a GOODBYE is cut to reason_bytes_max and made printable (F41)") {
  Introduced dialogue;

  dialogue.hears(say::goodbye(40, "\x1B[31m<b>" + std::string(8000, 't')));

  CHECK(dialogue.state() == "protocol error");
  CHECK(dialogue.end().text.size() < 1024);
  for (const char c : dialogue.end().text) CHECK((c >= 0x20 && c < 0x7F));
  CHECK_FALSE(contains(dialogue.end().text, "<b>"));
}

TEST_CASE("flood: our GOODBYE's text is at most reason_bytes_max, whatever the reason is about (F41)") {
  Introduced named;
  named.machine().close(End(error::node_closed, std::string(10'000, 'r')));
  named.settle();
  auto frames = named.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].fields.text(2).size() == 256);

  Dialogue feature;
  feature.says();
  say::Hello hello;
  hello.mandatory_features = {std::string(7000, 'f')};
  feature.hears(say::introduction(hello));
  frames = feature.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].fields.text(2).size() <= 256);
}

TEST_CASE("flood: a GOODBYE with a reason ends all circuits, and each says what the far side said (F41)") {
  Introduced dialogue;
  dialogue.hears(say::open(1));
  dialogue.accepts(1);
  dialogue.opens();
  dialogue.events();

  dialogue.hears(say::goodbye(5, "the node shuts down"));

  CHECK(dialogue.events() == "ended 1: node closed; ended 2: node closed; closed: node closed");
  CHECK(contains(dialogue.circuit(1).end->text, "the node shuts down"));
  CHECK(dialogue.machine().over());
  CHECK_FALSE(dialogue.machine().has_output());
}

TEST_CASE("trunk: a lost connection ends every circuit once, in the order of their numbers, and then the trunk") {
  Introduced dialogue;
  for (const CircuitId id : {1, 3, 5}) {
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
  }
  dialogue.opens();
  dialogue.opens();
  dialogue.events();

  dialogue.loses();
  dialogue.loses();

  CHECK(dialogue.events() ==
        "ended 1: trunk lost; ended 2: trunk lost; ended 3: trunk lost; ended 4: trunk lost; ended 5: trunk lost; "
        "closed: trunk lost");
  CHECK(dialogue.machine().over());
  CHECK(dialogue.machine().deadline() == Instant::max());
  CHECK_FALSE(dialogue.machine().has_output());
}

TEST_CASE("trunk: after its end nothing that is called does anything, and nothing crashes") {
  Joined dialogue;
  dialogue.hears(say::data(1, "unread"));
  dialogue.loses();
  dialogue.events();

  dialogue.hears(say::data(1, "late") + say::open(3));
  dialogue.passes(1h);
  CHECK(dialogue.sends(1, Fragment(1)) == SendOutcome::closed);
  dialogue.finishes(1);
  dialogue.closes(1);
  dialogue.resets(1);
  dialogue.machine().close(End());
  dialogue.machine().drain(dialogue.now + 1s);
  dialogue.machine().set_metadata(*our_peer(), {{"k", "v"}});
  dialogue.machine().end_peer(*our_peer(), End());
  dialogue.settle();

  CHECK(dialogue.takes(1) == "unread");
  CHECK(dialogue.events() == "");
  CHECK(dialogue.says() == "");
  dialogue.releases(1);
  CHECK(dialogue.machine().circuits_count() == 0);
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE(
    "trunk: a break says GOODBYE behind what was sent before, and is over when the far side hangs up or in "
    "goodbye_deadline") {
  Joined dialogue;
  dialogue.clogged = true;
  dialogue.sends(1, Fragment(1, "said before"));
  dialogue.hears(say::frame(0x7F));
  dialogue.clogged = false;
  dialogue.settle();

  CHECK(dialogue.says() == "DATA 1 op 1 \"said before\"; GOODBYE reason 40");
  CHECK_FALSE(dialogue.machine().over());
  dialogue.passes(999ms);
  CHECK_FALSE(dialogue.machine().over());
  dialogue.passes(2ms);
  CHECK(dialogue.machine().over());

  Joined hung_up;
  hung_up.hears(say::frame(0x7F));
  hung_up.loses(End(error::trunk_lost, "end of stream"));
  CHECK(hung_up.machine().over());
  CHECK(hung_up.state() == "protocol error");
}

TEST_CASE("trunk: the reason of a break names the far end that it came from") {
  NativeMachineOptions options;
  options.node_id = *NodeId::from_bytes("node-of-our-side");
  options.far_end = "tcp://10.0.0.7:38291";
  NativeMachine machine(std::move(options), time_begins);
  machine.feed(as_bytes(say::introduction() + say::frame(0x7F)), time_begins);
  std::vector<TrunkEvent> events;

  machine.collect_events(events);

  REQUIRE_FALSE(events.empty());
  REQUIRE(events.back().kind == TrunkEvent::Kind::closed);
  CHECK(contains(events.back().end->text, "from tcp://10.0.0.7:38291"));
}

TEST_CASE("trunk: shutting says the reason, ends every circuit with it, and takes nothing more") {
  Joined dialogue;
  dialogue.machine().close(End(error::node_closed, "it is late"));
  dialogue.settle();

  CHECK(dialogue.says() == "GOODBYE reason 5");
  CHECK(dialogue.events() == "ended 1: node closed; closed: node closed");
  dialogue.hears(say::data(1, "late") + say::open(3));
  CHECK(dialogue.events() == "");
}

TEST_CASE("trunk: shutting after a long silence still leaves goodbye_deadline for the last words") {
  Joined dialogue;
  dialogue.passes(14s);
  dialogue.machine().close(End(error::node_closed));
  dialogue.settle();

  dialogue.passes(999ms);
  CHECK_FALSE(dialogue.machine().over());
  CHECK(dialogue.says() == "GOODBYE reason 5");
  dialogue.passes(2ms);
  CHECK(dialogue.machine().over());
}

TEST_CASE("trunk: shutting twice says goodbye once") {
  Joined dialogue;
  dialogue.machine().close(End(error::node_closed));
  dialogue.machine().close(End(error::node_closed));
  dialogue.settle();

  CHECK(dialogue.says() == "GOODBYE reason 5");
}

TEST_CASE("trunk: a drain lets running circuits finish, opens none, and parts when the last has gone") {
  Joined dialogue;
  dialogue.machine().drain(dialogue.now + 1min);
  dialogue.settle();
  CHECK(dialogue.says() == "DRAIN");
  CHECK(dialogue.machine().draining());

  dialogue.hears(say::data(1, "still served"));
  CHECK(dialogue.takes(1) == "still served");
  CHECK(dialogue.sends(1, Fragment(1, "still answered")) == SendOutcome::queued);
  TrunkCircuit* late = dialogue.machine().open(open_request(), std::nullopt, dialogue.now);
  REQUIRE(late);
  CHECK(phrase(late->end.get()) == "draining");
  dialogue.machine().release(*late);
  dialogue.hears(say::drain());
  CHECK(dialogue.state() == "open");
  dialogue.says();

  dialogue.hears(say::finish(1));
  dialogue.finishes(1);
  dialogue.hears(say::finish_acknowledged(1));

  CHECK(contains(dialogue.says(), "GOODBYE reason 0"));
  CHECK(dialogue.state() == "clean");
}

TEST_CASE("trunk: an open that crosses a drain is refused as draining, or served where asked for") {
  Introduced refusing;
  refusing.machine().drain(refusing.now + 1min);
  refusing.settle();
  refusing.says();
  refusing.hears(say::open(1) + say::data(1, "crossed"));
  CHECK(refusing.says() == "REFUSE 1 reason 7");
  CHECK(refusing.events() == "");

  Introduced serving;
  serving.machine().drain(serving.now + 1min, true);
  serving.settle();
  serving.hears(say::open(1) + say::data(1, "crossed"));
  CHECK(serving.events() == "opened 1; readable 1");
}

TEST_CASE("trunk: the far side's drain is answered, announced, and ends our opening") {
  Introduced dialogue;

  dialogue.hears(say::drain());

  CHECK(dialogue.events() == "draining");
  CHECK(dialogue.says() == "DRAIN");
  CHECK(dialogue.machine().draining());
  TrunkCircuit* late = dialogue.machine().open(open_request(), std::nullopt, dialogue.now);
  REQUIRE(late);
  CHECK(late->ended);
  dialogue.machine().release(*late);
}

TEST_CASE("trunk: an open after the far side's own drain breaks the trunk") {
  Introduced dialogue;

  dialogue.hears(say::drain() + say::open(1));

  CHECK(dialogue.state() == "protocol error");
}

TEST_CASE("trunk: what is left at the drain's deadline is reset as draining, and the trunk parts") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits);
  dialogue.opens();
  dialogue.machine().drain(dialogue.now + 30s);
  dialogue.settle();
  dialogue.hears(say::drain());
  dialogue.says();
  dialogue.events();

  dialogue.passes(29s);
  CHECK(dialogue.says() == "");
  dialogue.passes(2s);

  CHECK(dialogue.says() == "RESET 1 reason 7; RESET 2 reason 7; GOODBYE reason 0");
  CHECK(dialogue.events() == "ended 1: draining; ended 2: draining; closed: clean");
}

TEST_CASE("trunk: a far side that answers no drain does not keep the trunk beyond the deadline") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits);
  dialogue.machine().drain(dialogue.now + 30s);
  dialogue.settle();

  dialogue.passes(60s);

  CHECK(dialogue.closed());
}

TEST_CASE("trunk: two sides that drain at once part cleanly") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler(), Fragment(1, "last"));
  for (auto& side : pair.sides) side.machine().drain(pair.now + 1min);
  pair.pump();
  CHECK(pair.answerer().machine().take(*there)->payload.text() == "last");

  pair.dialler().machine().close(*here, End());
  pair.pump();

  REQUIRE(pair.dialler().closed());
  REQUIRE(pair.answerer().closed());
  CHECK((pair.dialler().end().clean() || pair.answerer().end().clean()));
}

TEST_CASE("trunk: a drain loses nothing that was accepted, whatever crosses it") {
  for (std::size_t piece = 1; piece < 40; piece += 3) {
    MachinePair pair;
    std::vector<TrunkCircuit*> opened;
    for (int circuit = 0; circuit < 5; ++circuit) {
      TrunkCircuit* here =
          pair.dialler().machine().open(pair.request(pair.dialler()), Fragment(circuit, "work"), pair.now);
      pair.dialler().machine().finish(*here);
      opened.push_back(here);
    }
    pair.write(pair.dialler(), 1 << 20);
    pair.deliver(pair.dialler(), 200 + piece * 10);
    pair.answerer().machine().drain(pair.now + 1min, true);

    std::vector<TrunkCircuit*> served;
    for (int round = 0; round < 50; ++round) {
      for (auto& side : pair.sides) pair.write(side, 1 << 20);
      for (auto& side : pair.sides) pair.deliver(side, piece);
      for (TrunkEvent& event : pair.answerer().events()) {
        if (event.kind != TrunkEvent::Kind::opened) continue;
        pair.answerer().machine().accept(*event.circuit, pair.answerer().peer());
        pair.answerer().machine().left_backlog(*event.circuit);
        pair.answerer().machine().finish(*event.circuit);
        served.push_back(event.circuit);
      }
      for (TrunkCircuit* circuit : served)
        while (pair.answerer().machine().take(*circuit)) {}
    }
    pair.pump(piece);
    for (TrunkEvent& event : pair.answerer().events()) {
      if (event.kind != TrunkEvent::Kind::opened) continue;
      pair.answerer().machine().finish(*event.circuit);
      served.push_back(event.circuit);
    }
    for (TrunkCircuit* circuit : served)
      while (pair.answerer().machine().take(*circuit)) {}
    pair.pump();

    CAPTURE(piece);
    for (TrunkCircuit* circuit : opened) {
      CHECK(circuit->ended);
      CHECK(circuit->finish_acknowledged());
      CHECK_FALSE(circuit->end);
    }
  }
}

} // namespace
