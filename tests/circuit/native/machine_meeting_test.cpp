// How two sides meet: preface, hello, versions, features.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

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
  CHECK(dialogue.machine().remote() == nullptr);
  say::Hello hello;
  hello.node_name = "shard-3 <\x01>";
  hello.addresses = {"tcp://10.0.0.7:7000", "unix:/run/t.sock"};

  dialogue.hears(say::introduction(hello));

  CHECK(dialogue.events() == "hello");
  REQUIRE(dialogue.machine().remote());
  CHECK(dialogue.machine().remote()->id.bytes() == "node-of-far-side");
  CHECK(contains(dialogue.machine().remote()->name, "shard-3"));
  for (const char c : dialogue.machine().remote()->name) CHECK((c >= 0x20 && c < 0x7F && c != '<'));
  CHECK(dialogue.machine().remote()->addresses == hello.addresses);
}

TEST_CASE("trunk: of the addresses in a hello sixteen count, and none that is longer than 256 bytes") {
  Dialogue dialogue;
  say::Hello hello;
  hello.addresses = {"tcp://" + std::string(256, 'a')};
  for (int address = 0; address < 400; ++address) hello.addresses.push_back("a://:" + std::to_string(10'000 + address));

  dialogue.hears(say::introduction(hello));

  REQUIRE(dialogue.machine().remote());
  CHECK(dialogue.machine().remote()->addresses.size() == 16);
  CHECK(dialogue.machine().remote()->addresses[0] == "a://:10000");
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
  const auto machine = native_machine(true, Limits(), "node-of-our-side", time_begins);
  machine->open(open_request(), std::nullopt, time_begins);
  const Instant connected = time_begins + 1h;
  CHECK(machine->deadline() == Instant::max());
  Output output;

  take_bytes(*machine, output, connected, 1 << 20);
  machine->written(connected);

  CHECK(machine->deadline() == connected + 5s);
}

TEST_CASE("trunk: circuits opened before the connection end when it never comes") {
  Dialogue dialogue;
  dialogue.clogged = true;
  dialogue.opens(Fragment(1, "too early"));

  dialogue.loses(End(error::connect_failed, "tcp://10.0.0.7:7000 refused the connection"));

  CHECK(contains(dialogue.events(), "ended 2: connect failed; closed: connect failed"));
  CHECK(contains(dialogue.circuit(2).end->text, "refused the connection"));
}

} // namespace
