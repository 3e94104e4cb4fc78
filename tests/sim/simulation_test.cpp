// The simulation as a test: whole nodes, faults, checkers. First that a seed is one run and no other; then that each
// checker would notice, with a bug planted between the nodes and their network, or by telling it a story.
#include "tests/sim/simulation.hpp"

#include "tests/sim/contents.hpp"
#include "tests/sim/stream_checker.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <string>

namespace trunkline::sim {
namespace {

using namespace std::chrono_literals;

RunReport run(std::uint64_t seed, Duration time, Bug bug = Bug::none) {
  RunOptions options;
  options.seed = seed;
  options.time = time;
  options.bug = bug;
  return simulate(options);
}

std::string first_of(const RunReport& report) {
  return report.violations.empty() ? "no violation" : report.violations.front();
}

/// Whether one of so many seeds makes a checker say this.
bool caught(Bug bug, const std::string& complaint, std::uint64_t seeds, Duration time) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed)
    for (const std::string& violation : run(seed, time, bug).violations)
      if (violation.find(complaint) != std::string::npos) return true;
  return false;
}

/// A checker with one stream of which a fragment was sent.
struct Story {
  Story() { streams.sent(stream, forth, 10); }

  Fragment fragment(std::uint64_t position) { return make_fragment(stream, forth, position, 10); }
  std::string told() const { return violations.texts().empty() ? "nothing" : violations.texts().front(); }

  Violations violations{[] { return Schedule::start; }};
  StreamChecker streams{violations};
  std::string stream = streams.open("story");
};

} // namespace

TEST_CASE("simulation: a seed is the same run each time, and no two seeds are") {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const RunReport one = run(seed, 5s);
    const RunReport other = run(seed, 5s);
    CHECK_MESSAGE(one.trace_hash == other.trace_hash, "seed ", seed);
    CHECK_MESSAGE(one.fragments == other.fragments, "seed ", seed);
    CHECK_MESSAGE(one.violations_count == 0, "seed ", seed, ": ", first_of(one));
    hashes.insert(one.trace_hash);
  }
  CHECK(hashes.size() == 50);
}

TEST_CASE("simulation: a lost batch of frames is caught") { CHECK(caught(Bug::drop, " arrived, expected ", 20, 30s)); }

TEST_CASE("simulation: a repeated batch of frames is caught") {
  CHECK(caught(Bug::duplicate, " arrived, expected ", 20, 30s));
}

TEST_CASE("simulation: batches of frames that change places are caught") {
  CHECK(caught(Bug::swap, " arrived, expected ", 20, 30s));
}

TEST_CASE("simulation: changed bytes are caught") { CHECK(caught(Bug::corrupt, " is not what was sent", 20, 30s)); }

TEST_CASE("simulation: late answers are caught") { CHECK(caught(Bug::delay, "got its answer after ", 40, 30s)); }

TEST_CASE("simulation: a connection that is never closed is caught") {
  CHECK(caught(Bug::leak, "not everything has ended", 30, 10s));
}

TEST_CASE("simulation: a trunk that holds too much is caught") {
  CHECK(caught(Bug::hoard, "more than trunk_memory_bytes_max", 30, 30s));
}

TEST_CASE("stream checker: an ordinary stream is fine") {
  Story story;
  story.streams.served(story.stream);
  story.streams.received(story.stream, forth, story.fragment(0));
  story.streams.finished(story.stream, forth);
  story.streams.end_seen(story.stream, forth);
  story.streams.acknowledged(story.stream, forth);
  CHECK(story.told() == "nothing");
}

TEST_CASE("stream checker: a fragment that comes twice is noticed") {
  Story story;
  story.streams.received(story.stream, forth, story.fragment(0));
  story.streams.received(story.stream, forth, story.fragment(0));
  CHECK(story.told() == "at 0.000000 s: circuit story-1: position 0 arrived when only 1 fragments had been sent");
}

TEST_CASE("stream checker: an acknowledgement before everything was taken is noticed") {
  Story story;
  story.streams.finished(story.stream, forth);
  story.streams.acknowledged(story.stream, forth);
  CHECK(story.told() ==
        "at 0.000000 s: circuit story-1: the sender was told that all is there, but 1 fragments were "
        "sent and 0 received");
}

TEST_CASE("stream checker: a half-written stream that looks complete is noticed") {
  Story story;
  story.streams.received(story.stream, forth, story.fragment(0));
  story.streams.end_seen(story.stream, forth);
  CHECK(story.told() == "at 0.000000 s: circuit story-1: the receiver was told of an end that nobody had asked for");
}

TEST_CASE("stream checker: a service that runs for a refused circuit is noticed") {
  Story served_first;
  served_first.streams.served(served_first.stream);
  served_first.streams.refused(served_first.stream, "no service");
  CHECK(served_first.told() == "at 0.000000 s: circuit story-1: refused with \"no service\" although a service got it");
  Story refused_first;
  refused_first.streams.refused(refused_first.stream, "no service");
  refused_first.streams.served(refused_first.stream);
  CHECK(refused_first.told() == "at 0.000000 s: circuit story-1: a service got a circuit that had been refused");
}

TEST_CASE("stream checker: contents that belong elsewhere are noticed") {
  Story story;
  Fragment changed = story.fragment(0);
  changed.op += 1;
  story.streams.received(story.stream, forth, changed);
  CHECK(story.told() == "at 0.000000 s: circuit story-1: op of position 0 is not what was sent");
}

} // namespace trunkline::sim
