// The life of a trunk: how two sides meet, how long they wait for each other, and how they part.
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/circuit/machine_pair.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

// --- meeting

TEST_CASE("trunk: each side says its preface and hello without waiting for the other's") {
  for (const bool dialled : {true, false}) {
    Dialogue dialogue(Limits(), dialled);

    const std::string bytes = dialogue.bytes();
    const auto frames = dialogue.frames();

    CHECK(bytes.starts_with(say::preface()));
    REQUIRE_FALSE(frames.empty());
    CHECK(frames[0].type == say::HELLO);
    CHECK(frames[0].fields.number(1) == 1);
    CHECK(frames[0].fields.number(2) == 1);
    CHECK(frames[0].fields.text(3) == "node-of-our-side");
    CHECK(frames[0].fields.text(4) == "node-of-");
    CHECK(frames[0].fields.elements(5) == std::vector<say::Bytes>{"tcp://10.0.0.1:7000"});
    CHECK(frames[0].fields.elements(7).empty());
    CHECK(frames[0].fields.number(8) == Limits().fragment_bytes_max);
  }
}

TEST_CASE("trunk: what the far side's hello said is known from then on") {
  Dialogue dialogue;
  CHECK(dialogue.trunk().remote() == nullptr);
  say::Hello hello;
  hello.node_name = "shard-3 <\x01>";
  hello.addresses = {"tcp://10.0.0.7:7000", "unix:/run/t.sock"};

  dialogue.hears(say::introduction(hello));

  CHECK(dialogue.events() == "hello");
  REQUIRE(dialogue.trunk().remote());
  CHECK(dialogue.trunk().remote()->id.bytes() == "node-of-far-side");
  CHECK(contains(dialogue.trunk().remote()->name, "shard-3"));
  for (const char c : dialogue.trunk().remote()->name) CHECK((c >= 0x20 && c < 0x7F && c != '<'));
  CHECK(dialogue.trunk().remote()->addresses == hello.addresses);
}

TEST_CASE("trunk: a far side that can speak more agrees on the version that we speak") {
  Dialogue dialogue;
  say::Hello hello;
  hello.version_max = 9;

  dialogue.hears(say::introduction(hello));

  CHECK(dialogue.state() == "open");
}

TEST_CASE("trunk: versions that do not meet are refused, and both ranges are named on both sides") {
  Dialogue dialogue;
  dialogue.says();
  say::Hello hello;
  hello.version_min = 3;
  hello.version_max = 7;

  dialogue.hears(say::introduction(hello));

  CHECK(dialogue.state() == "version mismatch");
  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].to_string() == "GOODBYE reason 47");
  for (const std::string& text : {dialogue.end().text, frames[0].fields.text(2)}) {
    CAPTURE(text);
    CHECK(contains(text, "1 to 1"));
    CHECK(contains(text, "3 to 7"));
  }
}

TEST_CASE("trunk: a version range of nothing is refused") {
  Dialogue dialogue;
  say::Hello hello;
  hello.version_min = 0;
  hello.version_max = 0;

  dialogue.hears(say::introduction(hello));

  CHECK(dialogue.state() == "version mismatch");
}

TEST_CASE("trunk: a node that dialled itself is told so") {
  Dialogue dialogue(Limits(), true);
  dialogue.says();
  say::Hello hello;
  hello.node_id = "node-of-our-side";

  dialogue.hears(say::introduction(hello));

  CHECK(dialogue.state() == "dialled self");
  CHECK(dialogue.says() == "GOODBYE reason 49");
}

TEST_CASE("trunk: an optional feature is ignored, a mandatory one that is unknown is refused by name") {
  Dialogue optional;
  say::Hello hello;
  hello.features = {"compression", "telepathy"};
  optional.hears(say::introduction(hello));
  CHECK(optional.state() == "open");

  Dialogue mandatory;
  mandatory.says();
  hello.mandatory_features = {"telepathy<\n"};
  mandatory.hears(say::introduction(hello));
  CHECK(mandatory.state() == "mandatory feature unknown");
  CHECK(mandatory.says() == "GOODBYE reason 51");
  CHECK(contains(mandatory.end().text, "telepathy"));
  CHECK_FALSE(contains(mandatory.end().text, "<"));
}

TEST_CASE("trunk: a hello without a node id of 16 bytes, or another frame before it, breaks the trunk") {
  Dialogue nameless;
  say::Hello hello;
  hello.node_id = "short";
  nameless.hears(say::introduction(hello));
  CHECK(nameless.state() == "protocol error");

  for (const say::Bytes& early : {say::open(1), say::ping(1), say::goodbye(), say::frame(0x80), say::drain()}) {
    Dialogue dialogue;
    dialogue.hears(say::preface() + early);
    CHECK(dialogue.state() == "protocol error");
  }
}

TEST_CASE("trunk: a far side that says no hello is given up after handshake_deadline, however slowly it talks") {
  Dialogue silent;
  silent.passes(4999ms);
  CHECK(silent.state() == "open");
  silent.passes(2ms);
  CHECK(silent.state() == "handshake timeout");

  Dialogue slow;
  const std::string introduction = say::introduction();
  for (std::size_t at = 0; at < introduction.size() && !slow.closed(); ++at) {
    slow.hears(introduction.substr(at, 1));
    slow.passes(500ms);
  }
  CHECK(slow.state() == "handshake timeout");
  CHECK(contains(slow.end().text, "handshake_deadline 5000 ms"));
}

TEST_CASE("trunk: the handshake's deadline counts from the connection, not from the making of the machine") {
  // A node makes the machine when it dials, and gives it circuits; the connection may take its time.
  const auto trunk = native_machine(true, Limits(), "node-of-our-side", time_begins);
  trunk->open(open_request(), std::nullopt, time_begins);
  const Instant connected = time_begins + 1h;
  CHECK(trunk->deadline() == Instant::max());
  Output output;

  take_bytes(*trunk, output, connected, 1 << 20);
  trunk->written(connected);

  CHECK(trunk->deadline() == connected + 5s);
}

TEST_CASE("trunk: circuits opened before the connection end when it never comes") {
  Dialogue dialogue;
  dialogue.clogged = true;
  dialogue.opens(Fragment(1, "too early"));

  dialogue.loses(End(error::connect_failed, "tcp://10.0.0.7:7000 refused the connection"));

  CHECK(contains(dialogue.events(), "ended 2: connect failed; closed: connect failed"));
  CHECK(contains(dialogue.circuit(2).end->text, "refused the connection"));
}

// --- waiting

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
  CHECK(dialogue.trunk().counters().round_trip == 0ms);
  dialogue.passes(15s);
  const std::string said = dialogue.says();
  REQUIRE(said.starts_with("PING "));
  dialogue.passes(40ms);
  dialogue.hears(say::pong(std::stoull(said.substr(5))));
  CHECK(dialogue.trunk().counters().round_trip == 40ms);
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

  while (dialogue.trunk().deadline() < until && !dialogue.closed()) {
    now = dialogue.trunk().deadline();
    dialogue.trunk().tick(now);
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
    dialogue.trunk().tick(dialogue.now);
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
  dialogue.trunk().tick(dialogue.now);
  dialogue.settle();

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.takes(1) == "earlier");
}

TEST_CASE("trunk: time that jumps a day ahead asks for a sign of life first, and ends the trunk once") {
  Joined dialogue;

  dialogue.now += 24h;  // this process may have slept
  dialogue.trunk().tick(dialogue.now);
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

TEST_CASE("trunk: a close that is not answered within stall_deadline ends as stalled") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits);
  dialogue.closes(1);
  dialogue.says();

  dialogue.passes(59s);
  CHECK_FALSE(dialogue.circuit(1).ended);
  dialogue.passes(2s);

  CHECK(dialogue.circuit(1).ended);
  CHECK(dialogue.says() == "RESET 1 reason 8");
}

TEST_CASE("trunk: credit for a circuit that we closed does not put off its deadline") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits);
  dialogue.closes(1);

  for (int second = 0; second < 70 && !dialogue.circuit(1).ended; ++second) {
    dialogue.hears(say::credit(1, 1));
    dialogue.passes(1s);
  }

  CHECK(dialogue.circuit(1).ended);
}

TEST_CASE("trunk: each of several stalled circuits ends at its own deadline") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Introduced dialogue(limits);
  for (const CircuitId id : {1, 3, 5}) {
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
  }
  // The machine learns the time from what is said to it.
  const auto later = [&] {
    dialogue.passes(10s);
    dialogue.hears(say::pong(1));
  };
  dialogue.sends(1, Fragment(1, Payload(std::string(500'000, 's'))));
  later();
  dialogue.sends(3, Fragment(1, Payload(std::string(500'000, 's'))));
  later();
  dialogue.closes(1);  // begins its wait anew, behind that of 3
  dialogue.closes(5);
  dialogue.events();

  dialogue.passes(50500ms);

  CHECK(dialogue.events() == "ended 3: stalled");
}

// --- parting

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
  CHECK(dialogue.trunk().over());
  CHECK(dialogue.trunk().deadline() == Instant::max());
  CHECK_FALSE(dialogue.trunk().has_output());
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
  dialogue.trunk().close(End());
  dialogue.trunk().drain(dialogue.now + 1s);
  dialogue.trunk().set_metadata(*our_peer(), {{"k", "v"}});
  dialogue.trunk().end_peer(*our_peer(), End());
  dialogue.settle();

  CHECK(dialogue.takes(1) == "unread");
  CHECK(dialogue.events() == "");
  CHECK(dialogue.says() == "");
  dialogue.releases(1);
  CHECK(dialogue.trunk().circuits_count() == 0);
  CHECK(dialogue.trunk().memory_bytes() == 0);
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
  CHECK_FALSE(dialogue.trunk().over());
  dialogue.passes(999ms);
  CHECK_FALSE(dialogue.trunk().over());
  dialogue.passes(2ms);
  CHECK(dialogue.trunk().over());

  Joined hung_up;
  hung_up.hears(say::frame(0x7F));
  hung_up.loses(End(error::trunk_lost, "end of stream"));
  CHECK(hung_up.trunk().over());
  CHECK(hung_up.state() == "protocol error");
}

TEST_CASE("trunk: the reason of a break names the far end that it came from") {
  NativeMachineOptions options;
  options.node_id = *NodeId::from_bytes("node-of-our-side");
  options.far_end = "tcp://10.0.0.7:38291";
  NativeMachine trunk(std::move(options), time_begins);
  trunk.feed(as_bytes(say::introduction() + say::frame(0x7F)), time_begins);
  std::vector<TrunkEvent> events;

  trunk.collect_events(events);

  REQUIRE_FALSE(events.empty());
  REQUIRE(events.back().kind == TrunkEvent::Kind::closed);
  CHECK(contains(events.back().end->text, "from tcp://10.0.0.7:38291"));
}

TEST_CASE("trunk: shutting says the reason, ends every circuit with it, and takes nothing more") {
  Joined dialogue;
  dialogue.trunk().close(End(error::node_closed, "it is late"));
  dialogue.settle();

  CHECK(dialogue.says() == "GOODBYE reason 5");
  CHECK(dialogue.events() == "ended 1: node closed; closed: node closed");
  dialogue.hears(say::data(1, "late") + say::open(3));
  CHECK(dialogue.events() == "");
}

TEST_CASE("trunk: shutting after a long silence still leaves goodbye_deadline for the last words") {
  Joined dialogue;
  dialogue.passes(14s);
  dialogue.trunk().close(End(error::node_closed));
  dialogue.settle();

  dialogue.passes(999ms);
  CHECK_FALSE(dialogue.trunk().over());
  CHECK(dialogue.says() == "GOODBYE reason 5");
  dialogue.passes(2ms);
  CHECK(dialogue.trunk().over());
}

TEST_CASE("trunk: shutting twice says goodbye once") {
  Joined dialogue;
  dialogue.trunk().close(End(error::node_closed));
  dialogue.trunk().close(End(error::node_closed));
  dialogue.settle();

  CHECK(dialogue.says() == "GOODBYE reason 5");
}

// --- draining

TEST_CASE("trunk: a drain lets running circuits finish, opens none, and parts when the last has gone") {
  Joined dialogue;
  dialogue.trunk().drain(dialogue.now + 1min);
  dialogue.settle();
  CHECK(dialogue.says() == "DRAIN");
  CHECK(dialogue.trunk().draining());

  dialogue.hears(say::data(1, "still served"));
  CHECK(dialogue.takes(1) == "still served");
  CHECK(dialogue.sends(1, Fragment(1, "still answered")) == SendOutcome::queued);
  TrunkCircuit* late = dialogue.trunk().open(open_request(), std::nullopt, dialogue.now);
  REQUIRE(late);
  CHECK(phrase(late->end.get()) == "draining");
  dialogue.trunk().release(*late);
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
  refusing.trunk().drain(refusing.now + 1min);
  refusing.settle();
  refusing.says();
  refusing.hears(say::open(1) + say::data(1, "crossed"));
  CHECK(refusing.says() == "REFUSE 1 reason 7");
  CHECK(refusing.events() == "");

  Introduced serving;
  serving.trunk().drain(serving.now + 1min, true);
  serving.settle();
  serving.hears(say::open(1) + say::data(1, "crossed"));
  CHECK(serving.events() == "opened 1; readable 1");
}

TEST_CASE("trunk: the far side's drain is answered, announced, and ends our opening") {
  Introduced dialogue;

  dialogue.hears(say::drain());

  CHECK(dialogue.events() == "draining");
  CHECK(dialogue.says() == "DRAIN");
  CHECK(dialogue.trunk().draining());
  TrunkCircuit* late = dialogue.trunk().open(open_request(), std::nullopt, dialogue.now);
  REQUIRE(late);
  CHECK(late->ended);
  dialogue.trunk().release(*late);
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
  dialogue.trunk().drain(dialogue.now + 30s);
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
  dialogue.trunk().drain(dialogue.now + 30s);
  dialogue.settle();

  dialogue.passes(60s);

  CHECK(dialogue.closed());
}

TEST_CASE("trunk: two sides that drain at once part cleanly") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler(), Fragment(1, "last"));
  for (auto& side : pair.sides) side.trunk().drain(pair.now + 1min);
  pair.pump();
  CHECK(pair.answerer().trunk().take(*there)->payload.text() == "last");

  pair.dialler().trunk().close(*here, End());
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
          pair.dialler().trunk().open(pair.request(pair.dialler()), Fragment(circuit, "work"), pair.now);
      pair.dialler().trunk().finish(*here);
      opened.push_back(here);
    }
    pair.write(pair.dialler(), 1 << 20);
    pair.deliver(pair.dialler(), 200 + piece * 10);
    pair.answerer().trunk().drain(pair.now + 1min, true);

    std::vector<TrunkCircuit*> served;
    for (int round = 0; round < 50; ++round) {
      for (auto& side : pair.sides) pair.write(side, 1 << 20);
      for (auto& side : pair.sides) pair.deliver(side, piece);
      for (TrunkEvent& event : pair.answerer().events()) {
        if (event.kind != TrunkEvent::Kind::opened) continue;
        pair.answerer().trunk().accept(*event.circuit, pair.answerer().peer());
        pair.answerer().trunk().left_backlog(*event.circuit);
        pair.answerer().trunk().finish(*event.circuit);
        served.push_back(event.circuit);
      }
      for (TrunkCircuit* circuit : served)
        while (pair.answerer().trunk().take(*circuit)) {}
    }
    pair.pump(piece);
    for (TrunkEvent& event : pair.answerer().events()) {
      if (event.kind != TrunkEvent::Kind::opened) continue;
      pair.answerer().trunk().finish(*event.circuit);
      served.push_back(event.circuit);
    }
    for (TrunkCircuit* circuit : served)
      while (pair.answerer().trunk().take(*circuit)) {}
    pair.pump();

    CAPTURE(piece);
    for (TrunkCircuit* circuit : opened) {
      CHECK(circuit->ended);
      CHECK(circuit->finish_acknowledged());
      CHECK_FALSE(circuit->end);
    }
  }
}

// --- peers

TEST_CASE("trunk: a peer's metadata replaces what was known, and every change is told") {
  Introduced dialogue;
  const PeerId peer = *PeerId::from_bytes("peer-of-far-side");
  CHECK(dialogue.trunk().remote_metadata(peer) == nullptr);

  dialogue.hears(say::peer_metadata("peer-of-far-side", {{"region", "north"}, {"load", "1"}}));
  CHECK(dialogue.events() == "metadata");
  CHECK(*dialogue.trunk().remote_metadata(peer) == Metadata{{"load", "1"}, {"region", "north"}});
  dialogue.hears(say::peer_metadata("peer-of-far-side", {{"load", "\xFF"}}));

  CHECK(dialogue.events() == "metadata");
  CHECK(*dialogue.trunk().remote_metadata(peer) == Metadata{{"load", "\xFF"}});
}

TEST_CASE("trunk: our metadata goes out when it is set and not with fragments") {
  Joined dialogue;

  dialogue.trunk().set_metadata(*our_peer(), {{"region", "south"}, {"load", "7"}});
  dialogue.settle();
  dialogue.sends(1, Fragment(1, "data"));

  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].type == say::PEER_METADATA);
  CHECK(frames[0].fields.text(1) == "peer-of-our-side");
  CHECK(frames[0].fields.elements(2).size() == 2);
  CHECK(frames[1].to_string() == "DATA 1 op 1 \"data\"");
}

TEST_CASE("trunk: metadata set before the far side's hello arrives there") {
  MachinePair pair;
  pair.dialler().trunk().set_metadata(*pair.dialler().peer(), {{"early", "yes"}});

  pair.pump();

  const Metadata* metadata = pair.answerer().trunk().remote_metadata(pair.dialler().peer()->id);
  REQUIRE(metadata);
  CHECK(*metadata == Metadata{{"early", "yes"}});
}

TEST_CASE("trunk: a peer that ended is told with its reason, and its metadata is forgotten") {
  Introduced dialogue;
  dialogue.hears(say::peer_metadata("peer-of-far-side", {{"k", "v"}}));
  dialogue.events();

  dialogue.hears(say::peer_ended("peer-of-far-side", 9, "it threw"));

  CHECK(dialogue.events() == "peer_ended: handler failed");
  CHECK(dialogue.trunk().remote_metadata(*PeerId::from_bytes("peer-of-far-side")) == nullptr);
}

TEST_CASE("trunk: our peer's end is said with its reason") {
  Introduced dialogue;

  dialogue.trunk().end_peer(*our_peer(), End(error::handler_failed, std::string(1000, 't')));
  dialogue.settle();

  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].to_string() == "PEER_ENDED reason 9");
  CHECK(frames[0].fields.text(1) == "peer-of-our-side");
  CHECK(frames[0].fields.text(3).size() == 256);
}

TEST_CASE("trunk: metadata or an end of something that is no peer id breaks the trunk") {
  Introduced metadata;
  metadata.hears(say::peer_metadata("short", {}));
  CHECK(metadata.state() == "protocol error");

  Introduced ended;
  ended.hears(say::peer_ended(""));
  CHECK(ended.state() == "protocol error");
}

TEST_CASE("trunk: a peer whose metadata no frame can hold, or has too many items, does not break the trunk") {
  MachinePair pair;
  Metadata many;
  for (int item = 0; item < 200; ++item) many["key " + std::to_string(item)] = "v";
  pair.dialler().trunk().set_metadata(*pair.dialler().peer(), {{"k", std::string(20'000, 'v')}});
  pair.dialler().trunk().set_metadata(*pair.dialler().peer(), many);

  pair.pump();

  CHECK_FALSE(pair.answerer().closed());
  CHECK_FALSE(pair.dialler().closed());
}

TEST_CASE("trunk: names that no frame can hold do not break the trunk") {
  MachinePair pair;
  OpenRequest request = pair.request(pair.dialler());
  request.to_service = std::string(20'000, 's');
  request.name = std::string(20'000, 'n');
  request.user_string = std::string(20'000, 'u');
  request.from = peer_name("peer-of-a-dialer", std::string(20'000, 'f'));

  TrunkCircuit* circuit = pair.dialler().trunk().open(std::move(request), Fragment(1, "first"), pair.now);
  pair.pump();

  CHECK_FALSE(pair.answerer().closed());
  REQUIRE(circuit);
  CHECK(circuit->ended);
}

TEST_CASE("trunk: a hello with more addresses than a frame can hold does not break the trunk") {
  NativeMachineOptions options;
  options.node_id = *NodeId::from_bytes("node-of-our-side");
  options.node_name = std::string(20'000, 'n');
  for (int address = 0; address < 1000; ++address)
    options.addresses.push_back("tcp://10.0.0.1:" + std::to_string(10'000 + address));
  NativeMachine trunk(std::move(options), time_begins);
  Output output;

  const std::string bytes = take_bytes(trunk, output, time_begins, 1 << 20);

  std::vector<say::Frame> frames;
  say::Reader().read(bytes, frames);
  REQUIRE_FALSE(frames.empty());
  CHECK(frames[0].body.size() <= control_bytes_max);
}

// --- counters and limits

TEST_CASE("trunk: bytes and frames are counted as they pass") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler(), Fragment(1, "first"));
  std::uint64_t said = 0;
  pair.dialler().watch = [&said](const say::Frame& frame) { said += frame.bytes().size(); };
  const std::uint64_t before = pair.dialler().trunk().counters().bytes_sent;
  const std::uint64_t heard_before = pair.answerer().trunk().counters().bytes_received;
  const std::uint64_t frames_before = pair.answerer().trunk().counters().frames_received;

  Fragment fragment(1, Payload(std::string(200'000, 'x')));
  REQUIRE(pair.dialler().trunk().send(*here, fragment) == SendOutcome::queued);
  pair.pump(100);

  CHECK(pair.dialler().trunk().counters().bytes_sent - before == said);
  CHECK(pair.answerer().trunk().counters().bytes_received - heard_before == said);
  CHECK(pair.answerer().trunk().counters().frames_received - frames_before >= 4);
  CHECK(there->counters.fragments_received == 2);
}

TEST_CASE("trunk: a 64-byte fragment costs at most 16 bytes on the wire beside itself") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  std::vector<std::size_t> sizes;
  pair.dialler().watch = [&sizes](const say::Frame& frame) {
    if (frame.is_data()) sizes.push_back(frame.bytes().size());
  };
  Fragment fragment(7, Payload(std::string(64, 'x')));
  fragment.part = 1'000'000;
  REQUIRE(pair.dialler().trunk().send(*here, fragment) == SendOutcome::queued);
  pair.pump();

  REQUIRE(sizes.size() == 1);
  CHECK(sizes[0] <= 64 + 16);
  CHECK(there->readable);
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

  REQUIRE(pair.dialler().trunk().send(*here, fragment) == SendOutcome::queued);
  pair.pump();

  const auto taken = pair.answerer().trunk().take(*there);
  REQUIRE(taken.has_value());
  CHECK(taken->payload.size() == 40 << 20);
}

// --- calls from within the handling of events

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
      while (auto fragment = pair.sides[side].trunk().take(*circuits[side])) {
        Fragment reply(fragment->op + 1, "pong");
        REQUIRE(pair.sides[side].trunk().send(*circuits[side], reply) == SendOutcome::queued);
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
    TrunkCircuit* here = pair.dialler().trunk().open(pair.request(pair.dialler()), Fragment(1, "request"), pair.now);
    pair.dialler().trunk().finish(*here);
    pair.pump();
    TrunkCircuit* there = pair.answerer().opened_last();
    pair.answerer().trunk().accept(*there, pair.answerer().peer());
    pair.answerer().trunk().left_backlog(*there);
    REQUIRE(pair.answerer().trunk().take(*there).has_value());
    Fragment reply(2, "reply");
    REQUIRE(pair.answerer().trunk().send(*there, reply) == SendOutcome::queued);
    pair.answerer().trunk().finish(*there);
    pair.pump();
    REQUIRE(pair.dialler().trunk().take(*here).has_value());
    pair.pump();
    REQUIRE(here->ended);
    REQUIRE(there->ended);
    pair.dialler().trunk().release(*here);
    pair.answerer().trunk().release(*there);
    for (auto& side : pair.sides) side.events();
  }

  for (auto& side : pair.sides) {
    CHECK(side.trunk().circuits_count() == 0);
    CHECK(side.trunk().memory_bytes() == 0);
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
    pair.dialler().trunk().open(std::move(request), std::nullopt, pair.now);
  }
  pair.pump();

  CHECK(pair.answerer().trunk().circuits_count() == 100'000);
  CHECK_FALSE(pair.answerer().closed());
}

} // namespace
