// The life of a cluster's connections over real sockets: a slave of ours, and the test as its master, its neighbours
// and its peers, in frames. What is bad in what these say has its test here, too, with its counter and its log line.
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "tests/services/quarkchain/far_end.hpp"
#include "tests/services/quarkchain/whole_cluster.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/tcp.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <sys/resource.h>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

using Body = awaitable<void> (*)();
void over_tcp(Body body) { trunkline::test::run_coroutine(body()); }

constexpr std::uint8_t op(ClusterOp of) { return static_cast<std::uint8_t>(of); }
constexpr std::uint32_t branch_0 = 0x00001;

/// A ledger with two methods that can be made to wait or to fail.
class TestBackend final : public Backend {
 public:
  explicit TestBackend(std::shared_ptr<Ledger> to) : ledger(std::move(to)) {}
  void attach(std::weak_ptr<BackendHost> host) override { ledger->attach(std::move(host)); }
  std::vector<std::uint32_t> shards() const override { return ledger->shards(); }
  awaitable<void> create_shards(RootBlock tip) override { return ledger->create_shards(std::move(tip)); }
  awaitable<AddRootBlockResponse> on(AddRootBlockRequest request) override { return ledger->on(std::move(request)); }
  awaitable<GetEcoInfoListResponse> on(GetEcoInfoListRequest request) override {
    return ledger->on(std::move(request));
  }
  awaitable<AddXshardTxListResponse> on(AddXshardTxListRequest request) override {
    return ledger->on(std::move(request));
  }
  awaitable<GetMinorBlockListResponse> on(PeerShard from, GetMinorBlockListRequest request) override {
    return ledger->on(from, std::move(request));
  }
  awaitable<void> on(PeerShard from, NewBlockMinorCommand command) override {
    return ledger->on(from, std::move(command));
  }
  /// Waits until it is told.
  awaitable<MineResponse> on(MineRequest) override {
    ++mining;
    while (!released) co_await release.wait();
    MineResponse reply;
    co_return reply;
  }
  awaitable<GenTxResponse> on(GenTxRequest) override {
    throw std::runtime_error("it went wrong");
    co_return GenTxResponse();
  }
  /// Never comes back.
  awaitable<void> on(PeerShard, NewTransactionListCommand) override {
    while (!released) co_await release.wait();
  }

  std::shared_ptr<Ledger> ledger;
  int mining = 0;
  bool released = false;
  Signal release;
};

/// One slave of a cluster of three, each with one shard, listening on a port of this machine.
class TcpSlave {
 public:
  using Tweak = std::function<void(SlaveNodeOptions&)>;

  explicit TcpSlave(const Executor& executor, const std::string& id = "S0", const Tweak& tweak = {},
                    const std::map<std::string, std::string>* addresses = nullptr)
      : config(cluster_config(3, 3)) {
    SlaveNodeOptions options = SlaveNodeOptions::of(config, id);
    options.address = "tcp://127.0.0.1:0";
    options.connections.limits.goodbye_deadline = 20ms; // the test's own ends do not close
    options.connections.log = log.sink();
    if (addresses) options.address_of = [addresses](const SlaveInfo& info) { return addresses->at(info.id); };
    if (tweak) tweak(options);
    LedgerOptions ledger = LedgerOptions::of(config, id);
    backend = std::make_shared<TestBackend>(make_ledger(std::move(ledger), make_memory_store()));
    node = std::make_unique<SlaveNode>(executor, std::move(options), backend);
    address = node->listen();
  }
  RootBlock root_genesis() const { return genesis_root_block(config.quarkchain.root.genesis); }

  ClusterConfig config;
  LogLines log;
  std::shared_ptr<TestBackend> backend;
  std::unique_ptr<SlaveNode> node;
  std::string address;
};

awaitable<std::unique_ptr<FarEnd>> dials(std::string address, Framing framing) {
  const auto executor = co_await asio::this_coro::executor;
  (void)executor;
  const auto network = make_tcp_medium();
  auto end = std::make_unique<FarEnd>(co_await network->dial(address), framing);
  co_return end;
}

/// The first connection, which says PING and hears who that is: the slave has taken it for its master.
awaitable<std::unique_ptr<FarEnd>> masters(TcpSlave* slave, std::uint64_t rpc_id = 1) {
  auto master = co_await dials(slave->address, Framing::cluster);
  const Ping ping;
  co_await master->says(op(ClusterOp::ping), rpc_id, ping);
  const Pong pong = co_await FarEnd::hears_message<Pong>(master.get(), op(ClusterOp::pong), rpc_id);
  CHECK(pong.id.starts_with("S"));
  co_return master;
}

/// PING with the root tip; 145 is answered.
awaitable<void> gives_tip(FarEnd* master, const TcpSlave* slave, std::uint64_t rpc_id) {
  Ping ping;
  ping.root_tip = slave->root_genesis();
  co_await master->says(op(ClusterOp::ping), rpc_id, ping);
  (void)co_await FarEnd::hears_message<AddMinorBlockHeaderRequest>(master,
                                                                   op(ClusterOp::add_minor_block_header_request), 1);
  const AddMinorBlockHeaderResponse response;
  co_await master->says(op(ClusterOp::add_minor_block_header_response), 1, response);
  (void)co_await FarEnd::hears_message<Pong>(master, op(ClusterOp::pong), rpc_id);
}

awaitable<void> still_answers(FarEnd* end, std::uint64_t rpc_id) {
  const Ping ping;
  co_await end->says(op(ClusterOp::ping), rpc_id, ping);
  (void)co_await FarEnd::hears_message<Pong>(end, op(ClusterOp::pong), rpc_id);
}

Frame on_peer(Frame frame, std::uint32_t branch, std::uint64_t peer) {
  frame.branch = branch;
  frame.cluster_peer_id = peer;
  return frame;
}

awaitable<void> create_peer(FarEnd* master, std::uint64_t rpc_id, std::uint64_t peer) {
  CreateClusterPeerConnectionRequest request;
  request.cluster_peer_id = peer;
  co_await master->says(op(ClusterOp::create_cluster_peer_connection_request), rpc_id, request);
  const auto reply = co_await FarEnd::hears_message<CreateClusterPeerConnectionResponse>(
      master, op(ClusterOp::create_cluster_peer_connection_response), rpc_id);
  CHECK(reply.error_code == 0);
}

Ping slave_ping(const char* id, std::uint32_t shard) {
  Ping ping;
  ping.id = id;
  ping.full_shard_id_list.push_back(shard);
  ping.root_tip.emplace();
  return ping;
}

/// What is ready runs; for what is seen on our own side only.
awaitable<void> until(std::function<bool()> condition) {
  const TimePoint begin = std::chrono::steady_clock::now();
  while (!condition()) {
    if (std::chrono::steady_clock::now() - begin > 1min) throw std::runtime_error("a condition never came true");
    co_await asio::post(asio::use_awaitable);
  }
}

// Who is who.

CO_TEST_CASE("lifecycle: the first connection is the master, later ones are slaves", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  const auto other = co_await dials(slave.address, Framing::slave);
  const Ping ping = slave_ping("S1", 0x10001);
  co_await other->says(op(ClusterOp::ping), 1, ping);
  const Pong pong = co_await FarEnd::hears_message<Pong>(other.get(), op(ClusterOp::pong), 1);
  CHECK(pong.id == "S0");
  CHECK(pong.full_shard_id_list == std::vector<std::uint32_t>{branch_0});
  CHECK(slave.node->connections().slaves().routes().to(0x10001).size() == 1);
  CHECK(slave.backend->ledger->shards().empty()); // a slave's root tip makes no shards
  co_await still_answers(master.get(), 2);
  co_await slave.node->stop(Duration::zero());
}

CO_TEST_CASE(
    "lifecycle: with an allow-list only a listed address is the master, and without one nothing can be reported",
    over_tcp) {
  TcpSlave elsewhere(co_await asio::this_coro::executor, "S0",
                     [](SlaveNodeOptions& options) { options.master_hosts = {"10.9.9.9"}; });
  const auto stranger = co_await dials(elsewhere.address, Framing::slave);
  const Ping ping = slave_ping("S1", 0x10001);
  co_await stranger->says(op(ClusterOp::ping), 1, ping);
  (void)co_await FarEnd::hears_message<Pong>(stranger.get(), op(ClusterOp::pong), 1);
  CHECK(elsewhere.node->connections().master() == nullptr);
  const AddMinorBlockHeaderRequest report;
  boost::system::error_code code;
  try {
    (void)co_await elsewhere.node->master().ask(report);
  } catch (const boost::system::system_error& failure) {
    code = failure.code();
  }
  CHECK(code == error::circuit_closed);
  co_await elsewhere.node->stop(Duration::zero());
  TcpSlave here(co_await asio::this_coro::executor, "S0",
                [](SlaveNodeOptions& options) { options.master_hosts = {"127.0.0.1"}; });
  (void)co_await masters(&here);
  co_await here.node->stop(Duration::zero());
}

// PING.

CO_TEST_CASE(
    "lifecycle: PING with a root tip makes shards and reports them before its PONG, and others are served meanwhile",
    over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  Ping ping;
  ping.root_tip = slave.root_genesis();
  co_await master->says(op(ClusterOp::ping), 2, ping);
  const auto report = co_await FarEnd::hears_message<AddMinorBlockHeaderRequest>(
      master.get(), op(ClusterOp::add_minor_block_header_request), 1);
  CHECK(report.minor_block_header ==
        genesis_minor_block(slave.config.quarkchain, slave.config.quarkchain.shards[0], ping.root_tip->header).header);
  CHECK(report.shard_stats.branch.value == branch_0);
  const GetEcoInfoListRequest other; // served while PING and 145 are both open
  co_await master->says(op(ClusterOp::get_eco_info_list_request), 3, other);
  const auto infos = co_await FarEnd::hears_message<GetEcoInfoListResponse>(
      master.get(), op(ClusterOp::get_eco_info_list_response), 3);
  CHECK(infos.eco_info_list.empty());
  CHECK(master->rest() == ""); // no PONG yet
  const AddMinorBlockHeaderResponse response;
  co_await master->says(op(ClusterOp::add_minor_block_header_response), 1, response);
  const Pong pong = co_await FarEnd::hears_message<Pong>(master.get(), op(ClusterOp::pong), 2);
  CHECK(pong.id == "S0");
  CHECK(slave.backend->shards() == std::vector<std::uint32_t>{branch_0});
  co_await slave.node->stop(Duration::zero());
}

CO_TEST_CASE("bad input: PING with another genesis closes the connection, and the log has both hashes", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  Ping ping;
  ping.root_tip = slave.root_genesis();
  ping.root_tip->header.create_time = 1;
  co_await master->says(op(ClusterOp::ping), 2, ping);
  CHECK(co_await FarEnd::closed(master.get()) == "");
  CHECK(slave.log.has_line(hash_of(ping.root_tip->header).hex()));     // what was seen
  CHECK(slave.log.has_line(hash_of(slave.root_genesis().header).hex())); // what was expected
  CHECK(slave.node->serves_master()->counters().handlers_failed == 1);
  (void)co_await slave.node->stopped();
  co_await slave.node->stop(Duration::zero());
}

// CONNECT_TO_SLAVES.

SlaveInfo info(const char* id, std::vector<std::uint32_t> shards, std::uint16_t port = 1) {
  SlaveInfo info;
  info.id = id;
  info.host = "127.0.0.1";
  info.port = port;
  info.full_shard_id_list = std::move(shards);
  return info;
}

awaitable<std::vector<std::string>> connects(FarEnd* master, std::uint64_t rpc_id, std::vector<SlaveInfo> infos) {
  ConnectToSlavesRequest request;
  request.slave_info_list = std::move(infos);
  co_await master->says(op(ClusterOp::connect_to_slaves_request), rpc_id, request);
  auto reply = co_await FarEnd::hears_message<ConnectToSlavesResponse>(
      master, op(ClusterOp::connect_to_slaves_response), rpc_id);
  co_return std::move(reply.result_list);
}

CO_TEST_CASE("lifecycle: CONNECT_TO_SLAVES has a result for each entry, and verifies ids and shard lists", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  std::map<std::string, std::string> addresses;
  TcpSlave slave(executor, "S0", {}, &addresses);
  TcpSlave good(executor, "S1");
  TcpSlave wrong(executor, "S2");
  const auto masters_good = co_await masters(&good);
  const auto masters_wrong = co_await masters(&wrong);
  const auto network = make_tcp_medium();
  std::string free;
  {
    const auto listener = network->listen(executor, "tcp://127.0.0.1:0");
    free = listener->address();
    listener->close(); // nobody listens there
  }
  addresses = {
      {"S0", "tcp://127.0.0.1:1"}, {"S1", good.address}, {"S2", wrong.address}, {"SX", wrong.address}, {"S9", free}};
  const auto master = co_await masters(&slave);
  std::vector<SlaveInfo> infos{info("S0", {0x1}),        info("S1", {0x10001}), info("SX", {0x20001}),
                               info("S2", {0x20001, 1}), info("S9", {0x1}),     info("S2", {0x20001}, 0)};
  const std::vector<std::string> results = co_await connects(master.get(), 2, infos);
  REQUIRE(results.size() == 6);
  CHECK(results[0] == ""); // ourselves
  CHECK(results[1] == "");
  CHECK(results[2].find("is slave \"S2\" with shards [0x00020001], expected \"SX\"") != std::string::npos);
  CHECK(results[3].find("[0x00020001], expected \"S2\" with [0x00020001 0x00000001]") != std::string::npos);
  CHECK(results[4].find("tcp://127.0.0.1") != std::string::npos);
  CHECK(results[5] != ""); // no port
  CHECK(slave.node->connections().slaves().routes().size() == 1);
  co_await still_answers(master.get(), 3);
  std::vector<SlaveInfo> both{info("S1", {0x10001}), info("S2", {0x20001})};
  const std::vector<std::string> again = co_await connects(master.get(), 4, both);
  CHECK(again == std::vector<std::string>{"", ""}); // the known one is not dialled, the other one can be after all
  CHECK(slave.node->connections().slaves().counters().dials == 5);
  for (TcpSlave* each : {&slave, &good, &wrong}) co_await each->node->stop(Duration::zero());
}

CO_TEST_CASE("lifecycle: two slaves that dial each other at once can send both ways", over_tcp) {
  using namespace asio::experimental::awaitable_operators;
  const Executor executor = co_await asio::this_coro::executor;
  for (int round = 0; round < 20; ++round) {
    std::map<std::string, std::string> addresses;
    TcpSlave one(executor, "S0", {}, &addresses);
    TcpSlave two(executor, "S1", {}, &addresses);
    addresses = {{"S0", one.address}, {"S1", two.address}};
    const auto master_one = co_await masters(&one);
    const auto master_two = co_await masters(&two);
    std::vector<SlaveInfo> to_two{info("S1", {0x10001})};
    std::vector<SlaveInfo> to_one{info("S0", {0x1})};
    const auto results = co_await (connects(master_one.get(), 2, to_two) && connects(master_two.get(), 2, to_one));
    CHECK(std::get<0>(results) == std::vector<std::string>{""});
    CHECK(std::get<1>(results) == std::vector<std::string>{""});
    AddXshardTxListRequest to_shard_1, to_shard_0;
    to_shard_1.branch.value = 0x10001;
    to_shard_0.branch.value = 0x1;
    to_shard_0.minor_block_hash.bytes[0] = std::byte{1};
    co_await one.node->host().add_xshard_tx_list(to_shard_1);
    co_await two.node->host().add_xshard_tx_list(to_shard_0);
    CHECK(two.backend->ledger->has_xshard_tx_list(0x10001, to_shard_1.minor_block_hash));
    CHECK(one.backend->ledger->has_xshard_tx_list(0x1, to_shard_0.minor_block_hash));
    co_await one.node->stop(Duration::zero());
    co_await two.node->stop(Duration::zero());
  }
}

CO_TEST_CASE("lifecycle: a list for a slave that is not connected fails, and names it", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  AddXshardTxListRequest list;
  list.branch.value = 0x10001;
  std::string text;
  try {
    co_await slave.node->host().add_xshard_tx_list(list);
  } catch (const boost::system::system_error& failure) {
    text = failure.what();
  }
  CHECK(text.find("slave \"S1\", which runs 0x00010001, is not connected") != std::string::npos);
  co_await slave.node->stop(Duration::zero());
}

// The routes.

/// A slave that is lost is dialled again at the same address; meanwhile nothing leads to it.
CO_TEST_CASE("lifecycle: a lost slave leaves the routes and is dialled again", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto network = make_tcp_medium();
  const auto listener = network->listen(executor, "tcp://127.0.0.1:0");
  std::map<std::string, std::string> addresses{{"S1", listener->address()}};
  TcpSlave slave(executor, "S0", [](SlaveNodeOptions& options) { options.pool.redial_delay_min = 1ms; }, &addresses);
  const auto master = co_await masters(&slave);
  ConnectToSlavesRequest request;
  request.slave_info_list.push_back(info("S1", {0x10001}));
  co_await master->says(op(ClusterOp::connect_to_slaves_request), 2, request);
  Pong pong;
  pong.id = "S1";
  pong.full_shard_id_list.push_back(0x10001);
  for (int time = 0; time < 3; ++time) {
    FarEnd other(co_await listener->accept(), Framing::slave);
    const auto ping = co_await FarEnd::hears_message<Ping>(&other, op(ClusterOp::ping), 1);
    CHECK(ping.id == "S0");
    CHECK(slave.node->connections().slaves().routes().to(0x10001).empty());
    co_await other.says(op(ClusterOp::pong), 1, pong);
    co_await until([&] { return slave.node->connections().slaves().routes().to(0x10001).size() == 1; });
    other.close();
  }
  CHECK(slave.node->connections().slaves().counters().redials >= 2);
  co_await slave.node->stop(Duration::zero());
}

/// Nobody listens for a while: the delays between the tries grow, which shows in how long so many of them take at
/// least.
CO_TEST_CASE(
    "lifecycle: a slave that cannot be reached is dialled less and less often, and found when it listens again",
    over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto network = make_tcp_medium();
  auto listener = network->listen(executor, "tcp://127.0.0.1:0");
  const std::string address = listener->address();
  std::map<std::string, std::string> addresses{{"S1", address}};
  const auto tweak = [](SlaveNodeOptions& options) {
    options.pool.redial_delay_min = 1ms;
    options.pool.redial_delay_max = 32ms;
  };
  TcpSlave slave(executor, "S0", tweak, &addresses);
  const SlavePool& pool = slave.node->connections().slaves();
  const auto master = co_await masters(&slave);
  ConnectToSlavesRequest request;
  request.slave_info_list.push_back(info("S1", {0x10001}));
  co_await master->says(op(ClusterOp::connect_to_slaves_request), 2, request);
  Pong pong;
  pong.id = "S1";
  pong.full_shard_id_list.push_back(0x10001);
  {
    FarEnd other(co_await listener->accept(), Framing::slave);
    (void)co_await FarEnd::hears_message<Ping>(&other, op(ClusterOp::ping), 1);
    co_await other.says(op(ClusterOp::pong), 1, pong);
    co_await until([&] { return pool.routes().to(0x10001).size() == 1; });
    listener->close();
    other.close();
  }
  const TimePoint lost = std::chrono::steady_clock::now();
  co_await until([&] { return pool.counters().redials >= 8; });
  CHECK(std::chrono::steady_clock::now() - lost >= 1ms + 2ms + 4ms + 8ms + 16ms + 3 * 32ms - 5ms);
  CHECK(pool.counters().dials_failed >= 7);
  CHECK(pool.routes().to(0x10001).empty());

  listener = network->listen(executor, address);
  FarEnd other(co_await listener->accept(), Framing::slave);
  (void)co_await FarEnd::hears_message<Ping>(&other, op(ClusterOp::ping), 1);
  co_await other.says(op(ClusterOp::pong), 1, pong);
  co_await until([&] { return pool.routes().to(0x10001).size() == 1; });
  co_await slave.node->stop(Duration::zero());
}

/// pyquarkchain's way: what was lost stays in the routes, fails, and is never dialled again.
awaitable<void> strict_parity();
TEST_CASE("lifecycle: in strict parity a lost slave stays in the routes, fails, and is not dialled again") {
  over_tcp(strict_parity);
}
awaitable<void> strict_parity() {
  const Executor executor = co_await asio::this_coro::executor;
  const auto network = make_tcp_medium();
  const auto listener = network->listen(executor, "tcp://127.0.0.1:0");
  std::map<std::string, std::string> addresses{{"S1", listener->address()}};
  const auto tweak = [](SlaveNodeOptions& options) {
    options.strict_parity = true;
    options.pool.redial_delay_min = 1ms;
  };
  TcpSlave slave(executor, "S0", tweak, &addresses);
  const SlavePool& pool = slave.node->connections().slaves();
  const auto master = co_await masters(&slave);
  ConnectToSlavesRequest request;
  request.slave_info_list.push_back(info("S1", {0x10001}));
  co_await master->says(op(ClusterOp::connect_to_slaves_request), 2, request);
  {
    FarEnd other(co_await listener->accept(), Framing::slave);
    (void)co_await FarEnd::hears_message<Ping>(&other, op(ClusterOp::ping), 1);
    Pong pong;
    pong.id = "S1";
    pong.full_shard_id_list.push_back(0x10001);
    co_await other.says(op(ClusterOp::pong), 1, pong);
    co_await until([&] { return pool.routes().to(0x10001).size() == 1; });
    other.close();
  }
  co_await until([&] { return pool.counters().lost == 1; });
  REQUIRE(pool.routes().to(0x10001).size() == 1);
  CHECK_FALSE(pool.routes().to(0x10001).front()->is_open());
  AddXshardTxListRequest list;
  list.branch.value = 0x10001;
  bool failed = false;
  try {
    co_await slave.node->host().add_xshard_tx_list(list);
  } catch (const boost::system::system_error&) {
    failed = true;
  }
  CHECK(failed);
  std::vector<SlaveInfo> again{info("S1", {0x10001})};
  const std::vector<std::string> results = co_await connects(master.get(), 3, again);
  CHECK(results == std::vector<std::string>{""}); // known, so not dialled
  CHECK(pool.counters().dials == 1);
  CHECK(pool.counters().redials == 0);
  co_await slave.node->stop(Duration::zero());
}

void raise_files_max(rlim_t wanted) {
  rlimit files{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  if (files.rlim_cur >= wanted) return;
  files.rlim_cur = std::min(wanted, files.rlim_max);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
}

CO_TEST_CASE("bad input: a thousand silent connections are closed at their deadline, and only so many are kept",
             over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0", [](SlaveNodeOptions& options) {
    options.pool.identify_deadline = 300ms;
    options.pool.unidentified_max = 16;
  });
  const auto master = co_await masters(&slave);
  std::vector<std::unique_ptr<FarEnd>> silent;
  raise_files_max(4096); // both ends of each
  for (int i = 0; i < 1000; ++i) silent.push_back(co_await dials(slave.address, Framing::slave));
  for (const auto& end : silent) CHECK(co_await FarEnd::closed(end.get()) == "");
  const SlavePoolCounters& counters = slave.node->connections().slaves().counters();
  CHECK(counters.unidentified_refused + counters.identify_timeouts == 1000);
  CHECK(slave.log.lines().size() < 500); // not two for each
  CHECK(slave.log.has_line("connection from tcp://127.0.0.1:"));
  CHECK(counters.unidentified_refused > 0);
  CHECK(counters.identify_timeouts >= 16);
  CHECK(slave.log.has_line("unidentified_max is 16"));
  CHECK(slave.log.has_line("no PING within identify_deadline 300 ms"));
  co_await still_answers(master.get(), 2);
  co_await slave.node->stop(Duration::zero());
}

// Virtual peers.

Frame blocks_request(std::uint64_t rpc_id) {
  GetMinorBlockListRequest request;
  return FarEnd::frame_of(static_cast<std::uint8_t>(CommandOp::get_minor_block_list_request), rpc_id, request);
}
Frame blocks_reply(std::uint64_t rpc_id) {
  Frame frame;
  frame.op = static_cast<std::uint8_t>(CommandOp::get_minor_block_list_response);
  frame.rpc_id = rpc_id;
  return frame;
}

CO_TEST_CASE("lifecycle: virtual peers follow the payload's id, fill up, and end once; ids are their own", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  co_await create_peer(master.get(), 2, 12345); // the frame says 0; before there is a shard
  CHECK(slave.node->connections().peers().size() == 0);
  co_await FarEnd::says(master.get(), on_peer(blocks_request(1), branch_0, 12345)); // dropped: no shard yet
  co_await gives_tip(master.get(), &slave, 3);
  CHECK(slave.node->connections().peers().size() == 1); // filled up
  co_await create_peer(master.get(), 4, 12345);
  co_await create_peer(master.get(), 5, 7);
  CHECK(slave.node->connections().peers().size() == 2);
  for (const std::uint64_t peer : {12345, 7}) { // the same ids on both, and below the master's own
    co_await FarEnd::says(master.get(), on_peer(blocks_request(1), branch_0, peer));
    const Frame reply = co_await FarEnd::hears(master.get(), on_peer(blocks_reply(1), branch_0, peer));
    CHECK(reply.payload == std::string(4, '\0'));
  }
  co_await FarEnd::says(master.get(), on_peer(blocks_request(1), branch_0, 99)); // nobody: dropped
  co_await FarEnd::says(master.get(), on_peer(blocks_request(1), 0x20001, 7));  // another slave's shard: dropped
  DestroyClusterPeerConnectionCommand destroy;
  for (const std::uint64_t peer : {7, 7, 99}) {
    destroy.cluster_peer_id = peer;
    co_await master->says(op(ClusterOp::destroy_cluster_peer_connection_command), 0, destroy);
  }
  co_await FarEnd::says(master.get(), on_peer(blocks_request(2), branch_0, 7)); // gone: dropped
  co_await FarEnd::says(master.get(), on_peer(blocks_request(2), branch_0, 12345));
  (void)co_await FarEnd::hears(master.get(), on_peer(blocks_reply(2), branch_0, 12345));
  co_await still_answers(master.get(), 6);
  CHECK(master->rest() == "");
  CHECK(slave.node->connections().peers().size() == 1);
  co_await slave.node->stop(Duration::zero());
}

CO_TEST_CASE("lifecycle: a frame for a branch outside of the configuration ends the slave", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  co_await FarEnd::says(master.get(), on_peer(blocks_request(1), 0x990001, 7));
  CHECK(co_await FarEnd::closed(master.get()) == "");
  const End end = co_await slave.node->stopped();
  CHECK(end.text.find("0x00990001") != std::string::npos);
  co_await slave.node->stop(Duration::zero());
}

/// A peer's fault ends its own circuit, which is not told; the connection and the other peer go on.
CO_TEST_CASE("bad input: a peer that breaks a rule ends its own circuit and nothing else", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  co_await gives_tip(master.get(), &slave, 2);
  co_await create_peer(master.get(), 3, 7);
  co_await create_peer(master.get(), 4, 8);
  GetMinorBlockListRequest greedy;
  greedy.minor_block_hash_list.resize(101);
  co_await FarEnd::says(master.get(), on_peer(FarEnd::frame_of(9, 1, greedy), branch_0, 7));
  co_await FarEnd::says(master.get(), on_peer(blocks_request(2), branch_0, 7)); // never read
  co_await FarEnd::says(master.get(), on_peer(blocks_request(1), branch_0, 8));
  (void)co_await FarEnd::hears(master.get(), on_peer(blocks_reply(1), branch_0, 8));
  co_await still_answers(master.get(), 5);
  CHECK(master->rest() == "");
  CHECK(slave.node->connections().peers().find(branch_0, 7) == nullptr);
  CHECK(slave.node->peer_counters().refused == 1);
  CHECK(slave.log.has_line("101 blocks asked for, at most 100 are allowed"));
  co_await slave.node->stop(Duration::zero());
}

/// A block whose numbers nothing can be computed from: its peer ends, and what comes after is answered.
CO_TEST_CASE("bad input: a block whose numbers nothing can be computed from ends its peer, and the slave goes on",
             over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  co_await gives_tip(master.get(), &slave, 2);
  co_await create_peer(master.get(), 3, 7);
  NewBlockMinorCommand command;
  GetNextBlockToMineRequest next;
  next.branch.value = branch_0;
  Backend& ledger = *slave.backend->ledger;
  GetNextBlockToMineResponse made = co_await ledger.on(std::move(next));
  command.block = std::move(made.block);
  command.block.header.difficulty = *BigUint::from_bytes(std::vector<std::byte>(BigUint::bytes_max, std::byte{0xFF}));
  command.block.header.create_time = std::uint64_t{1} << 63;
  co_await FarEnd::says(
      master.get(),
      on_peer(FarEnd::frame_of(static_cast<std::uint8_t>(CommandOp::new_block_minor), 0, command), branch_0, 7));
  const GetEcoInfoListRequest request;
  co_await master->says(op(ClusterOp::get_eco_info_list_request), 4, request);
  const auto infos = co_await FarEnd::hears_message<GetEcoInfoListResponse>(
      master.get(), op(ClusterOp::get_eco_info_list_response), 4);
  CHECK(infos.error_code == 0);
  CHECK(infos.eco_info_list.at(0).height == 1);
  co_await still_answers(master.get(), 5);
  CHECK(slave.node->connections().peers().find(branch_0, 7) == nullptr);
  CHECK(slave.log.has_line("its difficulty has 255 bytes, expected at most 32"));
  co_await slave.node->stop(Duration::zero());
}

/// Who has not said PING may not make a slave keep much; who has may send what it likes.
CO_TEST_CASE("bad input: a large frame before PING closes its connection, the same one after PING does not", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  Ping large = slave_ping("S1", 0x10001);
  large.full_shard_id_list.resize(50'000);
  const auto stranger = co_await dials(slave.address, Framing::slave);
  co_await stranger->says(op(ClusterOp::ping), 1, large);
  CHECK(co_await FarEnd::closed(stranger.get()) == "");
  CHECK(slave.log.has_line("exceeds unidentified_command_bytes_max 65536"));

  const auto other = co_await dials(slave.address, Framing::slave);
  const Ping ping = slave_ping("S1", 0x10001);
  co_await other->says(op(ClusterOp::ping), 1, ping);
  (void)co_await FarEnd::hears_message<Pong>(other.get(), op(ClusterOp::pong), 1);
  co_await other->says(op(ClusterOp::ping), 2, large);
  (void)co_await FarEnd::hears_message<Pong>(other.get(), op(ClusterOp::pong), 2);
  co_await still_answers(master.get(), 2);
  co_await slave.node->stop(Duration::zero());
}

/// Connected from another address of this machine.
awaitable<std::unique_ptr<asio::ip::tcp::socket>> stranger_dials(std::string address) {
  const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  auto socket = std::make_unique<asio::ip::tcp::socket>(co_await asio::this_coro::executor, asio::ip::tcp::v4());
  socket->bind({asio::ip::make_address("127.0.0.2"), 0});
  const asio::ip::tcp::endpoint there(asio::ip::make_address("127.0.0.1"), port);
  co_await socket->async_connect(there, asio::use_awaitable);
  co_return socket;
}

/// Strangers that say that they are S1 until there is no room: the master comes in nevertheless.
CO_TEST_CASE("bad input: with an allow-list the master finds room whoever has connected, up to connections_max",
             over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0", [](SlaveNodeOptions& options) {
    options.master_hosts = {"127.0.0.1"};
    options.connections.connections_max = 4;
  });
  std::vector<std::unique_ptr<asio::ip::tcp::socket>> strangers;
  const Ping ping = slave_ping("S1", 0x10001);
  const std::string bytes = quarkchain::test::encode(Framing::slave, FarEnd::frame_of(op(ClusterOp::ping), 1, ping));
  for (int i = 0; i < 4; ++i) {
    strangers.push_back(co_await stranger_dials(slave.address));
    co_await asio::async_write(*strangers.back(), asio::buffer(bytes), asio::use_awaitable);
  }
  const ClusterConnections& connections = slave.node->connections().connections();
  const SlavePoolCounters& counters = slave.node->connections().slaves().counters();
  co_await until([&] { return counters.identified == 4; });
  strangers.push_back(co_await stranger_dials(slave.address));
  co_await until([&] { return connections.counters().turned_away == 1; });
  CHECK(slave.log.has_line("connection from tcp://127.0.0.2:"));
  CHECK(slave.log.has_line("turned away: connections_max 4 reached"));
  CHECK(slave.node->connections().master() == nullptr);

  const auto master = co_await masters(&slave);
  co_await still_answers(master.get(), 2);
  const auto other = co_await dials(slave.address, Framing::slave); // only the master
  CHECK(co_await FarEnd::closed(other.get()) == "");
  CHECK(connections.counters().turned_away == 2);
  co_await slave.node->stop(Duration::zero());
}

/// With an allow-list only slaves of the configuration are taken for slaves.
CO_TEST_CASE("bad input: with an allow-list a slave that is not in the configuration is closed", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0",
                 [](SlaveNodeOptions& options) { options.master_hosts = {"127.0.0.1"}; });
  const auto master = co_await masters(&slave);
  const auto stranger = co_await dials(slave.address, Framing::slave);
  const Ping ping = slave_ping("S9", 0x10001);
  co_await stranger->says(op(ClusterOp::ping), 1, ping);
  CHECK(co_await FarEnd::closed(stranger.get()) == "");
  CHECK(slave.log.has_line("slave \"S9\" is not one of the 3 of the configuration"));
  CHECK(slave.node->connections().slaves().counters().identities_refused == 1);
  co_await still_answers(master.get(), 2);
  co_await slave.node->stop(Duration::zero());
}

/// The limit of CREATE.
CO_TEST_CASE("bad input: more peers than peers_max are refused", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0", [](SlaveNodeOptions& options) { options.peers_max = 1; });
  const auto master = co_await masters(&slave);
  co_await create_peer(master.get(), 2, 7);
  CreateClusterPeerConnectionRequest request;
  request.cluster_peer_id = 8;
  co_await master->says(op(ClusterOp::create_cluster_peer_connection_request), 3, request);
  const auto reply = co_await FarEnd::hears_message<CreateClusterPeerConnectionResponse>(
      master.get(), op(ClusterOp::create_cluster_peer_connection_response), 3);
  CHECK(reply.error_code == 1);
  CHECK(slave.node->connections().peers().counters().refused == 1);
  CHECK(slave.log.has_line("peer 8 refused: there are 1, peers_max is 1"));
  co_await create_peer(master.get(), 4, 7); // is there already
  co_await slave.node->stop(Duration::zero());
}

CO_TEST_CASE("lifecycle: a stalled virtual peer is closed alone, and delays nobody", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0", [](SlaveNodeOptions& options) {
    options.connections.limits.peer_inbox_bytes_max = 64 << 10;
    options.rpc.requests_in_flight_max = 2;
    options.rpc.requests_waiting_bytes_max = 4 << 10;
  });
  const auto master = co_await masters(&slave);
  co_await gives_tip(master.get(), &slave, 2);
  co_await create_peer(master.get(), 3, 7);
  co_await create_peer(master.get(), 4, 8);
  NewTransactionListCommand command;
  command.transaction_list.resize(1);
  command.transaction_list[0].tx.serialized_tx.assign(1000, 'x');
  const Frame transactions = on_peer(FarEnd::frame_of(2, 0, command), branch_0, 7); // never taken
  for (int i = 0; i < 300; ++i) co_await FarEnd::says(master.get(), transactions);
  co_await FarEnd::says(master.get(), on_peer(blocks_request(1), branch_0, 8));
  (void)co_await FarEnd::hears(master.get(), on_peer(blocks_reply(1), branch_0, 8));
  co_await still_answers(master.get(), 5);
  CHECK(slave.node->connections().peers().find(branch_0, 7) == nullptr); // it alone
  CHECK(slave.log.has_line("peer_inbox_bytes_max"));
  CHECK(slave.log.has_line("requests_in_flight_max 2"));
  co_await slave.node->stop(Duration::zero());
}

// Ids, replies.

CO_TEST_CASE("lifecycle: a reply that comes after its deadline harms nothing", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0",
                 [](SlaveNodeOptions& options) { options.report_deadline = 20ms; });
  const auto master = co_await masters(&slave);
  AddMinorBlockHeaderRequest report;
  bool timed_out = false;
  try {
    co_await slave.node->host().add_minor_block_header(report);
  } catch (const boost::system::system_error& failure) {
    timed_out = failure.code() == error::timed_out;
  }
  CHECK(timed_out);
  const AddMinorBlockHeaderResponse response;
  co_await master->says(op(ClusterOp::add_minor_block_header_response), 1, response);
  co_await still_answers(master.get(), 2);
  CHECK(slave.node->serves_master()->counters().late_replies == 1);
  co_await slave.node->stop(Duration::zero());
}

std::string control_frame(std::uint8_t code, std::uint64_t rpc_id, std::string payload) {
  Frame frame;
  frame.op = code;
  frame.rpc_id = rpc_id;
  frame.payload = std::move(payload);
  return quarkchain::test::encode(Framing::cluster, frame);
}

/// What a master may not say closes the connection, is counted, and is in the log.
awaitable<void> broken(std::string bytes, std::uint64_t RpcCounters::* counter, const char* line) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave, 5);
  co_await FarEnd::writes(master.get(), std::move(bytes));
  CHECK(co_await FarEnd::closed(master.get()) == "");
  if (counter) CHECK(slave.node->serves_master()->counters().*counter == 1);
  CHECK(slave.log.has_line(line));
  (void)co_await slave.node->stopped();
  co_await slave.node->stop(Duration::zero());
}

TEST_CASE("bad input: a list of 0xfffffff0 entries") {
  over_tcp([] {
    return broken(control_frame(131, 6, quarkchain::test::from_spaced_hex("fffffff0")), &RpcCounters::handlers_failed,
                  "ConnectToSlavesRequest.slave_info_list");
  });
}
TEST_CASE("bad input: an id that goes backwards") {
  over_tcp([] {
    return broken(control_frame(129, 5, std::string(9, '\0')), &RpcCounters::ids_out_of_order,
                  "129 PING has rpc id 5, expected more than 5");
  });
}
TEST_CASE("bad input: an opcode that does not exist") {
  over_tcp([] { return broken(control_frame(156, 6, ""), &RpcCounters::unknown_opcodes, "opcode 156 is not known"); });
}
TEST_CASE("bad input: an opcode that slaves do not serve") {
  over_tcp([] {
    return broken(control_frame(145, 6, ""), &RpcCounters::unexpected_replies,
                  "145 ADD_MINOR_BLOCK_HEADER_REQUEST with rpc id 6 is not served here");
  });
}
TEST_CASE("bad input: a command with an id") {
  over_tcp([] {
    return broken(control_frame(155, 6, std::string(8, '\0')), &RpcCounters::commands_with_id,
                  "155 DESTROY_CLUSTER_PEER_CONNECTION_COMMAND has rpc id 6, expected 0");
  });
}
TEST_CASE("bad input: a handler that throws") {
  over_tcp([] {
    GenTxRequest request;
    return broken(control_frame(169, 6, std::string(quarkchain::encoded(request).text())),
                  &RpcCounters::handlers_failed, "handler of 169 GEN_TX_REQUEST failed: it went wrong");
  });
}

CO_TEST_CASE("bad input: a frame of 4 GiB, before a byte of it is kept", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  const auto connection = slave.node->connections().connections().find(*slave.node->connections().master());
  co_await FarEnd::writes(master.get(), quarkchain::test::from_spaced_hex("ffffffff"));
  CHECK(co_await FarEnd::closed(master.get()) == "");
  CHECK(connection->counters().frames_too_large == 1);
  CHECK(connection->machine().memory_bytes() == 0);
  CHECK(slave.log.has_line("exceeds command_bytes_max"));
  (void)co_await slave.node->stopped();
  co_await slave.node->stop(Duration::zero());
}

CO_TEST_CASE("bad input: handlers that never return take their places, and no more", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0",
                 [](SlaveNodeOptions& options) { options.rpc.requests_in_flight_max = 2; });
  const auto master = co_await masters(&slave);
  const MineRequest mine;
  for (std::uint64_t id = 2; id < 6; ++id) co_await master->says(op(ClusterOp::mine_request), id, mine);
  co_await until([&] { return slave.node->serves_master()->counters().requests_delayed == 2; });
  CHECK(slave.backend->mining == 2); // the others wait for a place
  CHECK(slave.log.has_line("requests_in_flight_max 2"));
  slave.backend->released = true;
  slave.backend->release.notify_all();
  for (std::uint64_t id = 2; id < 6; ++id)
    (void)co_await FarEnd::hears_message<MineResponse>(master.get(), op(ClusterOp::mine_response), id);
  co_await still_answers(master.get(), 6);
  co_await slave.node->stop(Duration::zero());
}

CO_TEST_CASE("bad input: a flood of PINGs is answered in order, within its limits", over_tcp) {
  constexpr std::uint64_t count = 20000;
  using namespace asio::experimental::awaitable_operators;
  TcpSlave slave(co_await asio::this_coro::executor, "S0", [](SlaveNodeOptions& options) {
    options.connections.limits.control_inbox_bytes_max = 64 << 10;
    options.connections.limits.output_bytes_max = 64 << 10;
    options.connections.limits.peer_output_bytes_max = 32 << 10;
    options.rpc.requests_in_flight_max = 8;
  });
  const auto master = co_await masters(&slave);
  std::string bytes;
  for (std::uint64_t id = 2; id < count; ++id) bytes += control_frame(op(ClusterOp::ping), id, std::string(9, '\0'));
  const auto listen = [&]() -> awaitable<void> {
    for (std::uint64_t id = 2; id < count; ++id) {
      const Frame pong = co_await FarEnd::hears_any(master.get());
      if (pong.rpc_id != id || pong.op != op(ClusterOp::pong)) throw std::runtime_error("not the PONG that is next");
    }
  };
  co_await (FarEnd::writes(master.get(), std::move(bytes)) && listen());
  CHECK(slave.node->serves_master()->counters().requests == count - 1);
  CHECK(slave.node->serves_master()->counters().requests_delayed > 0);
  CHECK(slave.log.has_line("requests_in_flight_max 8"));
  CHECK(slave.log.has_line("control_inbox_bytes_max is 65536: reading pauses"));
  const auto& control = slave.node->connections().master();
  CHECK(slave.node->connections().connections().find(*control)->counters().pauses > 0);
  co_await still_answers(master.get(), count);
  co_await slave.node->stop(Duration::zero());
}

// The end.

CO_TEST_CASE("lifecycle: the loss of the master stops the slave, and it is not to be reached any more", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  co_await gives_tip(master.get(), &slave, 2);
  const auto other = co_await dials(slave.address, Framing::slave);
  const Ping ping = slave_ping("S1", 0x10001);
  co_await other->says(op(ClusterOp::ping), 1, ping);
  (void)co_await FarEnd::hears_message<Pong>(other.get(), op(ClusterOp::pong), 1);
  master->close();
  const End end = co_await slave.node->stopped();
  CHECK(end.text.find("the master is gone") != std::string::npos);
  CHECK(co_await FarEnd::closed(other.get()) == "");
  bool refused = false;
  try {
    (void)co_await dials(slave.address, Framing::slave);
  } catch (const boost::system::system_error&) {
    refused = true;
  }
  CHECK(refused);
  co_await slave.node->stop(Duration::zero());
}

CO_TEST_CASE("lifecycle: a slave that waits for a new master keeps its shards and forgets the peers", over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0",
                 [](SlaveNodeOptions& options) { options.waits_for_new_master = true; });
  {
    const auto master = co_await masters(&slave);
    co_await gives_tip(master.get(), &slave, 2);
    co_await create_peer(master.get(), 3, 7);
  }
  co_await until([&] { return slave.node->connections().master() == nullptr; });
  CHECK(slave.node->connections().peers().size() == 0); // the old one's peers are gone with it
  const auto next = co_await masters(&slave);
  co_await create_peer(next.get(), 2, 8);
  co_await FarEnd::says(next.get(), on_peer(blocks_request(1), branch_0, 8)); // its shards are still there
  (void)co_await FarEnd::hears(next.get(), on_peer(blocks_reply(1), branch_0, 8));
  co_await slave.node->stop(Duration::zero());
}

awaitable<void> stops_in_two_phases(bool in_time) {
  using namespace asio::experimental::awaitable_operators;
  TcpSlave slave(co_await asio::this_coro::executor);
  const auto master = co_await masters(&slave);
  const MineRequest mine;
  co_await master->says(op(ClusterOp::mine_request), 2, mine);
  co_await until([&] { return slave.backend->mining == 1; });
  const auto finish = [&]() -> awaitable<void> {
    const Ping ping;
    co_await master->says(op(ClusterOp::ping), 3, ping); // nothing new is served
    if (!in_time) co_return;
    slave.backend->released = true;
    slave.backend->release.notify_all();
  };
  const Duration deadline = in_time ? Duration(1h) : Duration(50ms);
  co_await (slave.node->stop(deadline) && finish());
  const std::string said = co_await FarEnd::closed(master.get());
  CHECK(said.find(in_time ? "168 #2" : "130 #3") == (in_time ? 0 : std::string::npos));
  CHECK(said.find("130 #3") == std::string::npos);
}

CO_TEST_CASE("lifecycle: stopping serves nothing new and lets what runs end", over_tcp) {
  return stops_in_two_phases(true);
}
CO_TEST_CASE("lifecycle: stopping ends at its deadline", over_tcp) { return stops_in_two_phases(false); }

// A whole cluster.

struct TcpCluster {
  explicit TcpCluster(const Executor& executor) {
    for (const char* id : {"S0", "S1", "S2"}) {
      slaves.push_back(std::make_unique<TcpSlave>(executor, id, TcpSlave::Tweak(), &addresses));
      addresses[id] = slaves.back()->address;
    }
    options = MasterNodeOptions::of(slaves[0]->config);
    options.address_of = [this](const SlaveConfig& slave) { return addresses.at(slave.id); };
    options.connections.limits.goodbye_deadline = 20ms;
    options.connections.log = log.sink();
  }
  void start(const Executor& executor) {
    chain = std::make_shared<RootChain>(slaves[0]->config.quarkchain, make_memory_store());
    master = std::make_unique<MasterNode>(executor, options, chain);
  }
  static awaitable<void> stop(TcpCluster* self) {
    if (self->master) co_await self->master->stop(Duration::zero());
    for (const auto& slave : self->slaves) co_await slave->node->stop(Duration::zero());
  }
  std::map<std::string, std::string> addresses;
  std::vector<std::unique_ptr<TcpSlave>> slaves;
  MasterNodeOptions options;
  std::shared_ptr<RootChain> chain;
  std::unique_ptr<MasterNode> master;
  LogLines log;
};

CO_TEST_CASE("lifecycle: a master boots its slaves, gives them root blocks and peers", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  TcpCluster cluster(executor);
  cluster.start(executor);
  co_await cluster.master->boot();
  CHECK(cluster.master->progress() == "active");
  CHECK(cluster.chain->stats().size() == 3);
  const std::vector<HeadersInfo> none;
  Address nobody;
  const RootBlock block = cluster.chain->next_block(hash_of(cluster.chain->tip().header), none, nobody);
  CHECK(co_await cluster.master->add_root_block(block));
  CHECK(cluster.slaves[2]->backend->ledger->root_tip()->height == 1);
  for (const auto& slave : cluster.slaves) CHECK(slave->node->connections().slaves().routes().to_all().size() == 2);
  co_await cluster.master->create_peer(5);
  for (const auto& slave : cluster.slaves) CHECK(slave->node->connections().peers().peers().contains(5));
  co_await TcpCluster::stop(&cluster);
}

CO_TEST_CASE("bad input: a master that finds another slave than expected says both", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  TcpCluster cluster(executor);
  std::swap(cluster.addresses["S1"], cluster.addresses["S2"]);
  cluster.start(executor);
  std::string failure;
  try {
    co_await cluster.master->boot();
  } catch (const BootFailure& thrown) {
    failure = thrown.what();
  }
  CHECK(failure.find("is slave \"S2\", expected \"S1\"") != std::string::npos);
  co_await TcpCluster::stop(&cluster);
}

/// Only logged, as pyquarkchain does; the slaves themselves look closer.
CO_TEST_CASE("bad input: another shard list is logged by the master and refused between slaves, with both", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  TcpCluster cluster(executor);
  cluster.options.slaves[1].full_shard_id_list = {0x10001, 0x1};
  cluster.start(executor);
  std::string failure;
  try {
    co_await cluster.master->boot();
  } catch (const BootFailure& thrown) {
    failure = thrown.what();
  }
  CHECK(cluster.log.has_line("slave \"S1\" runs 0x00010001, expected 0x00010001, 0x00000001"));
  CHECK(failure.find("slave \"S0\" cannot connect to slave \"S1\"") != std::string::npos);
  CHECK(failure.find("[0x00010001], expected \"S1\" with [0x00010001 0x00000001]") != std::string::npos);
  co_await TcpCluster::stop(&cluster);
}

} // namespace
