// Control frames in numbers that no honest far side sends. Rows F37 to F42; the clock stands still unless a test says
// otherwise, so that "per second" is exact.
#include <doctest/doctest.h>

#include <string>

#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST_CASE("flood: a ping is answered with its number (F37)") {
  Introduced dialogue;

  dialogue.hears(say::ping(0) + say::frame(0x80) + say::ping(~std::uint64_t{0}));

  // The second came before the first was answered.
  CHECK(dialogue.says() == "PONG 18446744073709551615");
  CHECK(dialogue.trunk().counters().pings_coalesced == 1);
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

TEST_CASE("flood: a pong that answers nothing is ignored, many of them are counted (F37)") {
  Limits limits;
  limits.control_frames_per_second_max = 100;
  Introduced dialogue(limits);
  dialogue.hears(say::pong(12345));
  CHECK(dialogue.state() == "open");

  for (int pong = 0; pong < 100; ++pong) dialogue.hears(say::pong(1));

  CHECK(dialogue.state() == "too many control frames");
  CHECK(contains(dialogue.end().text, "control_frames_per_second_max 100"));
}

TEST_CASE("flood: limits are said once, in the hello, and a second hello breaks the trunk (F38)") {
  Introduced dialogue;

  dialogue.hears(say::hello());

  CHECK(dialogue.state() == "protocol error");
  CHECK(contains(dialogue.end().text, "hello"));
}

TEST_CASE("flood: metadata of a peer beyond control_frames_per_second_max breaks the trunk (F38)") {
  Limits limits;
  limits.control_frames_per_second_max = 20;
  Introduced dialogue(limits);
  for (int second = 0; second < 3; ++second) {
    for (int frame = 0; frame < 20; ++frame)
      dialogue.hears(say::peer_metadata("peer-of-far-side", {{"load", std::to_string(frame)}}));
    REQUIRE(dialogue.state() == "open");
    dialogue.passes(1s);
  }

  for (int frame = 0; frame < 21; ++frame) dialogue.hears(say::peer_ended("peer-of-far-side"));

  CHECK(dialogue.state() == "too many control frames");
}

TEST_CASE("flood: as many peers may end at once as circuits were opened (F38)") {
  Limits limits;
  limits.control_frames_per_second_max = 20;
  Introduced dialogue(limits);
  for (CircuitId id = 1; id <= 199; id += 2) dialogue.hears(say::open(id) + say::reset(id, 9, "done"));
  for (int circuit = 0; circuit < 100; ++circuit) dialogue.opens();

  for (int frame = 0; frame < 200; ++frame) dialogue.hears(say::peer_ended("peer-of-far-side"));
  CHECK(dialogue.state() == "open");
  for (int frame = 0; frame < 21; ++frame) dialogue.hears(say::peer_ended("peer-of-far-side"));

  CHECK(dialogue.state() == "too many control frames");
}

TEST_CASE(
    "flood: metadata of many peers beyond remote_metadata_bytes_max breaks the trunk, what is replaced counts once "
    "(F38)") {
  Limits limits;
  limits.remote_metadata_bytes_max = 10'000;
  Introduced dialogue(limits);
  const auto peer = [](int number) { return "peer number " + std::to_string(1000 + number); };
  const std::string value(3000, 'v');
  for (int number = 0; number < 30; ++number) dialogue.hears(say::peer_metadata(peer(number % 3), {{"k", value}}));
  REQUIRE(dialogue.state() == "open");
  dialogue.hears(say::peer_ended(peer(0)) + say::peer_metadata(peer(3), {{"k", value}}));
  REQUIRE(dialogue.state() == "open");

  dialogue.hears(say::peer_metadata(peer(4), {{"k", value}}));

  CHECK(dialogue.state() == "too many control frames");
  CHECK(contains(dialogue.end().text, "remote_metadata_bytes_max 10000"));
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
  Limits limits;
  limits.cancelled_opens_per_second_max = 1'000'000;
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

TEST_CASE("flood: metadata of more peers than remote_peers_max breaks the trunk (F38)") {
  Limits limits;
  limits.remote_peers_max = 5;
  Introduced dialogue(limits);
  const auto peer = [](int number) { return "peer number " + std::to_string(1000 + number); };
  for (int number = 0; number < 5; ++number) dialogue.hears(say::peer_metadata(peer(number), {{"k", "v"}}));
  dialogue.hears(say::peer_metadata(peer(0), {{"k", "again"}}));
  CHECK(dialogue.state() == "open");

  dialogue.hears(say::peer_metadata(peer(5), {{"k", "v"}}));

  CHECK(dialogue.state() == "too many control frames");
  CHECK(contains(dialogue.end().text, "remote_peers_max 5"));
}

TEST_CASE("flood: an ended peer makes room for the metadata of another (F38)") {
  Limits limits;
  limits.remote_peers_max = 2;
  Introduced dialogue(limits);

  for (int number = 0; number < 50; ++number) {
    const std::string peer = "peer number " + std::to_string(1000 + number);
    dialogue.hears(say::peer_metadata(peer, {{"k", "v"}}) + say::peer_ended(peer));
  }

  CHECK(dialogue.state() == "open");
}

TEST_CASE("flood: metadata of a peer beyond metadata_bytes_max breaks the trunk and names both sizes (F39)") {
  Introduced dialogue;
  dialogue.hears(say::peer_metadata("peer-of-far-side", {{"key", std::string(4093, 'v')}}));
  CHECK(dialogue.state() == "open");

  dialogue.hears(say::peer_metadata("peer-of-far-side", {{"key", std::string(4094, 'v')}}));

  CHECK(dialogue.state() == "protocol error");
  CHECK(contains(dialogue.end().text, "4097"));
  CHECK(contains(dialogue.end().text, "metadata_bytes_max 4096"));
}

TEST_CASE("flood: the metadata of a fragment is one frame; it cannot be continued (F39)") {
  Introduced dialogue;
  dialogue.hears(say::open(1));
  dialogue.accepts(1);
  say::Said said;
  said.subject = "s";
  dialogue.hears(say::first_of_more(1, 100, "begun", said));

  dialogue.hears(
      say::frame(say::DATA, say::varint(1) + say::varint(3) + "\x0A\x01s" + "more", say::CONTINUES | say::METADATA));

  CHECK(dialogue.state() == "protocol error");
}

TEST_CASE("flood: the metadata of a fragment that is not what it says breaks the trunk (F39)") {
  const auto after = [](const say::Bytes& metadata) {
    Introduced dialogue;
    dialogue.hears(say::open(1));
    dialogue.accepts(1);
    dialogue.hears(say::frame(
        say::DATA, say::varint(1) + say::svarint(1) + say::svarint(0) + say::varint(metadata.size()) + metadata,
        say::METADATA));
    return dialogue.state();
  };

  CHECK(after("\x0A\x03sub") == "open");
  CHECK(after("\x0A\x04sub") == "protocol error");
  CHECK(after("\x12\x05\x0A\x03k") == "protocol error");
  CHECK(after(say::Bytes("\x00\x00", 2)) == "protocol error");
  CHECK(after("\x0B") == "protocol error");
  CHECK(after(say::Bytes("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 12)) == "protocol error");
}

TEST_CASE("flood: empty args, which occupy far more than they cost, are taken up to 128 (F39)") {
  const auto after = [](int args) {
    Introduced dialogue;
    dialogue.hears(say::open(1));
    dialogue.accepts(1);
    say::Said said;
    said.args.resize(static_cast<std::size_t>(args));
    dialogue.hears(say::data(1, "", said));
    return dialogue.state();
  };

  CHECK(after(128) == "open");
  CHECK(after(129) == "protocol error");
  CHECK(after(4000) == "protocol error");
}

TEST_CASE("flood: unknown fields of any wire type are ignored in metadata and in control frames (F39)") {
  Introduced dialogue;
  const say::Bytes unknown = say::varint(30 << 3) + say::varint(5) + say::varint(31 << 3 | 2) + "\x03new" +
                             say::varint(29 << 3 | 1) + "12345678" + say::varint(28 << 3 | 5) + "1234";
  dialogue.hears(say::frame(say::OPEN, say::open(1).substr(5) + unknown));
  REQUIRE(dialogue.events() == "opened 1");
  dialogue.accepts(1);
  const say::Bytes metadata = "\x0A\x03sub" + unknown;

  dialogue.hears(
      say::frame(say::DATA,
                 say::varint(1) + say::svarint(1) + say::svarint(0) + say::varint(metadata.size()) + metadata + "p",
                 say::METADATA) +
      say::frame(say::FINISH, say::finish(1).substr(5) + unknown) + say::frame(say::DRAIN, unknown));

  REQUIRE(dialogue.state() == "open");
  const auto fragment = dialogue.takes_one(1);
  REQUIRE(fragment.has_value());
  CHECK(fragment->subject == "sub");
  CHECK(fragment->payload.text() == "p");
  CHECK(dialogue.circuit(1).finished_there());
}

TEST_CASE("flood: a control frame that is not its message breaks the trunk and is named (F39)") {
  for (unsigned type = say::OPEN; type <= say::GOODBYE; ++type) {
    Introduced dialogue;

    dialogue.hears(say::frame(type, "\x0A\x7Ftoo short"));

    CAPTURE(std::string(say::type_name(type)));
    CHECK(dialogue.state() == "protocol error");
  }
}

TEST_CASE("flood: there is no frame that changes priorities: its type is unknown (F40)") {
  Introduced mandatory;
  mandatory.hears(say::frame(0x12, "priority of 1 is 200"));
  CHECK(mandatory.state() == "protocol error");

  Introduced optional;
  for (int frame = 0; frame < 100; ++frame) optional.hears(say::frame(0x92, "priority of 1 is 200"));
  CHECK(optional.state() == "open");
  optional.hears(say::frame(0x92, "priority of 1 is 200"));
  CHECK(optional.state() == "too many control frames");
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
  named.trunk().close(End(error::node_closed, std::string(10'000, 'r')));
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
  CHECK(dialogue.trunk().over());
  CHECK_FALSE(dialogue.trunk().has_output());
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
  CHECK(dialogue.trunk().counters().frames_for_forgotten_circuits == 2000);
}

} // namespace
