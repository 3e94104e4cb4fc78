// The recorded sessions: byte streams that a live pyquarkchain connection was fed, what it wrote, and whether it
// closed. The same bytes go into our services, whose backends do what the recorded handlers did, and what comes out is
// compared byte for byte.
#include "services/quarkchain/protocol/opcodes.hpp"
#include "services/quarkchain/master/peer_root_service.hpp"
#include "services/quarkchain/slave/slave_service.hpp"
#include "tests/services/quarkchain/rpc/rpc_machine.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;
using trunkline::test::at;
using trunkline::test::number_at;
using trunkline::test::text_at;

namespace {

/// "me" with shards 1 and 2: answers PING, MINE with 7 and not before it is told to, fails on GEN_TX, hears DESTROY.
struct RecordedSlave final : Backend, Membership {
  awaitable<MineResponse> on(MineRequest) override {
    while (!released) co_await release.wait();
    throw Refused(7, "as recorded");
  }
  awaitable<GenTxResponse> on(GenTxRequest) override {
    throw std::runtime_error("as recorded");
    co_return GenTxResponse();
  }
  awaitable<void> create_shards(RootBlock) override { co_return; }

  const SlaveIdentity& own() const override { return identity; }
  std::string address_of(const SlaveInfo&) const override { return {}; }
  awaitable<std::vector<std::string>> connect(std::vector<SlaveTarget>) override {
    co_return std::vector<std::string>();
  }
  bool create_peer(std::uint64_t) override { return true; }
  void destroy_peer(std::uint64_t) override {}
  void add_shard(std::uint32_t) override {}
  bool identify(RpcCircuit&, SlaveIdentity) override { return true; }

  SlaveIdentity identity = SlaveIdentity("me", {1, 2});
  bool released = false;
  Signal release;
};

/// Knows no peers, and keeps no root chain.
struct RecordedMaster final : RootBackend, PeerLobby {
  awaitable<RootBlock> root_tip() override { co_return RootBlock(); }
  awaitable<RootBlockHeader> genesis() override { co_return RootBlockHeader(); }
  void hello(RpcCircuit&, HelloCommand) override { throw Refused(Refusal::failed, "a second HELLO"); }
  std::uint64_t id_of(const RpcCircuit&) const override { return 1; }
  std::vector<PeerInfo> others(const RpcCircuit&, std::uint32_t) const override { return {}; }
};

/// The recorded side served four opcodes and took others for replies. A slave of ours serves all that its master may
/// send, so that the opcode of that session (GET_CODE) is replaced by one that only a master serves.
void replace_unserved(const std::string& what, Framing framing, std::string& input) {
  if (what != "request opcode this side does not serve is taken for a response") return;
  REQUIRE(input.at(frame_header_bytes(framing) - 9) == '\xb3');
  input[frame_header_bytes(framing) - 9] = '\x91';
}

std::size_t limit_of(const std::string& what) {
  if (what.find("exactly at the limit") != std::string::npos) return 4;
  if (what.find("exceeded by one") != std::string::npos) return 3;
  return 1000;
}

} // namespace

TEST_CASE("services: what pyquarkchain wrote and when it closed, byte for byte, over 52 recorded sessions") {
  std::size_t compared = 0;
  for (const Json& session : at(trunkline::test::vectors("sessions.json"), "cases").items) {
    const std::string& what = text_at(session, "what");
    const std::string& kind = text_at(session, "kind");
    CAPTURE(what);
    CAPTURE(kind);
    const Framing framing = kind == "cluster" ? Framing::cluster : kind == "slave" ? Framing::slave : Framing::p2p;
    const auto slave = std::make_shared<RecordedSlave>();
    const auto master = std::make_shared<RecordedMaster>();
    const SlaveService slave_service(slave, slave);
    const PeerRootService root_service(master, master);
    ClusterLimits limits;
    limits.command_bytes_max = limit_of(what);
    RpcMachine machine(framing == Framing::p2p ? root_service.server() : slave_service.server(), framing, limits);

    std::vector<std::shared_ptr<CallOutcome>> calls;
    if (const Json* sent = session.find("sent_hex")) {
      std::string bytes = quarkchain::test::from_spaced_hex(sent->text);
      for (const Frame& frame : decode(framing, bytes)) calls.push_back(machine.calls(frame.op, frame.payload));
      CHECK(to_hex(machine.bytes()) == sent->text);
    }
    std::string input = quarkchain::test::from_spaced_hex(text_at(session, "input_hex"));
    if (framing != Framing::p2p) replace_unserved(what, framing, input);
    if (!input.empty()) machine.hears(input);
    slave->released = true;
    slave->release.notify_all();
    machine.run();
    const std::string written = to_hex(machine.bytes());
    if (what.find("EOF") != std::string::npos) {
      machine.trunk->disconnected(End());
      machine.run();
    }

    CHECK(written == text_at(session, "written_hex"));
    CHECK(machine.control->is_open() != at(session, "closed").boolean);
    CHECK(machine.control->calls_pending() == number_at(session, "pending_rpc"));
    const Json* const results = session.find("rpc_results");
    for (std::size_t i = 0; results && i < results->items.size(); ++i) {
      const Json& result = results->items[i];
      REQUIRE(calls.at(i)->text.has_value());
      const std::string expected = result.find("exception")
                                       ? "circuit closed"
                                       : fmt::format("{} \"{}\"", number_at(result, "op"),
                                                     quarkchain::test::from_spaced_hex(text_at(result, "hex")));
      CHECK(*calls[i]->text == expected);
    }
    ++compared;
  }
  CHECK(compared == 52);
}
