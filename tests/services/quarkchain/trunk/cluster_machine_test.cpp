// The cluster framing as a machine: what bytes do to circuits, what circuits put on the wire, and every limit.
#include "tests/services/quarkchain/trunk/machine_under_test.hpp"
#include "tests/support/breakpoints.hpp"

#include <doctest/doctest.h>

#include <random>
#include <stdexcept>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;
using namespace std::chrono_literals;

namespace {

constexpr Route peer7(0x10001, 7);
constexpr Route peer8(0x10001, 8);
constexpr Framing framings[] = {Framing::cluster, Framing::slave, Framing::p2p};

Frame frame(std::uint8_t op, std::uint64_t rpc_id, std::string payload = {}, Route route = Route()) {
  return Frame{op, rpc_id, std::move(payload), route.branch, route.cluster_peer_id};
}

/// The first PING of a master, as the specification prints it.
const std::string first_ping =
    from_spaced_hex("00000009 | 00000000 0000000000000000 | 81 | 0000000000000001 | 00000000 00000000 00");

} // namespace

TEST_CASE("cluster trunk: the sample frames of the specification are read and written") {
  MachineUnderTest machine;
  machine.hears(first_ping);
  CHECK(machine.events() == "readable 00000000/0");
  CHECK(machine.takes(machine.control()) == std::string("129 #1 \"") + std::string(9, '\0') + "\"");
  machine.sends(machine.control(), 0x81, 1, std::string(9, '\0'));
  CHECK(machine.bytes() == first_ping);

  MachineUnderTest slave(Framing::slave);
  const std::string without = from_spaced_hex("00000009 | 81 | 0000000000000001 | 00000000 00000000 00");
  slave.hears(without);
  CHECK(slave.takes(slave.control()) == std::string("129 #1 \"") + std::string(9, '\0') + "\"");
  slave.sends(slave.control(), 0x81, 1, std::string(9, '\0'));
  CHECK(slave.bytes() == without);
}

TEST_CASE("cluster trunk: each field of a frame lies where the layout says") {
  ClusterMachineOptions options = MachineUnderTest::with(Framing::cluster, ClusterLimits(), {1});
  MachineUnderTest machine(std::move(options));
  TrunkCircuit& circuit = machine.opens(Route(1, 0x1122334455667788));
  machine.sends(circuit, 0x42, 0xDEADBEEFCAFEBABE, "\xAA\xBB\xCC");
  CHECK(to_hex(machine.bytes()) ==
        "00000003000000011122334455667788"
        "42deadbeefcafebabeaabbcc");
}

TEST_CASE("cluster trunk: frames split at every byte arrive the same") {
  for (const Framing framing : framings) {
    CAPTURE(to_string(framing));
    const Route route = framing == Framing::cluster ? peer7 : framing == Framing::p2p ? Route(0x10001, 0) : Route();
    const std::string bytes =
        encode(framing, frame(129, 1, "hello")) + encode(framing, frame(141, 0xFFFFFFFFFFFFFFFF, "", route)) +
        encode(framing, frame(5, 3, std::string(200, 'x'), route)) + encode(framing, frame(130, 0));
    const auto run = [&](auto&& feed) {
      MachineUnderTest machine(framing);
      if (framing == Framing::cluster) machine.opens(peer7);
      machine.events();
      feed(machine);
      if (framing == Framing::p2p) CHECK(machine.events().find("opened 00010001/0") != std::string::npos);
      std::string seen = machine.takes(machine.control());
      if (!route.is_control()) seen += " | " + machine.takes(machine.at(route));
      machine.ends();
      return seen + " | " + machine.state();
    };
    const std::string whole = run([&](MachineUnderTest& machine) { machine.hears(bytes); });
    CHECK(whole.ends_with("clean"));
    for (std::size_t at = 0; at <= bytes.size(); ++at) {
      CAPTURE(at);
      REQUIRE(run([&](MachineUnderTest& machine) {
                machine.hears(std::string_view(bytes).substr(0, at));
                machine.hears(std::string_view(bytes).substr(at));
              }) == whole);
    }
    CHECK(run([&](MachineUnderTest& machine) {
            for (const char byte : bytes) machine.hears(std::string_view(&byte, 1));
          }) == whole);
  }
}

TEST_CASE("cluster trunk: the end of the stream is clean between frames and a loss inside of one") {
  for (const Framing framing : framings) {
    const std::string bytes = encode(framing, frame(129, 1, "abc"));
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      CAPTURE(cut);
      MachineUnderTest machine(framing);
      machine.hears(std::string_view(bytes).substr(0, cut));
      machine.ends();
      if (cut == 0 || cut == bytes.size()) {
        CHECK(machine.state() == "clean");
      } else {
        REQUIRE(machine.state() == "trunk lost");
        CHECK(machine.end().text.find("inside a frame") != std::string::npos);
        CHECK(machine.end().text.find("from tcp://10.0.0.7:38291") != std::string::npos);
      }
      CHECK(machine->over());
    }
  }
}

TEST_CASE("cluster trunk: a frame above command_bytes_max ends the connection when its length has arrived") {
  ClusterLimits limits;
  limits.command_bytes_max = 1000;
  for (const Framing framing : framings) {
    MachineUnderTest fits(framing, limits);
    fits.hears(frame(129, 1, std::string(1000, 'x')));
    CHECK(fits.state() == "open");
    CHECK(fits.takes(fits.control()) == "129 #1 1000 bytes");

    MachineUnderTest machine(framing, limits);
    machine.hears(from_spaced_hex("000003"));
    CHECK(machine.state() == "open");
    machine.hears(from_spaced_hex("e9")); // 1001, nothing after it
    CHECK(machine.state() == "frame too large");
    CHECK(machine.end().text ==
          "frame with 1001 bytes of payload exceeds command_bytes_max 1000, from tcp://10.0.0.7:38291");
    CHECK(machine->cluster_counters().frames_too_large == 1);
  }
}

TEST_CASE(
    "cluster trunk: a claimed 4 GiB frame is refused by default, and a claimed 128 MiB one takes memory as it "
    "arrives") {
  MachineUnderTest huge;
  huge.hears(from_spaced_hex("ffffffff 00000000 0000000000000000 81 0000000000000001"));
  CHECK(huge.state() == "frame too large");
  CHECK(huge->memory_bytes() == 0);

  MachineUnderTest machine;
  machine.hears(from_spaced_hex("08000000 00000000 0000000000000000 81 0000000000000001"));
  CHECK(machine.state() == "open");
  CHECK(machine->memory_bytes() == 0);
  machine.hears("x");
  CHECK(machine->memory_bytes() <= 64 * 1024);
  for (int i = 0; i < 1024; ++i) machine.hears(std::string(1024, 'x'));
  CHECK(machine->memory_bytes() >= 1024 * 1024);
  CHECK(machine->memory_bytes() <= 2 * 1024 * 1024 + 64 * 1024);
}

TEST_CASE("cluster trunk: a large frame arrives whole, however it is cut, and is written from where it lies") {
  std::string payload(3 * 1024 * 1024 + 17, '\0');
  std::mt19937_64 random(7);
  for (char& byte : payload) byte = static_cast<char>(random());
  MachineUnderTest sender;
  Fragment fragment(141, Payload(payload));
  fragment.part = 9;
  REQUIRE(sender->send(sender.control(), fragment) == SendOutcome::queued);
  REQUIRE(sender.sends(sender.control(), 1, 2, "after") == SendOutcome::queued);
  const std::string bytes = sender.bytes();
  REQUIRE(bytes.size() == payload.size() + 25 + 5 + 25);

  for (const std::size_t portion : {std::size_t{1000}, std::size_t{65536}, std::size_t{100'000}, bytes.size()}) {
    MachineUnderTest machine;
    for (std::size_t at = 0; at < bytes.size(); at += portion)
      machine.hears(std::string_view(bytes).substr(at, portion));
    const std::optional<Fragment> received = machine->take(machine.control());
    REQUIRE(received.has_value());
    CHECK(received->payload.text() == payload);
    CHECK(machine.takes(machine.control()) == "1 #2 \"after\"");
  }
}

TEST_CASE(
    "cluster trunk: an output is no larger than was asked for, however it was filled, and nothing is lost or moved") {
  std::mt19937_64 random(3);
  for (const std::size_t bytes_max : {std::size_t{16} << 10, std::size_t{100'000}, std::size_t{1} << 20}) {
    CAPTURE(bytes_max);
    MachineUnderTest machine;
    machine.clogged = true;
    std::string expected;
    for (std::uint64_t i = 1; machine->output_bytes() < (std::size_t{3} << 20); ++i) {
      const std::string payload(i % 7 == 0 ? random() % 500'000 : random() % 100, static_cast<char>('a' + i % 26));
      REQUIRE(machine.sends(machine.control(), 9, i, payload) == SendOutcome::queued);
      expected += encode(Framing::cluster, frame(9, i, payload));
    }
    std::string bytes;
    Output output;
    while (machine->has_output()) {
      machine->collect_output(output, bytes_max, machine.now);
      CHECK(output.bytes <= std::max(bytes_max, std::size_t{72} << 10)); // a portion, and the piece that fills it
      std::vector<std::span<const std::byte>> pieces;
      output.gather(pieces);
      for (const auto piece : pieces) bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      machine->written(machine.now);
    }
    CHECK(bytes == expected);
  }
}

TEST_CASE("cluster trunk: peer id 0 is the control circuit whatever the branch, which comes back with the reply") {
  MachineUnderTest machine;
  machine.hears(frame(129, 1, "a", Route(0, 0)));
  machine.hears(Frame{141, 2, "b", 0x55, 0});
  CHECK(machine.takes(machine.control()) == "129 #1 \"a\"; 141 #2 \"b\" about 85");

  Fragment reply(142, Payload("c"));
  reply.part = 2;
  reply.subject = "85";
  CHECK(machine->send(machine.control(), reply) == SendOutcome::queued);
  machine.settle();
  CHECK(machine.says() == "@00000055/0 142 #2 \"c\"");
}

TEST_CASE("cluster trunk: a virtual peer's frames carry its route, and equal rpc ids of two do not meet") {
  MachineUnderTest machine;
  TrunkCircuit& seven = machine.opens(peer7);
  TrunkCircuit& eight = machine.opens(peer8);
  TrunkCircuit& other = machine.opens(Route(0x20001, 7));
  machine.hears(frame(9, 1, "to 7", peer7));
  machine.hears(frame(9, 1, "to 8", peer8));
  machine.hears(frame(9, 1, "to 7 on 2", Route(0x20001, 7)));
  CHECK(machine.takes(seven) == "9 #1 \"to 7\"");
  CHECK(machine.takes(eight) == "9 #1 \"to 8\"");
  CHECK(machine.takes(other) == "9 #1 \"to 7 on 2\"");
  machine.sends(other, 10, 1, "from 7 on 2");
  machine.sends(seven, 10, 1, "from 7");
  CHECK(machine.says() == "@00020001/7 10 #1 \"from 7 on 2\"; @00010001/7 10 #1 \"from 7\"");
}

TEST_CASE("cluster trunk: frames for unknown peers are dropped and counted, and the next frame is read") {
  MachineUnderTest machine;
  machine.hears(frame(9, 5, std::string(100'000, 'x'), peer7));
  machine.hears(frame(9, 5, "", Route(0x20001, 99)));
  machine.hears(frame(129, 1, "ping"));
  CHECK(machine.events() == "readable 00000000/0");
  CHECK(machine.takes(machine.control()) == "129 #1 \"ping\"");
  CHECK(machine->cluster_counters().frames_for_unknown_peers == 2);
  CHECK(machine->counters().frames_for_forgotten_circuits == 2);
  CHECK(machine->memory_bytes() == 0);
}

TEST_CASE("cluster trunk: a branch outside the configuration ends the connection, an absent shard does not") {
  for (const Route wrong : {Route(0x30001, 7), Route(0, 7)}) {
    MachineUnderTest machine;
    machine.hears(frame(9, 1, "x", Route(0x20001, 7))); // configured, not here
    CHECK(machine.state() == "open");
    machine.hears(frame(9, 1, "x", wrong));
    CHECK(machine.state() == "protocol error");
    CHECK(machine.end().text.find("not one of the 2 configured branches") != std::string::npos);
    CHECK(machine->cluster_counters().frames_for_unknown_branches == 1);
  }
  // At a master nobody checks.
  ClusterMachineOptions options = MachineUnderTest::with(Framing::cluster, ClusterLimits());
  options.branches.reset();
  MachineUnderTest machine(std::move(options));
  machine.hears(frame(9, 1, "x", Route(0x30001, 7)));
  CHECK(machine.state() == "open");
}

TEST_CASE("cluster trunk: a branch outside the configuration ends a p2p connection") {
  MachineUnderTest machine(Framing::p2p);
  machine.hears(frame(9, 1, "x", Route(0x30001, 0)));
  CHECK(machine.state() == "protocol error");
}

TEST_CASE("cluster trunk: the frames of an allowed peer open its branches until it is forgotten") {
  MachineUnderTest machine;
  machine->allow_peer(7);
  machine.hears(frame(9, 1, "first", peer7));
  CHECK(machine.events() == "opened 00010001/7; readable 00010001/7");
  CHECK(machine.takes(machine.at(peer7)) == "9 #1 \"first\"");
  machine.hears(frame(9, 1, "second", Route(0x20001, 7)));
  CHECK(machine.events() == "opened 00020001/7; readable 00020001/7");
  machine->forget_peer(7);
  machine.closes(machine.at(peer7));
  machine.hears(frame(9, 2, "third", peer7));
  CHECK(machine.events() == "ended 00010001/7: clean");
  CHECK(machine->cluster_counters().frames_for_unknown_peers == 1);
}

TEST_CASE("cluster trunk: no more than circuits_max are opened from either side") {
  ClusterLimits limits;
  limits.circuits_max = 2;
  MachineUnderTest machine(Framing::cluster, limits);
  for (const std::uint64_t peer : {1, 2, 3}) machine->allow_peer(peer);
  for (const std::uint64_t peer : {1, 2, 3}) machine.hears(frame(9, 1, "", Route(0x10001, peer)));
  CHECK(machine->circuits_count() == 3); // the control circuit among them
  CHECK(machine->cluster_counters().frames_for_unknown_peers == 1);
  TrunkCircuit& one_too_many = machine.opens(Route(0x10001, 4));
  CHECK(one_too_many.ended);
  CHECK(one_too_many.end->text.find("circuits_max 2") != std::string::npos);
}

TEST_CASE("cluster trunk: what cannot be opened ends at once and says why") {
  const auto why = [](MachineUnderTest& machine, std::string name) {
    OpenRequest request;
    request.name = std::move(name);
    TrunkCircuit& circuit = machine.opens(std::move(request));
    REQUIRE(circuit.ended);
    return circuit.end->to_string();
  };
  MachineUnderTest cluster;
  CHECK(why(cluster, "store").find("\"store\" names no circuit") != std::string::npos);
  CHECK(why(cluster, "00000000/0").find("names no circuit") != std::string::npos);
  CHECK(why(cluster, "00010001/0").find("names no circuit") != std::string::npos);
  CHECK(why(cluster, "00030001/7").find("not one of the 2 configured") != std::string::npos);
  cluster.opens(peer7);
  CHECK(why(cluster, "00010001/7").find("open already") != std::string::npos);
  MachineUnderTest slave(Framing::slave);
  CHECK(why(slave, "00010001/7").find("slave framing") != std::string::npos);
  MachineUnderTest p2p(Framing::p2p);
  CHECK(why(p2p, "00010001/7").find("p2p framing") != std::string::npos);
  cluster.ends();
  CHECK(why(cluster, "00010001/8").find("closed") != std::string::npos);
  CHECK(cluster.state() == "clean");
}

TEST_CASE("cluster trunk: closing a virtual peer says nothing and drops what comes after") {
  MachineUnderTest machine;
  TrunkCircuit& seven = machine.opens(peer7);
  machine.sends(seven, 9, 1, "before");
  machine.closes(seven);
  CHECK(machine.says() == "@00010001/7 9 #1 \"before\"");
  CHECK(machine.events() == "ended 00010001/7: clean");
  machine.hears(frame(10, 1, "reply", peer7));
  CHECK(machine.events() == "");
  CHECK(machine->cluster_counters().frames_for_unknown_peers == 1);
  Fragment late(9);
  CHECK(machine->send(seven, late) == SendOutcome::closed);

  TrunkCircuit& again = machine.opens(peer7); // the same route, another circuit
  machine.hears(frame(11, 1, "new", peer7));
  CHECK(machine.takes(again) == "11 #1 \"new\"");
}

TEST_CASE("cluster trunk: a virtual peer that is closed in the middle of a frame skips its rest") {
  const std::string bytes = encode(Framing::cluster, frame(9, 1, std::string(1000, 'x'), peer7)) +
                            encode(Framing::cluster, frame(129, 1, "p"));
  for (std::size_t cut = 25; cut < 1025; cut += 100) {
    MachineUnderTest machine;
    TrunkCircuit& seven = machine.opens(peer7);
    machine.hears(std::string_view(bytes).substr(0, cut));
    machine.closes(seven);
    machine.hears(std::string_view(bytes).substr(cut));
    CHECK(machine.takes(machine.control()) == "129 #1 \"p\"");
    CHECK(machine->memory_bytes() == 0);
  }
}

TEST_CASE("cluster trunk: closing or dropping the control circuit ends the connection and all its circuits") {
  for (const bool drops : {false, true}) {
    MachineUnderTest machine;
    machine.opens(peer8);
    machine.opens(peer7);
    machine.sends(machine.control(), 130, 1, "last words");
    machine.events();
    if (drops) {
      machine->release(machine.control());
      machine.settle();
      CHECK(machine.state() == "circuit abandoned");
    } else {
      machine.closes(machine.control());
      CHECK(machine.events() ==
            "ended 00000000/0: clean; ended 00010001/8: trunk lost; ended 00010001/7: trunk lost; closed: clean");
    }
    CHECK(machine.says() == "130 #1 \"last words\"");
    machine.hears(frame(129, 2, "too late"));
    CHECK(machine.events().find("readable") == std::string::npos);
    machine.passes(2s);
    CHECK(machine->over());
  }
}

TEST_CASE("cluster trunk: a lost connection ends every circuit with trunk lost, and what was received stays readable") {
  MachineUnderTest machine;
  machine.opens(peer7);
  machine.hears(frame(129, 1, "unread"));
  machine.events();
  machine.breaks();
  CHECK(machine.events() == "ended 00000000/0: trunk lost; ended 00010001/7: trunk lost; closed: trunk lost");
  CHECK(machine.end().text == "connection reset by peer, from tcp://10.0.0.7:38291");
  CHECK(machine.takes(machine.control()) == "129 #1 \"unread\"");
}

TEST_CASE("cluster trunk: a virtual peer that is not read is closed alone at peer_inbox_bytes_max") {
  ClusterLimits limits;
  limits.peer_inbox_bytes_max = 10'000;
  MachineUnderTest machine(Framing::cluster, limits);
  TrunkCircuit& stalled = machine.opens(peer7);
  TrunkCircuit& other = machine.opens(peer8);
  for (int i = 0; i < 9; ++i) machine.hears(frame(9, 1, std::string(1000, 'x'), peer7)); // 1128 bytes each
  machine.hears(frame(129, 1, "control"));
  machine.hears(frame(9, 1, "other", peer8));
  CHECK(machine.state() == "open");
  CHECK(stalled.ended);
  CHECK(stalled.end->code == error::stalled);
  CHECK(stalled.end->text.find("peer_inbox_bytes_max 10000") != std::string::npos);
  CHECK(stalled.end->text.find("peer 7 on branch 0x00010001") != std::string::npos);
  CHECK(machine->cluster_counters().peers_overflowed == 1);
  CHECK(machine.takes(machine.control()) == "129 #1 \"control\"");
  CHECK(machine.takes(other) == "9 #1 \"other\"");
  CHECK(machine->memory_bytes() == 0);
}

TEST_CASE("cluster trunk: a p2p connection is not read while its shards hold too much, and loses nothing") {
  ClusterLimits limits;
  limits.peer_inbox_bytes_max = 10'000;
  MachineUnderTest machine(Framing::p2p, limits);
  const Route one(0x10001, 0);
  const Route two(0x20001, 0);
  machine.hears(frame(9, 1, std::string(50'000, 'x'), one)); // one is always let in
  CHECK_FALSE(machine->wants_input());
  CHECK(machine.takes(machine.at(one)) == "9 #1 50000 bytes");
  CHECK(machine->wants_input());
  std::uint64_t id = 1;
  for (; machine->wants_input(); ++id) machine.hears(frame(9, id, std::string(1000, 'x'), id % 2 == 0 ? one : two));
  CHECK(machine->memory_bytes() <= 10'000 + 1128); // of both together
  CHECK(machine->cluster_counters().pauses == 2);
  machine.takes(machine.at(one), 1);
  CHECK_FALSE(machine->wants_input()); // not before half of it is taken
  machine.takes(machine.at(one));
  machine.takes(machine.at(two), 1);
  CHECK(machine->wants_input());
  machine.takes(machine.at(two));
  machine.hears(frame(129, 1, "control"));
  CHECK(machine.takes(machine.control()) == "129 #1 \"control\"");
  CHECK(machine.state() == "open");
  CHECK(machine->cluster_counters().peers_overflowed == 0);
}

TEST_CASE("cluster trunk: a p2p connection whose frames nobody takes ends at stall_deadline, with the reason") {
  ClusterLimits limits;
  limits.peer_inbox_bytes_max = 10'000;
  MachineUnderTest machine(Framing::p2p, limits);
  const Route one(0x10001, 0);
  for (std::uint64_t id = 1; machine->wants_input(); ++id) machine.hears(frame(9, id, std::string(1000, 'x'), one));
  machine.passes(59s);
  machine.takes(machine.at(one), 1);
  machine.passes(59s); // it moves
  CHECK(machine.state() == "open");
  machine.passes(62s);
  CHECK(machine.state() == "stalled");
  CHECK(machine.end().text.find("bytes unread for shards, peer_inbox_bytes_max is 10000: nothing taken for "
                                "stall_deadline 60000 ms") != std::string::npos);
}

TEST_CASE("cluster trunk: a virtual peer that is read may be sent a frame above its inbox, empty ones count") {
  ClusterLimits limits;
  limits.peer_inbox_bytes_max = 10'000;
  MachineUnderTest machine(Framing::cluster, limits);
  TrunkCircuit& seven = machine.opens(peer7);
  for (int i = 1; i < 4; ++i) {
    machine.hears(frame(9, 1, std::string(50'000, 'x'), peer7));
    CHECK(machine.takes(seven) == "9 #1 50000 bytes");
  }
  for (int i = 0; i < 79 && !seven.ended; ++i) {
    machine.hears(frame(9, 1, "", peer7));
    CHECK((i < 78) != seven.ended); // 78 * 128 < 10000
  }
  CHECK(seven.ended);
}

TEST_CASE(
    "cluster trunk: what follows a frame above the inbox in the same read does not close a reader that keeps up") {
  ClusterLimits limits;
  limits.peer_inbox_bytes_max = 10'000;
  MachineUnderTest machine(Framing::cluster, limits);
  TrunkCircuit& seven = machine.opens(peer7);
  const std::string large = encode(Framing::cluster, frame(9, 1, std::string(50'000, 'x'), peer7));
  const std::string small = encode(Framing::cluster, frame(9, 2, "next", peer7));

  machine.hears(large + small);
  CHECK_FALSE(seven.ended);
  CHECK(machine.takes(seven) == "9 #1 50000 bytes; 9 #2 \"next\"");
  machine.hears(large.substr(0, 1000));
  machine.hears(large.substr(1000) + small + small);
  CHECK(machine.takes(seven) == "9 #1 50000 bytes; 9 #2 \"next\"; 9 #2 \"next\"");

  machine.hears(large + small); // and does not read it: closed by the next one
  CHECK_FALSE(seven.ended);
  machine.hears(small);
  CHECK(seven.ended);
}

TEST_CASE("cluster trunk: who has not said who it is may not send more than unidentified_command_bytes_max") {
  ClusterLimits limits;
  limits.unidentified_command_bytes_max = 1000;
  for (const bool identified : {false, true}) {
    ClusterMachineOptions options = MachineUnderTest::with(Framing::slave, limits);
    options.identified = false;
    MachineUnderTest machine(std::move(options));
    machine.hears(frame(129, 1, std::string(1000, 'x')));
    CHECK(machine.state() == "open");
    if (identified) machine->identify();
    machine.hears(frame(129, 2, std::string(1001, 'x')));
    CHECK((machine.state() == "open") == identified);
    if (!identified) CHECK(machine.end().text.find("unidentified_command_bytes_max 1000") != std::string::npos);
    CHECK(machine->cluster_counters().frames_too_large == (identified ? 0 : 1));
  }
}

TEST_CASE("cluster trunk: beyond peers_inbox_bytes_max the virtual peer that holds most is closed") {
  ClusterLimits limits;
  limits.command_bytes_max = 4000;
  limits.peer_inbox_bytes_max = 20'000;
  limits.peers_inbox_bytes_max = 30'000;
  MachineUnderTest machine(Framing::cluster, limits);
  for (const std::uint64_t peer : {1, 2, 3}) machine.opens(Route(0x10001, peer));
  for (int i = 0; i < 2; ++i) machine.hears(frame(9, 1, std::string(3000, 'x'), Route(0x10001, 1)));
  for (int i = 0; i < 6; ++i) machine.hears(frame(9, 1, std::string(3000, 'x'), Route(0x10001, 2)));
  CHECK(machine->memory_bytes() > 24'000);
  for (int i = 0; i < 2; ++i) machine.hears(frame(9, 1, std::string(3000, 'x'), Route(0x10001, 3)));
  CHECK(machine.at(Route(0x10001, 2)).ended);
  CHECK(machine.at(Route(0x10001, 2)).end->text.find("peers_inbox_bytes_max 30000") != std::string::npos);
  CHECK_FALSE(machine.at(Route(0x10001, 1)).ended);
  CHECK_FALSE(machine.at(Route(0x10001, 3)).ended);
  CHECK(machine->memory_bytes() <= 30'000);
}

TEST_CASE("cluster trunk: the connection is not read while the control circuit is full, and again when half is taken") {
  ClusterLimits limits;
  limits.control_inbox_bytes_max = 10'000;
  MachineUnderTest machine(Framing::cluster, limits);
  CHECK(machine->wants_input());
  for (std::uint64_t i = 1; i <= 9; ++i) machine.hears(frame(141, i, std::string(1000, 'x')));
  CHECK_FALSE(machine->wants_input());
  CHECK(machine->cluster_counters().pauses == 1);
  machine.takes(machine.control(), 4);
  CHECK_FALSE(machine->wants_input());
  machine.takes(machine.control(), 1);
  CHECK(machine->wants_input());
  CHECK(machine->deadline() == Instant::max());
  CHECK(machine.state() == "open");
}

TEST_CASE("cluster trunk: a full control circuit from which nobody takes ends the connection at stall_deadline") {
  ClusterLimits limits;
  limits.control_inbox_bytes_max = 10'000;
  MachineUnderTest machine(Framing::cluster, limits);
  for (std::uint64_t i = 1; i <= 20; ++i) machine.hears(frame(141, i, std::string(1000, 'x')));
  machine.passes(59s);
  CHECK(machine.state() == "open");
  machine.takes(machine.control(), 1); // somebody does take
  machine.passes(60s);
  CHECK(machine.state() == "open");
  machine.passes(60s);
  CHECK(machine.state() == "stalled");
  CHECK(machine.end().text.find("control_inbox_bytes_max is 10000") != std::string::npos);
  CHECK(machine.end().text.find("stall_deadline 60000 ms") != std::string::npos);
}

TEST_CASE("cluster trunk: virtual peers wait for the writer before the control circuit does") {
  ClusterLimits limits;
  limits.peer_output_bytes_max = 10'000;
  limits.output_bytes_max = 20'000;
  MachineUnderTest machine(Framing::cluster, limits);
  TrunkCircuit& seven = machine.opens(peer7);
  machine.clogged = true;
  machine.events();
  int peers = 0;
  while (machine.sends(seven, 9, 1, std::string(1000, 'x')) == SendOutcome::queued) ++peers;
  CHECK(peers == 10);
  CHECK(machine->credit_bytes(seven) == 0);
  CHECK(machine.sends(machine.control(), 129, 1, "still goes") == SendOutcome::queued);
  int control = 0;
  while (machine.sends(machine.control(), 129, 1, std::string(1000, 'x')) == SendOutcome::queued) ++control;
  CHECK(control < 11);
  machine.clogged = false;
  machine.settle();
  CHECK(machine.events() == "writable 00010001/7; writable 00000000/0");
  CHECK(machine.sends(seven, 9, 2, "now") == SendOutcome::queued);
}

TEST_CASE("cluster trunk: of two virtual peers that wait for the writer the one that has sent waits longer") {
  ClusterLimits limits;
  limits.peer_output_bytes_max = 1000;
  MachineUnderTest machine(Framing::cluster, limits);
  TrunkCircuit& seven = machine.opens(peer7);
  TrunkCircuit& eight = machine.opens(peer8);
  std::string order;
  machine.clogged = true;
  machine.sends(seven, 9, 1, std::string(1000, 'x'));
  CHECK(machine.sends(seven, 9, 2, "more") == SendOutcome::no_credit);
  CHECK(machine.sends(eight, 9, 1, "some") == SendOutcome::no_credit);
  for (int turn = 0; turn < 4; ++turn) {
    machine.events();
    machine.clogged = false;
    machine.settle();
    machine.clogged = true;
    // Each tries in the order in which it was told, and fills the output when it may.
    const std::string events = machine.events();
    const bool seven_first = events.find("00010001/7") < events.find("00010001/8");
    for (TrunkCircuit* circuit : seven_first ? std::vector{&seven, &eight} : std::vector{&eight, &seven})
      while (machine.sends(*circuit, 9, 3, std::string(1000, 'x')) == SendOutcome::queued)
        order += circuit == &seven ? '7' : '8';
  }
  CHECK(order == "7878");
}

TEST_CASE("cluster trunk: what cannot cross is refused when it is sent") {
  ClusterLimits limits;
  limits.command_bytes_max = 1000;
  MachineUnderTest machine(Framing::cluster, limits);
  TrunkCircuit& virtual_peer = machine.opens(peer7);
  Fragment with_args(1);
  with_args.args.set("key", "value");
  std::vector<Fragment> all;
  all.push_back(Fragment(256));
  all.push_back(Fragment(1, std::string(1001, 'x')));
  all.push_back(Fragment(-1));
  all.push_back(Fragment::error("no", 1));
  all.push_back(Fragment(1, "subject", Payload()));
  all.push_back(std::move(with_args));
  for (Fragment& fragment : all) {
    const std::string why = machine->why_not(fragment);
    CAPTURE(why);
    CHECK_FALSE(why.empty());
    for (TrunkCircuit* circuit : {&machine.control(), &virtual_peer})
      CHECK(machine->send(*circuit, fragment) == SendOutcome::closed);
  }
  CHECK(machine->why_not(all[0]) ==
        "fragment with op 256, 0 args, an err of 0 bytes and a subject of 0 bytes does not cross the cluster framing, "
        "which has ops of 0 to 255 and a branch as the subject");
  CHECK(machine->why_not(all[1]) == "fragment of 1001 bytes exceeds fragment_bytes_max 1000");
  Fragment with_branch(1, "65537", Payload());
  CHECK(machine->why_not(with_branch) == ""); // on the control circuit
  CHECK_THROWS_AS(machine->send(virtual_peer, with_branch), std::invalid_argument);
  CHECK(machine.says() == "");
  CHECK(machine.state() == "open");
}

TEST_CASE("cluster trunk: a circuit whose first fragment cannot cross ends at once, and says why") {
  ClusterLimits limits;
  limits.command_bytes_max = 1000;
  MachineUnderTest machine(Framing::cluster, limits);
  const auto opened = [&](Fragment first) -> TrunkCircuit& {
    OpenRequest request;
    request.name = to_text(peer7);
    return *machine->open(std::move(request), std::move(first), machine.now);
  };

  const TrunkCircuit& large = opened(Fragment(1, std::string(1001, 'x')));
  const TrunkCircuit& named = opened(Fragment(1, "65537", Payload()));

  REQUIRE(large.end);
  CHECK(large.end->code == error::fragment_too_large);
  CHECK(large.end->text == "first fragment of 1001 bytes exceeds fragment_bytes_max 1000");
  REQUIRE(named.end);
  CHECK(named.end->text.ends_with("which has ops of 0 to 255"));
  CHECK(machine.says() == "");
  CHECK(machine.state() == "open");
}

TEST_CASE("cluster trunk: output that is not written ends the connection at write_deadline") {
  MachineUnderTest machine;
  machine.clogged = true;
  machine.sends(machine.control(), 129, 1, "x");
  Output output;
  machine->collect_output(output, 1 << 20, machine.now); // handed over, never written
  machine.passes(19s);
  CHECK(machine.state() == "open");
  machine.passes(1s);
  CHECK(machine.state() == "write timeout");
}

TEST_CASE("cluster trunk: a drain takes no new circuits and ends the connection at its deadline") {
  MachineUnderTest machine;
  machine->allow_peer(8);
  TrunkCircuit& seven = machine.opens(peer7);
  machine->drain(machine.now + 5s);
  CHECK(machine.opens(Route(0x20001, 7)).ended);
  machine.hears(frame(9, 1, "", peer8));
  machine.hears(frame(9, 1, "goes on", peer7));
  CHECK(machine.takes(seven) == "9 #1 \"goes on\"");
  machine.passes(5s);
  CHECK(machine.state() == "draining");
}

TEST_CASE("cluster trunk: random cuts of random frames keep order on every circuit") {
  std::mt19937_64 random(42);
  MachineUnderTest machine;
  std::vector<Route> routes = {Route(), peer7, peer8, Route(0x20001, 7)};
  for (std::size_t i = 1; i < routes.size(); ++i) machine.opens(routes[i]);
  std::string bytes;
  std::map<Route, std::string> expected;
  for (std::uint64_t i = 1; i < 500; ++i) {
    const Route route = routes[random() % routes.size()];
    Frame one = frame(static_cast<std::uint8_t>(random()), i, std::string(random() % 60, 'a'), route);
    bytes += encode(Framing::cluster, one);
    one.branch = 0;
    one.cluster_peer_id = 0;
    join(expected[route], to_string(one));
  }
  while (!bytes.empty()) {
    const std::size_t count = std::min<std::size_t>(bytes.size(), 1 + random() % 97);
    machine.hears(std::string_view(bytes).substr(0, count));
    bytes.erase(0, count);
  }
  for (const Route& route : routes) CHECK(machine.takes(machine.at(route)) == expected[route]);
}

TEST_CASE("route: the text of a route is read back, and no other text is one") {
  for (const Route route : {Route(), peer7, Route(0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF), Route(1, 0)})
    CHECK(parse_route(to_text(route)) == route);
  for (const char* text : {"", "00010001", "00010001/", "10001/7", "00010001/07", "00010001/7 ", "0001000G/7",
                           "0001000A/7", "00010001/-1", "00010001/18446744073709551616"})
    CHECK_FALSE(parse_route(text).has_value());
}

TEST_CASE("cluster limits: a value that cannot work is refused by name") {
  ClusterLimits limits;
  limits.command_bytes_max = std::size_t{1} << 33;
  CHECK_THROWS_WITH_AS(limits.check(), doctest::Contains("command_bytes_max"), std::invalid_argument);
  limits = ClusterLimits();
  limits.output_bytes_max = 1;
  CHECK_THROWS_WITH_AS(limits.check(), doctest::Contains("output_bytes_max"), std::invalid_argument);
  RpcLimits rpc;
  rpc.requests_in_flight_max = 0;
  CHECK_THROWS_WITH_AS(rpc.check(), doctest::Contains("requests_in_flight_max"), std::invalid_argument);
}
