// The property test of random_conversation.hpp over many seeds, and the proof that it would fail: every planted bug
// below is a machine that says something slightly wrong on the wire, and each must be noticed.
#include "tests/circuit/native/random_conversation.hpp"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/seed.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

struct Run {
  Limits limits;
  ConversationOptions options;
  int rounds = 1;
  int steps = 600;
};

Run run_of(std::uint64_t seed) {
  Run run;
  if (seed % 2 == 1) {
    run.limits = tiny_memory();
    run.options.fragment_bytes_max = run.limits.fragment_bytes_max;
  }
  run.options.losses = seed % 3 != 0;
  run.options.circuits_max = seed % 5 == 0 ? 40 : 6;
  run.rounds = seed % 7 == 0 ? 6 : 2;
  return run;
}

/// What broke with this seed, or "".
std::string outcome(std::uint64_t seed, const Run& run, const std::function<void(MachinePair&)>& prepare = {}) {
  SeededChoices choices(seed);
  MachinePair pair(run.limits, run.limits);
  if (prepare) prepare(pair);
  try {
    Conversation conversation(choices, pair, run.options);
    conversation.expect_memory_below(run.limits.trunk_memory_bytes_max, run.limits.trunk_memory_bytes_max);
    for (int round = 0; round < run.rounds; ++round) {
      conversation.run(run.steps);
      conversation.settle();
    }
  } catch (const std::logic_error& failure) {
    return failure.what();
  }
  return "";
}

TEST_CASE("conversation: random operations on both sides keep order, credit, memory and every ending") {
  const std::uint64_t base = test_seed();
  for (std::uint64_t seed = base; seed < base + 100; ++seed) {
    INFO("TRUNKLINE_SEED=", seed);
    REQUIRE(outcome(seed, run_of(seed)) == "");
  }
}

TEST_CASE("conversation: the same seed is the same conversation, byte for byte") {
  const auto bytes_of = [](std::uint64_t seed) {
    std::string said;
    outcome(seed, run_of(seed), [&](MachinePair& pair) {
      for (auto& side : pair.sides) side.watch = [&said](const say::Frame& frame) { said += frame.bytes(); };
    });
    return said;
  };
  for (std::uint64_t seed = test_seed(); seed < test_seed() + 5; ++seed) {
    INFO("TRUNKLINE_SEED=", seed);
    const std::string first = bytes_of(seed);

    CHECK(first.size() > 1000);
    CHECK(bytes_of(seed) == first);
  }
}

// --- planted bugs

struct PlantedBug {
  const char* what;
  Meddle meddle;
};

/// Every `nth` frame of this type becomes what `change` makes of it.
Meddle each(unsigned type, int nth, std::function<void(say::Frame, std::vector<say::Frame>&)> change) {
  return [=, count = 0](const say::Frame& frame, std::vector<say::Frame>& on) mutable {
    if (frame.type == type && ++count % nth == 0) {
      change(frame, on);
    } else {
      on.push_back(frame);
    }
  };
}

Meddle drop(unsigned type, int nth = 1) {
  return each(type, nth, [](const say::Frame&, std::vector<say::Frame>&) {});
}

Meddle repeat(unsigned type, int nth = 1) {
  return each(type, nth, [](const say::Frame& frame, std::vector<say::Frame>& on) {
    on.push_back(frame);
    on.push_back(frame);
  });
}

say::Frame parsed(const say::Bytes& bytes) {
  std::vector<say::Frame> frames;
  say::Reader reader;
  reader.read(say::preface() + bytes, frames);
  return frames.at(0);
}

/// CREDIT frames with other numbers; `trunk` decides about which of them.
Meddle credit_changed(bool trunk, std::int64_t by) {
  return each(say::CREDIT, 1, [=](const say::Frame& frame, std::vector<say::Frame>& on) {
    if ((frame.circuit == 0) != trunk) {
      on.push_back(frame);
      return;
    }
    const auto bytes = static_cast<std::int64_t>(frame.fields.number(2)) + by;
    if (bytes > 0) on.push_back(parsed(say::credit(frame.circuit, static_cast<std::uint64_t>(bytes))));
  });
}

/// Two frames of the same circuit that follow each other change places when `which` says so of both.
Meddle swapped(std::function<bool(const say::Frame&, const say::Frame&)> which) {
  return [=](const say::Frame& frame, std::vector<say::Frame>& on) {
    on.push_back(frame);
    if (on.size() < 2) return;
    say::Frame& before = on[on.size() - 2];
    if (before.circuit == frame.circuit && which(before, frame)) std::swap(before, on.back());
  };
}

Meddle changed_data(std::function<bool(say::Frame&)> change) {
  return [=](const say::Frame& frame, std::vector<say::Frame>& on) {
    on.push_back(frame);
    if (frame.is_data() && change(on.back())) on.back() = parsed(on.back().bytes());
  };
}

std::vector<PlantedBug> planted_bugs() {
  using say::Frame;
  std::vector<PlantedBug> bugs{
      {"forgets to return a circuit's credit", credit_changed(false, -(1 << 30))},
      {"forgets to return the trunk's credit", credit_changed(true, -(1 << 30))},
      {"returns 256 bytes too little of the trunk's credit", credit_changed(true, -256)},
      {"returns 1 byte too much of a circuit's credit", credit_changed(false, 1)},
      {"returns 1 byte too much of the trunk's credit", credit_changed(true, 1)},
      {"returns all credit twice", repeat(say::CREDIT)},
      {"forgets every seventh data frame", drop(say::DATA, 7)},
      {"sends every seventh data frame twice", repeat(say::DATA, 7)},
      {"changes the order of two fragments", swapped([](const Frame& a, const Frame& b) {
         return a.is_data() && b.is_data() && !((a.flags | b.flags) & (say::FIRST_OF_MORE | say::CONTINUES));
       })},
      {"changes the order of two chunks", swapped([](const Frame& a, const Frame& b) {
         return a.has(say::CONTINUES) && b.has(say::CONTINUES) && !b.has(say::LAST);
       })},
      {"finishes before the last fragment",
       swapped([](const Frame& a, const Frame& b) { return a.is_data() && b.type == say::FINISH; })},
      {"sends data before its open",
       swapped([](const Frame& a, const Frame& b) { return a.type == say::OPEN && b.is_data(); })},
      {"forgets a finish", drop(say::FINISH)},
      {"never acknowledges a finish", drop(say::FINISH_ACKNOWLEDGED)},
      {"acknowledges a finish twice", repeat(say::FINISH_ACKNOWLEDGED)},
      {"forgets a close", drop(say::CLOSE)},
      {"never answers a close", drop(say::CLOSE_RECEIVED)},
      {"forgets a reset", drop(say::RESET)},
      {"forgets a refusal", drop(say::REFUSE)},
      {"opens under a number twice", repeat(say::OPEN)},
      {"forgets to open", drop(say::OPEN, 3)},
      {"corrupts a payload", changed_data([](Frame& frame) {
         if (frame.payload.empty()) return false;
         frame.body.back() = static_cast<char>(frame.body.back() ^ 0x40);
         return true;
       })},
      {"loses the metadata of a fragment", changed_data([](Frame& frame) {
         if (!frame.has(say::METADATA) || frame.has(say::FIRST_OF_MORE)) return false;
         frame = parsed(say::frame(say::DATA, say::varint(frame.circuit) + say::svarint(frame.op) +
                                                  say::svarint(frame.part) + frame.payload));
         return true;
       })},
      {"changes an op", changed_data([](Frame& frame) {
         if (frame.flags != 0) return false;
         frame = parsed(say::frame(say::DATA, say::varint(frame.circuit) + say::svarint(frame.op / 2) +
                                                  say::svarint(frame.part) + frame.payload));
         return true;
       })},
      {"acknowledges a finish before its circuit's last fragment was taken",
       [](const Frame& frame, std::vector<Frame>& on) {
         on.push_back(frame);
         if (frame.type == say::FINISH) on.push_back(parsed(say::finish_acknowledged(frame.circuit)));
       }},
  };
  return bugs;
}

TEST_CASE("conversation: every planted bug is noticed within a few seeds, and nothing without one") {
  for (std::uint64_t seed = 1000; seed < 1012; ++seed) {
    CAPTURE(seed);
    REQUIRE(outcome(seed, run_of(seed)) == "");
  }

  for (const PlantedBug& bug : planted_bugs()) {
    CAPTURE(std::string(bug.what));
    std::string noticed;

    int seeds = 0;
    for (; seeds < 12 && noticed.empty(); ++seeds) {
      const std::uint64_t seed = 1000 + static_cast<std::uint64_t>(seeds);
      // Only one side has the bug; which one must not matter.
      noticed = outcome(seed, run_of(seed), [&](MachinePair& pair) { pair.sides[seed % 2].meddle = bug.meddle; });
    }

    CHECK(noticed != "");
  }
}

} // namespace
