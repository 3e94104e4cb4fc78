// What is bad in what a master, a neighbour or a stranger says to a slave, each with its counter and its log line.
#include "tests/services/quarkchain/tcp_slave.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <sys/resource.h>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

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

void raise_files_max(rlim_t wanted) {
  rlimit files{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  if (files.rlim_cur >= wanted) return;
  files.rlim_cur = std::min(wanted, files.rlim_max);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
}

/// Sixteen at a time: a new one takes the place of the oldest, so that who speaks is always let in.
CO_TEST_CASE("bad input: a thousand silent connections are closed for others or at their deadline, and keep nobody out",
             over_tcp) {
  TcpSlave slave(co_await asio::this_coro::executor, "S0", [](SlaveNodeOptions& options) {
    options.pool.identify_deadline = 300ms;
    options.pool.unidentified_max = 16;
  });
  const auto master = co_await masters(&slave);
  std::vector<std::unique_ptr<FarEnd>> silent;
  raise_files_max(4096); // both ends of each
  for (int i = 0; i < 1000; ++i) silent.push_back(co_await dials(slave.address, Framing::slave));
  const auto real = co_await dials(slave.address, Framing::slave);
  const Ping ping = slave_ping("S1", 0x10001);
  co_await real->says(op(ClusterOp::ping), 1, ping);
  (void)co_await FarEnd::hears_message<Pong>(real.get(), op(ClusterOp::pong), 1);
  for (const auto& end : silent) CHECK(co_await FarEnd::closed(end.get()) == "");
  const SlavePoolCounters& counters = slave.node->connections().slaves().counters();
  CHECK(counters.unidentified_closed + counters.identify_timeouts == 1000);
  CHECK(slave.log.lines().size() < 500); // not two for each
  CHECK(slave.log.has_line("connection from tcp://127.0.0.1:"));
  CHECK(counters.unidentified_closed > 0);
  CHECK(counters.identify_timeouts >= 15); // one has made room for the real one
  CHECK(slave.log.has_line("unidentified_max is 16"));
  CHECK(slave.log.has_line("no PING within identify_deadline 300 ms"));
  co_await still_answers(master.get(), 2);
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

} // namespace
