// A property test of two joined machines. Random operations on both sides, random cuts of the bytes between them; the
// model knows only what was sent, and what each operation does to the promises:
//
//   1. what is taken on one side is what was sent on the other, in order, once, with the right serial;
//   2. nothing is lost before a finish, unless somebody reset, closed against it, refused or let go of the circuit;
//   3. everything ends: whoever waits for `writable`, `readable`, `finished` or `ended` is told, without asking again;
//   4. credit is never exceeded (WireModel) and returns to the byte, and no side holds more than its memory limit;
//   5. when all circuits are gone, so is everything that was held for them.
//
// The application is driven by events alone: after a `no_credit` it does not send before `writable`, and after an empty
// `receive` it does not receive before `readable`. A forgotten wake-up therefore shows as a promise that never
// comes true. Whatever is broken is thrown as a Broken, also from within a fuzzer.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/circuit/machine_pair.hpp"

namespace trunkline::test {

struct Broken : std::logic_error {
  using logic_error::logic_error;
};

/// What the model remembers of a fragment; the rest follows from it.
struct Sent {
  std::uint32_t seed = 0;
  std::size_t size = 0;
  bool is_error = false;

  std::string bytes() const {
    std::string text(size, '\0');
    std::uint32_t state = seed * 2654435761u + 1;
    for (std::size_t at = 0; at + 4 <= size; at += 4) {
      state = state * 1664525u + 1013904223u;
      std::memcpy(text.data() + at, &state, 4);
    }
    for (std::size_t at = size & ~std::size_t{3}; at < size; ++at) text[at] = static_cast<char>(seed + at);
    return text;
  }
  Fragment fragment() const {
    Fragment fragment(static_cast<std::int32_t>(seed * 7919u), Payload(bytes()));
    fragment.part = static_cast<std::int64_t>(std::uint64_t{seed} << (seed % 32)) * (seed % 2 ? 1 : -1);
    if (seed % 3 == 0) fragment.subject = "subject " + std::to_string(seed);
    if (seed % 39 == 0) fragment.subject.resize(seed % 8100, 's');
    if (seed % 5 == 0) fragment.args.set("seed", std::to_string(seed));
    if (seed % 25 == 0) fragment.args.set_system("empty", "");
    if (is_error) fragment.err = "error " + std::to_string(seed);
    return fragment;
  }
};

struct ConversationOptions {
  std::size_t fragment_bytes_max = 4 << 20; // of what is sent here; at most the limit's
  std::uint32_t circuits_max = 8; // open at a time and per side
  bool losses = true; // reset, close and release before the end, too
  bool sums = true;   // every settling ends with a look at both sums of credit, which takes a window of bytes
};

class Conversation {
 public:
  Conversation(Choices& choices, MachinePair& pair, ConversationOptions options = ConversationOptions())
      : choices_(choices), pair_(pair), options_(options) {
    for (int side : {0, 1}) memory_max_[side] = Limits().trunk_memory_bytes_max;
    note_events();
  }
  /// When the sides' limits are not the defaults.
  void expect_memory_below(std::size_t dialler, std::size_t answerer) {
    memory_max_[0] = dialler;
    memory_max_[1] = answerer;
  }

  void run(int steps) {
    for (int step = 0; step < steps && choices_.more(); ++step) {
      this->step();
      note_events();
      check_bounds();
    }
  }

  /// Lets both sides finish, take everything and release; then checks every promise.
  void settle() {
    bool finishing = false;
    for (int idle = 0; idle < 4;) {
      bool moved = accept_all();
      moved |= pump();
      moved |= take_all();
      moved |= send_pending();
      if (!moved && !finishing) moved = finishing = finish_all();
      if (moved) {
        idle = 0;
      } else if (++idle < 4) {
        // Credit and acknowledgements may wait for a timer, but not for long.
        pair_.pass(std::chrono::milliseconds(200));
        note_events();
      }
    }
    for (auto& [id, line] : lines_) check_ending(id, line);
    for (auto& [id, line] : lines_)
      for (int side : {0, 1}) release(line, side);
    pump();
    pair_.pass(std::chrono::milliseconds(200));
    note_events();
    check_empty();
    circuits_checked += lines_.size();
    lines_.clear();
    for (int side : {0, 1})
      if (options_.sums) check_sums(side);
  }

  std::size_t fragments_taken = 0;
  std::size_t circuits_checked = 0;
  std::size_t refused = 0;

 private:
  struct Half { // one side's handle of a circuit
    TrunkCircuit* circuit = nullptr;
    bool released = false;
    bool accepted = false;
    bool can_read = false;
    bool can_read_errors = false;
    bool waits_to_write = false;
    std::optional<Sent> pending; // was told no_credit
    std::deque<Sent> sent; // in order; how many were taken by the far side is in its taken_*
    std::size_t taken_reads = 0;
    std::size_t taken_errors = 0;
    bool finish_asked = false;
    bool close_asked = false;
    bool finished_seen = false;
    bool ended_seen = false;
    bool lossy = false; // what this half sends may be lost
  };
  struct Line {
    int opener = 0;
    Half halves[2];
    std::string name;
    bool cut = false; // reset, refused or abandoned
  };

  [[noreturn]] void broken(CircuitId id, const std::string& what) {
    throw Broken("circuit " + std::to_string(id) + ": " + what);
  }
  void demand(bool holds, CircuitId id, const char* otherwise) {
    if (!holds) broken(id, otherwise);
  }
  Machine& machine(int side) { return pair_.sides[side].machine(); }

  // --- random steps

  void step() {
    const int side = static_cast<int>(choices_.below(2));
    switch (choices_.below(20)) {
      case 0: open(side); return;
      case 1:
      case 2:
      case 3:
      case 4: {
        auto* line = some_line(side);
        if (line) send_new(*line, side);
        return;
      }
      case 5:
      case 6: {
        auto* line = some_line(side);
        if (line && line->halves[side].can_read && line->halves[side].accepted) take_one(*line, side);
        return;
      }
      case 7: {
        auto* line = some_line(side);
        if (line && line->halves[side].can_read_errors && line->halves[side].accepted) take_error(*line, side);
        return;
      }
      case 8: {
        auto* line = some_line(side);
        if (line && line->halves[side].accepted && choices_.one_in(3)) finish(*line, side);
        return;
      }
      case 9: {
        auto* line = some_line(side);
        if (line && options_.losses) end_early(*line, side);
        return;
      }
      case 10: {
        auto* line = some_line(side);
        if (line) answer(*line, side);
        return;
      }
      case 11: pair_.pass(std::chrono::microseconds(choices_.below(10'000))); return;
      case 12: {
        auto* line = some_line(side);
        if (line && choices_.one_in(2)) {
          fill(*line, side);
        } else {
          send_pending();
        }
        return;
      }
      case 13:
      case 14:
      case 15: pair_.write(pair_.sides[side], 1 + choices_.below(200'000)); return;
      default:
        pair_.deliver(pair_.sides[side], choices_.one_in(4) ? 1 + choices_.below(64) : 1 + choices_.below(200'000));
        return;
    }
  }

  /// A circuit that this side still has, or nullptr.
  Line* some_line(int side) {
    std::vector<Line*> living;
    for (auto& [id, line] : lines_)
      if (line.halves[side].circuit) living.push_back(&line);
    return living.empty() ? nullptr : choices_.any_of(living);
  }

  void open(int side) {
    const auto open_here = std::ranges::count_if(
        lines_, [&](const auto& item) { return item.second.opener == side && item.second.halves[side].circuit; });
    if (open_here >= static_cast<std::ptrdiff_t>(options_.circuits_max)) return;
    OpenRequest request = pair_.request(pair_.sides[side]);
    request.wants_answer = choices_.one_in(2);
    request.name = "circuit " + std::to_string(++names_);
    request.user_string = std::string(choices_.below(20), 'u');
    std::optional<Sent> first;
    if (choices_.one_in(2)) first = some_fragment(std::size_t{200'000});
    const std::string name = request.name;
    TrunkCircuit* circuit =
        machine(side).open(std::move(request), first ? std::optional(first->fragment()) : std::nullopt, pair_.now);
    if (!circuit) throw Broken("open was refused on a trunk that lives");
    if (lines_.contains(circuit->id)) broken(circuit->id, "its number was used before");
    Line& line = lines_[circuit->id];
    line.opener = side;
    line.name = name;
    line.halves[side].circuit = circuit;
    line.halves[side].accepted = true;
    if (first) line.halves[side].sent.push_back(*first);
  }

  Sent some_fragment(std::size_t size_max) {
    static constexpr std::size_t sizes[] = {0,     1,       80,      81,      1000,    8192,   65536,
                                            65537, 140'000, 262'144, 300'000, 1 << 20, 4 << 20};
    Sent sent;
    sent.seed = ++seeds_;
    const std::uint32_t kind = choices_.below(64);
    if (kind < 40) {
      sent.size = choices_.below(300);
    } else if (kind < 62) {
      sent.size = sizes[choices_.below(9)];
    } else {
      sent.size = choices_.any_of(sizes);
    }
    sent.size = std::min({sent.size, size_max, options_.fragment_bytes_max});
    // More than ten fragments of nothing in a row are a violation.
    if (std::exchange(empty_before_, sent.size == 0)) sent.size = std::max<std::size_t>(sent.size, 1);
    sent.is_error = choices_.one_in(8);
    return sent;
  }

  void send_new(Line& line, int side) {
    Half& half = line.halves[side];
    if (half.pending || !half.accepted) return;
    send(line, side, some_fragment(options_.fragment_bytes_max));
  }

  /// Uses the circuit's credit up to its last byte: one granted too many would be noticed.
  void fill(Line& line, int side) {
    Half& half = line.halves[side];
    if (half.pending || !half.accepted) return;
    const std::size_t credit = machine(side).credit_bytes(*half.circuit);
    if (credit <= say::fragment_overhead || credit - say::fragment_overhead > options_.fragment_bytes_max) return;
    Sent sent;
    while (seeds_ % 3 == 0 || seeds_ % 5 == 0) ++seeds_; // those have metadata
    sent.seed = seeds_++;
    sent.size = credit - say::fragment_overhead;
    send(line, side, sent);
  }

  void send(Line& line, int side, const Sent& sent) {
    Half& half = line.halves[side];
    Fragment fragment = sent.fragment();
    const bool could = !half.circuit->finished_here() && !half.circuit->ended;
    switch (machine(side).send(*half.circuit, fragment)) {
      case SendOutcome::queued:
        demand(could, half.circuit->id, "took a fragment after its end");
        half.sent.push_back(sent);
        half.pending.reset();
        half.waits_to_write = false;
        return;
      case SendOutcome::no_credit:
        demand(could, half.circuit->id, "said no_credit after its end");
        demand(fragment.payload == sent.fragment().payload && fragment.subject == sent.fragment().subject,
               half.circuit->id, "moved from a fragment that it did not take");
        half.pending = sent;
        half.waits_to_write = true;
        return;
      case SendOutcome::closed:
        demand(!could, half.circuit->id, "said closed while it was open");
        half.pending.reset();
        half.waits_to_write = false;
        return;
    }
  }

  void finish(Line& line, int side) {
    Half& half = line.halves[side];
    half.pending.reset();
    half.finish_asked = true;
    machine(side).finish(*half.circuit);
  }

  void end_early(Line& line, int side) {
    Half& half = line.halves[side];
    switch (choices_.below(4)) {
      case 0:
        half.pending.reset();
        half.close_asked = true;
        // What the other still sends is dropped; unless it is over already, and then it is not ours to lose.
        line.halves[1 - side].lossy = true;
        machine(side).close(*half.circuit,
                            choices_.one_in(2) ? End() : End(error::handler_failed, "closed by the test"));
        return;
      case 1:
        half.pending.reset();
        line.cut = true;
        machine(side).reset(*half.circuit, End(error::circuit_reset, "reset by the test"));
        return;
      case 2:
        // What is still to be taken here is lost with the handle, and so is what was not finished.
        line.halves[1 - side].lossy = true;
        if (!half.finish_asked && !half.close_asked && !half.circuit->ended) line.cut = true;
        release(line, side);
        return;
      default: return;
    }
  }

  void answer(Line& line, int side) {
    Half& half = line.halves[side];
    if (half.accepted || half.close_asked || line.opener == side) return;
    if (options_.losses && choices_.one_in(4)) {
      line.cut = true;
      ++refused;
      half.released = true;
      TrunkCircuit& circuit = *std::exchange(half.circuit, nullptr);
      machine(side).refuse(circuit, error::service_limit_reached, "refused by the test", {});
    } else {
      accept(line, side);
    }
  }

  void accept(Line& line, int side) {
    Half& half = line.halves[side];
    half.accepted = true;
    machine(side).accept(*half.circuit, pair_.sides[side].peer());
    machine(side).left_backlog(*half.circuit);
  }

  void release(Line& line, int side) {
    Half& half = line.halves[side];
    half.released = true;
    half.pending.reset();
    if (TrunkCircuit* circuit = std::exchange(half.circuit, nullptr)) machine(side).release(*circuit);
  }

  // --- taking

  void take_one(Line& line, int side) {
    Half& half = line.halves[side];
    std::optional<Fragment> fragment = machine(side).take(*half.circuit);
    if (!fragment) {
      half.can_read = false;
      return;
    }
    check_taken(line, side, *fragment, half.taken_reads, false);
  }

  void take_error(Line& line, int side) {
    Half& half = line.halves[side];
    std::optional<Fragment> fragment = machine(side).take_error(*half.circuit);
    if (!fragment) {
      half.can_read_errors = false;
      return;
    }
    check_taken(line, side, *fragment, half.taken_errors, true);
  }

  void check_taken(Line& line, int side, const Fragment& fragment, std::size_t& taken, bool is_error) {
    const CircuitId id = line.halves[side].circuit->id;
    const Half& from = line.halves[1 - side];
    std::size_t at = 0;
    // Errors give way to later ones when too many are not taken.
    const std::size_t dropped = is_error ? line.halves[side].circuit->counters.errors_dropped : 0;
    for (std::size_t before = taken + dropped; at < from.sent.size(); ++at)
      if (from.sent[at].is_error == is_error && before-- == 0) break;
    demand(at < from.sent.size(), id, "gave a fragment that nobody sent");
    const Fragment expected = from.sent[at].fragment();
    demand(fragment.payload == expected.payload, id, "gave another payload than the next one that was sent");
    demand(fragment.op == expected.op && fragment.part == expected.part, id, "gave another op or part than was sent");
    demand(fragment.subject == expected.subject && fragment.err == expected.err && fragment.args == expected.args, id,
           "gave other metadata than was sent");
    demand(fragment.serial() == at + 1, id, "gave a fragment with a wrong serial");
    demand(fragment.circuit_id() == id && fragment.from_peer_id() == pair_.sides[1 - side].peer()->id, id,
           "gave a fragment with a wrong address");
    ++taken;
    ++fragments_taken;
  }

  // --- events

  void note_events() {
    for (int side : {0, 1}) {
      pair_.collect(pair_.sides[side]);
      for (TrunkEvent& event : pair_.sides[side].events()) note_event(side, event);
    }
  }

  void note_event(int side, TrunkEvent& event) {
    using Kind = TrunkEvent::Kind;
    if (event.kind == Kind::closed)
      throw Broken("a trunk broke: " + (event.end ? event.end->to_string() : std::string("clean")));
    if (!event.circuit || event.circuit->released()) return;
    const CircuitId id = event.circuit->id;
    if (event.kind == Kind::opened && !settling_sums_) {
      demand(lines_.contains(id) && lines_[id].opener == 1 - side, id, "was opened by nobody");
      demand(!lines_[id].halves[side].circuit && !lines_[id].halves[side].released, id, "was opened twice");
      demand(
          event.open && event.open->name == lines_[id].name && event.open->from->id == pair_.sides[1 - side].peer()->id,
          id, "was opened with other words");
      lines_[id].halves[side].circuit = event.circuit;
      return;
    }
    if (settling_sums_) return;
    demand(lines_.contains(id), id, "has an event and does not exist");
    Half& half = lines_[id].halves[side];
    demand(half.circuit == event.circuit, id, "has an event on a handle that is gone");
    switch (event.kind) {
      case Kind::readable: half.can_read = true; break;
      case Kind::error_readable: half.can_read_errors = true; break;
      case Kind::writable: half.waits_to_write = false; break;
      case Kind::finished:
        demand(half.finish_asked && !half.finished_seen, id, "said finished without a finish, or twice");
        half.finished_seen = true;
        break;
      case Kind::ended:
        demand(!half.ended_seen, id, "ended twice");
        half.ended_seen = true;
        if (event.circuit->end) {
          const Line& line = lines_[id];
          demand(line.cut || line.halves[0].close_asked || line.halves[1].close_asked, id,
                 "ended with a reason that nobody gave");
        }
        break;
      default: break;
    }
  }

  // --- settling

  bool accept_all() {
    bool moved = false;
    for (auto& [id, line] : lines_) {
      Half& half = line.halves[1 - line.opener];
      if (!half.circuit || half.accepted) continue;
      accept(line, 1 - line.opener);
      moved = true;
    }
    return moved;
  }

  /// A fuzzer that has said everything must not go on byte by byte.
  std::size_t some_bytes() { return choices_.more() ? 1 + choices_.below(500'000) : std::size_t{500'000}; }

  bool pump() {
    bool moved = false;
    for (auto& side : pair_.sides) moved |= pair_.write(side, some_bytes());
    for (auto& side : pair_.sides) moved |= pair_.deliver(side, some_bytes());
    note_events();
    check_bounds();
    return moved;
  }

  bool take_all() {
    bool moved = false;
    for (auto& [id, line] : lines_) {
      for (int side : {0, 1}) {
        while (line.halves[side].circuit && line.halves[side].can_read) {
          take_one(line, side);
          moved = true;
        }
        while (line.halves[side].circuit && line.halves[side].can_read_errors) {
          take_error(line, side);
          moved = true;
        }
      }
    }
    note_events();
    return moved;
  }

  bool send_pending() {
    bool moved = false;
    for (auto& [id, line] : lines_) {
      for (int side : {0, 1}) {
        Half& half = line.halves[side];
        if (!half.circuit || !half.pending || half.waits_to_write) continue;
        send(line, side, *half.pending);
        moved = true;
      }
    }
    return moved;
  }

  bool finish_all() {
    for (auto& [id, line] : lines_) {
      for (int side : {0, 1}) {
        Half& half = line.halves[side];
        if (!half.circuit || half.finish_asked || half.close_asked) continue;
        demand(!half.pending || half.circuit->ended, id,
               "keeps its sender waiting for credit though everything was taken");
        finish(line, side);
      }
    }
    note_events();
    return true;
  }

  void check_ending(CircuitId id, Line& line) {
    for (int side : {0, 1}) {
      const Half& from = line.halves[side];
      const Half& to = line.halves[1 - side];
      if (!line.cut && !from.lossy) {
        demand(to.circuit != nullptr, id, "never reached the far side");
        demand(to.taken_reads + to.taken_errors + to.circuit->counters.errors_dropped == from.sent.size(), id,
               "lost a fragment that was sent before a finish");
        if (!line.halves[0].close_asked && !line.halves[1].close_asked && !to.lossy)
          demand(from.finished_seen && from.circuit->finish_acknowledged(), id, "never acknowledged a finish");
      }
      if (from.circuit) {
        demand(from.ended_seen && from.circuit->ended, id, "never ended");
        const bool with_reason = line.cut || line.halves[0].close_asked || line.halves[1].close_asked;
        demand(with_reason || !from.circuit->end, id, "ended with a reason though both sides finished");
      }
    }
  }

  void check_bounds() {
    for (int side : {0, 1}) {
      const auto held = static_cast<std::int64_t>(machine(side).memory_bytes());
      const auto max = static_cast<std::int64_t>(memory_max_[side]);
      if (held > max)
        throw Broken("a trunk holds " + std::to_string(held) + " bytes, more than its limit of " + std::to_string(max));
      if (const std::int64_t promised = pair_.sides[side].model().granted(); promised > max)
        throw Broken("a trunk has promised to take " + std::to_string(promised) + " bytes, more than its limit of " +
                     std::to_string(max));
    }
  }

  void check_empty() {
    for (int side : {0, 1}) {
      if (machine(side).circuits_count() != 0)
        throw Broken(std::to_string(machine(side).circuits_count()) + " circuits are left when all were released");
      if (machine(side).memory_bytes() != 0)
        throw Broken(std::to_string(machine(side).memory_bytes()) + " bytes are held for circuits that are gone");
      const std::int64_t granted = pair_.sides[side].model().granted();
      if (pair_.sides[1 - side].model().credit() != granted)
        throw Broken("the two sides disagree about the trunk's credit");
    }
  }

  /// Small amounts are granted together, so the sums can be told only right after a grant: with nothing unread, all of
  /// the window is then on the far side. Sends and takes one fragment after the other until there was one.
  void check_sums(int side) {
    settling_sums_ = true;
    auto& here = pair_.sides[side];
    auto& there = pair_.sides[1 - side];
    TrunkCircuit* from = there.machine().open(pair_.request(there), std::nullopt, pair_.now);
    pair_.pump();
    TrunkCircuit* to = here.opened_last();
    here.machine().accept(*to, here.peer());
    here.machine().left_backlog(*to);
    const int trunk_grants = here.model().credits_said();
    const int circuit_grants = here.model().credits_said(to->id);
    for (int fragments = 0;
         here.model().credits_said() == trunk_grants || here.model().credits_said(to->id) == circuit_grants;) {
      const bool trunk_before = here.model().credits_said() == trunk_grants;
      const bool circuit_before = here.model().credits_said(to->id) == circuit_grants;
      Fragment fragment(1, Payload(std::string(30'000, 'x')));
      if (++fragments > 1000 || there.machine().send(*from, fragment) != SendOutcome::queued)
        throw Broken("credit does not come back for fragments that are taken at once");
      pair_.pump();
      // What was granted as it arrived leaves it out.
      const int trunk_arrival = here.model().credits_said();
      const int circuit_arrival = here.model().credits_said(to->id);
      const auto untaken = [cost = static_cast<std::int64_t>(say::fragment_overhead + 30'000)](int said, int arrival) {
        return said == arrival ? cost : 0;
      };
      if (!here.machine().take(*to)) throw Broken("a fragment does not arrive");
      pair_.pump();
      if (const int said = here.model().credits_said(); trunk_before && said != trunk_grants)
        check_sum("the trunk", here.model().granted() + untaken(said, trunk_arrival),
                  static_cast<std::int64_t>(memory_max_[side] / 2));
      if (const int said = here.model().credits_said(to->id); circuit_before && said != circuit_grants)
        check_sum("a circuit", here.model().granted(to->id) + untaken(said, circuit_arrival), say::circuit_window);
    }
    note_events(); // while what they are about is still there
    there.machine().release(*from);
    here.machine().release(*to);
    pair_.pump();
    note_events();
    settling_sums_ = false;
  }

  /// A circuit's window widens by doubling.
  void check_sum(const char* whose, std::int64_t granted, std::int64_t window) {
    while (granted > window && granted % window == 0) window *= 2;
    if (granted != window)
      throw Broken(std::string(whose) + "'s credit is " + std::to_string(granted) +
                   " when everything was taken, and its window " + std::to_string(window));
  }

  Choices& choices_;
  MachinePair& pair_;
  ConversationOptions options_;
  std::size_t memory_max_[2];
  std::map<CircuitId, Line> lines_;
  std::uint32_t seeds_ = 0;
  std::uint32_t names_ = 0;
  bool empty_before_ = false;
  bool settling_sums_ = false;
};

} // namespace trunkline::test
