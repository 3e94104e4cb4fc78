// Who sends next, and with whose credit: sums, waiting for credit, fairness. Rows F30 to F32, F35.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("flow: credit beyond the largest sum breaks the trunk and does not wrap (F30)") {
  const std::uint64_t circuit_max = (std::uint64_t{1} << 31) - 1;
  const std::uint64_t trunk_max = std::uint64_t{1} << 40;

  Joined circuit;
  circuit.hears(say::credit(1, circuit_max - 262'144));
  CHECK(circuit.state() == "open");
  CHECK(circuit.machine().credit_bytes(circuit.circuit(1)) == circuit_max);
  circuit.hears(say::credit(1, 1));
  CHECK(circuit.state() == "flow control violated");

  Joined trunk;
  trunk.hears(say::credit(0, trunk_max - 1'048'576));
  CHECK(trunk.state() == "open");
  trunk.hears(say::credit(0, 1));
  CHECK(trunk.state() == "flow control violated");

  for (const CircuitId id : {CircuitId{0}, CircuitId{1}}) {
    for (const std::uint64_t bytes : {~std::uint64_t{0}, ~std::uint64_t{0} - 262'143, std::uint64_t{1} << 63}) {
      Joined dialogue;
      dialogue.hears(say::credit(id, bytes));
      CHECK(dialogue.state() == "flow control violated");
    }
  }
}

TEST_CASE("flow: the same credit in many large frames overflows as one would (F30)") {
  Joined dialogue;
  int frames = 0;
  for (; frames < 100 && !dialogue.closed(); ++frames) dialogue.hears(say::credit(1, 100'000'000));

  CHECK(dialogue.state() == "flow control violated");
  CHECK(frames == 22);
}

TEST_CASE("flow: a credit of nothing breaks the trunk (F31)") {
  for (const CircuitId id : {CircuitId{0}, CircuitId{1}}) {
    Joined dialogue;
    dialogue.hears(say::credit(id, 0));
    CHECK(dialogue.state() == "flow control violated");
  }
}

TEST_CASE("flow: tiny credits beyond control_frames_per_second_max make reading pause (F31)") {
  Limits limits;
  limits.control_frames_per_second_max = 50;
  Joined dialogue(limits);
  for (int second = 0; second < 5; ++second) {
    for (int frame = 0; frame < 50; ++frame) dialogue.hears(say::credit(1, 1));
    REQUIRE(dialogue.machine().wants_input());
    dialogue.passes(1s);
  }

  for (int frame = 0; frame < 51; ++frame) dialogue.hears(say::credit(frame % 2, 1023));

  CHECK_FALSE(dialogue.machine().wants_input());
  CHECK(dialogue.state() == "open");
}

TEST_CASE("flow: credits of ordinary size are not counted (F31)") {
  Limits limits;
  limits.control_frames_per_second_max = 50;
  Joined dialogue(limits);

  for (int frame = 0; frame < 1000; ++frame) dialogue.hears(say::credit(frame % 2, 1024));

  CHECK(dialogue.state() == "open");
}

/// Sends until it is told to wait; how much payload was taken.
std::size_t send_until_full(Dialogue& dialogue, CircuitId id, std::size_t size) {
  std::size_t sent = 0;
  for (int fragment = 0; fragment < 100'000; ++fragment) {
    if (dialogue.sends(id, Fragment(1, Payload(std::string(size, 's')))) != SendOutcome::queued) return sent;
    sent += size;
  }
  return sent;
}

TEST_CASE("flow: without credit our side says no_credit, holds a bounded queue, and sends nothing (F32)") {
  Joined dialogue(Limits(), 100);
  std::size_t taken = 0;
  for (CircuitId id = 1; id < 200; id += 2) taken += send_until_full(dialogue, id, 20'000);

  std::int64_t said = 0;
  for (const say::Frame& frame : dialogue.frames()) said += frame.is_data() ? frame.cost() : 0;
  CHECK(said <= say::trunk_window);
  CHECK(said > say::trunk_window - 65'792);
  CHECK(taken <= Limits().send_queue_bytes_max + say::trunk_window + 100 * 40'000);
  CHECK_FALSE(dialogue.machine().has_output());
  for (CircuitId id = 1; id < 200; id += 2)
    CHECK(dialogue.sends(id, Fragment(1, Payload(std::string(20'000, 's')))) == SendOutcome::no_credit);
}

TEST_CASE("flow: a fragment that was not taken is untouched (F32)") {
  Joined dialogue;
  send_until_full(dialogue, 1, 20'000);
  Fragment fragment(7, "subject", Payload(std::string(20'000, 'u')));
  fragment.args.set("key", "value");

  REQUIRE(dialogue.machine().send(dialogue.circuit(1), fragment) == SendOutcome::no_credit);

  CHECK(fragment.op == 7);
  CHECK(fragment.subject == "subject");
  CHECK(fragment.args.size() == 1);
  CHECK(fragment.payload.text() == std::string(20'000, 'u'));
}

TEST_CASE("flow: whoever was told no_credit is told writable once when credit comes, and not before (F32)") {
  Joined dialogue;
  send_until_full(dialogue, 1, 20'000);
  dialogue.events();

  dialogue.hears(say::credit(0, 100'000));
  CHECK(dialogue.events() == "");
  dialogue.hears(say::credit(1, 100'000));

  CHECK(dialogue.events() == "writable 1");
  CHECK(dialogue.sends(1, Fragment(1, Payload(std::string(20'000, 's')))) == SendOutcome::queued);
  dialogue.hears(say::credit(1, 1'000'000));
  CHECK(dialogue.events() == "");
}

TEST_CASE("flow: data that gets no credit waits for it, however long that takes (F32)") {
  Limits limits;
  limits.keepalive_interval = 100h;
  Joined dialogue(limits, 2);
  dialogue.sends(1, Fragment(1, Payload(std::string(500'000, 's'))));
  dialogue.says();
  dialogue.events();

  dialogue.passes(10h);
  CHECK(dialogue.events() == "");
  CHECK(dialogue.says() == "");
  dialogue.hears(say::credit(1, 300'000));

  CHECK(contains(dialogue.says(), "DATA 1 "));
}

TEST_CASE("flow: a trunk that grants its circuits credit but none for itself makes them wait, too (F32)") {
  Limits limits;
  limits.keepalive_interval = 100h;
  Joined dialogue(limits, 6);
  for (CircuitId id = 1; id < 12; id += 2) send_until_full(dialogue, id, 20'000);
  dialogue.events();

  dialogue.passes(10h);

  CHECK(dialogue.events() == "");
  CHECK(dialogue.state() == "open");
}

/// A machine whose trunk has no credit left, though each circuit that it opens has.
struct WithoutTrunkCredit : Joined {
  WithoutTrunkCredit() : Joined(Limits(), 0) {
    for (int circuit = 0; circuit < 4; ++circuit)
      opens(Fragment(1, Payload(std::string(circuit_window_bytes_initial - fragment_credit_overhead, 'f'))));
    says();
  }
  bool says_data_on(const TrunkCircuit& circuit) {
    return contains(says(), "DATA " + std::to_string(circuit.id) + " ");
  }
};

TEST_CASE("flow: a small fragment passes a large one that waits for more of the trunk's credit") {
  WithoutTrunkCredit dialogue;
  TrunkCircuit& large = dialogue.opens(Fragment(1, Payload(std::string(100'000, 'l'))));
  TrunkCircuit& small = dialogue.opens(Fragment(1, "small"));
  CHECK_FALSE(dialogue.says_data_on(small));

  dialogue.hears(say::credit(0, 10'000));
  CHECK(dialogue.says_data_on(small));

  dialogue.hears(say::credit(0, 20'000));
  CHECK(dialogue.says_data_on(large));
}

TEST_CASE("flow: thousands of circuits that wait for the trunk's credit all go on when it comes") {
  WithoutTrunkCredit dialogue;
  constexpr std::size_t count = 20'000;
  for (std::size_t circuit = 0; circuit < count; ++circuit) dialogue.opens(Fragment(1, "small"));
  dialogue.says();

  dialogue.hears(say::credit(0, count * (5 + fragment_credit_overhead)));

  std::size_t began = 0;
  for (const say::Frame& frame : dialogue.frames()) began += frame.type == say::DATA;
  CHECK(began == count);
}

TEST_CASE("flow: small fragments do not pass a large one for ever") {
  WithoutTrunkCredit dialogue;
  TrunkCircuit& large = dialogue.opens(Fragment(1, Payload(std::string(100'000, 'l'))));
  TrunkCircuit& small = dialogue.opens();

  int passed = 0;
  bool large_began = false;
  for (int grant = 0; grant < 200 && !large_began; ++grant) {
    Fragment next(1, "small");
    REQUIRE(dialogue.machine().send(small, next) == SendOutcome::queued);
    dialogue.settle();
    dialogue.hears(say::credit(0, 2000) + say::credit(small.id, 2000));
    const std::string said = dialogue.says();
    passed += contains(said, "DATA " + std::to_string(small.id) + " ");
    large_began = contains(said, "DATA " + std::to_string(large.id) + " ");
  }

  CHECK(passed > 0);
  CHECK(large_began);
}

TEST_CASE("flow: a fragment that others' beginnings held back goes on when they are complete, without new credit") {
  Joined dialogue(Limits(), 0);
  dialogue.clogged = true;
  std::vector<TrunkCircuit*> circuits;
  for (int circuit = 0; circuit < 5; ++circuit)
    circuits.push_back(&dialogue.opens(Fragment(1, Payload(std::string(250'000, 'f')))));

  dialogue.clogged = false;
  dialogue.settle();

  CHECK(contains(dialogue.says(), "DATA " + std::to_string(circuits.back()->id) + " "));
}

TEST_CASE("flow: our side uses credit up to its last byte and not one more") {
  Joined dialogue;
  for (int frame = 0; frame < 3; ++frame) dialogue.sends(1, Fragment(1, Payload(std::string(65'536, 's'))));
  const std::size_t left = dialogue.machine().credit_bytes(dialogue.circuit(1));
  REQUIRE(left == 262'144 - 3 * 65'792);

  CHECK(dialogue.sends(1, Fragment(1, Payload(std::string(left - 256, 's')))) == SendOutcome::queued);
  CHECK(dialogue.machine().credit_bytes(dialogue.circuit(1)) == 0);
  CHECK(dialogue.model().credit(1) == 0);
  CHECK(dialogue.sends(1, Fragment(1)) == SendOutcome::no_credit);
}

TEST_CASE("flow: a fragment that was queued behind the output leaves the queue before the next one is sent") {
  MachinePair pair;
  TrunkCircuit* const circuit = pair.join(pair.dialler()).first;
  Machine& machine = pair.dialler().machine();
  const auto send = [&] {
    Fragment fragment(1, Payload(std::string(1000, 'x')));
    REQUIRE(machine.send(*circuit, fragment) == SendOutcome::queued);
  };
  while (!machine.has_queued(*circuit)) send();
  pair.write(pair.dialler(), 1); // the output before it
  REQUIRE(machine.has_queued(*circuit));

  send();

  CHECK_FALSE(machine.has_queued(*circuit));
}

TEST_CASE("flow: a circuit that sends without end delays another by no more than a quantum (F35)") {
  MachinePair pair;
  auto [bulk_here, bulk_there] = pair.join(pair.dialler());
  std::vector<std::pair<TrunkCircuit*, TrunkCircuit*>> small;
  for (int circuit = 0; circuit < 50; ++circuit) small.push_back(pair.join(pair.dialler()));
  std::vector<say::Frame> said;
  pair.dialler().watch = [&said](const say::Frame& frame) {
    if (frame.is_data()) said.push_back(frame);
  };
  Fragment large(1, Payload(std::string(4 * mib, 'b')));
  REQUIRE(pair.dialler().machine().send(*bulk_here, large) == SendOutcome::queued);
  pair.write(pair.dialler(), 1); // it has begun

  for (auto& [here, there] : small) {
    Fragment fragment(2, Payload(std::string(1000, 's')));
    REQUIRE(pair.dialler().machine().send(*here, fragment) == SendOutcome::queued);
  }
  said.clear();
  pair.write(pair.dialler(), 8 * mib);

  std::size_t bulk_before_last_small = 0;
  std::size_t bulk = 0;
  int small_said = 0;
  for (const say::Frame& frame : said) {
    if (frame.circuit == bulk_here->id) {
      bulk += frame.payload.size();
    } else {
      ++small_said;
      bulk_before_last_small = bulk;
    }
  }
  CHECK(small_said == 50);
  // What is in the output already goes first.
  CHECK(bulk_before_last_small <= output_bytes_ahead + 65'536);
  (void)bulk_there;
}

TEST_CASE("flow: circuits with much to send share the trunk evenly, whatever their fragments' sizes (F35)") {
  Limits limits;
  MachinePair pair(limits, limits);
  constexpr std::size_t sizes[] = {300, 4000, 20'000, 65'536, 200'000};
  std::map<CircuitId, std::size_t> size_of;
  std::map<CircuitId, std::size_t> bytes;
  for (const std::size_t size : sizes) size_of[pair.join(pair.dialler()).first->id] = size;
  std::vector<TrunkCircuit*> circuits;
  // Joined circuits are found again by number.
  pair.dialler().clogged = true;
  std::map<CircuitId, TrunkCircuit*> here;
  for (const auto& [id, size] : size_of) {
    TrunkCircuit* circuit = pair.dialler().machine().open(pair.request(pair.dialler()), std::nullopt, pair.now);
    here[circuit->id] = circuit;
    for (Fragment next(1, Payload(std::string(size, 'x')));
         pair.dialler().machine().send(*circuit, next) == SendOutcome::queued;)
      next = Fragment(1, Payload(std::string(size, 'x')));
  }
  pair.dialler().clogged = false;
  pair.dialler().watch = [&](const say::Frame& frame) {
    if (frame.is_data()) bytes[frame.circuit] += static_cast<std::size_t>(frame.cost());
  };

  for (int output = 0; output < 8; ++output) pair.write(pair.dialler(), 64 * 1024);

  std::size_t least = ~std::size_t{0};
  std::size_t most = 0;
  for (const auto& [id, circuit] : here) {
    least = std::min(least, bytes[id]);
    most = std::max(most, bytes[id]);
  }
  CAPTURE(least);
  CAPTURE(most);
  CHECK(least > 0);
  CHECK(most - least <= output_bytes_ahead + 65'792 + 16 * 1024);
}

/// Time passes, and the far side answers pings. Returns what else the machine says.
std::string passes_answered(Dialogue& dialogue, std::chrono::seconds time) {
  std::string said;
  dialogue.hears(say::pong(1)); // to the one at the beginning
  for (; time > 0s; time -= 1s) {
    dialogue.passes(1s);
    for (const say::Frame& frame : dialogue.frames()) {
      if (frame.type == say::PING) dialogue.hears(say::pong(frame.fields.number(1)));
      else said += frame.to_string();
    }
  }
  return said;
}

Limits rarely_pinging() {
  Limits limits;
  limits.keepalive_interval = 100h;
  return limits;
}

TEST_CASE("trunk: a close that is not answered within stall_deadline, though pings are, ends as stalled") {
  Joined dialogue(rarely_pinging());
  dialogue.closes(1);
  dialogue.says();

  CHECK(passes_answered(dialogue, 59s) == "");
  CHECK_FALSE(dialogue.circuit(1).ended);
  const std::string said = passes_answered(dialogue, 2s);

  CHECK(dialogue.circuit(1).ended);
  CHECK(said == "RESET 1 reason 8");
  CHECK(contains(dialogue.circuit(1).end->text, "no answer to the close within stall_deadline 60000 ms"));
}

TEST_CASE("trunk: a close is not given up while nothing shows that the far side has heard it") {
  Joined dialogue(rarely_pinging());
  dialogue.closes(1);

  dialogue.passes(10h);
  CHECK_FALSE(dialogue.circuit(1).ended);
  dialogue.hears(say::close_received(1));

  CHECK(dialogue.circuit(1).ended);
  CHECK_FALSE(dialogue.circuit(1).end);
}

TEST_CASE("trunk: credit for a circuit that we closed does not put off its deadline") {
  Joined dialogue(rarely_pinging());
  dialogue.closes(1);

  for (int second = 0; second < 70 && !dialogue.circuit(1).ended; ++second) {
    dialogue.hears(say::credit(1, 1));
    passes_answered(dialogue, 1s);
  }

  CHECK(dialogue.circuit(1).ended);
}

TEST_CASE("trunk: a little credit for what is before a close begins the wait anew (F32)") {
  Joined dialogue(rarely_pinging());
  dialogue.sends(1, Fragment(1, Payload(std::string(500'000, 's'))));
  dialogue.closes(1);
  dialogue.events();

  for (int minute = 0; minute < 5; ++minute) {
    passes_answered(dialogue, 50s);
    dialogue.hears(say::credit(1, 20'000));
  }
  CHECK(dialogue.events() == "");
  passes_answered(dialogue, 170s); // it may be others whom the far side's memory waits for
  CHECK(dialogue.events() == "");
  passes_answered(dialogue, 11s);

  CHECK(dialogue.events() == "ended 1: stalled");
  CHECK(contains(dialogue.circuit(1).end->text, "no memory at the far side, within three times stall_deadline 60000 ms"));
}

TEST_CASE("trunk: each of several closed circuits ends at its own deadline") {
  Introduced dialogue(rarely_pinging());
  for (const CircuitId id : {1, 3}) {
    dialogue.hears(say::open(id));
    dialogue.accepts(id);
  }
  dialogue.closes(1);
  passes_answered(dialogue, 10s);
  dialogue.hears(say::ping(1)); // the machine learns the time from what is said to it
  dialogue.closes(3);
  dialogue.events();

  passes_answered(dialogue, 51s);
  CHECK(dialogue.events() == "ended 1: stalled");
  passes_answered(dialogue, 11s);
  CHECK(dialogue.events() == "ended 3: stalled");
}

} // namespace
