// How circuits come to be: what an open says, who answers it how, and which numbers and how many there may be. The test
// is the far side.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/circuit/machine_pair.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

// --- opening

TEST_CASE("circuit: an open needs no answer, and data may follow it in the same packet") {
  Introduced dialogue;

  dialogue.hears(say::open(1) + say::data(1, "first") + say::data(1, "second"));

  CHECK(dialogue.events() == "opened 1; readable 1");
  CHECK(dialogue.takes(1) == "first|second");
  CHECK(dialogue.says() == "");
}

TEST_CASE("circuit: what an open says arrives as it was said") {
  Introduced dialogue;
  say::Open said;
  said.mode = 2;
  said.to_peer = "";
  said.name = "the name";
  said.user_string = "for \xFFme\n";
  said.wants_answer = true;

  dialogue.hears(say::open(1, said));

  const OpenRequest& open = dialogue.open_of(1);
  CHECK(open.mode == OpenMode::join_or_start);
  CHECK(open.from->id.bytes() == "peer-of-far-side");
  CHECK(open.from->service == "feed");
  CHECK(open.to_peer.empty());
  CHECK(open.to_service == "store");
  CHECK(open.name == said.name);
  CHECK(open.user_string == said.user_string);
  CHECK(open.wants_answer);
  CHECK(dialogue.circuit(1).names->remote->id.bytes() == "peer-of-far-side");
  CHECK_FALSE(dialogue.circuit(1).opened_here);
}

TEST_CASE("circuit: what our open says is what the far side reads") {
  Introduced dialogue;
  OpenRequest request = open_request(OpenMode::start);
  request.name = "the name";
  request.user_string = "for \xFFme\n";
  request.wants_answer = true;

  dialogue.opens(std::move(request));

  const std::vector<say::Frame> frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  const say::Read& open = frames[0].fields;
  CHECK(frames[0].circuit == 2);
  CHECK(open.number(2) == 1);
  CHECK(open.text(3) == "peer-of-our-side");
  CHECK(open.text(4) == "store");
  CHECK(open.text(5) == "peer-of-far-side");
  CHECK(open.text(6) == "feed");
  CHECK(open.text(7) == "the name");
  CHECK(open.text(8) == "for \xFFme\n");
  CHECK(open.number(9) == 1);
}

TEST_CASE("circuit: opens that differ from the one before in a single field are heard as they were said") {
  Introduced dialogue;
  std::vector<say::Open> all(1);
  const auto next = [&all](auto change) {
    all.push_back(all.back());
    change(all.back());
  };
  next([](say::Open&) {});
  next([](say::Open& open) { open.name = "another"; });
  next([](say::Open& open) { open.user_string = "same"; });
  next([](say::Open&) {});
  next([](say::Open& open) { open.from_peer = "peer-over-there!"; });
  next([](say::Open& open) { open.from_service = "feeds"; });
  next([](say::Open& open) { open.to_peer = "peer-of-our-park"; });
  next([](say::Open& open) { open.to_service = "stork"; });
  next([](say::Open& open) { open.mode = 1; });
  next([](say::Open& open) { open.wants_answer = true; });
  next([](say::Open&) {});
  next([](say::Open& open) { open = say::Open(); });

  for (std::size_t i = 0; i < all.size(); ++i) dialogue.hears(say::open(2 * i + 1, all[i]));

  REQUIRE(dialogue.state() == "open");
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    const OpenRequest& open = dialogue.open_of(2 * i + 1);
    CHECK(static_cast<unsigned>(open.mode) == all[i].mode);
    CHECK(open.from->id.bytes() == all[i].from_peer);
    CHECK(open.from->service == all[i].from_service);
    CHECK(open.to_peer.bytes() == all[i].to_peer);
    CHECK(open.to_service == all[i].to_service);
    CHECK(open.name == all[i].name);
    CHECK(open.user_string == all[i].user_string);
    CHECK(open.wants_answer == all[i].wants_answer);
  }
}

TEST_CASE("circuit: opens that differ from the one before in a single field are read as they were asked for") {
  Introduced dialogue;
  std::vector<OpenRequest> all{open_request()};
  const auto next = [&all](auto change) {
    all.push_back(all.back());
    change(all.back());
  };
  next([](OpenRequest&) {});
  next([](OpenRequest& open) { open.name = "another"; });
  next([](OpenRequest& open) { open.user_string = "same"; });
  next([](OpenRequest&) {});
  next([](OpenRequest& open) { open.from = peer_name("peer-next-to-us!", "store", ""); });
  next([](OpenRequest& open) { open.from = peer_name("peer-next-to-us!", "stork", ""); });
  next([](OpenRequest& open) { open.to_peer = *PeerId::from_bytes("peer-over-there!"); });
  next([](OpenRequest& open) { open.to_service = "feeds"; });
  next([](OpenRequest& open) { open.mode = OpenMode::start; });
  next([](OpenRequest& open) { open.wants_answer = true; });
  next([](OpenRequest& open) {
    open.mode = OpenMode::join_or_start;
    open.to_peer = PeerId();
  });
  next([](OpenRequest&) {});
  next([](OpenRequest& open) { open = open_request(); });

  for (const OpenRequest& request : all) dialogue.opens(request);

  const std::vector<say::Frame> frames = dialogue.frames();
  REQUIRE(frames.size() == all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    const say::Read& open = frames[i].fields;
    CHECK(frames[i].circuit == 2 * i + 2);
    CHECK(open.number(2) == static_cast<unsigned>(all[i].mode));
    CHECK(open.text(3) == all[i].from->id.bytes());
    CHECK(open.text(4) == all[i].from->service);
    CHECK(open.text(5) == (all[i].to_peer.empty() ? "" : all[i].to_peer.bytes()));
    CHECK(open.text(6) == all[i].to_service);
    CHECK(open.text(7) == all[i].name);
    CHECK(open.text(8) == all[i].user_string);
    CHECK(open.number(9) == (all[i].wants_answer ? 1 : 0));
  }
}

TEST_CASE("circuit: fields in another order, unknown ones and padded numbers are protobuf, and read as such") {
  Introduced dialogue;
  const say::Open said;
  const auto last = [&said](std::uint64_t circuit) { // as protobuf may write it: the circuit behind the rest
    return say::frame(say::OPEN, say::Fields()
                                     .text(3, said.from_peer)
                                     .text(4, said.from_service)
                                     .text(5, said.to_peer)
                                     .text(6, said.to_service)
                                     .number(1, circuit));
  };
  const say::Bytes three_padded("\x08\x83\x00", 3);
  dialogue.hears(last(1));
  dialogue.hears(last(3));
  dialogue.hears(
      say::frame(say::OPEN, say::Fields().number(1, 5).text(3, said.from_peer).text(5, said.to_peer).text(99, "?")));
  REQUIRE(dialogue.state() == "open");
  CHECK(dialogue.open_of(3).to_service == said.to_service);
  CHECK(dialogue.open_of(5).to_service.empty());

  dialogue.hears(say::frame(say::FINISH, three_padded));
  dialogue.hears(say::frame(say::CLOSE, three_padded));
  dialogue.hears(say::frame(say::FINISH, say::Fields().text(99, "?").number(1, 5)));
  CHECK(dialogue.state() == "open");
  CHECK_FALSE(dialogue.circuit(1).finished_there());
  CHECK(dialogue.circuit(5).finished_there());
  CHECK(contains(dialogue.says(), "CLOSE_RECEIVED 3"));

  dialogue.hears(say::frame(say::OPEN, say::Bytes("\x08", 1)));
  CHECK(dialogue.state() == "protocol error");
}

TEST_CASE(
    "circuit: an open that names its circuit twice, or a mode that there is not, means the same whatever came before") {
  const say::Open said;
  const auto twice = [&said](std::uint64_t first, std::uint64_t last) {
    return say::frame(say::OPEN,
                      say::Fields().number(1, first).text(3, said.from_peer).text(5, said.to_peer).number(1, last));
  };
  Introduced dialogue;
  dialogue.hears(twice(1, 1));
  REQUIRE(dialogue.state() == "open");
  dialogue.hears(twice(3, 1)); // in protobuf the last one counts
  CHECK(dialogue.state() == "protocol error");

  Introduced negative;
  negative.hears(say::frame(
      say::OPEN,
      say::Fields().number(1, 1).number(2, ~std::uint64_t{0}).text(3, said.from_peer).text(5, said.to_peer)));
  CHECK(negative.state() == "protocol error");
}

TEST_CASE("circuit: fields that we do not know are not sent back") {
  Introduced dialogue;
  const say::Bytes unknown(5000, '?');
  dialogue.opens();
  dialogue.hears(say::open(1));
  dialogue.hears(say::open(3));
  dialogue.says();
  dialogue.hears(say::frame(say::CLOSE, say::Fields().number(1, 1).text(99, unknown)));
  dialogue.hears(say::frame(say::CREDIT, say::Fields().number(1, 2).number(2, 4096).text(99, unknown)));
  dialogue.hears(say::frame(say::PING, say::Fields().number(1, 7).text(99, unknown)));
  dialogue.closes(3, End(error::peer_ended, "it has"));
  dialogue.passes(15s); // a ping of ours

  CHECK(dialogue.bytes().find("????") == say::Bytes::npos);
}

TEST_CASE("circuit: an open and its first fragment leave before the far side's hello has come") {
  Dialogue dialogue(Limits(), true);
  dialogue.says();

  dialogue.opens(Fragment(1, "at once"));
  dialogue.sends(1, Fragment(1, "and more"));
  dialogue.finishes(1);

  CHECK(dialogue.says() == "OPEN 1; DATA 1 op 1 \"at once\"; DATA 1 op 1 \"and more\"; FINISH 1");
}

TEST_CASE("circuit: everything said before the hello fits behind it in the first output") {
  const auto machine = native_machine(true, Limits(), "node-of-our-side", time_begins);
  machine->open(open_request(), Fragment(1, "first"), time_begins);
  Output output;

  const std::string bytes = take_bytes(*machine, output, time_begins, 1 << 20);

  std::vector<say::Frame> frames;
  say::Reader().read(bytes, frames);
  REQUIRE(frames.size() >= 3);
  CHECK(frames.front().type == say::HELLO);
  CHECK(frames.back().to_string() == "DATA 1 op 1 \"first\"");
}

TEST_CASE("circuit: the first fragment of an open is the first to arrive, whatever its size") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1000}, std::size_t{100'000}, std::size_t{1'000'000}}) {
    MachinePair pair;
    auto [here, there] = pair.join(pair.dialler(), Fragment(7, Payload(std::string(size, 'f'))));
    Fragment second(8, "second");
    const SendOutcome at_once = pair.dialler().machine().send(*here, second);
    pair.pump();

    const auto first = pair.answerer().machine().take(*there);
    pair.pump();
    if (at_once != SendOutcome::queued) REQUIRE(pair.dialler().machine().send(*here, second) == SendOutcome::queued);
    pair.pump();

    CAPTURE(size);
    REQUIRE(first.has_value());
    CHECK(first->op == 7);
    CHECK(first->payload.size() == size);
    CHECK(first->serial() == 1);
    CHECK(pair.answerer().machine().take(*there)->op == 8);
  }
}

TEST_CASE("circuit: numbers are odd for the dialler and even for the other, and grow by two") {
  for (const bool dialled : {true, false}) {
    Introduced dialogue(Limits(), dialled);
    const CircuitId first = dialled ? 1 : 2;

    CHECK(dialogue.opens().id == first);
    CHECK(dialogue.opens().id == first + 2);
    dialogue.releases(first);
    CHECK(dialogue.opens().id == first + 4);
  }
}

TEST_CASE("circuit: an accept is sent when the opener wants an answer, and only then") {
  Introduced dialogue;
  say::Open wanting;
  wanting.wants_answer = true;
  dialogue.hears(say::open(1) + say::open(3, wanting));
  dialogue.says();

  dialogue.accepts(1);
  CHECK(dialogue.says() == "");
  dialogue.accepts(3);

  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].to_string() == "ACCEPT 3");
  CHECK(frames[0].fields.text(2) == "peer-of-our-side");
  CHECK(frames[0].fields.text(3) == "store");
}

TEST_CASE("circuit: an accept tells the opener who took the circuit") {
  Introduced dialogue;
  OpenRequest request = open_request(OpenMode::join_or_start);
  request.to_peer = PeerId();
  dialogue.opens(std::move(request));
  REQUIRE_FALSE(dialogue.circuit(2).answered());

  dialogue.hears(say::accept(2, "the-running-peer", "feed"));

  CHECK(dialogue.events() == "answered 2");
  CHECK(dialogue.circuit(2).answered());
  CHECK(dialogue.circuit(2).names->remote->id.bytes() == "the-running-peer");
  CHECK(dialogue.circuit(2).names->remote->service == "feed");
  CHECK(dialogue.circuit(2).names->local->id == our_peer()->id);
}

TEST_CASE("circuit: an accept that nobody asked for, that comes twice, or from the opener breaks the trunk") {
  Introduced unasked;
  unasked.opens();
  unasked.hears(say::accept(2));
  CHECK(unasked.state() == "protocol error");

  Introduced twice;
  OpenRequest request = open_request();
  request.wants_answer = true;
  twice.opens(std::move(request));
  twice.hears(say::accept(2));
  CHECK(twice.state() == "open");
  twice.hears(say::accept(2));
  CHECK(twice.state() == "protocol error");

  Joined own;
  own.hears(say::accept(1));
  CHECK(own.state() == "protocol error");
}

TEST_CASE("circuit: a refusal reaches the opener with its reason, its text and the peer it could join") {
  Introduced dialogue;
  dialogue.opens(Fragment(1, "never read"));

  dialogue.hears(say::refuse(2, 22, "service \"store\" has its 1 peer", "tcp://10.0.0.7:7000/store/ID"));

  CHECK(dialogue.events() == "ended 2: service limit reached");
  REQUIRE(dialogue.circuit(2).end);
  CHECK(dialogue.circuit(2).end->text == "service \"store\" has its 1 peer");
  CHECK(dialogue.circuit(2).end->existing_url == "tcp://10.0.0.7:7000/store/ID");
  CHECK(dialogue.sends(2, Fragment(1, "late")) == SendOutcome::closed);
}

TEST_CASE("circuit: a refused circuit's data is never delivered and its credit goes back to the trunk") {
  Introduced dialogue;
  dialogue.hears(say::open(1) + say::data(1, std::string(1000, 'd')));

  dialogue.refuses(1, error::no_service, "no service \"store\"");

  CHECK(dialogue.says() == "REFUSE 1 reason 20");
  CHECK(dialogue.machine().memory_bytes() == 0);
  CHECK(dialogue.machine().counters().circuits_refused == 1);
  CHECK(dialogue.machine().circuits_count() == 0);
}

// --- rows of the table

TEST_CASE("circuit: a frame for a number that was never opened breaks the trunk (F13)") {
  for (const CircuitId id : {CircuitId{3}, CircuitId{5}, CircuitId{2}, CircuitId{4}, CircuitId{0}, ~CircuitId{0}}) {
    for (const say::Bytes& frame :
         {say::data(id, "x"), say::continues(id, "x"), say::finish(id), say::close(id), say::reset(id),
          say::finish_acknowledged(id), say::close_received(id), say::refuse(id, 20), say::accept(id)}) {
      Joined dialogue;

      dialogue.hears(frame);

      CAPTURE(id);
      CAPTURE(std::string(say::type_name(static_cast<unsigned>(frame[3]))));
      CHECK(dialogue.state() == "protocol error");
      if (id != 0) CHECK(contains(dialogue.end().text, std::to_string(id)));
    }
  }
}

TEST_CASE("circuit: credit for a number that was never opened breaks the trunk (F13)") {
  Joined dialogue;

  dialogue.hears(say::credit(7, 1000));

  CHECK(dialogue.state() == "protocol error");
}

TEST_CASE(
    "circuit: frames for a circuit that is over are dropped, counted and credited, and nothing is remembered (F14)") {
  Joined dialogue;
  dialogue.resets(1);
  dialogue.releases(1);
  dialogue.events();
  dialogue.says();

  std::int64_t sent = 0;
  const std::string large(60'000, 'd');
  for (int frame = 0; frame < 1000; ++frame) {
    REQUIRE(dialogue.model().granted() >= say::cost(large.size()));
    dialogue.hears(say::data(1, large));
    sent += say::cost(large.size());
  }
  for (const auto& frame :
       {say::finish(1), say::close(1), say::reset(1), say::credit(1, 5000), say::finish_acknowledged(1)})
    dialogue.hears(frame);

  CHECK(sent > 3 * static_cast<std::int64_t>(Limits().trunk_memory_bytes_max));
  CHECK(dialogue.state() == "open");
  CHECK(dialogue.events() == "");
  CHECK(dialogue.machine().counters().frames_for_forgotten_circuits == 1005);
  CHECK(dialogue.machine().memory_bytes() == 0);
  CHECK(dialogue.machine().circuits_count() == 0);
}

TEST_CASE("circuit: data for a circuit that is over counts against the trunk's credit all the same (F14)") {
  Limits limits;
  limits.trunk_memory_bytes_max = 2 << 20;
  limits.fragment_bytes_max = 512 << 10;
  Joined dialogue(limits);
  dialogue.resets(1);

  const std::string large(60'000, 'd');
  std::string packet;
  for (int frame = 0; frame < 20; ++frame) packet += say::data(1, large);
  dialogue.hears(packet);

  // All of it in one packet, before any credit could have come back.
  CHECK((dialogue.state() == "flow control violated" || dialogue.state() == "open"));
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("circuit: an open with a used, skipped, foreign or zero number breaks the trunk (F15)") {
  for (const CircuitId id : {CircuitId{1}, CircuitId{5}, CircuitId{2}, CircuitId{4}, CircuitId{0}, ~CircuitId{0}}) {
    Joined dialogue;

    dialogue.hears(say::open(id));

    CAPTURE(id);
    CHECK(dialogue.state() == "protocol error");
    CHECK(contains(dialogue.end().text, std::to_string(id)));
    CHECK(contains(dialogue.end().text, "expected 3"));
  }
}

TEST_CASE("circuit: a number is not free again when its circuit is over (F15)") {
  Joined dialogue;
  dialogue.hears(say::reset(1));
  dialogue.releases(1);

  dialogue.hears(say::open(1));

  CHECK(dialogue.state() == "protocol error");
}

TEST_CASE("circuit: an open without peer ids of 16 bytes, or with an unknown mode, breaks the trunk (F15)") {
  std::vector<say::Open> opens(4);
  opens[0].from_peer = "short";
  opens[1].from_peer = "";
  opens[2].to_peer = "this is longer than sixteen bytes";
  opens[3].mode = 4;
  for (const say::Open& open : opens) {
    Introduced dialogue;

    dialogue.hears(say::open(1, open));

    CHECK(dialogue.state() == "protocol error");
  }
}

TEST_CASE("circuit: an open followed by more than the initial credit breaks the trunk, however it is cut (F16)") {
  const std::string body(65'536, 'b');
  std::string packet = say::open(1);
  for (int frame = 0; frame < 4; ++frame) packet += say::data(1, body); // 4 * (65536 + 256) > 262144

  for (const std::size_t piece : {packet.size(), std::size_t{1000}}) {
    Introduced dialogue;
    for (std::size_t at = 0; at < packet.size(); at += piece)
      dialogue.hears(std::string_view(packet).substr(at, piece));

    CHECK(dialogue.state() == "flow control violated");
    CAPTURE(dialogue.end().text);
    CHECK(contains(dialogue.end().text, "circuit 1"));
    CHECK(contains(dialogue.end().text, "65792"));
  }
}

TEST_CASE("circuit: exactly the initial credit may follow an open (F16)") {
  Introduced dialogue;
  std::string packet = say::open(1);
  for (int frame = 0; frame < 3; ++frame) packet += say::data(1, std::string(65'536, 'b'));
  packet += say::data(1, std::string(262'144 - 3 * 65'792 - 256, 'b'));

  dialogue.hears(packet);
  CHECK(dialogue.state() == "open");
  CHECK(dialogue.model().granted(1) == 0);
  dialogue.hears(say::data(1, ""));

  CHECK(dialogue.state() == "flow control violated");
}

TEST_CASE("circuit: of circuits that are over, as many as may be open are kept for services that hold on (F17)") {
  Limits limits;
  limits.circuits_max = 4;
  Introduced dialogue(limits);
  for (const CircuitId id : {1, 3, 5, 7}) {
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
    dialogue.hears(say::reset(id));
  }
  dialogue.says();

  dialogue.hears(say::open(9));
  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].to_string() == "REFUSE 9 reason 23");
  CHECK(contains(frames[0].fields.text(3), "4 circuits are over and services still hold on to them, circuits_max is 4"));
  dialogue.releases(3);
  dialogue.hears(say::open(11));

  CHECK(dialogue.says() == "");
  CHECK(contains(dialogue.events(), "opened 11"));
}

TEST_CASE("circuit: more than circuits_max at a time are refused, and the text says the limit (F17)") {
  Limits limits;
  limits.circuits_max = 3;
  Introduced dialogue(limits);
  for (const CircuitId id : {1, 3, 5}) {
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
  }
  dialogue.events();

  dialogue.hears(say::open(7) + say::data(7, "unread"));

  CHECK(dialogue.events() == "");
  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].to_string() == "REFUSE 7 reason 23");
  CHECK(contains(frames[0].fields.text(3), "circuits_max 3"));
  CHECK(dialogue.state() == "open");
}

TEST_CASE("circuit: who keeps circuits_max by what it can see is not refused for a service that holds on (F17)") {
  Limits limits;
  limits.circuits_max = 4;
  Introduced dialogue(limits);
  for (const CircuitId id : {1, 3, 5}) {
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
    dialogue.hears(say::reset(id));
  }
  dialogue.says();

  dialogue.hears(say::open(7) + say::open(9) + say::open(11) + say::open(13));

  CHECK(dialogue.says() == "");
  dialogue.hears(say::open(15)); // a fifth at a time
  CHECK(dialogue.says() == "REFUSE 15 reason 23");
}

TEST_CASE("circuit: opens that no service takes are refused beyond circuits_max, and served again after (F18)") {
  Limits limits;
  limits.circuits_max = 2;
  Introduced dialogue(limits);
  dialogue.hears(say::open(1) + say::open(3));

  dialogue.hears(say::open(5));
  CHECK(dialogue.says() == "REFUSE 5 reason 23");
  CHECK(dialogue.machine().counters().circuits_refused == 1);
  dialogue.hears(say::reset(3)); // over for the far side, whatever the service does
  dialogue.hears(say::open(7));

  CHECK(dialogue.says() == "");
  CHECK(dialogue.state() == "open");
}

TEST_CASE("circuit: the largest number is read, and refused because it is not the next (F19)") {
  // A side would have to open 2^63 circuits, one after the other, before it ran out of numbers.
  Introduced dialogue;

  dialogue.hears(say::open(~CircuitId{0}));

  CHECK(dialogue.state() == "protocol error");
  CHECK(contains(dialogue.end().text, "18446744073709551615"));
}

TEST_CASE("circuit: both sides open at the same moment and both circuits live (F20)") {
  MachinePair pair;
  TrunkCircuit* from_dialler =
      pair.dialler().machine().open(pair.request(pair.dialler()), Fragment(1, "from the dialler"), pair.now);
  TrunkCircuit* from_answerer =
      pair.answerer().machine().open(pair.request(pair.answerer()), Fragment(2, "from the answerer"), pair.now);

  pair.pump();

  CHECK(from_dialler->id == 1);
  CHECK(from_answerer->id == 2);
  REQUIRE(pair.dialler().opened_last());
  REQUIRE(pair.answerer().opened_last());
  CHECK(pair.dialler().opened_last()->id == 2);
  CHECK(pair.answerer().opened_last()->id == 1);
  CHECK(pair.dialler().machine().take(*pair.dialler().opened_last())->payload.text() == "from the answerer");
  CHECK(pair.answerer().machine().take(*pair.answerer().opened_last())->payload.text() == "from the dialler");
}

} // namespace
