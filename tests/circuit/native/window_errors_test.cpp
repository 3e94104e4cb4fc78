// Error fragments that nobody takes have a bound of their own, and hold up neither the answers nor the end.
#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("errors: a caller that takes answers only gets all of them, and the latest errors stay") {
  MachinePair pair;
  auto [caller, service] = pair.join(pair.dialler());
  int answers = 0;
  for (int line = 0; line < 5000; ++line) {
    Fragment failed = Fragment::error("that was not a number");
    failed.part = line;
    Fragment fine(1, "fine");
    REQUIRE(pair.answerer().machine().send(*service, failed) == SendOutcome::queued);
    REQUIRE(pair.answerer().machine().send(*service, fine) == SendOutcome::queued);
    pair.pump();
    answers += pair.dialler().machine().take(*caller).has_value();
  }

  CHECK(answers == 5000);
  CHECK(pair.dialler().machine().memory_bytes() <= Limits().errors_unread_bytes_max);
  const std::uint64_t dropped = caller->counters.errors_dropped;
  CHECK(dropped > 4000);
  CHECK(pair.dialler().machine().counters().errors_dropped == dropped);
  std::int64_t next = static_cast<std::int64_t>(dropped);
  while (const auto failed = pair.dialler().machine().take_error(*caller)) CHECK(failed->part == next++);
  CHECK(next == 5000);
}

TEST_CASE("errors: one that is larger than the bound is kept until the next one comes") {
  MachinePair pair;
  auto [caller, service] = pair.join(pair.dialler());
  Fragment large = Fragment::error("see below");
  large.payload = Payload(std::string(1 * mib, 'x'));
  REQUIRE(pair.answerer().machine().send(*service, large) == SendOutcome::queued);
  pair.pump();
  REQUIRE(caller->counters.errors_dropped == 0);

  Fragment small = Fragment::error("another");
  REQUIRE(pair.answerer().machine().send(*service, small) == SendOutcome::queued);
  pair.pump();

  CHECK(caller->counters.errors_dropped == 1);
  const auto kept = pair.dialler().machine().take_error(*caller);
  REQUIRE(kept);
  CHECK(kept->err == "another");
  CHECK(pair.dialler().machine().memory_bytes() == 0);
}

TEST_CASE(
    "errors: a circuit of which both sides have finished ends though nobody took the errors, which stay readable") {
  MachinePair pair;
  auto [caller, service] = pair.join(pair.dialler());
  Fragment failed = Fragment::error("that was not a number");
  REQUIRE(pair.answerer().machine().send(*service, failed) == SendOutcome::queued);
  pair.answerer().machine().finish(*service);
  pair.dialler().machine().finish(*caller);
  pair.pump();

  CHECK(caller->ended);
  CHECK(service->ended);
  CHECK_FALSE(service->end);
  const auto kept = pair.dialler().machine().take_error(*caller);
  REQUIRE(kept);
  CHECK(kept->err == "that was not a number");
}

TEST_CASE("errors: answers wait for their reader as before, and an end still waits for them") {
  MachinePair pair;
  auto [caller, service] = pair.join(pair.dialler());
  Fragment fine(1, "fine");
  REQUIRE(pair.answerer().machine().send(*service, fine) == SendOutcome::queued);
  pair.answerer().machine().finish(*service);
  pair.pump();

  CHECK_FALSE(service->finish_acknowledged());
  REQUIRE(pair.dialler().machine().take(*caller));
  pair.pump();

  CHECK(service->finish_acknowledged());
}

TEST_CASE("errors: what lies unread of them takes nothing of its circuit's share") {
  MachinePair pair;
  auto [caller, service] = pair.join(pair.dialler());
  for (int paused = 0; paused < 60; ++paused) { // whoever reads these has paused
    auto [here, there] = pair.join(pair.dialler());
    Fragment unread(1, Payload(std::string(60'000, 'x')));
    while (pair.answerer().machine().send(*there, unread) == SendOutcome::queued)
      unread = Fragment(1, Payload(std::string(60'000, 'x')));
    pair.pump();
  }

  for (int line = 0; line < 500; ++line) {
    CAPTURE(line);
    Fragment failed = Fragment::error("that was not a number");
    Fragment fine(1, "fine");
    REQUIRE(pair.answerer().machine().send(*service, failed) == SendOutcome::queued);
    REQUIRE(pair.answerer().machine().send(*service, fine) == SendOutcome::queued);
    pair.pump();
    REQUIRE(pair.dialler().machine().take(*caller));
  }
  CHECK(caller->counters.errors_dropped < 500);
}

TEST_CASE("errors: those of any number of circuits that nobody reads errors from leave the trunk's credit to others") {
  MachinePair pair;
  for (int i = 0; i < 300; ++i) {
    auto [caller, service] = pair.join(pair.dialler());
    for (int line = 0; line < 100; ++line) {
      Fragment failed = Fragment::error("that was not a number");
      REQUIRE(pair.answerer().machine().send(*service, failed) == SendOutcome::queued);
      pair.pump();
    }
    CHECK(caller->counters.errors_dropped < 100); // it keeps some, the latest
  }

  CHECK(pair.dialler().machine().memory_bytes() <= Limits().trunk_memory_bytes_max / 16 + 300 * 512);
  auto [caller, service] = pair.join(pair.dialler());
  Fragment fine(1, Payload(std::string(200'000, 'x')));
  REQUIRE(pair.answerer().machine().send(*service, fine) == SendOutcome::queued);
  pair.pump();
  CHECK(pair.dialler().machine().take(*caller));
}

} // namespace
