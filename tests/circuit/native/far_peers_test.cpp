// What the far side says of its peers, and how much of it is kept. Rows F38, F39.
#include <doctest/doctest.h>

#include <string>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("flood: metadata and ends of peers beyond control_frames_per_second_max make reading pause (F38)") {
  Limits limits;
  limits.control_frames_per_second_max = 20;
  Introduced dialogue(limits);
  for (int second = 0; second < 3; ++second) {
    for (int frame = 0; frame < 20; ++frame)
      dialogue.hears(say::peer_metadata("peer-of-far-side", {{"load", std::to_string(frame)}}));
    REQUIRE(dialogue.machine().wants_input());
    dialogue.passes(1s);
  }

  for (int frame = 0; frame < 21; ++frame) dialogue.hears(say::peer_ended("peer-of-far-side"));

  CHECK_FALSE(dialogue.machine().wants_input());
  CHECK(dialogue.state() == "open");
}

TEST_CASE("flood: as many peers may end at once as circuits were opened (F38)") {
  Limits limits;
  limits.control_frames_per_second_max = 20;
  Introduced dialogue(limits);
  for (CircuitId id = 1; id <= 199; id += 2) {
    dialogue.hears(say::open(id) + say::close(id));
    dialogue.releases(id);
  }
  for (int circuit = 0; circuit < 100; ++circuit) dialogue.opens();

  for (int frame = 0; frame < 220; ++frame) dialogue.hears(say::peer_ended("peer-of-far-side"));
  CHECK(dialogue.machine().wants_input());
  dialogue.hears(say::peer_ended("peer-of-far-side"));

  CHECK_FALSE(dialogue.machine().wants_input());
}

TEST_CASE("flood: metadata beyond remote_metadata_bytes_max is dropped and counted, what is replaced counts once (F38)") {
  Limits limits;
  limits.remote_metadata_bytes_max = 3500;
  Introduced dialogue(limits);
  const auto peer = [](int number) { return "peer number " + std::to_string(1000 + number); };
  const auto knows = [&](int number) {
    return dialogue.machine().remote_metadata(*PeerId::from_bytes(peer(number))) != nullptr;
  };
  const std::string value(1000, 'v');
  for (int number = 0; number < 30; ++number) dialogue.hears(say::peer_metadata(peer(number % 3), {{"k", value}}));
  dialogue.hears(say::peer_ended(peer(0)) + say::peer_metadata(peer(3), {{"k", value}}));
  REQUIRE(dialogue.machine().counters().metadata_dropped == 0);

  dialogue.hears(say::peer_metadata(peer(4), {{"k", value}}));
  dialogue.hears(say::peer_metadata(peer(3), {{"k", value}, {"more", value}}));

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.machine().counters().metadata_dropped == 2);
  CHECK_FALSE(knows(4));
  CHECK_FALSE(knows(3)); // what it had is not true any more
  CHECK(knows(1));
}

TEST_CASE("flood: metadata of more peers than remote_peers_max is dropped and counted (F38)") {
  Limits limits;
  limits.remote_peers_max = 5;
  Introduced dialogue(limits);
  const auto peer = [](int number) { return "peer number " + std::to_string(1000 + number); };
  for (int number = 0; number < 5; ++number) dialogue.hears(say::peer_metadata(peer(number), {{"k", "v"}}));
  dialogue.hears(say::peer_metadata(peer(0), {{"k", "again"}}));
  CHECK(dialogue.machine().counters().metadata_dropped == 0);

  dialogue.hears(say::peer_metadata(peer(5), {{"k", "v"}}));

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.machine().counters().metadata_dropped == 1);
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

TEST_CASE("trunk: a peer's metadata replaces what was known, and every change is told") {
  Introduced dialogue;
  const PeerId peer = *PeerId::from_bytes("peer-of-far-side");
  CHECK(dialogue.machine().remote_metadata(peer) == nullptr);

  dialogue.hears(say::peer_metadata("peer-of-far-side", {{"region", "north"}, {"load", "1"}}));
  CHECK(dialogue.events() == "metadata");
  CHECK(*dialogue.machine().remote_metadata(peer) == Metadata{{"load", "1"}, {"region", "north"}});
  dialogue.hears(say::peer_metadata("peer-of-far-side", {{"load", "\xFF"}}));

  CHECK(dialogue.events() == "metadata");
  CHECK(*dialogue.machine().remote_metadata(peer) == Metadata{{"load", "\xFF"}});
}

TEST_CASE("trunk: our metadata goes out when it is set and not with fragments") {
  Joined dialogue;

  dialogue.machine().set_metadata(*our_peer(), {{"region", "south"}, {"load", "7"}});
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
  pair.dialler().machine().set_metadata(*pair.dialler().peer(), {{"early", "yes"}});

  pair.pump();

  const Metadata* metadata = pair.answerer().machine().remote_metadata(pair.dialler().peer()->id);
  REQUIRE(metadata);
  CHECK(*metadata == Metadata{{"early", "yes"}});
}

TEST_CASE("trunk: a peer that ended is told with its reason, and its metadata is forgotten") {
  Introduced dialogue;
  dialogue.hears(say::peer_metadata("peer-of-far-side", {{"k", "v"}}));
  dialogue.events();

  dialogue.hears(say::peer_ended("peer-of-far-side", 9, "it threw"));

  CHECK(dialogue.events() == "peer_ended: handler failed");
  CHECK(dialogue.machine().remote_metadata(*PeerId::from_bytes("peer-of-far-side")) == nullptr);
}

TEST_CASE("trunk: our peer's end is said with its reason") {
  Joined dialogue;

  dialogue.machine().end_peer(*our_peer(), End(error::handler_failed, std::string(1000, 't')));
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
  pair.dialler().machine().set_metadata(*pair.dialler().peer(), {{"k", std::string(20'000, 'v')}});
  pair.dialler().machine().set_metadata(*pair.dialler().peer(), many);

  pair.pump();

  CHECK_FALSE(pair.answerer().closed());
  CHECK_FALSE(pair.dialler().closed());
}

} // namespace
