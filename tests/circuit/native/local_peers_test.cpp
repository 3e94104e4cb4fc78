// What our side says of its own peers, and that it never says more than the far side takes.
#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <string>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

std::shared_ptr<const PeerName> peer(int number) {
  return peer_name("peer number " + std::to_string(1000 + number), "store");
}

/// Hello's fields of limits.
enum Field : unsigned {
  circuits_max = 9,
  name_bytes_max = 10,
  user_string_bytes_max = 11,
  metadata_bytes_max = 12,
  remote_peers_max = 13,
  remote_metadata_bytes_max = 14,
  control_frames_per_second_max = 15,
};

/// A machine whose far side has said its limits.
struct Limited : Dialogue {
  explicit Limited(std::map<unsigned, std::uint64_t> limits) {
    say::Hello hello;
    hello.limits = std::move(limits);
    introduce(hello);
  }
  int metadata_said() {
    settle();
    int said = 0;
    for (const say::Frame& frame : frames()) said += frame.type == say::PEER_METADATA;
    return said;
  }
};

TEST_CASE("trunk: of metadata that changes between two writes, the last value is said once") {
  Introduced dialogue;
  dialogue.clogged = true;
  for (int change = 0; change < 100'000; ++change)
    dialogue.machine().set_metadata(*our_peer(), {{"load", std::to_string(change)}});

  dialogue.clogged = false;
  dialogue.settle();

  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].type == say::PEER_METADATA);
  CHECK(contains(frames[0].fields.text(2), "99999"));
}

TEST_CASE("trunk: metadata that changes with every write is said at half the far side's rate, and the last one is") {
  Limited dialogue({{control_frames_per_second_max, 100}});
  for (int change = 0; change < 10'000; ++change) {
    dialogue.machine().set_metadata(*our_peer(), {{"load", std::to_string(change)}});
    dialogue.settle();
    if (change % 10 == 0) dialogue.passes(10ms); // 10 s in all
  }
  std::vector<say::Frame> frames = dialogue.frames();
  CHECK(frames.size() >= 450);
  CHECK(frames.size() <= 50 + 50 * 10 + 1);

  dialogue.passes(100ms);

  for (const say::Frame& frame : dialogue.frames()) frames.push_back(frame);
  CHECK(contains(frames.back().fields.text(2), "9999"));
}

TEST_CASE("trunk: what is known of a peer is said before the open and the accept that name it") {
  Introduced dialogue;
  dialogue.machine().set_metadata(*our_peer(), {{"load", "1"}});
  dialogue.opens();
  CHECK(dialogue.says().starts_with("PEER_METADATA"));

  dialogue.machine().set_metadata(*our_peer(), {{"load", "2"}});
  say::Open open;
  open.wants_answer = true;
  dialogue.clogged = true;
  dialogue.hears(say::open(1, open));
  dialogue.accepts(1);
  dialogue.clogged = false;
  dialogue.settle();

  CHECK(dialogue.says().starts_with("PEER_METADATA"));
}

TEST_CASE("trunk: metadata of more peers than the far side keeps waits until one of them ends") {
  Limited dialogue({{remote_peers_max, 3}});
  for (int number = 0; number < 10; ++number) dialogue.machine().set_metadata(*peer(number), {{"k", "v"}});
  CHECK(dialogue.metadata_said() == 3);
  CHECK(dialogue.machine().counters().metadata_withheld == 7);

  dialogue.machine().end_peer(*peer(0), End(error::peer_ended));
  dialogue.settle();

  CHECK(dialogue.says() == "PEER_ENDED reason 4; PEER_METADATA");
}

TEST_CASE("trunk: metadata that takes more room than the far side has is taken back rather than left as it was") {
  Limited dialogue({{remote_metadata_bytes_max, 2000}});
  dialogue.machine().set_metadata(*peer(0), {{"k", std::string(1000, 'a')}});
  dialogue.machine().set_metadata(*peer(1), {{"k", std::string(500, 'b')}});
  CHECK(dialogue.metadata_said() == 2);

  dialogue.machine().set_metadata(*peer(1), {{"k", std::string(900, 'b')}});
  dialogue.settle();
  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].fields.elements(2).empty());

  dialogue.machine().end_peer(*peer(0), End(error::peer_ended));
  CHECK(dialogue.metadata_said() == 1);
}

TEST_CASE("trunk: metadata beyond the far side's metadata_bytes_max is not said") {
  Limited dialogue({{metadata_bytes_max, 10}});

  dialogue.machine().set_metadata(*peer(0), {{"k", "0123456789"}});
  CHECK(dialogue.metadata_said() == 0);
  dialogue.machine().set_metadata(*peer(0), {{"k", "012345678"}});
  CHECK(dialogue.metadata_said() == 1);
}

TEST_CASE("trunk: a withheld value that changes without end costs no memory and is said when there is room") {
  Limited dialogue({{remote_peers_max, 1}});
  dialogue.machine().set_metadata(*peer(0), {{"k", "v"}});
  for (int change = 0; change < 10'000; ++change) {
    dialogue.machine().set_metadata(*peer(1), {{"k", std::to_string(change)}});
    dialogue.settle();
  }
  CHECK(dialogue.metadata_said() == 1);

  dialogue.machine().set_metadata(*peer(0), {});
  dialogue.machine().end_peer(*peer(0), End(error::peer_ended));
  dialogue.settle();

  const auto frames = dialogue.frames();
  REQUIRE_FALSE(frames.empty());
  CHECK(frames.back().type == say::PEER_METADATA);
  CHECK(contains(frames.back().fields.text(2), "9999"));
}

TEST_CASE("trunk: peers that come and go as fast as they can never exceed what the far side takes") {
  for (const bool with_metadata : {false, true}) {
    Limits limits;
    limits.control_frames_per_second_max = 100;
    MachinePair pair(Limits(), limits);
    pair.pump();
    for (int number = 0; number < 5000; ++number) {
      const auto ours = peer(number);
      if (with_metadata) pair.dialler().machine().set_metadata(*ours, {{"k", "v"}});
      OpenRequest request = pair.request(pair.dialler());
      request.from = ours;
      TrunkCircuit* const circuit = pair.dialler().machine().open(std::move(request), std::nullopt, pair.now);
      pair.dialler().machine().close(*circuit, End());
      pair.dialler().machine().release(*circuit);
      pair.dialler().machine().end_peer(*ours, End(error::peer_ended));
      if (number % 50 == 0) pair.pump();
    }
    pair.pump();

    CHECK(pair.answerer().machine().counters().reading_pauses == 0);
    CHECK_FALSE(pair.answerer().closed());
  }
}

TEST_CASE("trunk: the far side hears no end of a peer of which it has never heard") {
  Introduced dialogue;

  dialogue.machine().end_peer(*our_peer(), End(error::peer_ended));
  dialogue.machine().set_metadata(*peer(1), {{"k", "v"}});
  dialogue.machine().end_peer(*peer(1), End(error::peer_ended));
  dialogue.settle();

  CHECK(dialogue.says() == "");
}

TEST_CASE("circuit: an open beyond the far side's circuits_max is refused here, and names the limit") {
  Limited dialogue({{circuits_max, 2}});
  TrunkCircuit& first = dialogue.opens();
  CHECK(dialogue.machine().may_open());
  dialogue.opens();
  dialogue.says();

  TrunkCircuit& third = dialogue.opens();

  CHECK(third.ended);
  CHECK(third.end->code == error::circuit_limit_reached);
  CHECK(contains(third.end->text, "circuits_max of the far side is 2"));
  CHECK(dialogue.says() == "");
  dialogue.events();
  CHECK_FALSE(dialogue.machine().may_open());
  dialogue.resets(first.id);
  CHECK(contains(dialogue.events(), "may_open"));
  CHECK(dialogue.machine().may_open());
}

TEST_CASE("circuit: names that the far side does not take are refused here, by its limits") {
  Limited dialogue({{name_bytes_max, 10}, {user_string_bytes_max, 20}});
  OpenRequest long_service = open_request(OpenMode::start);
  long_service.to_service = std::string(11, 's');
  OpenRequest long_string = open_request();
  long_string.user_string = std::string(21, 'u');

  CHECK(contains(dialogue.opens(std::move(long_service)).end->text, "name_bytes_max is 10"));
  CHECK(contains(dialogue.opens(std::move(long_string)).end->text, "user_string_bytes_max 20"));
  CHECK(dialogue.says() == "");
}

TEST_CASE("circuit: our limits are in our hello where they differ from what is assumed") {
  Limits limits;
  limits.circuits_max = 7;
  limits.control_frames_per_second_max = 8;
  Dialogue dialogue(limits);

  const auto frames = dialogue.frames();
  REQUIRE_FALSE(frames.empty());
  CHECK(frames[0].fields.number(circuits_max) == 7);
  CHECK(frames[0].fields.number(control_frames_per_second_max) == 8);
  CHECK(frames[0].fields.number(remote_peers_max) == 0);
}

TEST_CASE("circuit: a far side that does not read is not flooded with opens: they wait or are refused") {
  Limits limits;
  limits.trunk_memory_bytes_max = 2 * mib;
  limits.fragment_bytes_max = 512 * 1024;
  Introduced dialogue(limits);
  dialogue.clogged = true;
  int opens = 0;
  for (; opens < 1'000'000 && dialogue.machine().may_open(); ++opens) {
    TrunkCircuit& circuit = *dialogue.machine().open(open_request(), std::nullopt, dialogue.now);
    dialogue.machine().release(circuit); // cancelled
    dialogue.settle();
  }
  REQUIRE(opens < 1'000'000);
  CHECK(dialogue.machine().output_bytes() < 3 * mib);
  CHECK(contains(dialogue.opens().end->text, "trunk_memory_bytes_max"));
  dialogue.events();

  dialogue.clogged = false;
  dialogue.settle();

  CHECK(contains(dialogue.events(), "may_open"));
}

TEST_CASE("circuit: what a circuit that was closed and let go could not bring is told") {
  Introduced dialogue;
  TrunkCircuit& refused = dialogue.opens(Fragment(1, "to nobody"));
  const CircuitId id = refused.id;
  dialogue.closes(id);
  dialogue.releases(id);
  TrunkCircuit& lost = dialogue.opens(Fragment(1, "lost"));
  dialogue.finishes(lost.id);
  dialogue.releases(lost.id);
  TrunkCircuit& whole = dialogue.opens(Fragment(1, "arrives"));
  const CircuitId arrives = whole.id;
  dialogue.closes(arrives);
  dialogue.releases(arrives);
  dialogue.hears(say::close_received(arrives));
  CHECK(dialogue.machine().counters().circuits_lost == 0);

  dialogue.hears(say::refuse(id, 20, "no such service"));
  CHECK(dialogue.machine().counters().circuits_lost == 1);
  dialogue.loses();

  CHECK(dialogue.machine().counters().circuits_lost == 2);
}

/// Processor time of the ends of a thousand peers, each with one circuit, beside quiet circuits of another.
double seconds_of_ends(int quiet) {
  Introduced dialogue;
  Machine& machine = dialogue.machine();
  for (int circuit = 0; circuit < quiet; ++circuit) machine.open(open_request(), std::nullopt, dialogue.now);
  for (int number = 0; number < 1000; ++number) {
    OpenRequest request = open_request();
    request.from = peer(number);
    machine.open(std::move(request), std::nullopt, dialogue.now);
  }
  std::vector<TrunkCircuit*> circuits;

  const std::clock_t begin = std::clock();
  for (int number = 0; number < 1000; ++number) {
    machine.circuits_of(peer(number)->id, circuits);
    REQUIRE(circuits.size() == 1);
    machine.close(*circuits[0], End(error::peer_ended));
    machine.end_peer(*peer(number), End(error::peer_ended));
  }
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

TEST_CASE("trunk: the end of a peer costs the same beside many quiet circuits of another") {
  double alone = 1e9;
  double beside = 1e9;
  for (int repetition = 0; repetition < 3; ++repetition) {
    alone = std::min(alone, seconds_of_ends(0));
    beside = std::min(beside, seconds_of_ends(20'000));
  }

  CAPTURE(alone);
  CAPTURE(beside);
  CHECK(beside <= 10 * alone + 0.02); // to look at all of them would cost more than a hundred times as much
}

} // namespace
