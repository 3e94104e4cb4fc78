// Gossip machines among each other, in virtual time: exactly once, whoever is dead, lost, hostile or new.
#include "tests/services/gossip/fabric.hpp"
#include "tests/services/gossip/tables.hpp"
#include "tests/support/bytes.hpp"
#include "tests/support/seed.hpp"

#include <doctest/doctest.h>

#include <set>
#include <stdexcept>

using namespace trunkline;
using namespace trunkline::gossip;
using namespace trunkline::test;

namespace {

using Counter = MachineCounters;

std::uint64_t tree_sends_max(std::uint32_t size) {
  std::uint64_t most = 1;
  for (std::uint32_t level = 0; level < levels_of(size); ++level) most *= 3;
  return most - 1;
}

Fabric::Options with(std::string strategy, std::uint32_t loss_per_cent = 0, bool refuses = true) {
  Fabric::Options options;
  options.strategy = std::move(strategy);
  options.loss_per_million = loss_per_cent * 10'000;
  options.refuses = refuses;
  return options;
}

/// What docs/gossip.md promises about the cost of one message.
void check_bound(const Fabric& fabric, std::uint32_t size) {
  const std::uint64_t adoptions = fabric.count(&Counter::adoptions);
  const std::uint64_t extra = fabric.count(&Counter::resends) + fabric.count(&Counter::given);
  const std::uint64_t levels = levels_of(size);
  CHECK(fabric.count(&Counter::sends) <= tree_sends_max(size) + 2 * levels * adoptions + extra);
}

Word rumor(const Fabric& fabric, std::uint32_t origin, std::uint8_t level, const RandomId& id, std::string_view text) {
  Word word;
  word.level = level;
  word.book = fabric.book->version();
  word.origin = fabric.ids[origin];
  word.id = id;
  word.payload = as_bytes(text);
  return word;
}

} // namespace

TEST_CASE("machine: the plain strategy sends what the published tables say, wherever the originator stands") {
  for (const PublishedSends& table : published_sends)
    for (const std::uint32_t origin : {0u, table.size / 2, table.size - 1}) {
      CAPTURE(table.size);
      CAPTURE(origin);
      Fabric fabric(table.size, 7, with("plain"));
      Sends sends;
      fabric.on_word = [&](std::uint32_t from, std::uint32_t to, const Word& word) {
        sends.emplace(from + 1, to + 1, word.level);
      };
      fabric.broadcast(origin);
      fabric.run_for(10s);
      CHECK(sends == sends_of(table, origin));
      CHECK(fabric.wrong("hello", origin).empty());
    }
}

TEST_CASE("machine: the default reaches every member of 1 to 200 exactly once, with few more words than the tree has") {
  for (std::uint32_t size = 1; size <= 200; ++size) {
    CAPTURE(size);
    Fabric fabric(size, test_seed() + size);
    const auto origin = static_cast<std::uint32_t>(fabric.random.below(size));
    fabric.broadcast(origin);
    fabric.run_for(20s);
    CHECK(fabric.wrong("hello", origin).empty());
    CHECK(fabric.count(&Counter::delivered) == size - 1);
    CHECK(fabric.count(&Counter::questions) <= 2 * size);
    CHECK(fabric.count(&Counter::adoptions) == 0);
    check_bound(fabric, size);
  }
}

TEST_CASE("machine: exact sends N - 1 messages") {
  for (const std::uint32_t size : {1u, 2u, 10u, 82u, 200u}) {
    CAPTURE(size);
    Fabric fabric(size, 3, with("exact"));
    fabric.broadcast(size / 2);
    fabric.run_for(10s);
    CHECK(fabric.wrong("hello", size / 2).empty());
    CHECK(fabric.count(&Counter::sends) == size - 1);
    CHECK(fabric.count(&Counter::duplicates) == 0);
  }
}

TEST_CASE("machine: redundancy reaches everybody by the originator's own hand") {
  Fabric fabric(24, 3, with("redundancy"));
  fabric.broadcast(5);
  fabric.run_for(10s);
  CHECK(fabric.wrong("hello", 5).empty());
  CHECK(fabric.count(&Counter::questions) == 0);
}

TEST_CASE("machine: with dead members and lost words every live member of 81 gets each message exactly once") {
  for (std::uint64_t run = 0; run < 60; ++run) {
    const std::uint64_t seed = test_seed() + run;
    const auto loss = static_cast<std::uint32_t>(run % 11);
    Fabric fabric(81, seed, with(run % 4 == 3 ? "exact+adopt+cleanup" : "adopt+cleanup", loss, run % 2 == 0));
    const auto origin = static_cast<std::uint32_t>(fabric.random.below(81));
    for (std::uint32_t i = 0; i < 81; ++i) fabric.dead[i] = i != origin && fabric.random.below(5) == 0;
    fabric.broadcast(origin, "one");
    fabric.run_for(300ms);
    fabric.broadcast(origin, "two");
    fabric.run_for(18s);
    CAPTURE(run);
    CAPTURE(loss);
    CHECK(fabric.wrong("one", origin).empty());
    CHECK(fabric.wrong("two", origin).empty());
    // Two messages.
    const std::uint64_t extra = fabric.count(&Counter::resends) + fabric.count(&Counter::given);
    CHECK(fabric.count(&Counter::sends) <= 2 * tree_sends_max(81) + 8 * fabric.count(&Counter::adoptions) + extra);
  }
}

TEST_CASE("machine: without adoption and cleanup, dead members do cost live ones") { // so the test above can fail
  std::size_t missed = 0;
  for (std::uint64_t run = 0; run < 10; ++run) {
    Fabric fabric(81, run, with("plain", 5));
    for (std::uint32_t i = 1; i < 81; ++i) fabric.dead[i] = fabric.random.below(5) == 0;
    fabric.broadcast(0);
    fabric.run_for(18s);
    missed += fabric.wrong("hello", 0).size();
  }
  CHECK(missed > 100);
}

TEST_CASE("machine: members that die or come back in the middle of a broadcast cost no other member") {
  for (std::uint64_t run = 0; run < 30; ++run) {
    CAPTURE(run);
    Fabric fabric(81, test_seed() + run, with("adopt+cleanup", 3, run % 2 == 0));
    std::set<std::uint32_t> touched;
    fabric.broadcast(0);
    for (int step = 0; step < 20; ++step) {
      fabric.run_for(std::chrono::milliseconds(fabric.random.between(1, 60)));
      const auto member = static_cast<std::uint32_t>(fabric.random.between(1, 80));
      fabric.dead[member] = !fabric.dead[member];
      touched.insert(member);
    }
    fabric.run_for(18s);
    for (const std::uint32_t member : fabric.wrong("hello", 0)) CHECK(touched.contains(member));
    for (const auto& texts : fabric.delivered) CHECK(texts.size() <= 1);
  }
}

TEST_CASE(
    "machine: members who join or leave the book meanwhile get it exactly once or have left, whoever knows which "
    "book") {
  for (const char* strategy : {"adopt+cleanup", "exact+adopt+cleanup"})
    for (std::uint64_t run = 0; run < 30; ++run) {
      CAPTURE(strategy);
      CAPTURE(run);
      Fabric fabric(60, test_seed() + run, with(strategy, 2));
      std::vector<NodeId> members = fabric.ids;
      for (int i = 0; i < 10; ++i) {
        const std::uint32_t added = fabric.add(fabric.draw_id());
        members.push_back(fabric.ids[added]);
      }
      members.erase(members.begin() + 20, members.begin() + 25); // these leave
      const auto next = Book::make(2, members);
      fabric.broadcast(0);
      std::vector<std::uint32_t> order(fabric.machines.size());
      std::iota(order.begin(), order.end(), 0u);
      for (std::size_t i = order.size(); i-- > 1;) std::swap(order[i], order[fabric.random.below(i + 1)]);
      for (const std::uint32_t member : order) { // each hears of the new book at another time
        fabric.run_for(std::chrono::milliseconds(fabric.random.below(5)));
        fabric.set_book(member, next);
      }
      fabric.run_for(18s);
      for (const std::uint32_t member : fabric.wrong("hello", 0)) CHECK((member >= 20 && member < 25));
      for (const auto& texts : fabric.delivered) CHECK(texts.size() <= 1);
    }
}

TEST_CASE("machine: without cleanup, the originator sends to those who joined since") {
  Fabric fabric(10, 1, with("exact+adopt"));
  const std::uint32_t added = fabric.add(fabric.draw_id());
  std::vector<NodeId> members = fabric.ids;
  const auto next = Book::make(2, members);
  fabric.broadcast(3);
  fabric.run_for(1s);
  for (std::uint32_t i = 0; i < fabric.machines.size(); ++i) fabric.set_book(i, next);
  fabric.run_for(1s);
  CHECK(fabric.delivered[added].size() == 1);
  CHECK(fabric.wrong("hello", 3).empty());
}

TEST_CASE("machine: a target that does not know the book acknowledges, does not pass on, and its part is adopted") {
  Fabric fabric(27, 1);
  const auto other = Book::make(9, fabric.ids); // the same members, another number
  const std::uint32_t first_target = 9;
  fabric.machines[first_target] = [&] {
    MachineOptions options;
    options.random = [&] { return fabric.random(); };
    return std::make_unique<Machine>(fabric.ids[first_target], options);
  }();
  fabric.set_book(first_target, other);
  fabric.broadcast(0);
  fabric.run_for(500ms); // before anybody cleans up
  CHECK(fabric.machines[first_target]->counters().books_unknown >= 1);
  CHECK(fabric.count(&Counter::adoptions) == 1);
  CHECK(fabric.wrong("hello", 0).empty());
}

TEST_CASE("machine: a word by no book, or by another one, that comes first costs nobody the message") {
  struct Case {
    std::string name;
    std::function<void(const Fabric&, Word&)> changes;
    std::uint64_t adoptions;
  };
  const Case cases[] = {
      {"for itself alone, by the empty book",
       [](const Fabric&, Word& word) { word.book = Book::make(0, {})->version(); }, 0},
      {"for itself alone, by a book that is known", [](const Fabric&, Word&) {}, 0},
      {"through the tree of another book that is known",
       [](const Fabric& fabric, Word& word) {
         word.book = Book::make(7, fabric.ids)->version();
         word.level = 1;
       },
       1},
  };
  for (const Case& one : cases) {
    CAPTURE(one.name);
    Fabric fabric(27, 1, with("adopt"));
    const std::uint32_t target = 9; // of the first of the originator's sends
    fabric.set_book(target, Book::make(7, fabric.ids)); // an older one, known as well
    fabric.set_book(target, fabric.book);
    const RandomId id = fabric.broadcast(0);
    Word word = rumor(fabric, 0, 0, id, "hello");
    one.changes(fabric, word);
    fabric.machines[target]->receive(fabric.ids[5], word.encode(), fabric.now); // before the originator's
    fabric.run_for(10s);
    CHECK(fabric.count(&Counter::adoptions) == one.adoptions);
    for (std::uint32_t i = 1; i < 27; ++i)
      if (i != target) CHECK(fabric.delivered[i].size() == 1);
    CHECK(fabric.machines[target]->counters().delivered == 1);
  }
}

TEST_CASE("machine: exact serves a larger span that comes after a smaller one, and only so often") {
  Fabric fabric(27, 1, with("exact+adopt"));
  const RandomId id = fabric.broadcast(0);
  Word word = rumor(fabric, 0, 3, id, "hello"); // its first target answers for nine
  for (const std::uint32_t span : {4u, 7u}) {
    word.span = span;
    fabric.machines[9]->receive(fabric.ids[5], word.encode(), fabric.now);
  }
  fabric.run_for(10s);
  CHECK(fabric.count(&Counter::adoptions) == 0);
  for (std::uint32_t i = 1; i < 27; ++i)
    if (i != 9) CHECK(fabric.delivered[i].size() == 1);

  const std::uint64_t before = fabric.machines[9]->counters().sends;
  for (word.span = 1; word.span <= 27; ++word.span) {
    fabric.machines[9]->receive(fabric.ids[5], word.encode(), fabric.now);
    fabric.machines[9]->take_sends();
  }
  CHECK(fabric.machines[9]->counters().sends - before <= 8 * 6);
}

TEST_CASE("machine: a member that is not in its own book sends nothing and takes nothing") {
  Fabric fabric(5, 1);
  fabric.set_book(2, Book::make(2, {fabric.ids[0], fabric.ids[1]}));
  CHECK_THROWS_AS(fabric.broadcast(2), std::logic_error);
  fabric.broadcast(0);
  fabric.run_for(10s);
  CHECK(fabric.delivered[2].empty());
  CHECK(fabric.machines[2]->counters().refused_stranger >= 1);
  CHECK(fabric.machines[2]->counters().sends == 0);
  CHECK_THROWS_AS(Machine(fabric.ids[0], MachineOptions()), std::invalid_argument); // no random numbers
}

// Hostile members.

TEST_CASE("machine: replays are delivered once and make nobody send again") {
  Fabric fabric(27, 1);
  std::vector<std::pair<std::uint32_t, Word>> heard;
  std::vector<std::vector<std::byte>> payloads;
  fabric.on_word = [&](std::uint32_t, std::uint32_t to, const Word& word) {
    if (word.kind != Word::Kind::rumor) return;
    payloads.emplace_back(word.payload.begin(), word.payload.end());
    heard.emplace_back(to, word);
  };
  fabric.broadcast(0);
  fabric.run_for(5s);
  fabric.on_word = nullptr;
  const std::uint64_t sends = fabric.count(&Counter::sends);
  for (int round = 0; round < 20; ++round)
    for (std::size_t i = 0; i < heard.size(); ++i) {
      heard[i].second.payload = payloads[i];
      fabric.inject(fabric.ids[13], heard[i].first, heard[i].second);
    }
  fabric.run_for(20s);
  CHECK(fabric.count(&Counter::sends) == sends);
  CHECK(fabric.wrong("hello", 0).empty());
  for (const auto& [to, word] : heard) fabric.inject(fabric.ids[13], to, word); // when nobody holds it any more
  fabric.run_for(30s);
  CHECK(fabric.count(&Counter::sends) == sends);
  CHECK(fabric.wrong("hello", 0).empty());
}

TEST_CASE("machine: even the plain strategy, which repeats, does not repeat for ever") {
  Fabric fabric(27, 1, with("plain"));
  const RandomId id = fabric.draw_id();
  for (int i = 0; i < 1000; ++i) fabric.inject(fabric.ids[13], 5, rumor(fabric, 13, 3, id, "again"));
  fabric.run_for(10s);
  CHECK(fabric.machines[5]->counters().sends <= 4 * (2 * 3 + 2));
  for (const auto& texts : fabric.delivered) CHECK(texts.size() <= 1);
}

TEST_CASE(
    "machine: a level above the book's is refused, and the highest one to everybody costs a bounded number of sends") {
  Fabric fabric(81, 1);
  for (const std::uint8_t level : {5, 6, 255})
    for (std::uint32_t to = 0; to < 81; ++to)
      fabric.inject(fabric.ids[7], to, rumor(fabric, 7, level, fabric.draw_id(), "inflated"));
  fabric.run_for(5s);
  CHECK(fabric.count(&Counter::refused_level) == 3 * 80); // what comes from itself is no word of a member
  CHECK(fabric.count(&Counter::delivered) == 0);
  CHECK(fabric.count(&Counter::sends) == 0);

  const RandomId id = fabric.draw_id();
  for (int round = 0; round < 10; ++round)
    for (std::uint32_t to = 0; to < 81; ++to) fabric.inject(fabric.ids[7], to, rumor(fabric, 7, 4, id, "legal"));
  fabric.run_for(20s);
  CHECK(fabric.count(&Counter::sends) <= 2 * 3 * 81); // each member serves three levels, once
  CHECK(fabric.wrong("legal", 7).empty());
}

TEST_CASE(
    "machine: a flood of distinct messages by one member leaves the others their share, and memory in its limits") {
  Fabric::Options options;
  options.tweak = [](MachineOptions& machine) {
    machine.held_messages_max = 270; // five for each of 27, and as many for whoever comes
    machine.remembered_messages_max = 2700;
    machine.held_bytes_max = 270 * 1024;
    machine.remember_for = 20s;
  };
  Fabric fabric(27, 1, options);
  const std::string large(1024, 'x');
  for (int i = 0; i < 3000; ++i) {
    fabric.inject(fabric.ids[13], static_cast<std::uint32_t>(fabric.random.below(27)),
                  rumor(fabric, 13, 3, fabric.draw_id(), large));
    if (i % 100 == 0) fabric.run_for(10ms);
  }
  fabric.broadcast(2, "honest");
  for (int i = 0; i < 3000; ++i)
    fabric.inject(fabric.ids[13], static_cast<std::uint32_t>(fabric.random.below(27)),
                  rumor(fabric, 13, 3, fabric.draw_id(), large));
  fabric.run_for(10s);
  for (std::uint32_t member = 0; member < 27; ++member) {
    CAPTURE(member);
    CHECK(std::count(fabric.delivered[member].begin(), fabric.delivered[member].end(), "honest") ==
          (member == 2 || member == 13 ? (member == 13) : 1));
    CHECK(fabric.machines[member]->held_messages() <= 270);
    CHECK(fabric.machines[member]->held_bytes() <= 270 * 1024);
    CHECK(fabric.machines[member]->remembered_messages() <= 2700);
    CHECK(fabric.delivered[member].size() <= 1350 + 2);
  }
  CHECK(fabric.count(&Counter::refused_share) > 0);
  fabric.run_for(60s); // and everything is let go
  fabric.broadcast(3, "later");
  fabric.run_for(60s);
  for (const auto& machine : fabric.machines) {
    CHECK(machine->held_messages() == 0);
    CHECK(machine->held_bytes() == 0);
  }
}

TEST_CASE("machine: a flood of large messages by one member leaves the others theirs, beyond their share, too") {
  Fabric::Options options;
  options.tweak = [](MachineOptions& machine) {
    machine.payload_bytes_max = 100'000;
    machine.held_bytes_max = 1'600'000; // a share of 29,629 for each of 27
    machine.hold_for = 60s;
    machine.remember_for = 120s;
  };
  Fabric fabric(27, 1, options);
  const std::string large(100'000, 'x');
  const auto flood = [&] {
    for (std::uint32_t to = 0; to < 27; ++to)
      fabric.inject(fabric.ids[13], to, rumor(fabric, 13, 3, fabric.draw_id(), large));
    fabric.run_for(20ms);
  };
  for (int i = 0; i < 40; ++i) flood();
  for (std::uint32_t i = 0; i < 10; ++i) {
    fabric.broadcast(i, std::string(30'000, 'h') + std::to_string(i));
    fabric.broadcast(i, std::string(10'000, 'h') + std::to_string(i));
    flood();
  }
  for (int i = 0; i < 10; ++i) flood();
  fabric.run_for(10s);
  for (std::uint32_t i = 0; i < 10; ++i)
    for (const std::size_t size : {30'000, 10'000})
      for (const std::uint32_t member : fabric.wrong(std::string(size, 'h') + std::to_string(i), i))
        CHECK(member == 13);
  for (const auto& machine : fabric.machines) CHECK(machine->held_bytes() <= 1'600'000);
  CHECK(fabric.count(&Counter::refused_share) > 0);
}

TEST_CASE("machine: in quiet times one member may have half of all messages under way") {
  Fabric::Options options;
  options.tweak = [](MachineOptions& machine) { machine.held_messages_max = 400; };
  Fabric fabric(81, 1, options);
  for (int i = 0; i < 200; ++i) fabric.broadcast(5, std::to_string(i));
  CHECK_THROWS_AS(fabric.broadcast(5, "one too many"), std::length_error);
  fabric.run_for(5s);
  for (int i = 0; i < 200; ++i) CHECK(fabric.wrong(std::to_string(i), 5).empty());
  fabric.broadcast(6, "another one's share");
  fabric.run_for(5s);
  CHECK(fabric.wrong("another one's share", 6).empty());
}

TEST_CASE("machine: strangers, forged origins and words that are none are refused and counted") {
  Fabric fabric(9, 1);
  const NodeId stranger = fabric.draw_id();
  fabric.inject(stranger, 3, rumor(fabric, 1, 1, fabric.draw_id(), "x"));
  Word foreign = rumor(fabric, 1, 1, fabric.draw_id(), "x");
  foreign.origin = stranger;
  fabric.inject(fabric.ids[1], 3, foreign);
  fabric.inject(fabric.ids[1], 3, rumor(fabric, 3, 1, fabric.draw_id(), "in your own name"));
  fabric.run_for(1s);
  CHECK(fabric.machines[3]->counters().refused_stranger == 3);
  CHECK(fabric.delivered[3].empty());

  std::uint64_t malformed = 0;
  const std::vector<std::byte> good = rumor(fabric, 1, 1, fabric.draw_id(), "x").encode();
  for (std::size_t size = 0; size < Word::head_bytes; ++size, ++malformed)
    fabric.machines[3]->receive(fabric.ids[1], std::span(good).first(size), fabric.now);
  for (const auto& [at, value] : std::vector<std::pair<std::size_t, int>>{{0, 0}, {0, 2}, {1, 0}, {1, 6}, {2, 2}}) {
    std::vector<std::byte> bad = good;
    bad[at] = static_cast<std::byte>(value);
    fabric.machines[3]->receive(fabric.ids[1], bad, fabric.now);
    ++malformed;
  }
  std::vector<std::byte> question_with_payload = good;
  question_with_payload[1] = std::byte{3};
  fabric.machines[3]->receive(fabric.ids[1], question_with_payload, fabric.now);
  CHECK(fabric.machines[3]->counters().refused_malformed == malformed + 1);
  CHECK(fabric.machines[3]->take_sends().empty());
  fabric.machines[3]->receive(fabric.ids[1], good, fabric.now); // and a good one is taken
  CHECK(fabric.machines[3]->take_deliveries().size() == 1);
}

TEST_CASE("machine: what the application finds malformed is neither delivered nor passed on") {
  Fabric::Options options;
  options.tweak = [](MachineOptions& machine) {
    machine.validate = [](const NodeId&, std::span<const std::byte> payload) {
      return !payload.empty() && payload[0] == std::byte{'h'};
    };
    machine.payload_bytes_max = 1000;
  };
  Fabric fabric(27, 1, options);
  for (std::uint32_t to = 0; to < 27; ++to) {
    fabric.inject(fabric.ids[13], to, rumor(fabric, 13, 3, fabric.draw_id(), "not this"));
    fabric.inject(fabric.ids[13], to, rumor(fabric, 13, 3, fabric.draw_id(), std::string(1001, 'h')));
  }
  fabric.run_for(5s);
  CHECK(fabric.count(&Counter::delivered) == 0);
  CHECK(fabric.count(&Counter::sends) == 0);
  CHECK(fabric.count(&Counter::refused_malformed) >= 2 * 26);
  CHECK_THROWS_AS(fabric.broadcast(0, std::string(1001, 'h')), std::length_error);
  fabric.broadcast(0, "hello");
  fabric.run_for(10s);
  CHECK(fabric.wrong("hello", 0).empty());
}

TEST_CASE("machine: one who promises a message and never brings it only delays it") {
  Fabric fabric(9, 1);
  const RandomId id = fabric.draw_id();
  Word question = rumor(fabric, 0, 0, id, "");
  question.kind = Word::Kind::question;
  int wanted = 0;
  fabric.on_word = [&](std::uint32_t, std::uint32_t, const Word& word) {
    wanted += word.kind == Word::Kind::answer && word.yes;
  };
  for (int i = 0; i < 50; ++i) { // again and again
    fabric.inject(fabric.ids[7], 4, question);
    fabric.run_for(50ms);
  }
  const int wanted_of_liar = wanted;
  CHECK(wanted_of_liar >= 1);
  for (int i = 0; i < 30; ++i) {
    fabric.inject(fabric.ids[7], 4, question);
    fabric.inject(fabric.ids[5], 4, question);
    fabric.run_for(100ms);
  }
  fabric.inject(fabric.ids[5], 4, rumor(fabric, 0, 0, id, "brought"));
  fabric.run_for(5s);
  CHECK(wanted > wanted_of_liar);
  CHECK(fabric.delivered[4] == std::vector<std::string>{"brought"});
  for (int i = 0; i < 5000; ++i) { // promises have a limit, too
    question.id = fabric.draw_id();
    fabric.inject(fabric.ids[7], 4, question);
  }
  fabric.run_for(1s);
  CHECK(wanted < wanted_of_liar + 30 + 1024 + 10);
}

TEST_CASE("machine: questions that one member invents keep nobody else from bringing what the tree has missed") {
  Fabric::Options options;
  options.tweak = [](MachineOptions& machine) { machine.promises_max = 24; };
  Fabric fabric(24, 1, options);
  const std::uint32_t hostile = 6;
  Word question = rumor(fabric, 0, 0, fabric.draw_id(), "");
  question.kind = Word::Kind::question;
  const auto flood = [&] {
    for (const std::uint32_t to : {1, 4, 7, 9, 12, 15, 17, 20, 23}) // whom the tree misses
      for (int i = 0; i < 26; ++i) {
        question.origin = fabric.ids[fabric.random.below(24)];
        question.id = fabric.draw_id();
        fabric.inject(fabric.ids[hostile], to, question);
      }
  };
  flood();
  fabric.broadcast(0);
  for (int i = 0; i < 800; ++i) {
    fabric.run_for(4ms);
    flood();
  }
  for (const auto& machine : fabric.machines) CHECK(machine->promises() <= 24);
  CHECK(fabric.wrong("hello", 0).empty());
}

TEST_CASE("machine: any bytes from any member leave it standing") {
  sim::Random random(test_seed());
  Fabric fabric(9, 5);
  const std::vector<std::byte> good = rumor(fabric, 1, 2, fabric.draw_id(), "payload").encode();
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bytes = good;
    for (std::uint64_t flips = random.between(1, 6); flips > 0; --flips)
      bytes[random.below(random.one_in(3) ? bytes.size() : 24)] = static_cast<std::byte>(random());
    if (random.one_in(10)) bytes.resize(random.below(bytes.size() + 1));
    fabric.machines[3]->receive(fabric.ids[random.below(9)], bytes, fabric.now);
    fabric.machines[3]->take_deliveries();
    fabric.machines[3]->take_sends();
    if (random.one_in(20)) {
      fabric.now += std::chrono::milliseconds(random.below(2000));
      fabric.machines[3]->tick(fabric.now);
    }
    if (random.one_in(50)) fabric.machines[3]->failed(random.below(1000), fabric.now);
  }
  CHECK(fabric.machines[3]->held_messages() <= 4096);
}

TEST_CASE("book: members are sorted and each is there once; two books of one number are told apart") {
  std::vector<NodeId> ids;
  for (const char letter : {'d', 'a', 'c', 'a', 'b'}) ids.push_back(*NodeId::from_bytes(std::string(16, letter)));
  const auto book = Book::make(7, ids);
  CHECK(book->size() == 4);
  CHECK(book->find(ids[0]) == Position{3});
  CHECK(book->find(ids[1]) == Position{0});
  CHECK_FALSE(book->find(*NodeId::from_bytes(std::string(16, 'e'))).has_value());
  ids.pop_back();
  CHECK(book->version() != Book::make(7, ids)->version());
  CHECK(book->version().number == 7);
  CHECK_THROWS_AS(Book::make(1, {NodeId()}), std::invalid_argument);
}

TEST_CASE("book: seen from a member it begins with itself and wraps, also after others have come and gone") {
  const auto id_of = [](char letter) { return *NodeId::from_bytes(std::string(15, ' ') + letter); };
  const auto book_of = [&](const std::string& letters) {
    std::vector<NodeId> ids;
    for (const char letter : letters) ids.push_back(id_of(letter));
    return Book::make(1, ids);
  };
  const auto seen_from = [&](char self, const std::string& letters) {
    const auto book = book_of(letters);
    std::string list;
    for (std::uint32_t offset = 0; offset < book->size(); ++offset)
      list += book->members()[(*book->find(id_of(self)) + offset) % book->size()].bytes().back();
    return list;
  };
  CHECK(seen_from('D', "FEDCBA") == "DEFABC");
  CHECK(seen_from('C', "ABCDE") == "CDEAB");
  // O with D T U R S E V G H less E D U; W with D Y Z E H G I less Y E.
  CHECK(seen_from('O', "OTRSVGH") == "ORSTVGH");
  CHECK(seen_from('W', "WDZHGI") == "WZDGHI");
  CHECK_FALSE(book_of("ABCDE")->find(id_of('F')));
}

TEST_CASE("machine: limits of zero are refused when it is made") {
  const NodeId self = *NodeId::from_bytes("0123456789abcdef");
  const auto make = [&](void (*tweak)(MachineOptions&)) {
    MachineOptions options;
    options.random = [] { return std::uint64_t{4}; };
    tweak(options);
    return Machine(self, options).held_messages();
  };
  CHECK(make([](MachineOptions&) {}) == 0);
  CHECK_THROWS_AS(make([](MachineOptions& options) { options.remembered_messages_max = 0; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](MachineOptions& options) { options.held_messages_max = 0; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](MachineOptions& options) { options.held_bytes_max = 0; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](MachineOptions& options) { options.books_max = 0; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](MachineOptions& options) { options.ack_tries = 0; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](MachineOptions& options) { options.tries = 0; }), std::invalid_argument);
}

TEST_CASE("word: what is encoded is decoded") {
  Word word;
  word.kind = Word::Kind::rumor;
  word.yes = true;
  word.level = 9;
  word.span = 0xFEDCBA98;
  word.book = {0x0123456789ABCDEF, 0xFEDCBA9876543210};
  word.origin = *NodeId::from_bytes("0123456789abcdef");
  word.id = *RandomId::from_bytes("fedcba9876543210");
  const std::string text = "payload";
  word.payload = as_bytes(text);
  const std::vector<std::byte> bytes = word.encode();
  const auto decoded = Word::decode(bytes);
  REQUIRE(decoded);
  CHECK(bytes.size() == Word::head_bytes + 7);
  CHECK(decoded->yes);
  CHECK(decoded->level == 9);
  CHECK(decoded->span == 0xFEDCBA98);
  CHECK(decoded->book == word.book);
  CHECK(decoded->origin == word.origin);
  CHECK(decoded->id == word.id);
  CHECK(decoded->payload.size() == 7);
  CHECK(decoded->encode() == bytes);
}
