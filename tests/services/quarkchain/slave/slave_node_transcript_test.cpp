// The recording of two real clusters, replayed: a slave of ours takes the place of a Python slave. What its master, its
// neighbour and its peer said is said to it again, in the recorded order; what the Python slave said then is what ours
// must say, byte for byte, but for statistics, which know the time.
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "tests/services/quarkchain/far_end.hpp"
#include "tests/services/quarkchain/whole_cluster.hpp"
#include "tests/services/quarkchain/vectors.hpp"
#include "tests/services/quarkchain/protocol/wire.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <map>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;
using trunkline::test::at;
using trunkline::test::number_at;
using trunkline::test::text_at;

namespace {

using Body = awaitable<void> (*)(sim::World&);
void in_world(Body body) {
  sim::World world(3);
  world.run(body(world));
}

/// The recorded clusters: two chains of one shard, all defaults, one rich account in each.
ClusterConfig recorded_config(const char* slaves) {
  return ClusterConfig::parse(fmt::format(
      R"({{"DB_PATH_ROOT": "", "QUARKCHAIN": {{"CHAIN_SIZE": 2, "NETWORK_ID": 3,
        "ROOT": {{"CONSENSUS_TYPE": "POW_SIMULATE", "CONSENSUS_CONFIG": {{"TARGET_BLOCK_TIME": 4}}, "GENESIS": {{}}, "POSW_CONFIG": {{}}}},
        "CHAINS": [
          {{"CHAIN_ID": 0, "SHARD_SIZE": 1, "CONSENSUS_TYPE": "POW_SIMULATE", "CONSENSUS_CONFIG": {{"TARGET_BLOCK_TIME": 2}}, "POSW_CONFIG": {{}},
           "GENESIS": {{"ALLOC": {{"{0}00000000": {{"QKC": 1000000000000000000000000, "QETC": 100000000000000000000}}}}}}}},
          {{"CHAIN_ID": 1, "SHARD_SIZE": 1, "CONSENSUS_TYPE": "POW_SIMULATE", "CONSENSUS_CONFIG": {{"TARGET_BLOCK_TIME": 2}}, "POSW_CONFIG": {{}},
           "GENESIS": {{"ALLOC": {{"{0}00010000": {{"QKC": 1000000000000000000000000}}}}}}}}]}},
        "MASTER": {{}}, "SLAVE_LIST": [{1}], "SIMPLE_NETWORK": {{"BOOTSTRAP_HOST": "127.0.0.1", "BOOTSTRAP_PORT": 38291}}, "MONITORING": {{}}}})",
      "663d809f92433db4422c0d55ef582dac3f578d82", slaves));
}

/// A frame of the recording.
struct Recorded {
  std::uint64_t n = 0;
  std::string connection;
  std::string from;
  Frame frame;
  std::string op_name;
};

Framing framing_of(const std::string& connection) {
  if (connection.starts_with("A.slave")) return Framing::slave;
  return connection.starts_with("B.master-A.master") ? Framing::p2p : Framing::cluster;
}

std::vector<Recorded> recording() {
  std::vector<Recorded> all;
  const Json& transcript = trunkline::test::vectors("transcript.json");
  for (const char* part : {"bootstrap_of_cluster_A", "samples"})
    for (const Json& item : at(transcript, part).items) {
      Recorded recorded;
      recorded.n = number_at(item, "n");
      recorded.connection = text_at(item, "conn");
      recorded.from = text_at(item, "from");
      recorded.op_name = text_at(item, "op_name");
      std::string bytes = quarkchain::test::from_spaced_hex(text_at(item, "frame_hex"));
      recorded.frame = quarkchain::test::decode(framing_of(recorded.connection), bytes).at(0);
      all.push_back(std::move(recorded));
    }
  return all;
}

void forget_time(ShardStats& stats) {
  stats.tx_count60s = stats.block_count60s = stats.stale_block_count60s = stats.last_block_time = 0;
  stats.total_tx_count = 0; // Python counts from its own start
}

/// What must be the same: all of the payload, but for statistics.
std::string comparable(const Frame& frame, bool of_shard) {
  const auto bytes = quarkchain::test::as_bytes(frame.payload);
  if (of_shard) return frame.payload;
  if (frame.op == static_cast<std::uint8_t>(ClusterOp::add_minor_block_header_request)) {
    auto request = decoded<AddMinorBlockHeaderRequest>(bytes);
    forget_time(request.shard_stats);
    return std::string(encoded(request).text());
  }
  if (frame.op == static_cast<std::uint8_t>(ClusterOp::sync_minor_block_list_response)) {
    auto reply = decoded<SyncMinorBlockListResponse>(bytes);
    if (reply.shard_stats) forget_time(*reply.shard_stats);
    return std::string(encoded(reply).text());
  }
  return frame.payload;
}

/// Plays all frames of these connections up to `last`: those of the slave are expected, the others are said.
awaitable<std::size_t> replay(std::map<std::string, FarEnd*> connections, std::string slave, std::uint64_t last,
                              std::vector<std::uint64_t> left_out) {
  std::size_t compared = 0;
  for (const Recorded& recorded : recording()) {
    const auto end = connections.find(recorded.connection);
    if (end == connections.end() || recorded.n > last) continue;
    if (std::find(left_out.begin(), left_out.end(), recorded.n) != left_out.end()) continue;
    CAPTURE(recorded.n);
    CAPTURE(recorded.op_name);
    if (recorded.from != slave) {
      co_await FarEnd::says(end->second, recorded.frame);
      continue;
    }
    const bool of_shard = recorded.frame.cluster_peer_id != 0;
    const Frame heard = co_await FarEnd::hears(end->second, recorded.frame);
    CHECK(to_hex(comparable(heard, of_shard)) == to_hex(comparable(recorded.frame, of_shard)));
    ++compared;
  }
  co_return compared;
}

struct ReplayedSlave {
  ReplayedSlave(sim::World& world, const char* slaves, const std::string& id) : config(recorded_config(slaves)) {
    SlaveNodeOptions options = SlaveNodeOptions::of(config, id);
    options.address = "sim://" + id;
    options.connections.media["sim"] = world.medium(id);
    options.address_of = [](const SlaveInfo& info) { return "sim://" + info.id; };
    options.connections.log = log.sink();
    LedgerOptions ledger = LedgerOptions::of(config, id);
    ledger.unix_time = [] { return std::uint64_t{1795188400}; };
    ledger.transaction_history = true;
    node = std::make_unique<SlaveNode>(world.executor(), std::move(options),
                                       make_ledger(std::move(ledger), make_memory_store()));
    node->listen();
  }
  ClusterConfig config;
  LogLines log;
  std::unique_ptr<SlaveNode> node;
};

/// Of a page of transactions the cursor of the next one is its maker's own.
template <class Response> std::string without_next(const Frame& frame) {
  auto response = decoded<Response>(quarkchain::test::as_bytes(frame.payload));
  response.next.clear();
  return std::string(encoded(response).text());
}
std::string without_cursor(const Frame& frame) {
  if (frame.op == static_cast<std::uint8_t>(ClusterOp::get_transaction_list_by_address_response))
    return without_next<GetTransactionListByAddressResponse>(frame);
  if (frame.op == static_cast<std::uint8_t>(ClusterOp::get_all_transactions_response))
    return without_next<GetAllTransactionsResponse>(frame);
  return frame.payload;
}

/// What A's slave S0 was asked at the end of the recording, asked of a slave that has its blocks now: the numbers of
/// the answers that are the recorded ones, byte for byte.
awaitable<std::string> asks_again(FarEnd* master, std::uint64_t rpc_id, std::vector<std::uint64_t> asked) {
  std::map<std::uint64_t, Recorded> by_number;
  for (Recorded& recorded : recording()) by_number[recorded.n] = std::move(recorded);
  std::string same;
  for (const std::uint64_t n : asked) {
    Frame request = by_number.at(n).frame;
    Frame expected = by_number.at(n + 1).frame;
    request.rpc_id = expected.rpc_id = ++rpc_id;
    co_await FarEnd::says(master, request);
    const Frame heard = co_await FarEnd::hears(master, expected);
    if (without_cursor(heard) == without_cursor(expected)) same += std::to_string(n + 1) + " ";
  }
  co_return same;
}

/// Cluster B: its slave T0 boots, is given a peer, and fetches A's blocks from it.
CO_TEST_CASE("transcript: a slave of ours says what the Python slave said while it booted and synced from a peer",
             in_world, sim::World& world) {
  ReplayedSlave slave(
      world, R"({"HOST": "127.0.0.1", "PORT": 45120, "ID": "T0", "FULL_SHARD_ID_LIST": ["0x00010001", "0x00000001"]})",
      "T0");
  FarEnd master(co_await world.medium("master")->dial("sim://T0"), Framing::cluster);
  std::map<std::string, FarEnd*> connections;
  connections["B.master-B.T0#0"] = &master;
  const std::vector<std::uint64_t> none;
  const std::size_t compared = co_await replay(connections, "B.T0", 268, none);
  CHECK(compared == 17);
  CAPTURE(slave.log);
  CHECK(master.rest() == "");
  std::vector<std::uint64_t> asked;
  for (std::uint64_t n = 138; n < 178; n += 2)
    if (n != 150 && n != 152) asked.push_back(n);
  const std::string same = co_await asks_again(&master, 100, asked);
  // The others are what EVM makes: receipts (141, 143), balances and nonces (147, 149), logs and what a call returns or
  // costs (171, 173, 175).
  CHECK(same == "139 145 155 157 159 161 163 165 167 169 177 ");
  co_await slave.node->stop(Duration::zero());
}

/// Cluster A: its slave S1 boots, is found by S0, mines nothing here, and takes S0's cross-shard lists.
CO_TEST_CASE("transcript: a slave of ours says what the Python slave said to its master and to its neighbour", in_world,
             sim::World& world) {
  ReplayedSlave slave(world,
                      R"({"HOST": "127.0.0.1", "PORT": 45100, "ID": "S0", "FULL_SHARD_ID_LIST": ["0x00000001"]},
                         {"HOST": "127.0.0.1", "PORT": 45101, "ID": "S1", "FULL_SHARD_ID_LIST": ["0x00010001"]})",
                      "S1");
  FarEnd master(co_await world.medium("master")->dial("sim://S1"), Framing::cluster);
  std::map<std::string, FarEnd*> connections;
  connections["A.master-A.S1#0"] = &master;
  // S1 mined: the blocks that it sent and reported, and what it was answered, cannot come from here.
  std::vector<std::uint64_t> left_out{38, 39, 40, 41, 50, 51, 52, 53, 54, 55, 56, 57};
  std::size_t compared = co_await replay(connections, "A.S1", 4, left_out);
  // The master has been answered, so that the next connection is not taken for its.
  FarEnd other(co_await world.medium("other")->dial("sim://S1"), Framing::slave);
  connections["A.slave-A.S1#1"] = &other;
  for (std::uint64_t n = 0; n <= 4; ++n) left_out.push_back(n);
  compared += co_await replay(connections, "A.S1", 61, left_out);
  CHECK(compared == 13);
  CAPTURE(slave.log);
  CHECK(master.rest() == "");
  co_await slave.node->stop(Duration::zero());
}

/// The connection of cluster B's master with A's, and what A's master passes on between it and its slaves.
class ReplayedMeeting {
 public:
  ReplayedMeeting(FarEnd* slave_0, FarEnd* slave_1, FarEnd* peer, RootChain* chain)
      : ends_{{"A.master-A.S0#0", slave_0}, {"A.master-A.S1#0", slave_1}, {"B.master-A.master#0", peer}},
        chain_(chain) {}

  static awaitable<void> play(ReplayedMeeting* self) {
    const std::vector<Recorded> all = recording();
    for (const Recorded& recorded : all) self->add_root_blocks(recorded, 227);
    for (const Recorded& recorded : all) {
      const auto end = self->ends_.find(recorded.connection);
      const bool between_processes = !self->creates(recorded.frame) && recorded.connection.starts_with("A.") &&
                                     recorded.frame.cluster_peer_id == 0;
      if (end == self->ends_.end() || recorded.n < 212 || between_processes) continue;
      if (recorded.n == 304) { // the next root block has come; that a master of ours announces none is left out
        for (const Recorded& later : all) self->add_root_blocks(later, 312);
        continue;
      }
      if (recorded.n == 391)
        for (const Recorded& later : all) self->add_root_blocks(later, 392);
      const Frame frame = as_here(recorded.frame);
      if (recorded.from != "A.master") {
        self->said_.push_back(frame);
        co_await FarEnd::says(end->second, frame);
        continue;
      }
      if (self->is_passed_on(frame) && !self->was_said(frame)) {
        self->unheard += std::to_string(recorded.n) + " "; // whence it came was not recorded
        continue;
      }
      CAPTURE(recorded.n);
      const Frame heard = co_await FarEnd::hears(end->second, frame);
      CHECK(to_hex(self->comparable(heard)) == to_hex(self->comparable(frame)));
      ++self->compared;
    }
  }

  std::size_t compared = 0;
  std::string unheard;

 private:
  static bool creates(const Frame& frame) {
    return frame.cluster_peer_id == 0 &&
           (frame.op == static_cast<std::uint8_t>(ClusterOp::create_cluster_peer_connection_request) ||
            frame.op == static_cast<std::uint8_t>(ClusterOp::create_cluster_peer_connection_response));
  }
  /// The Python master had asked its slaves more until then, and had met two others.
  static Frame as_here(Frame frame) {
    if (creates(frame)) frame.rpc_id = 5;
    if (creates(frame) && frame.payload.size() == 8) frame.payload.back() = '\1'; // the peer's id
    if (frame.cluster_peer_id == 3) frame.cluster_peer_id = 1;
    return frame;
  }
  static bool is_passed_on(const Frame& frame) { return frame.branch != 0; }
  bool was_said(const Frame& frame) const {
    return std::ranges::any_of(said_, [&](const Frame& said) {
      return said.branch == frame.branch && said.op == frame.op && said.rpc_id == frame.rpc_id &&
             said.cluster_peer_id != frame.cluster_peer_id && said.payload == frame.payload;
    });
  }
  void add_root_blocks(const Recorded& recorded, std::uint64_t n) {
    if (recorded.n != n) return;
    const auto reply = decoded<GetRootBlockListResponse>(quarkchain::test::as_bytes(recorded.frame.payload));
    for (const RootBlock& block : reply.root_block_list) chain_->add(block);
  }
  /// But for the address under which it can be reached, which a master of ours does not know.
  static std::string comparable(const Frame& frame) {
    if (frame.branch != 0 || frame.cluster_peer_id != 0 || frame.op != static_cast<std::uint8_t>(CommandOp::hello))
      return frame.payload;
    auto hello = decoded<HelloCommand>(quarkchain::test::as_bytes(frame.payload));
    hello.peer_ip = {};
    return std::string(encoded(hello).text());
  }

  std::map<std::string, FarEnd*> ends_;
  RootChain* chain_;
  std::vector<Frame> said_;
};

/// Cluster A's other slave: S0 finds S1, mines nothing here, and takes transactions.
CO_TEST_CASE("transcript: a slave of ours says what the Python slave said that dialled its neighbour", in_world,
             sim::World& world) {
  ReplayedSlave slave(world,
                      R"({"HOST": "127.0.0.1", "PORT": 45100, "ID": "S0", "FULL_SHARD_ID_LIST": ["0x00000001"]},
                         {"HOST": "127.0.0.1", "PORT": 45101, "ID": "S1", "FULL_SHARD_ID_LIST": ["0x00010001"]})",
                      "S0");
  FarEnd master(co_await world.medium("master")->dial("sim://S0"), Framing::cluster);
  const auto listener = world.medium("S1")->listen(world.executor(), "sim://S1");
  std::map<std::string, FarEnd*> connections;
  connections["A.master-A.S0#0"] = &master;
  // Its blocks, and what it was answered.
  const std::vector<std::uint64_t> mined{42, 43, 44, 45, 46, 47, 48, 49, 58, 59, 60, 61};
  std::size_t compared = co_await replay(connections, "A.S0", 4, mined);
  FarEnd other(co_await listener->accept(), Framing::slave);
  const Recorded ping = recording().at(5);
  const Frame heard = co_await FarEnd::hears(&other, ping.frame);
  CHECK(to_hex(heard.payload) == to_hex(ping.frame.payload));
  co_await FarEnd::says(&other, recording().at(6).frame);
  std::vector<std::uint64_t> again(mined);
  for (std::uint64_t n = 0; n <= 4; ++n) again.push_back(n);
  compared += co_await replay(connections, "A.S0", 77, again);
  CHECK(compared == 13);
  CAPTURE(slave.log);
  CHECK(master.rest() == "");
  CHECK(other.rest() == "");
  co_await slave.node->stop(Duration::zero());
}

/// Cluster A the other way round: its slaves say what they said, and a master of ours takes the place of theirs.
CO_TEST_CASE(
    "transcript: a master of ours says what the Python master said while it booted, and met and served another "
    "cluster",
    in_world, sim::World& world) {
  const ClusterConfig config = recorded_config(
      R"({"HOST": "127.0.0.1", "PORT": 45020, "ID": "S0", "FULL_SHARD_ID_LIST": ["0x00000001"]},
         {"HOST": "127.0.0.1", "PORT": 45021, "ID": "S1", "FULL_SHARD_ID_LIST": ["0x00010001"]})");
  MasterNodeOptions options = MasterNodeOptions::of(config);
  options.address_of = [](const SlaveConfig& slave) { return "sim://" + slave.id; };
  options.connections.media["sim"] = world.medium("M");
  options.mining = true;
  options.peers.peer_id = *Hash256::from_hex("e84bb66179d263ddf4199e899755dbf5c568643298fbfc45e598853a3e3a83d9");
  options.peers.port = 45050;
  const auto chain = std::make_shared<RootChain>(config.quarkchain, make_memory_store());
  MasterNode master(world.executor(), std::move(options), chain);
  const auto listener_0 = world.medium("S0")->listen(world.executor(), "sim://S0");
  const auto listener_1 = world.medium("S1")->listen(world.executor(), "sim://S1");
  using namespace asio::experimental::awaitable_operators;
  std::unique_ptr<FarEnd> slave_0, slave_1;
  const auto slaves = [&]() -> awaitable<void> {
    slave_0 = std::make_unique<FarEnd>(co_await listener_0->accept(), Framing::cluster);
    slave_1 = std::make_unique<FarEnd>(co_await listener_1->accept(), Framing::cluster);
    std::map<std::string, FarEnd*> connections;
    connections["A.master-A.S0#0"] = slave_0.get();
    connections["A.master-A.S1#0"] = slave_1.get();
    const std::vector<std::uint64_t> none;
    const std::size_t compared = co_await replay(connections, "A.master", 21, none);
    CHECK(compared == 4 + 2 + 2 + 2); // PING twice, CONNECT_TO_SLAVES, 146 and MINE, to each
  };
  co_await (master.boot() && slaves());
  CHECK(slave_0->rest() == "");
  CHECK(slave_1->rest() == "");
  CHECK(chain->stats().size() == 2);

  FarEnd peer(co_await world.medium("B")->dial(master.listen_for_peers("sim://M:38291")), Framing::p2p);
  ReplayedMeeting meeting(slave_0.get(), slave_1.get(), &peer, chain.get());
  co_await ReplayedMeeting::play(&meeting);
  CHECK(meeting.compared == 27);
  CHECK(meeting.unheard == "259 278 281 407 438 445 487 488 515 ");
  CHECK(slave_0->rest() == "");
  co_await master.stop(Duration::zero());
}

} // namespace
