// Opens that are cancelled: how many a service hears of, and what becomes of the others. Row F17; the clock stands still
// unless a test says otherwise.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

/// A far side that opens and cancels; each circuit that is handed out is taken by a service at once.
struct Cancelling : Introduced {
  explicit Cancelling(const Limits& limits = Limits()) : Introduced(limits) {}

  /// True when a service heard of it.
  bool opens_and_cancels(const say::Open& open = say::Open()) {
    const CircuitId id = next();
    hears(say::open(id, open));
    const bool taken = take_all() > 0;
    hears(say::reset(id));
    if (taken) releases(id);
    events();
    return taken;
  }
  /// Opens and cancels so many at once that half a second later it still owes for them. The next open has to wait.
  void exhaust() {
    const CircuitId first = next_;
    std::string opens;
    std::string resets;
    for (int open = 0; open < 1100; ++open) {
      opens += say::open(next_);
      resets += say::reset(next());
    }
    hears(opens);
    REQUIRE(take_all() == 1100);
    hears(resets);
    for (CircuitId id = first; id < next_; id += 2) releases(id);
    REQUIRE(opens_and_cancels()); // one goes through at once
    forget_before();
    says();
  }
  CircuitId next() { return std::exchange(next_, next_ + 2); }
  /// How many were handed out; all are taken.
  int take_all() {
    int taken = 0;
    for (CircuitId id = taken_; id < next_; id += 2)
      if (knows(id) && circuit(id).names->local == nullptr) {
        accepts(id);
        ++taken;
      }
    return taken;
  }
  void forget_before() { taken_ = next_; }

 private:
  CircuitId next_ = 1;
  CircuitId taken_ = 1;
};

TEST_CASE("circuit: opens and resets beyond cancelled_opens_per_second_max start no more services than that (F17)") {
  Cancelling dialogue;
  int started = 0;
  for (int second = 0; second < 20; ++second)
    for (int tenth = 0; tenth < 10; ++tenth) {
      for (int open = 0; open < 500; ++open) started += dialogue.opens_and_cancels();
      dialogue.forget_before();
      dialogue.passes(100ms);
    }

  CHECK(started >= 20 * 200);
  CHECK(started <= 5 * 200 + 21 * 200);
  CHECK(dialogue.state() == "open");
  CHECK(dialogue.machine().circuits_count() == 0);
  CHECK(dialogue.machine().counters().opens_cancelled == 100'000);
  CHECK(dialogue.machine().counters().opens_delayed >= 90'000);
  CHECK(dialogue.machine().counters().opens_waiting == 0);
}

TEST_CASE("circuit: opens and resets below cancelled_opens_per_second_max are all served, for ever (F17)") {
  Cancelling dialogue;
  for (int second = 0; second < 60; ++second) {
    for (int open = 0; open < 190; ++open) REQUIRE(dialogue.opens_and_cancels());
    dialogue.forget_before();
    dialogue.passes(1s);
  }

  CHECK(dialogue.machine().counters().opens_delayed == 0);
}

TEST_CASE("circuit: the last open of a far side that cancels all before it is served within milliseconds (F17)") {
  Cancelling dialogue;
  for (int open = 0; open < 20'000; ++open) {
    dialogue.opens_and_cancels();
    dialogue.forget_before();
    if (open % 5 == 0) dialogue.passes(1ms); // 5000 a second
  }
  const CircuitId last = dialogue.next();
  dialogue.hears(say::open(last) + say::data(last, "the whole query") + say::finish(last));

  dialogue.passes(5ms);

  CHECK(contains(dialogue.events(), "opened " + std::to_string(last)));
  CHECK(dialogue.takes(last) == "the whole query");
  CHECK(dialogue.circuit(last).finished_there());
}

TEST_CASE("circuit: an open that is answered before it is reset is not a cancelled one (F17)") {
  Cancelling dialogue;

  for (int open = 0; open < 5000; ++open) {
    const CircuitId id = dialogue.next();
    dialogue.hears(say::open(id) + say::data(id, "ask"));
    REQUIRE(dialogue.take_all() == 1);
    dialogue.forget_before();
    dialogue.sends(id, Fragment(1, "answer"));
    dialogue.hears(say::reset(id, 3));
    dialogue.releases(id);
    dialogue.says();
  }

  CHECK(dialogue.machine().counters().opens_cancelled == 0);
  CHECK(dialogue.machine().counters().opens_delayed == 0);
}

TEST_CASE("circuit: an open that is reset before a service takes it costs no start and delays no other (F17)") {
  Introduced dialogue;
  CircuitId id = 1;

  for (; id < 10'000; id += 2) {
    dialogue.hears(say::open(id) + say::data(id, "x") + say::reset(id));
    REQUIRE(dialogue.circuit(id).cancelled);
    dialogue.releases(id);
  }

  CHECK(dialogue.machine().counters().opens_cancelled == 5000);
  CHECK(dialogue.machine().counters().opens_delayed == 0);
}

TEST_CASE("circuit: an open that our side resets because of what follows it counts as a reset one (F17)") {
  Cancelling dialogue;
  int started = 0;
  for (int open = 0; open < 5000; ++open) {
    const CircuitId id = dialogue.next();
    dialogue.hears(say::open(id) + say::data(id, "a") + say::finish(id));
    const int taken = dialogue.take_all();
    started += taken;
    dialogue.forget_before();
    dialogue.hears(say::data(id, "b"));
    if (taken > 0) dialogue.releases(id);
  }

  CHECK(started <= 1001);
  CHECK(dialogue.machine().counters().opens_cancelled == 5000);
  CHECK(dialogue.machine().counters().opens_waiting == 0);
  CHECK(dialogue.state() == "open");
}

TEST_CASE("circuit: opens that wait go in turns between the peers that opened them, in order for each (F17)") {
  Cancelling dialogue;
  dialogue.exhaust();
  dialogue.events();
  say::Open other;
  other.from_peer = "another-far-peer";
  std::string opens;
  std::vector<CircuitId> ids;
  for (int open = 0; open < 100; ++open) ids.push_back(dialogue.next()), opens += say::open(ids.back());
  for (int open = 0; open < 2; ++open) ids.push_back(dialogue.next()), opens += say::open(ids.back(), other);

  dialogue.hears(opens);
  dialogue.passes(26ms); // one each 5 ms

  const auto opened = [&](std::size_t at) { return "opened " + std::to_string(ids[at]); };
  CHECK(dialogue.events() ==
        opened(0) + "; " + opened(100) + "; " + opened(1) + "; " + opened(101) + "; " + opened(2));
}

TEST_CASE("circuit: circuits that are answered let others of the same far side through (F17)") {
  Cancelling dialogue;
  dialogue.exhaust();
  std::string opens;
  for (int open = 0; open < 1000; ++open) opens += say::open(dialogue.next());
  const Instant begin = dialogue.now;
  dialogue.hears(opens);

  int served = 0;
  while (served < 1000 && dialogue.now - begin < 5s) {
    for (CircuitId id = 1; id < 2 * 3001; id += 2) // served in the order in which they are handed out
      if (dialogue.knows(id) && dialogue.circuit(id).names->local == nullptr) {
        dialogue.accepts(id);
        dialogue.sends(id, Fragment(1, "answer"));
        dialogue.hears(say::reset(id, 3));
        dialogue.releases(id);
        ++served;
      }
    dialogue.passes(1ms);
  }

  CHECK(served == 1000);
  CHECK(dialogue.now - begin < 1500ms); // at 200 a second alone, it would be five seconds
}

TEST_CASE("circuit: an open that waits is handed out when its opener closes it: everything has arrived (F17)") {
  Cancelling dialogue;
  dialogue.exhaust();
  const CircuitId before = dialogue.next();
  const CircuitId id = dialogue.next();
  dialogue.hears(say::open(before));
  dialogue.events();

  dialogue.hears(say::open(id) + say::data(id, "fire and forget"));
  CHECK(dialogue.events() == "");
  dialogue.hears(say::close(id));

  CHECK(contains(dialogue.events(), "opened " + std::to_string(id)));
  CHECK(dialogue.takes(id) == "fire and forget");
}

TEST_CASE("circuit: opens that wait end with their trunk, and nobody hears of them (F17)") {
  Cancelling dialogue;
  dialogue.exhaust();
  dialogue.hears(say::open(dialogue.next()));
  dialogue.events();
  const CircuitId id = dialogue.next();
  dialogue.hears(say::open(id) + say::data(id, std::string(1000, 'x')));
  REQUIRE(dialogue.machine().counters().opens_waiting >= 1);

  dialogue.loses();

  CHECK_FALSE(contains(dialogue.events(), std::to_string(id)));
  CHECK(dialogue.machine().counters().opens_waiting == 0);
  CHECK(dialogue.machine().memory_bytes() == 0);
}

} // namespace
