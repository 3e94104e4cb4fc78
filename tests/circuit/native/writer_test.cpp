// Frames into the output: what goes first, how much at once, and what no frame can hold. Rows F34, F35.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/machine_pair.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

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
  dialogue.machine().collect_output(output, 1 << 20, dialogue.now);
  CHECK(output.bytes <= limits.trunk_memory_bytes_max + (1 << 20));
  CHECK(dialogue.state() == "too many control frames");
}

TEST_CASE("flow: what this side gives up of its own while nothing can be written is no answer to the far side (F34)") {
  MachinePair pair(tiny_memory(), Limits());
  MachinePair::Side& side = pair.dialler();
  pair.pump();
  side.clogged = true;
  const std::string why(200, 'w');
  const std::size_t bytes_max = tiny_memory().trunk_memory_bytes_max;

  for (std::size_t said = 0; said < 2 * bytes_max; said += why.size()) {
    OpenRequest request;
    request.from = side.peer();
    request.to_service = "store";
    TrunkCircuit& circuit = *side.machine().open(request, std::nullopt, pair.now);
    side.machine().reset(circuit, End(error::circuit_reset, why));
    side.machine().release(circuit);
  }
  pair.answerer().machine().set_metadata(*pair.answerer().peer(), Metadata{{"still", "here"}});
  pair.pump();

  CHECK_FALSE(side.closed());
  CHECK_FALSE(pair.answerer().closed());
}

TEST_CASE("flow: a fragment with a full chunk and metadata of any size arrives") {
  for (const std::size_t metadata : {0, 1, 100, 4000, 8100, 8180, 8186}) {
    for (const std::size_t payload :
         {std::size_t{65'535}, std::size_t{65'536}, std::size_t{65'537}, std::size_t{200'000}}) {
      MachinePair pair;
      auto [here, there] = pair.join(pair.dialler());
      Fragment fragment(1, std::string(metadata, 's'), Payload(std::string(payload, 'p')));
      fragment.part = std::numeric_limits<std::int64_t>::min();

      REQUIRE(pair.dialler().machine().send(*here, fragment) == SendOutcome::queued);
      pair.pump();

      CAPTURE(metadata);
      CAPTURE(payload);
      REQUIRE_FALSE(pair.answerer().closed());
      const auto taken = pair.answerer().machine().take(*there);
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

  const SendOutcome large_outcome = pair.dialler().machine().send(*here, large);
  const SendOutcome many_outcome = pair.dialler().machine().send(*here, many);
  pair.pump();

  CHECK(large_outcome == SendOutcome::closed);
  CHECK(many_outcome == SendOutcome::closed);
  CHECK_FALSE(pair.answerer().closed());
  Fragment fine(3, "fine");
  CHECK(pair.dialler().machine().send(*here, fine) == SendOutcome::queued);
  pair.pump();
  CHECK(pair.answerer().machine().take(*there)->op == 3);
}

TEST_CASE("flow: a first fragment whose metadata no frame can hold ends its circuit and nothing else") {
  MachinePair pair;

  TrunkCircuit* circuit = pair.dialler().machine().open(pair.request(pair.dialler()),
                                                        Fragment(1, std::string(9000, 's'), "payload"), pair.now);
  pair.pump();

  CHECK_FALSE(pair.answerer().closed());
  CHECK_FALSE(pair.dialler().closed());
  REQUIRE(circuit);
  CHECK(circuit->ended);
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

  const std::string bytes = take_bytes(dialogue.machine(), output, dialogue.now, 64 * 1024);
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
      pair.dialler().machine().send(*circuit, fragment);
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

TEST_CASE("trunk: names that no frame can hold do not break the trunk") {
  MachinePair pair;
  OpenRequest request = pair.request(pair.dialler());
  request.to_service = std::string(20'000, 's');
  request.name = std::string(20'000, 'n');
  request.user_string = std::string(20'000, 'u');
  request.from = peer_name("peer-of-a-dialer", std::string(20'000, 'f'));

  TrunkCircuit* circuit = pair.dialler().machine().open(std::move(request), Fragment(1, "first"), pair.now);
  pair.pump();

  CHECK_FALSE(pair.answerer().closed());
  REQUIRE(circuit);
  CHECK(circuit->ended);
}

TEST_CASE("trunk: a hello with more addresses than a frame can hold does not break the trunk") {
  NativeMachineOptions options;
  options.node_id = *NodeId::from_bytes("node-of-our-side");
  options.node_name = std::string(20'000, 'n');
  for (int address = 0; address < 1000; ++address)
    options.addresses.push_back("tcp://10.0.0.1:" + std::to_string(10'000 + address));
  NativeMachine machine(std::move(options), time_begins);
  Output output;

  const std::string bytes = take_bytes(machine, output, time_begins, 1 << 20);

  std::vector<say::Frame> frames;
  say::Reader().read(bytes, frames);
  REQUIRE_FALSE(frames.empty());
  CHECK(frames[0].body.size() <= control_bytes_max);
}

TEST_CASE("trunk: a 64-byte fragment costs at most 16 bytes on the wire beside itself") {
  MachinePair pair;
  auto [here, there] = pair.join(pair.dialler());
  std::vector<std::size_t> sizes;
  pair.dialler().watch = [&sizes](const say::Frame& frame) {
    if (frame.is_data()) sizes.push_back(frame.bytes().size());
  };
  Fragment fragment(7, Payload(std::string(64, 'x')));
  fragment.part = 1'000'000;
  REQUIRE(pair.dialler().machine().send(*here, fragment) == SendOutcome::queued);
  pair.pump();

  REQUIRE(sizes.size() == 1);
  CHECK(sizes[0] <= 64 + 16);
  CHECK(pair.answerer().machine().take(*there).has_value());
}

TEST_CASE("flow: what is too large to cross is said in one way, for a send and for the first fragment of an open") {
  Limits limits;
  limits.fragment_bytes_max = 64 * 1024;
  Introduced dialogue(limits);
  const Fragment large(1, Payload(std::string(64 * 1024 + 1, 'x')));
  Fragment described(1);
  described.subject.assign(9000, 's');

  CHECK(dialogue.machine().why_not(Fragment(1, "small")) == "");
  CHECK(dialogue.machine().why_not(large) == "fragment of 65537 bytes exceeds fragment_bytes_max 65536");
  CHECK(dialogue.machine().why_not(described) ==
        "fragment with subject, err and 0 args of 9003 bytes exceeds 128 args or 8192 bytes");
  CHECK(dialogue.opens(large).end->text == "first fragment of 65537 bytes exceeds fragment_bytes_max 65536");
}

} // namespace
