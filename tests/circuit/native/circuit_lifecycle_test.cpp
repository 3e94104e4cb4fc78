// How circuits end, in every order in which two sides can say so. Most tests are one machine with the test as the far
// side; the crossings are two machines, joined.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/circuit/machine_pair.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

// --- endings, one side

TEST_CASE("circuit: a finish comes after all data, and its acknowledgement after all of it was taken") {
  Joined dialogue;
  dialogue.hears(say::data(1, "one") + say::data(1, "two") + say::finish(1));

  CHECK(dialogue.circuit(1).finished_there());
  CHECK(dialogue.takes_one(1)->payload.text() == "one");
  CHECK(dialogue.says() == "");
  CHECK(dialogue.takes_one(1)->payload.text() == "two");

  CHECK(dialogue.says() == "FINISH_ACKNOWLEDGED 1");
  CHECK_FALSE(dialogue.circuit(1).ended);
  CHECK(dialogue.sends(1, Fragment(1, "a reply")) == SendOutcome::queued);
  CHECK(dialogue.says() == "DATA 1 op 1 \"a reply\"");
}

TEST_CASE("circuit: an error that is not taken does not hold back the acknowledgement of a finish, and stays") {
  Joined dialogue;
  say::Said failed;
  failed.err = "it failed";
  dialogue.hears(say::data(1, "", failed) + say::finish(1));
  CHECK(dialogue.says() == "FINISH_ACKNOWLEDGED 1");

  const auto fragment = dialogue.machine().take_error(dialogue.circuit(1));
  dialogue.settle();

  REQUIRE(fragment.has_value());
  CHECK(fragment->err == "it failed");
  CHECK(dialogue.says() == "");
}

TEST_CASE("circuit: a finish of nothing is acknowledged at once") {
  Joined dialogue;

  dialogue.hears(say::finish(1));

  CHECK(dialogue.says() == "FINISH_ACKNOWLEDGED 1");
  CHECK(contains(dialogue.events(), "readable 1"));
}

TEST_CASE("circuit: our finish is acknowledged once, when the far side says so") {
  Joined dialogue;
  dialogue.sends(1, Fragment(1, "all"));
  dialogue.finishes(1);
  CHECK(dialogue.says() == "DATA 1 op 1 \"all\"; FINISH 1");
  CHECK_FALSE(dialogue.circuit(1).finish_acknowledged());

  dialogue.hears(say::finish_acknowledged(1));

  CHECK(dialogue.events() == "finished 1");
  CHECK(dialogue.circuit(1).finish_acknowledged());
  dialogue.hears(say::finish_acknowledged(1));
  CHECK(dialogue.state() == "protocol error");
}

TEST_CASE("circuit: an acknowledgement of what was not said breaks the trunk") {
  Joined finish;
  finish.hears(say::finish_acknowledged(1));
  CHECK(finish.state() == "protocol error");

  Joined close;
  close.hears(say::close_received(1));
  CHECK(close.state() == "protocol error");
}

TEST_CASE("circuit: both finishes acknowledged end the circuit cleanly, whoever was first") {
  for (const bool we_first : {true, false}) {
    Joined dialogue;
    if (we_first) dialogue.finishes(1);
    dialogue.hears(say::finish(1));
    if (!we_first) dialogue.finishes(1);
    CHECK_FALSE(dialogue.circuit(1).ended);

    dialogue.hears(say::finish_acknowledged(1));

    CHECK(contains(dialogue.events(), "ended 1: clean"));
    CHECK(dialogue.circuit(1).ended);
    CHECK_FALSE(dialogue.circuit(1).end);
    dialogue.releases(1);
    CHECK(dialogue.machine().circuits_count() == 0);
  }
}

TEST_CASE("circuit: after finish a send is closed, and a second finish says nothing") {
  Joined dialogue;
  dialogue.finishes(1);
  dialogue.says();

  dialogue.finishes(1);

  CHECK(dialogue.sends(1, Fragment(1)) == SendOutcome::closed);
  CHECK(dialogue.says() == "");
  CHECK(dialogue.machine().credit_bytes(dialogue.circuit(1)) == 0);
}

TEST_CASE("circuit: data after a finish resets the circuit as a violation, and the trunk lives (F22)") {
  Joined dialogue;
  dialogue.hears(say::data(1, "before") + say::finish(1) + say::data(1, "after"));

  CHECK(contains(dialogue.says(), "RESET 1 reason 10"));
  CHECK(phrase(dialogue.circuit(1).end.get()) == "protocol violation on circuit");
  CHECK(dialogue.state() == "open");
  dialogue.releases(1);
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("circuit: a second finish resets the circuit as a violation (F22)") {
  Joined dialogue;

  dialogue.hears(say::finish(1) + say::finish(1));

  CHECK(contains(dialogue.says(), "RESET 1 reason 10"));
  CHECK(dialogue.state() == "open");
}

TEST_CASE("circuit: data after a close is for a circuit that is over: dropped, counted, credited (F22)") {
  Joined dialogue;
  dialogue.hears(say::close(1) + say::data(1, "after"));

  CHECK(dialogue.says() == "CLOSE_RECEIVED 1");
  CHECK(dialogue.takes(1) == "");
  CHECK(dialogue.machine().counters().frames_for_forgotten_circuits == 1);
  CHECK(dialogue.machine().memory_bytes() == 0);
  CHECK(dialogue.state() == "open");
}

TEST_CASE("circuit: a close arrives after the data before it, with its reason") {
  Joined dialogue;

  dialogue.hears(say::data(1, "before") + say::close(1, 9, "it threw"));

  CHECK(dialogue.events() == "readable 1; ended 1: handler failed");
  CHECK(dialogue.says() == "CLOSE_RECEIVED 1");
  CHECK(dialogue.circuit(1).end->text == "it threw");
  CHECK(dialogue.takes(1) == "before");
  CHECK(dialogue.sends(1, Fragment(1)) == SendOutcome::closed);
}

TEST_CASE("circuit: a close for no reason ends the far side cleanly") {
  Joined dialogue;

  dialogue.hears(say::close(1));

  CHECK(contains(dialogue.events(), "ended 1: clean"));
  CHECK_FALSE(dialogue.circuit(1).end);
  CHECK(dialogue.circuit(1).finished_there());
}

TEST_CASE("circuit: our close ends here when the far side has received it, and drops what still comes") {
  Joined dialogue;
  dialogue.sends(1, Fragment(1, "last words"));
  dialogue.closes(1, End(error::handler_failed, "because"));
  CHECK(dialogue.says() == "DATA 1 op 1 \"last words\"; CLOSE 1 reason 9");
  CHECK_FALSE(dialogue.circuit(1).ended);

  dialogue.hears(say::data(1, "crossed") + say::close_received(1));

  CHECK(dialogue.takes(1) == "");
  CHECK(contains(dialogue.events(), "ended 1: handler failed"));
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("circuit: a close after a finish and a finish after a close are what close alone is") {
  Joined finish_first;
  finish_first.finishes(1);
  finish_first.closes(1);
  CHECK(finish_first.says() == "FINISH 1; CLOSE 1");
  finish_first.hears(say::close_received(1));
  CHECK(contains(finish_first.events(), "ended 1: clean"));

  Joined close_first;
  close_first.closes(1);
  close_first.finishes(1);
  close_first.closes(1);
  CHECK(close_first.says() == "CLOSE 1");
}

TEST_CASE("circuit: two closes that cross are each the other's answer (F21)") {
  Joined dialogue;
  dialogue.closes(1);
  CHECK(dialogue.says() == "CLOSE 1");

  dialogue.hears(say::close(1));

  CHECK(contains(dialogue.events(), "ended 1: clean"));
  CHECK(dialogue.says() == "");
  CHECK_FALSE(dialogue.circuit(1).end);
}

TEST_CASE("circuit: both sides close at the same moment and both see a clean end, with no other answer (F21)") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  std::string answers;
  for (auto& side : pair.sides)
    side.watch = [&answers](const say::Frame& frame) {
      if (frame.type >= say::FINISH && frame.type <= say::RESET) join(answers, frame.to_string());
    };

  pair.dialler().machine().close(*here, End());
  pair.answerer().machine().close(*there, End());
  pair.pump();

  CHECK(answers == "CLOSE 1; CLOSE 1");
  CHECK((here->ended && !here->end));
  CHECK((there->ended && !there->end));
}

TEST_CASE("circuit: a reset that crosses data drops the data and returns its credit to the trunk (F23)") {
  Joined dialogue;
  dialogue.resets(1, End(error::circuit_reset, "enough"));
  CHECK(dialogue.says() == "RESET 1 reason 2");

  for (int frame = 0; frame < 40; ++frame) dialogue.hears(say::data(1, std::string(60'000, 'd')));

  CHECK(dialogue.machine().memory_bytes() == 0);
  CHECK(dialogue.state() == "open");
  CHECK(contains(dialogue.says(), "CREDIT trunk"));
}

TEST_CASE("circuit: a reset leaves what had arrived before it to be taken (F23)") {
  Joined dialogue;
  dialogue.hears(say::data(1, "arrived") + say::first_of_more(1, 100, "half") + say::reset(1, 9, "gone"));

  CHECK(dialogue.events() == "readable 1; ended 1: handler failed");
  CHECK(dialogue.circuit(1).end->text == "gone");
  CHECK(dialogue.takes(1) == "arrived");
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("circuit: a reset in the middle of a frame that is being read skips the rest of the frame (F23)") {
  Joined dialogue;
  const std::string frame = say::data(1, std::string(1000, 'd'));
  dialogue.hears(frame.substr(0, 500));

  dialogue.resets(1);
  dialogue.hears(frame.substr(500) + say::open(3) + say::data(3, "in step"));

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.takes(3) == "in step");
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("circuit: a release in the middle of a chunk that is being read skips the rest of it (F23)") {
  Joined dialogue;
  const std::string first = say::first_of_more(1, 3000, std::string(1000, 'd'));
  dialogue.hears(first.substr(0, 700));

  dialogue.releases(1);
  dialogue.hears(first.substr(700) + say::continues(1, std::string(1000, 'd')) +
                 say::continues_last(1, std::string(1000, 'd')));
  dialogue.hears(say::open(3) + say::data(3, "in step"));

  CHECK(dialogue.takes(3) == "in step");
  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("circuit: a reset overtakes data that is still queued here, which is then never said (F23)") {
  Joined dialogue;
  dialogue.clogged = true;
  for (int fragment = 0; fragment < 40; ++fragment) dialogue.sends(1, Fragment(1, Payload(std::string(65'536, 'q'))));
  Output output;
  dialogue.machine().collect_output(output, 100'000, dialogue.now);  // some of it is on its way

  dialogue.resets(1);
  output.clear();
  dialogue.machine().written(dialogue.now);
  dialogue.machine().collect_output(output, 1 << 20, dialogue.now);

  CHECK(output.bytes < 1000);
}

TEST_CASE("circuit: a reader that takes nothing stops only its own circuit (F25)") {
  MachinePair pair;
  auto [stuck_here, stuck_there] = pair.join(pair.dialler());
  auto [live_here, live_there] = pair.join(pair.dialler());
  Fragment fragment(1, Payload(std::string(10'000, 's')));
  while (true) {
    Fragment next = fragment;
    if (pair.dialler().machine().send(*stuck_here, next) != SendOutcome::queued) break;
  }
  pair.pump();

  std::size_t bytes = 0;
  for (int round = 0; round < 2000; ++round) {
    Fragment next = fragment;
    REQUIRE(pair.dialler().machine().send(*live_here, next) == SendOutcome::queued);
    pair.pump();
    const auto taken = pair.answerer().machine().take(*live_there);
    REQUIRE(taken.has_value());
    bytes += taken->payload.size();
  }

  CHECK(bytes == 20'000'000);
  CHECK(pair.answerer().machine().memory_bytes() <= static_cast<std::size_t>(say::circuit_window));
  Fragment next = fragment;
  CHECK(pair.dialler().machine().send(*stuck_here, next) == SendOutcome::no_credit);
}

TEST_CASE(
    "circuit: a service name of any bytes is passed on, one beyond name_bytes_max is refused with a short echo (F27)") {
  Introduced dialogue;
  say::Open odd;
  odd.to_service = "\xFF<script>\n";
  say::Open huge;
  huge.to_service = std::string(7000, 'n');
  dialogue.hears(say::open(1, odd));
  CHECK(dialogue.open_of(1).to_service == odd.to_service);
  dialogue.events();

  dialogue.hears(say::open(3, huge));

  CHECK(dialogue.events() == "");
  const auto frames = dialogue.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].to_string() == "REFUSE 3 reason 20");
  CHECK(frames[0].fields.text(3).size() <= 256);
  CHECK(contains(frames[0].fields.text(3), "name_bytes_max"));
  CHECK(dialogue.state() == "open");
}

TEST_CASE("circuit: a circuit name or user string beyond its limit is refused, and the trunk lives (F27)") {
  std::vector<say::Open> opens(3);
  opens[0].name = std::string(129, 'n');
  opens[1].user_string = std::string(1025, 'u');
  opens[2].from_service = std::string(129, 's');
  for (const say::Open& open : opens) {
    Introduced dialogue;

    dialogue.hears(say::open(1, open));

    CHECK(dialogue.says().starts_with("REFUSE 1 "));
    CHECK(dialogue.events() == "");
    CHECK(dialogue.state() == "open");
  }
}

TEST_CASE("circuit: names at their limits pass (F27)") {
  Introduced dialogue;
  say::Open open;
  open.name = std::string(128, 'n');
  open.user_string = std::string(1024, 'u');
  open.from_service = std::string(128, 's');
  open.to_service = std::string(128, 't');

  dialogue.hears(say::open(1, open));

  CHECK(dialogue.events() == "opened 1");
}

// --- the handle

TEST_CASE("circuit: a handle dropped before finish or close resets as abandoned") {
  Joined dialogue;
  dialogue.sends(1, Fragment(1, "half a stream"));
  dialogue.says();

  dialogue.releases(1);

  CHECK(dialogue.says() == "RESET 1 reason 3");
  CHECK(dialogue.machine().circuits_count() == 0);
}

TEST_CASE("circuit: a handle dropped after finish closes behind its data") {
  Joined dialogue;
  dialogue.sends(1, Fragment(1, "a whole stream"));
  dialogue.finishes(1);

  dialogue.releases(1);

  CHECK(dialogue.says() == "DATA 1 op 1 \"a whole stream\"; FINISH 1; CLOSE 1");
  dialogue.hears(say::data(1, "late") + say::close_received(1));
  CHECK(dialogue.machine().circuits_count() == 0);
  CHECK(dialogue.events() == "");
  CHECK(dialogue.state() == "open");
}

TEST_CASE("circuit: a handle dropped after close lets the queued data go out first") {
  Joined dialogue;
  dialogue.clogged = true;
  for (int fragment = 0; fragment < 3; ++fragment)
    dialogue.sends(1, Fragment(fragment, Payload(std::string(80'000, 'q'))));
  dialogue.closes(1);

  dialogue.releases(1);
  dialogue.clogged = false;
  dialogue.settle();

  const std::string said = dialogue.says();
  CHECK(contains(said, "DATA 1 op 2 of 80000 65536 bytes; DATA 1 last 14464 bytes; CLOSE 1"));
}

TEST_CASE("circuit: a handle dropped with unread fragments gives their memory and credit back") {
  Joined dialogue;
  dialogue.hears(say::data(1, std::string(60'000, 'u')) + say::data(1, std::string(60'000, 'u')));
  REQUIRE(dialogue.machine().memory_bytes() > 120'000);

  dialogue.releases(1);

  CHECK(dialogue.machine().memory_bytes() == 0);
}

TEST_CASE("circuit: nothing is told about a circuit whose handle is gone") {
  Joined dialogue;
  dialogue.machine().feed(as_bytes(say::data(1, "x") + say::finish(1)), dialogue.now);  // events wait in the machine

  dialogue.releases(1);

  const std::string events = dialogue.events();
  CAPTURE(events);
  CHECK(dialogue.machine().circuits_count() == 0);
}

TEST_CASE("circuit: an open after the trunk is over is a circuit that has ended with the reason") {
  Introduced dialogue;
  dialogue.hears(say::frame(0x7F));
  REQUIRE(dialogue.closed());

  TrunkCircuit* circuit = dialogue.machine().open(open_request(), Fragment(1, "late"), dialogue.now);

  REQUIRE(circuit);
  CHECK(circuit->ended);
  CHECK(phrase(circuit->end.get()) == "trunk lost");
  Fragment fragment(1);
  CHECK(dialogue.machine().send(*circuit, fragment) == SendOutcome::closed);
  dialogue.machine().release(*circuit);
}

TEST_CASE("circuit: a fragment with err arrives on errors only and keeps its place in the count") {
  Joined dialogue;
  say::Said failed;
  failed.op = 5;
  failed.err = "no such file";
  failed.subject = "a.txt";

  dialogue.hears(say::data(1, "one") + say::data(1, "detail", failed) + say::data(1, "three"));

  CHECK(dialogue.events() == "readable 1; error_readable 1");
  CHECK(dialogue.takes_one(1)->serial() == 1);
  CHECK(dialogue.takes_one(1)->serial() == 3);
  const auto failure = dialogue.machine().take_error(dialogue.circuit(1));
  REQUIRE(failure.has_value());
  CHECK(failure->serial() == 2);
  CHECK(failure->err == "no such file");
  CHECK(failure->subject == "a.txt");
  CHECK(failure->payload.text() == "detail");
  CHECK(failure->type() == FragmentType::error);
  CHECK_FALSE(dialogue.circuit(1).ended);
}

TEST_CASE("circuit: fragments and bytes are counted both ways") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler(), Fragment(1, "12345"));
  Fragment large(2, Payload(std::string(100'000, 'l')));
  REQUIRE(pair.dialler().machine().send(*here, large) == SendOutcome::queued);
  Fragment reply(3, "678");
  REQUIRE(pair.answerer().machine().send(*there, reply) == SendOutcome::queued);

  pair.pump();

  CHECK(here->counters.fragments_sent == 2);
  CHECK(here->counters.bytes_sent == 100'005);
  CHECK(here->counters.fragments_received == 1);
  CHECK(here->counters.bytes_received == 3);
  CHECK(there->counters.fragments_sent == 1);
  CHECK(there->counters.bytes_sent == 3);
  CHECK(there->counters.fragments_received == 2);
  CHECK(there->counters.bytes_received == 100'005);
}

TEST_CASE("circuit: a far end's reason of a later version is kept as a number") {
  Joined dialogue;

  dialogue.hears(say::reset(1, 777, "from the future"));

  REQUIRE(dialogue.circuit(1).end);
  CHECK(dialogue.circuit(1).end->code.value() == 777);
  CHECK(dialogue.circuit(1).end->text == "from the future");
}

TEST_CASE("circuit: a far end's reason that is beyond all numbers is unknown, and never a clean end") {
  for (const unsigned reason : {65'535u, 65'536u, 65'537u, 0xffff'ffffu}) {
    CAPTURE(reason);
    Joined reset;
    reset.hears(say::reset(1, reason, "from far beyond"));
    REQUIRE(reset.circuit(1).end);
    CHECK(reset.circuit(1).end->code.value() == 65'535);

    Joined goodbye;
    goodbye.hears(say::goodbye(reason, "from far beyond"));
    REQUIRE(goodbye.closed());
    CHECK(goodbye.end().code.value() == 65'535);
  }
}

TEST_CASE("circuit: a text that explains an end is cut to reason_bytes_max on its way out") {
  const std::string text(10'000, 't');

  Joined close;
  close.closes(1, End(error::handler_failed, text));
  CHECK(close.frames().at(0).fields.text(3).size() == 256);

  Joined reset;
  reset.resets(1, End(error::handler_failed, text));
  CHECK(reset.frames().at(0).fields.text(3).size() == 256);

  Introduced refuse;
  refuse.hears(say::open(1));
  refuse.refuses(1, error::no_service, text, text);
  CHECK(refuse.frames().at(0).fields.text(3).size() == 256);
}

TEST_CASE("circuit: a text that explains an end is cut to reason_bytes_max on its way in") {
  Joined close;
  close.hears(say::close(1, 9, std::string(8000, 't')));
  CHECK(close.circuit(1).end->text.size() <= 256);

  Joined reset;
  reset.hears(say::reset(1, 9, std::string(8000, 't')));
  CHECK(reset.circuit(1).end->text.size() <= 256);

  Introduced refuse;
  refuse.opens();
  refuse.hears(say::refuse(2, 20, std::string(8000, 't')));
  CHECK(refuse.circuit(2).end->text.size() <= 256);
}

// --- crossings of two machines: every pair of things that both sides can do at the same moment

enum class Act { nothing, send, finish, close, close_with_reason, reset, release };
constexpr Act acts[] = {Act::nothing,           Act::send,  Act::finish, Act::close,
                        Act::close_with_reason, Act::reset, Act::release};

struct HalfInHand {
  TrunkCircuit* circuit;
  bool released = false;
};

void act(MachinePair::Side& side, HalfInHand& half, Act what) {
  Fragment fragment(1, Payload(std::string(70'000, 'x')));
  switch (what) {
    case Act::nothing: return;
    case Act::send: side.machine().send(*half.circuit, fragment); return;
    case Act::finish: side.machine().finish(*half.circuit); return;
    case Act::close: side.machine().close(*half.circuit, End()); return;
    case Act::close_with_reason: side.machine().close(*half.circuit, End(error::handler_failed, "why")); return;
    case Act::reset: side.machine().reset(*half.circuit, End(error::circuit_reset, "why")); return;
    case Act::release:
      side.machine().release(*half.circuit);
      half.released = true;
      return;
  }
}

bool ends(Act what) {
  return what == Act::close || what == Act::close_with_reason || what == Act::reset || what == Act::release;
}

TEST_CASE("circuit: any two things that both sides do, crossing or not, end alike on both and leave nothing behind") {
  int combinations = 0;
  for (const Act first : acts) {
    for (const Act second : acts) {
      for (const Act third : acts) {
        for (const bool crossing : {true, false}) {
          CAPTURE(static_cast<int>(first));
          CAPTURE(static_cast<int>(second));
          CAPTURE(static_cast<int>(third));
          CAPTURE(crossing);
          MachinePair pair;
          auto [here, there] = pair.join(pair.dialler(), Fragment(1, "first"));
          HalfInHand one{here};
          HalfInHand two{there};

          act(pair.dialler(), one, first);
          if (!one.released) act(pair.dialler(), one, third);
          if (!crossing) pair.pump();
          act(pair.answerer(), two, second);
          pair.pump();
          // Whoever still has it takes everything and finishes.
          for (int round = 0; round < 3; ++round) {
            for (int side : {0, 1}) {
              HalfInHand& half = side == 0 ? one : two;
              if (half.released) continue;
              while (pair.sides[side].machine().take(*half.circuit)) {}
              pair.sides[side].machine().finish(*half.circuit);
            }
            pair.pump();
          }

          REQUIRE_FALSE(pair.dialler().closed());
          REQUIRE_FALSE(pair.answerer().closed());
          if (!one.released) REQUIRE(one.circuit->ended);
          if (!two.released) REQUIRE(two.circuit->ended);
          const bool anybody_ended = ends(first) || ends(second) || ends(third);
          if (!anybody_ended) {
            REQUIRE_FALSE(one.circuit->end);
            REQUIRE_FALSE(two.circuit->end);
            REQUIRE(one.circuit->finish_acknowledged());
            REQUIRE(two.circuit->finish_acknowledged());
          }
          if (!one.released) pair.dialler().machine().release(*one.circuit);
          if (!two.released) pair.answerer().machine().release(*two.circuit);
          pair.pump();
          for (auto& side : pair.sides) {
            REQUIRE(side.machine().circuits_count() == 0);
            REQUIRE(side.machine().memory_bytes() == 0);
          }
          ++combinations;
        }
      }
    }
  }
  CHECK(combinations == 7 * 7 * 7 * 2);
}

TEST_CASE("circuit: a refusal that crosses data, a finish, a close or a reset ends it on both sides") {
  for (const Act what : acts) {
    CAPTURE(static_cast<int>(what));
    MachinePair pair;
    HalfInHand half{pair.dialler().machine().open(pair.request(pair.dialler()), Fragment(1, "first"), pair.now)};
    pair.pump();

    pair.answerer().machine().refuse(*pair.answerer().opened_last(), error::access_denied, "not you", {});
    act(pair.dialler(), half, what);
    pair.pump();

    if (!half.released) {
      CHECK(half.circuit->ended);
      CHECK(half.circuit->end);
      pair.dialler().machine().release(*half.circuit);
    }
    for (auto& side : pair.sides) {
      CHECK_FALSE(side.closed());
      CHECK(side.machine().circuits_count() == 0);
      CHECK(side.machine().memory_bytes() == 0);
    }
  }
}

TEST_CASE("circuit: everything sent before a close with a reason arrives before the reason") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  for (int fragment = 0; fragment < 20; ++fragment) {
    Fragment next(fragment, Payload(std::string(10'000, 'x')));
    REQUIRE(pair.dialler().machine().send(*here, next) == SendOutcome::queued);
  }

  pair.dialler().machine().close(*here, End(error::stalled, "slow"));
  pair.pump(777);

  for (int fragment = 0; fragment < 20; ++fragment) {
    const auto taken = pair.answerer().machine().take(*there);
    REQUIRE(taken.has_value());
    CHECK(taken->op == fragment);
  }
  CHECK(phrase(there->end.get()) == "stalled");
}

TEST_CASE("circuit: a close waits for the credit of what was sent before it") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  std::size_t sent = 0;
  for (Fragment next(1, Payload(std::string(60'000, 'x')));
       pair.dialler().machine().send(*here, next) == SendOutcome::queued; ++sent)
    next = Fragment(1, Payload(std::string(60'000, 'x')));
  REQUIRE(sent * 60'256 > 262'144);  // the last one was taken, and is not covered
  pair.dialler().machine().close(*here, End());
  pair.pump();
  const bool early = there->ended;

  std::size_t taken = 0;
  for (int round = 0; round < 100; ++round) {
    while (pair.answerer().machine().take(*there)) ++taken;
    pair.pump();
  }

  CHECK_FALSE(early);
  CHECK(taken == sent);
  CHECK(there->ended);
  CHECK(here->ended);
}

} // namespace
