// Credit: nobody sends more than was granted, nobody waits for credit that should have come, and what a trunk holds for
// its far side has a limit. Rows F29 to F36, one machine or two joined ones.
#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/circuit/machine_pair.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

constexpr std::size_t mib = 1 << 20;
// The machine frames this much ahead of what is taken, without asking again who else wants to send.
constexpr std::size_t output_bytes_ahead = 256 * 1024;

Limits tiny_memory() {
  Limits limits;
  limits.fragment_bytes_max = 512 * 1024;
  limits.trunk_memory_bytes_max = 2 * mib; // the least there is: the trunk's window is the assumed one
  limits.circuit_window_bytes_max = 256 * 1024;
  return limits;
}

/// Sum of the credit frames for a circuit, or for the trunk with 0.
std::int64_t granted_in(const std::vector<say::Frame>& frames, CircuitId circuit) {
  std::int64_t sum = 0;
  for (const say::Frame& frame : frames)
    if (frame.type == say::CREDIT && frame.circuit == circuit) sum += static_cast<std::int64_t>(frame.fields.number(2));
  return sum;
}

// --- where it is read to

std::string various_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size; ++at) bytes[at] = static_cast<char>((at * 2654435761u) >> 11);
  return bytes;
}

TEST_CASE("flow: bytes may be read straight to where they belong, in pieces of any size") {
  const std::string payload = various_bytes(200'000);
  std::string packet;
  for (const std::string& frame : say::fragment(1, payload)) packet += frame;
  packet += say::data(1, payload.substr(0, 20'000));
  for (const std::size_t piece : {1u, 10u, 4'096u, 50'000u, 65'536u, 300'000u}) {
    Joined dialogue;
    std::size_t direct = 0;
    for (std::size_t at = 0; at < packet.size(); at += piece) {
      direct += std::min(piece, dialogue.trunk().read_space().size());
      receive_directly(dialogue.trunk(), std::string_view(packet).substr(at, piece), dialogue.now);
    }
    dialogue.settle();

    CAPTURE(piece);
    const std::optional<Fragment> first = dialogue.takes_one(1);
    REQUIRE(first);
    CHECK((first->payload.text() == payload));
    const std::optional<Fragment> second = dialogue.takes_one(1);
    REQUIRE(second);
    CHECK((second->payload.text() == payload.substr(0, 20'000)));
    if (piece <= 10) CHECK(direct > 200'000);
  }
}

TEST_CASE("flow: a read that is under way keeps its memory when its circuit goes") {
  const std::string payload(65'536, 'p');
  const std::vector<std::string> whole = {say::data(1, payload)};
  const std::vector<std::string> cut = say::fragment(1, payload + payload + payload);
  for (const auto& frames : {whole, cut}) {
    for (const bool is_reset : {false, true}) {
      Joined dialogue(Limits(), 2);
      std::string packet;
      for (const std::string& frame : frames) packet += frame;
      dialogue.hears(packet.substr(0, packet.size() - 40'000));
      const std::span<std::byte> space = dialogue.trunk().read_space();
      REQUIRE(space.size() == 40'000);

      if (is_reset) dialogue.resets(1);
      else dialogue.releases(1);
      CHECK(dialogue.trunk().memory_bytes() >= 40'000);
      std::ranges::fill(space, std::byte{'p'}); // the read ends only now
      dialogue.trunk().feed(space, dialogue.now);
      dialogue.settle();
      CHECK(dialogue.trunk().memory_bytes() == 0);

      CHECK(dialogue.trunk().read_space().empty());
      dialogue.hears(say::data(3, "next"));
      CHECK(dialogue.takes(3).find("next") != std::string::npos);
      CHECK(dialogue.state() == "open");
    }
  }
}

TEST_CASE("flow: once the trunk is over nothing holds the memory of a read that was under way") {
  for (const bool is_shut : {false, true}) {
    Joined dialogue(Limits(), 1);
    Machine& trunk = dialogue.trunk();
    std::string packet;
    for (const std::string& frame : say::fragment(1, std::string(200'000, 'p'))) packet += frame;
    dialogue.hears(packet.substr(0, packet.size() - 40'000));
    REQUIRE_FALSE(trunk.read_space().empty());
    CHECK(trunk.memory_bytes() > 0);

    if (is_shut) {
      trunk.close(End(error::node_closed));
      CHECK(trunk.memory_bytes() > 0); // the read may still end
    }
    trunk.disconnected(End(error::trunk_lost, "gone"));

    CHECK(trunk.memory_bytes() == 0);
  }
}

// --- what the far side may send

TEST_CASE("flow: one byte beyond a circuit's credit breaks the trunk and says by how much (F29)") {
  Joined dialogue;
  for (int frame = 0; frame < 3; ++frame) dialogue.hears(say::data(1, std::string(65'536, 'd')));
  const std::size_t left = 262'144 - 3 * 65'792;

  dialogue.hears(say::data(1, std::string(left - 256 + 1, 'd')));

  CHECK(dialogue.state() == "flow control violated");
  CHECK(dialogue.says() == "GOODBYE reason 42");
  CAPTURE(dialogue.end().text);
  CHECK(contains(dialogue.end().text, std::to_string(left + 1)));
  CHECK(contains(dialogue.end().text, std::to_string(left)));
}

TEST_CASE("flow: exactly a circuit's credit is taken (F29)") {
  Joined dialogue;
  for (int frame = 0; frame < 3; ++frame) dialogue.hears(say::data(1, std::string(65'536, 'd')));

  dialogue.hears(say::data(1, std::string(262'144 - 3 * 65'792 - 256, 'd')));

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.model().granted(1) == 0);
}

TEST_CASE("flow: one byte beyond the trunk's credit breaks the trunk though the circuit has credit (F29)") {
  Joined dialogue(tiny_memory(), 6);
  std::int64_t left = say::trunk_window;
  for (CircuitId id = 1; left > 262'144; id += 2) {
    for (int frame = 0; frame < 3; ++frame, left -= 65'792) dialogue.hears(say::data(id, std::string(65'536, 'd')));
  }
  REQUIRE(dialogue.state() == "open");
  REQUIRE(dialogue.model().granted() == left);
  for (; left > 65'792; left -= 65'792) dialogue.hears(say::data(11, std::string(65'536, 'd')));
  REQUIRE(dialogue.state() == "open");

  dialogue.hears(say::data(9, std::string(static_cast<std::size_t>(left) - 256 + 1, 'd')));

  CHECK(dialogue.state() == "flow control violated");
  CHECK(contains(dialogue.end().text, "trunk"));
}

TEST_CASE("flow: metadata counts as payload does (F29)") {
  Joined dialogue;
  say::Said said;
  said.subject = std::string(5000, 's');

  dialogue.hears(say::data(1, std::string(1000, 'd'), said));
  CHECK(dialogue.trunk().memory_bytes() == 1000 + said.metadata().size() + 256);
  dialogue.takes(1);

  CHECK(dialogue.trunk().memory_bytes() == 0);
}

TEST_CASE("flow: data without credit on a circuit that we have closed breaks the trunk, too (F29)") {
  Joined dialogue;
  dialogue.closes(1);

  std::string packet;
  for (int frame = 0; frame < 4; ++frame) packet += say::data(1, std::string(65'536, 'd'));
  dialogue.hears(packet);

  CHECK(dialogue.state() == "flow control violated");
}

TEST_CASE("flow: credit beyond the largest sum breaks the trunk and does not wrap (F30)") {
  const std::uint64_t circuit_max = (std::uint64_t{1} << 31) - 1;
  const std::uint64_t trunk_max = std::uint64_t{1} << 40;

  Joined circuit;
  circuit.hears(say::credit(1, circuit_max - 262'144));
  CHECK(circuit.state() == "open");
  CHECK(circuit.trunk().credit_bytes(circuit.circuit(1)) == circuit_max);
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

TEST_CASE("flow: tiny credits beyond control_frames_per_second_max break the trunk (F31)") {
  Limits limits;
  limits.control_frames_per_second_max = 50;
  Joined dialogue(limits);
  for (int second = 0; second < 5; ++second) {
    for (int frame = 0; frame < 50; ++frame) dialogue.hears(say::credit(1, 1));
    REQUIRE(dialogue.state() == "open");
    dialogue.passes(1s);
  }

  for (int frame = 0; frame < 51; ++frame) dialogue.hears(say::credit(frame % 2, 1023));

  CHECK(dialogue.state() == "too many control frames");
  CHECK(contains(dialogue.end().text, "control_frames_per_second_max 50"));
}

TEST_CASE("flow: credits of ordinary size are not counted (F31)") {
  Limits limits;
  limits.control_frames_per_second_max = 50;
  Joined dialogue(limits);

  for (int frame = 0; frame < 1000; ++frame) dialogue.hears(say::credit(frame % 2, 1024));

  CHECK(dialogue.state() == "open");
}

// --- what we send

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
  CHECK_FALSE(dialogue.trunk().has_output());
  for (CircuitId id = 1; id < 200; id += 2)
    CHECK(dialogue.sends(id, Fragment(1, Payload(std::string(20'000, 's')))) == SendOutcome::no_credit);
}

TEST_CASE("flow: a fragment that was not taken is untouched (F32)") {
  Joined dialogue;
  send_until_full(dialogue, 1, 20'000);
  Fragment fragment(7, "subject", Payload(std::string(20'000, 'u')));
  fragment.args.set("key", "value");

  REQUIRE(dialogue.trunk().send(dialogue.circuit(1), fragment) == SendOutcome::no_credit);

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

TEST_CASE("flow: a circuit whose queued data gets no credit within stall_deadline is reset as stalled (F32)") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits, 2);
  dialogue.sends(1, Fragment(1, Payload(std::string(500'000, 's'))));
  dialogue.says();
  dialogue.events();

  dialogue.passes(59s);
  CHECK(dialogue.events() == "");
  dialogue.passes(2s);

  CHECK(dialogue.events() == "ended 1: stalled");
  CHECK(dialogue.says() == "RESET 1 reason 8");
  CHECK(dialogue.state() == "open");
  CHECK(contains(dialogue.circuit(1).end->text, "stall_deadline 60000 ms"));
}

TEST_CASE("flow: a little credit within stall_deadline begins the wait anew (F32)") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits);
  dialogue.sends(1, Fragment(1, Payload(std::string(500'000, 's'))));
  dialogue.events();

  for (int minute = 0; minute < 5; ++minute) {
    dialogue.passes(50s);
    dialogue.hears(say::credit(1, 20'000));
  }

  CHECK(dialogue.events() == "");
}

TEST_CASE("flow: a trunk that grants its circuits credit but none for itself stalls them, too (F32)") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits, 6);
  for (CircuitId id = 1; id < 12; id += 2) send_until_full(dialogue, id, 20'000);
  dialogue.events();

  dialogue.passes(61s);

  CHECK(contains(dialogue.events(), ": stalled"));
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
    REQUIRE(dialogue.trunk().send(small, next) == SendOutcome::queued);
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

TEST_CASE("flow: with both sides out of credit and nobody reading, control still passes (F33)") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  for (int side : {0, 1}) {
    TrunkCircuit& circuit = side == 0 ? *here : *there;
    for (Fragment next(1, Payload(std::string(30'000, 'x')));
         pair.sides[side].trunk().send(circuit, next) == SendOutcome::queued;)
      next = Fragment(1, Payload(std::string(30'000, 'x')));
  }
  pair.pump();

  auto [other_here, other_there] = pair.join(pair.answerer(), Fragment(1, "control and other circuits pass"));
  CHECK(pair.dialler().trunk().take(*other_there)->payload.text() == "control and other circuits pass");
  pair.dialler().trunk().reset(*here, End(error::circuit_reset, "enough"));
  pair.pump();

  CHECK(there->ended);
  CHECK(other_here->opened_here);
}

TEST_CASE("flow: both sides out of credit go on as soon as both read (F33)") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  std::size_t sent[2] = {0, 0};
  std::size_t taken[2] = {0, 0};
  for (int round = 0; round < 50; ++round) {
    for (int side : {0, 1}) {
      TrunkCircuit& circuit = side == 0 ? *here : *there;
      Fragment next(1, Payload(std::string(30'000, 'x')));
      while (pair.sides[side].trunk().send(circuit, next) == SendOutcome::queued) {
        ++sent[side];
        next = Fragment(1, Payload(std::string(30'000, 'x')));
      }
    }
    pair.pump();
    for (int side : {0, 1}) {
      TrunkCircuit& circuit = side == 0 ? *here : *there;
      while (pair.sides[side].trunk().take(circuit)) ++taken[1 - side];
    }
    pair.pump();
  }

  for (int side : {0, 1}) {
    TrunkCircuit& circuit = side == 0 ? *here : *there;
    while (pair.sides[side].trunk().take(circuit)) ++taken[1 - side];
  }
  for (int side : {0, 1}) {
    CHECK(taken[side] == sent[side]);
    CHECK(sent[side] > 200);
  }
}

TEST_CASE("flow: receiving goes on while our output is not taken (F34)") {
  Joined dialogue;
  dialogue.clogged = true;
  std::size_t bytes = 0;

  for (int frame = 0; frame < 200; ++frame) {
    dialogue.hears(say::data(1, std::string(1000, 'd')));
    REQUIRE(dialogue.state() == "open");
    const auto taken = dialogue.takes_one(1);
    REQUIRE(taken.has_value());
    bytes += taken->payload.size();
  }

  CHECK(bytes == 200'000);
}

TEST_CASE("flow: a far side that makes us answer and reads no answer costs no more than the trunk's memory (F34)") {
  Limits limits = tiny_memory();
  limits.circuits_max = 1;
  Joined dialogue(limits);
  dialogue.clogged = true;

  // Every one of these opens is refused, and the refusals pile up.
  CircuitId id = 3;
  for (int packet = 0; packet < 2000 && !dialogue.closed(); ++packet) {
    std::string opens;
    for (int open = 0; open < 1000; ++open, id += 2) opens += say::open(id);
    dialogue.hears(opens);
  }

  Output output;
  dialogue.trunk().collect_output(output, 1 << 20, dialogue.now);
  CHECK(output.bytes <= limits.trunk_memory_bytes_max + (1 << 20));
  CHECK(dialogue.state() == "too many control frames");
}

TEST_CASE("flow: what an application leaves unread never exceeds the window, and no more is read beside it (F36)") {
  Joined dialogue;
  const std::string large(60'000, 'd');
  while (dialogue.model().granted(1) >= say::cost(large.size())) dialogue.hears(say::data(1, large));

  CHECK(dialogue.trunk().memory_bytes() <= 262'144);
  CHECK(dialogue.says() == "");
  dialogue.takes(1);

  CHECK(dialogue.model().granted(1) >= 262'144 / 2);
}

// --- exact sums

TEST_CASE("flow: what is granted to a circuit is what was taken from it, to the byte") {
  Limits limits;
  limits.circuit_window_bytes_max = 256 * 1024; // the window does not widen
  Joined dialogue(limits);
  std::int64_t granted = 0;
  for (int half = 1; half <= 20; ++half) {
    dialogue.hears(say::data(1, std::string(65'536 - 256, 'd')) + say::data(1, std::string(65'536 - 256, 'd')));
    dialogue.takes(1);
    granted += granted_in(dialogue.frames(), 1);

    REQUIRE(granted == half * 131'072);
  }
  CHECK(dialogue.model().granted(1) == 262'144);
}

TEST_CASE("flow: what is granted to the trunk is what was taken from it, to the byte") {
  Joined dialogue(tiny_memory());
  std::int64_t granted = 0;
  for (int quarter = 1; quarter <= 20; ++quarter) {
    for (int frame = 0; frame < 4; ++frame) {
      dialogue.hears(say::data(1, std::string(65'536 - 256, 'd')));
      dialogue.takes(1);
    }
    granted += granted_in(dialogue.frames(), 0);

    REQUIRE(granted == quarter * 262'144);
  }
  CHECK(dialogue.model().granted() == say::trunk_window);
}

TEST_CASE(
    "flow: what is granted to the trunk counts circuits that ended, were reset, closed or never existed for long") {
  Joined dialogue(tiny_memory());
  std::int64_t sent = 0;
  CircuitId id = 3;
  const auto frame = [&](const say::Bytes& before, const say::Bytes& after) {
    dialogue.hears(say::open(id) + before + say::data(id, std::string(65'536 - 256, 'd')) + after);
    sent += 65'536;
    id += 2;
  };

  for (int round = 0; round < 40; ++round) {
    frame(say::reset(id), ""); // data behind a reset
    frame("", say::reset(id - 0)); // unread when reset
    dialogue.releases(id - 2);
    frame("", say::finish(id));
    dialogue.takes(id - 2);
    dialogue.releases(id - 2);
    dialogue.hears(say::close_received(id - 2));
    frame("", say::close(id));
    dialogue.releases(id - 2);
    frame("", "");
    dialogue.refuses(id - 2);
    frame("", "");
    dialogue.closes(id - 2);
    dialogue.hears(say::close_received(id - 2));
    dialogue.releases(id - 2);
    dialogue.releases(id - 12);
    REQUIRE(dialogue.state() == "open");
    dialogue.passes(1s);
  }

  CHECK(sent > 10 * say::trunk_window);
  CHECK(dialogue.trunk().memory_bytes() == 0);
  CHECK(dialogue.model().granted() > say::trunk_window - say::trunk_window / 4);
  CHECK(dialogue.model().granted() <= say::trunk_window);
}

TEST_CASE("flow: our side uses credit up to its last byte and not one more") {
  Joined dialogue;
  for (int frame = 0; frame < 3; ++frame) dialogue.sends(1, Fragment(1, Payload(std::string(65'536, 's'))));
  const std::size_t left = dialogue.trunk().credit_bytes(dialogue.circuit(1));
  REQUIRE(left == 262'144 - 3 * 65'792);

  CHECK(dialogue.sends(1, Fragment(1, Payload(std::string(left - 256, 's')))) == SendOutcome::queued);
  CHECK(dialogue.trunk().credit_bytes(dialogue.circuit(1)) == 0);
  CHECK(dialogue.model().credit(1) == 0);
  CHECK(dialogue.sends(1, Fragment(1)) == SendOutcome::no_credit);
}

TEST_CASE("flow: the trunk's own window is announced at once and is half of its memory") {
  Dialogue dialogue;

  CHECK(granted_in(dialogue.frames(), 0) ==
        static_cast<std::int64_t>(Limits().trunk_memory_bytes_max / 2) - say::trunk_window);
}

TEST_CASE("flow: a circuit's window widens when it is what holds the sender back, up to its limit") {
  Limits limits;
  limits.circuit_window_bytes_max = 1 * mib;
  Joined dialogue(limits);
  std::int64_t widest = 0;
  for (int round = 0; round < 200; ++round) {
    while (dialogue.model().granted(1) >= 60'256) dialogue.hears(say::data(1, std::string(60'000, 'd')));
    dialogue.takes(1);
    widest = std::max(widest, dialogue.model().granted(1));
    dialogue.passes(100us);
  }

  CHECK(widest > static_cast<std::int64_t>(mib / 2));
  CHECK(widest <= static_cast<std::int64_t>(mib));
}

TEST_CASE("flow: a circuit's window stays as it is when the application is what holds the sender back") {
  Joined dialogue;
  for (int round = 0; round < 20; ++round) {
    while (dialogue.model().granted(1) >= 60'256) dialogue.hears(say::data(1, std::string(60'000, 'd')));
    dialogue.passes(5s);
    dialogue.hears(say::pong(0));
    dialogue.takes(1);
  }

  CHECK(dialogue.model().granted(1) <= 262'144);
}

// --- fragments larger than a window

TEST_CASE("flow: a fragment of many windows passes, and the window returns to its size") {
  Limits limits;
  limits.circuit_window_bytes_max = 256 * 1024; // it does not widen
  MachinePair pair(limits, limits);
  auto [here, there] = pair.join(pair.dialler());
  const std::string payload(4 * mib, 'p');
  for (int round = 0; round < 5; ++round) {
    Fragment fragment(round, Payload(payload));
    REQUIRE(pair.dialler().trunk().send(*here, fragment) == SendOutcome::queued);
    pair.pump(3000);

    const auto taken = pair.answerer().trunk().take(*there);
    REQUIRE(taken.has_value());
    CHECK(taken->op == round);
    CHECK(taken->payload.text() == payload);
    pair.pump();
  }

  CHECK(pair.answerer().trunk().memory_bytes() == 0);
  CHECK(pair.answerer().model().granted(1) <= 262'144);
  CHECK(pair.answerer().model().granted(1) >= 131'072);
  CHECK(pair.answerer().model().granted() <= 8 * static_cast<std::int64_t>(mib));
  CHECK(pair.answerer().model().granted() > 6 * static_cast<std::int64_t>(mib));
}

/// Many circuits that send one fragment of this size each at the same time; how many of them arrive.
int arriving(const Limits& limits, int circuits, std::size_t size) {
  MachinePair pair(limits, limits);
  std::vector<TrunkCircuit*> there;
  for (int circuit = 0; circuit < circuits; ++circuit) there.push_back(pair.join(pair.dialler()).second);
  pair.pump();
  // Joined first, then all at once: nothing leaves before all of them are queued.
  std::vector<TrunkCircuit*> here;
  pair.dialler().clogged = true;
  for (int circuit = 0; circuit < circuits; ++circuit) {
    TrunkCircuit* opened = pair.dialler().trunk().open(pair.request(pair.dialler()),
                                                       Fragment(1, Payload(std::string(size, 'x'))), pair.now);
    here.push_back(opened);
  }
  pair.dialler().clogged = false;

  int arrived = 0;
  std::vector<TrunkCircuit*> readers;
  for (int round = 0; round < 1000; ++round) {
    pair.pump();
    for (TrunkEvent& event : pair.answerer().events()) {
      if (event.kind == TrunkEvent::Kind::opened) {
        pair.answerer().trunk().accept(*event.circuit, pair.answerer().peer());
        pair.answerer().trunk().left_backlog(*event.circuit);
        readers.push_back(event.circuit);
      }
    }
    const int before = arrived;
    for (TrunkCircuit* reader : readers)
      while (const auto fragment = pair.answerer().trunk().take(*reader)) arrived += fragment->payload.size() == size;
    if (arrived == before && round > 3) break;
  }
  return arrived;
}

TEST_CASE("flow: many fragments of two chunks, sent at once on a circuit each, all arrive") {
  CHECK(arriving(Limits(), 10, 100'000) == 10);
  CHECK(arriving(Limits(), 200, 100'000) == 200);
}

TEST_CASE("flow: many fragments within their circuits' windows, together beyond the trunk's, all arrive") {
  CHECK(arriving(Limits(), 100, 250'000) == 100);
  CHECK(arriving(tiny_memory(), 30, 250'000) == 30);
}

TEST_CASE("flow: many fragments larger than their circuits' windows, sent at once, all arrive with the least memory") {
  CHECK(arriving(tiny_memory(), 30, 512 * 1024) == 30);
  CHECK(arriving(Limits(), 60, 1 * mib) == 60);
}

/// How many of `circuits` large fragments arrive that begin while their circuits have little credit left, which grows
/// only afterwards: the reader takes what was sent before them at once, so that windows widen.
int arriving_behind_others(int circuits, std::size_t first, std::size_t second) {
  MachinePair pair;
  MachinePair::Side& here = pair.dialler();
  MachinePair::Side& there = pair.answerer();
  std::vector<std::pair<TrunkCircuit*, TrunkCircuit*>> joined;
  for (int circuit = 0; circuit < circuits; ++circuit) joined.push_back(pair.join(here));
  pair.pump();
  const auto send_all = [&](std::size_t size) {
    for (const auto& [sender, reader] : joined) {
      Fragment fragment(1, Payload(std::string(size, 'x')));
      REQUIRE(here.trunk().send(*sender, fragment) == SendOutcome::queued);
      while (pair.write(here, 1 << 20)) {}
    }
  };
  int arrived = 0;
  const auto take_all = [&] {
    int taken = 0;
    for (const auto& [sender, reader] : joined)
      while (const auto fragment = there.trunk().take(*reader)) {
        ++taken;
        arrived += fragment->payload.size() == second;
      }
    return taken;
  };

  send_all(first);
  const std::size_t before_seconds = here.in_flight();
  send_all(second);
  pair.deliver(here, before_seconds);
  for (int idle = 0; idle < 4;) {
    idle = take_all() > 0 ? 0 : idle + 1;
    pair.pump();
  }
  return arrived;
}

TEST_CASE("flow: fragments that began with little of their circuits' credit all arrive when it has grown") {
  CHECK(arriving_behind_others(20, 230 * 1024, 1 * mib) == 20);
  CHECK(arriving_behind_others(30, 230 * 1024, 1 * mib) == 30);
  CHECK(arriving_behind_others(32, 200 * 1024, 4 * mib) == 32);
}

TEST_CASE("flow: chunks of one byte of fragments that wait for memory cost about their bytes") {
  Joined dialogue(Limits(), 3);
  for (CircuitId id : {1, 3}) dialogue.hears(say::first_of_more(id, 4 * mib, "x"));
  dialogue.hears(say::first_of_more(5, 4 * mib, "x"));
  const std::size_t held = dialogue.trunk().memory_bytes();

  std::string bytes;
  for (int chunk = 0; chunk < 10'000; ++chunk) bytes += say::continues(5, "y");
  dialogue.hears(bytes);

  CHECK(dialogue.trunk().memory_bytes() == held + 10'000);
  CHECK(dialogue.state() == "open");
}

TEST_CASE("flow: small fragments pass while a hundred large ones wait for memory") {
  Limits limits = tiny_memory();
  MachinePair pair(limits, limits);
  for (int circuit = 0; circuit < 100; ++circuit)
    pair.dialler().trunk().open(pair.request(pair.dialler()), Fragment(1, Payload(std::string(300'000, 'x'))),
                                pair.now);
  pair.pump();
  std::vector<TrunkCircuit*> readers;
  for (TrunkEvent& event : pair.answerer().events())
    if (event.kind == TrunkEvent::Kind::opened) readers.push_back(event.circuit);

  auto [here, there] = pair.join(pair.dialler(), Fragment(1, "small"));
  int rounds = 0;
  std::optional<Fragment> small;
  for (; rounds < 50 && !small; ++rounds) {
    small = pair.answerer().trunk().take(*there);
    for (TrunkCircuit* reader : readers)
      while (pair.answerer().trunk().take(*reader)) {}
    pair.pump();
  }

  CHECK(small.has_value());
  CHECK(here->id != 0);
}

TEST_CASE("flow: credit granted for a fragment that is given up is taken back from what is granted later") {
  // The far side is told that it may send the rest of a large fragment, resets instead, and does it again: what it may
  // send must not grow, or it could send more than there is memory for.
  Joined dialogue;
  CircuitId id = 3;
  for (int round = 0; round < 100; ++round, id += 2) {
    dialogue.hears(say::open(id) + say::first_of_more(id, 4 * mib, std::string(1000, 'x')));
    dialogue.hears(say::reset(id));
    REQUIRE(dialogue.state() == "open");
    REQUIRE(dialogue.model().granted() <= static_cast<std::int64_t>(Limits().trunk_memory_bytes_max));
    dialogue.releases(id);
    dialogue.passes(100ms);
  }

  CHECK(dialogue.trunk().memory_bytes() == 0);
  // It still works: the credit that it has in advance is worked off first.
  for (int frame = 0; frame < 1000; ++frame) {
    REQUIRE(dialogue.model().granted() >= 60'256);
    dialogue.hears(say::data(1, std::string(60'000, 'd')));
    dialogue.takes(1);
  }
  CHECK(dialogue.model().granted() <= static_cast<std::int64_t>(Limits().trunk_memory_bytes_max / 2));
}

TEST_CASE("flow: a total is charged to the memory budget before it is allocated") {
  Joined dialogue(tiny_memory(), 20);
  for (CircuitId id = 1; id < 40; id += 2) {
    dialogue.hears(say::first_of_more(id, 512 * 1024, std::string(1, 'x')));
    REQUIRE(dialogue.trunk().memory_bytes() <= 2 * mib);
  }
  CHECK(dialogue.state() == "open");
}

TEST_CASE("flow: a total beyond fragment_bytes_max resets the circuit before anything is allocated") {
  for (const std::uint64_t total : {std::uint64_t{4 * mib + 1}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    Joined dialogue;

    dialogue.hears(say::first_of_more(1, total, "begun") + say::continues(1, "more of it"));

    CHECK(dialogue.state() == "open");
    CHECK(dialogue.says() == "RESET 1 reason 80");
    CHECK(dialogue.trunk().memory_bytes() == 0);
    CHECK(contains(dialogue.circuit(1).end->text, std::to_string(total)));
    CHECK(contains(dialogue.circuit(1).end->text, "fragment_bytes_max 4194304"));
  }
}

TEST_CASE("flow: a fragment of exactly fragment_bytes_max passes, one byte more is not taken for sending") {
  Limits limits;
  limits.fragment_bytes_max = 300'000;
  MachinePair pair(limits, limits);
  auto [here, there] = pair.join(pair.dialler());
  Fragment most(1, Payload(std::string(300'000, 'm')));
  Fragment more(1, Payload(std::string(300'001, 'm')));

  CHECK(pair.dialler().trunk().send(*here, more) == SendOutcome::closed);
  CHECK(more.payload.size() == 300'001);
  CHECK(pair.dialler().trunk().send(*here, most) == SendOutcome::queued);
  pair.pump();

  CHECK(pair.answerer().trunk().take(*there)->payload.size() == 300'000);
}

TEST_CASE("flow: the far side's smaller fragment_bytes_max is heeded once it is known") {
  Dialogue dialogue;
  CHECK(dialogue.trunk().fragment_bytes_max() == Limits().fragment_bytes_max);
  say::Hello hello;
  hello.fragment_bytes_max = 1000;

  dialogue.introduce(hello);
  dialogue.opens();

  CHECK(dialogue.trunk().fragment_bytes_max() == 1000);
  CHECK(dialogue.sends(2, Fragment(1, Payload(std::string(1001, 'm')))) == SendOutcome::closed);
  CHECK(dialogue.sends(2, Fragment(1, Payload(std::string(1000, 'm')))) == SendOutcome::queued);
}

TEST_CASE("flow: a fragment with a full chunk and metadata of any size arrives") {
  for (const std::size_t metadata : {0, 1, 100, 4000, 8100, 8180, 8186}) {
    for (const std::size_t payload :
         {std::size_t{65'535}, std::size_t{65'536}, std::size_t{65'537}, std::size_t{200'000}}) {
      MachinePair pair;
      auto [here, there] = pair.join(pair.dialler());
      Fragment fragment(1, std::string(metadata, 's'), Payload(std::string(payload, 'p')));
      fragment.part = std::numeric_limits<std::int64_t>::min();

      REQUIRE(pair.dialler().trunk().send(*here, fragment) == SendOutcome::queued);
      pair.pump();

      CAPTURE(metadata);
      CAPTURE(payload);
      REQUIRE_FALSE(pair.answerer().closed());
      const auto taken = pair.answerer().trunk().take(*there);
      REQUIRE(taken.has_value());
      CHECK(taken->subject.size() == metadata);
      CHECK(taken->payload.size() == payload);
    }
  }
}

TEST_CASE("flow: metadata that no frame can hold is not taken for sending and does not break the trunk") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  Fragment large(1, std::string(9000, 's'), "payload");
  Fragment many(2);
  for (int arg = 0; arg < 200; ++arg) many.args.set("k" + std::to_string(arg), "");

  const SendOutcome large_outcome = pair.dialler().trunk().send(*here, large);
  const SendOutcome many_outcome = pair.dialler().trunk().send(*here, many);
  pair.pump();

  CHECK(large_outcome == SendOutcome::closed);
  CHECK(many_outcome == SendOutcome::closed);
  CHECK_FALSE(pair.answerer().closed());
  Fragment fine(3, "fine");
  CHECK(pair.dialler().trunk().send(*here, fine) == SendOutcome::queued);
  pair.pump();
  CHECK(pair.answerer().trunk().take(*there)->op == 3);
}

TEST_CASE("flow: a first fragment whose metadata no frame can hold ends its circuit and nothing else") {
  MachinePair pair;

  TrunkCircuit* circuit = pair.dialler().trunk().open(pair.request(pair.dialler()),
                                                      Fragment(1, std::string(9000, 's'), "payload"), pair.now);
  pair.pump();

  CHECK_FALSE(pair.answerer().closed());
  CHECK_FALSE(pair.dialler().closed());
  REQUIRE(circuit);
  CHECK(circuit->ended);
}

// --- memory held by readers that do not read

TEST_CASE("flow: a reader that holds the trunk's memory for stall_deadline loses its circuit, those who read do not") {
  Limits limits;
  limits.keepalive_interval = 1h;
  limits.trunk_memory_bytes_max = 2 * mib;
  limits.fragment_bytes_max = 512 * 1024;
  Joined dialogue(limits, 4);
  for (const CircuitId id : {1, 3, 5})
    dialogue.hears(say::data(id, std::string(65'000, 'd')) + say::data(id, std::string(65'000, 'd')) +
                   say::data(id, std::string(65'000, 'd')));
  dialogue.events();

  for (int second = 0; second < 80; ++second) {
    dialogue.passes(1s);
    dialogue.hears(say::data(7, "alive"));
    dialogue.takes(7);
  }

  CHECK_FALSE(dialogue.circuit(7).ended);
  CHECK(contains(dialogue.events(), ": stalled"));
  CHECK(dialogue.state() == "open");
  CHECK(dialogue.trunk().memory_bytes() <= mib / 2);
}

TEST_CASE("flow: a reader that reads nothing but holds little keeps its circuit for ever") {
  Limits limits;
  limits.keepalive_interval = 1h;
  Joined dialogue(limits, 2);
  dialogue.hears(say::data(1, std::string(60'000, 'd')));

  for (int minute = 0; minute < 20; ++minute) {
    dialogue.passes(1min);
    dialogue.hears(say::data(3, "alive"));
    dialogue.takes(3);
  }

  CHECK_FALSE(dialogue.circuit(1).ended);
  CHECK(dialogue.takes(1) == "60000 bytes");
}

TEST_CASE("flow: what a trunk says that it holds is what it holds, for large fragments, too") {
  Joined dialogue;
  dialogue.hears(say::first_of_more(1, 4 * mib, std::string(1000, 'x')));
  CHECK(dialogue.trunk().memory_bytes() <= 4 * mib + 4096);
  CHECK(dialogue.trunk().memory_bytes() >= 4 * mib);
  for (std::size_t sent = 1000; sent < 4 * mib;) {
    const std::size_t size = std::min<std::size_t>(60'000, 4 * mib - sent);
    sent += size;
    REQUIRE(dialogue.model().granted(1) >= static_cast<std::int64_t>(size));
    dialogue.hears(sent == 4 * mib ? say::continues_last(1, std::string(size, 'x'))
                                   : say::continues(1, std::string(size, 'x')));
    REQUIRE(dialogue.trunk().memory_bytes() <= 4 * mib + 4096);
  }

  CHECK(dialogue.takes(1) == "4194304 bytes");
  CHECK(dialogue.trunk().memory_bytes() == 0);
}

// --- fairness

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
  REQUIRE(pair.dialler().trunk().send(*bulk_here, large) == SendOutcome::queued);
  pair.write(pair.dialler(), 1); // it has begun

  for (auto& [here, there] : small) {
    Fragment fragment(2, Payload(std::string(1000, 's')));
    REQUIRE(pair.dialler().trunk().send(*here, fragment) == SendOutcome::queued);
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
    TrunkCircuit* circuit = pair.dialler().trunk().open(pair.request(pair.dialler()), std::nullopt, pair.now);
    here[circuit->id] = circuit;
    for (Fragment next(1, Payload(std::string(size, 'x')));
         pair.dialler().trunk().send(*circuit, next) == SendOutcome::queued;)
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

TEST_CASE("flow: control overtakes data that is queued (F35)") {
  Joined dialogue;
  dialogue.hears(say::credit(0, 10 * mib) + say::credit(1, 10 * mib));
  dialogue.clogged = true;
  for (int fragment = 0; fragment < 30; ++fragment) dialogue.sends(1, Fragment(1, Payload(std::string(65'536, 'q'))));
  dialogue.hears(say::ping(5));
  std::vector<say::Frame> frames;
  say::Reader reader;
  reader.read(say::preface(), frames);
  Output output;

  const std::string bytes = take_bytes(dialogue.trunk(), output, dialogue.now, 64 * 1024);
  reader.read(bytes, frames);

  REQUIRE_FALSE(frames.empty());
  CHECK(frames.front().to_string() == "PONG 5");
}

TEST_CASE("flow: an output is larger than was asked for by less than one frame") {
  MachinePair pair;
  std::vector<TrunkCircuit*> circuits;
  for (int circuit = 0; circuit < 20; ++circuit) circuits.push_back(pair.join(pair.dialler()).first);
  for (const std::size_t asked : {std::size_t{1}, std::size_t{1000}, std::size_t{65'536}, std::size_t{200'000}}) {
    for (TrunkCircuit* circuit : circuits) {
      Fragment fragment(1, Payload(std::string(65'536, 'x')));
      pair.dialler().trunk().send(*circuit, fragment);
    }
    pair.output_bytes_largest = 0;
    while (pair.write(pair.dialler(), asked)) {}

    CAPTURE(asked);
    // What a lone circuit sends is put into the output at once, up to a limit of its own.
    CHECK(pair.output_bytes_largest <= std::max(asked, output_bytes_ahead) + 5 + frame_bytes_max);
    for (auto& side : pair.sides) pair.collect(side);
    pair.pump();
  }
}

} // namespace
