// The life of a slave's connections over real sockets: its master, its neighbours, its routes, and its end.
#include "tests/services/quarkchain/tcp_slave.hpp"
#include "tests/support/co_test_case.hpp"
#include "transport/tls.hpp"

#include <doctest/doctest.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

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

CO_TEST_CASE("lifecycle: CONNECT_TO_SLAVES has a result for each entry, and verifies ids and shard lists", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  std::map<std::string, std::string> addresses;
  TcpSlave slave(executor, "S0", {}, &addresses);
  TcpSlave good(executor, "S1");
  TcpSlave wrong(executor, "S2");
  const auto masters_good = co_await masters(&good);
  const auto masters_wrong = co_await masters(&wrong);
  const auto medium = make_tcp_medium();
  std::string free;
  {
    const auto listener = medium->listen(executor, "tcp://127.0.0.1:0");
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

/// A slave that is lost is dialled again at the same address; meanwhile nothing leads to it.
CO_TEST_CASE("lifecycle: a lost slave leaves the routes and is dialled again", over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto medium = make_tcp_medium();
  const auto listener = medium->listen(executor, "tcp://127.0.0.1:0");
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
  const auto medium = make_tcp_medium();
  auto listener = medium->listen(executor, "tcp://127.0.0.1:0");
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

  listener = medium->listen(executor, address);
  FarEnd other(co_await listener->accept(), Framing::slave);
  (void)co_await FarEnd::hears_message<Ping>(&other, op(ClusterOp::ping), 1);
  co_await other.says(op(ClusterOp::pong), 1, pong);
  co_await until([&] { return pool.routes().to(0x10001).size() == 1; });
  co_await slave.node->stop(Duration::zero());
}

/// pyquarkchain's way: what was lost stays in the routes, fails, and is never dialled again.
CO_TEST_CASE("lifecycle: in strict parity a lost slave stays in the routes, fails, and is not dialled again",
             over_tcp) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto medium = make_tcp_medium();
  const auto listener = medium->listen(executor, "tcp://127.0.0.1:0");
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

// Over TLS.

struct TlsSlave {
  explicit TlsSlave(const Executor& executor, const TcpSlave::Tweak& tweak = {})
      : slave(executor, "S0", [&](SlaveNodeOptions& options) {
          options.address = "tls://127.0.0.1:0";
          options.connections.media["tls"] = medium_of(of_slave, of_master);
          if (tweak) tweak(options);
        }) {}
  static std::shared_ptr<Medium> medium_of(const IdentityKey& key, const IdentityKey& trusted) {
    TrustOptions trust;
    trust.pins.push_back(trusted.id());
    return make_tls_medium(std::make_shared<Identity>(key, std::move(trust)));
  }
  /// Of the port below TLS.
  std::string tcp_address() const { return "tcp" + slave.address.substr(3, slave.address.find('#') - 3); }
  awaitable<std::unique_ptr<Transport>> dial_below() const {
    const auto tcp = make_tcp_medium();
    std::string address = tcp_address();
    auto transport = co_await tcp->dial(std::move(address));
    co_return transport;
  }
  awaitable<std::unique_ptr<Transport>> dial_with(const IdentityKey& key) const {
    const auto tls = medium_of(key, of_slave);
    auto transport = co_await tls->dial(slave.address);
    co_return transport;
  }
  static awaitable<std::unique_ptr<FarEnd>> master_comes(TlsSlave* self) {
    auto master = std::make_unique<FarEnd>(co_await self->dial_with(self->of_master), Framing::cluster);
    co_await still_answers(master.get(), 1);
    co_return master;
  }

  IdentityKey of_slave = IdentityKey::draw();
  IdentityKey of_master = IdentityKey::draw();
  TcpSlave slave;
};

/// Until the far side has closed; nothing that it says matters.
awaitable<void> hears_end(Transport* transport) {
  std::vector<std::byte> bytes(1000);
  try {
    for (std::size_t count = 1; count > 0;) count = co_await transport->read_some(bytes);
  } catch (const boost::system::system_error&) {
  }
}

CO_TEST_CASE("lifecycle: over TLS who shows no trusted key is no master, and leaves the slave waiting", over_tcp) {
  TlsSlave place(co_await asio::this_coro::executor);
  ClusterSlave& connections = place.slave.node->connections();

  const auto plain = co_await place.dial_below();
  const std::string request = "GET / HTTP/1.1\r\n\r\n";
  const auto piece = as_bytes(request);
  co_await plain->write(std::span(&piece, 1));
  co_await hears_end(plain.get());
  co_await until([&] { return bool(place.slave.log.has_line("does not speak TLS: it says an HTTP request")); });

  (co_await place.dial_below())->close();
  co_await until([&] { return bool(place.slave.log.has_line("closed the connection during the TLS handshake")); });

  const IdentityKey of_nobody = IdentityKey::draw();
  const auto stranger = co_await place.dial_with(of_nobody); // TLS 1.3: it hears later that its key was refused
  co_await hears_end(stranger.get());
  co_await until([&] {
    return bool(place.slave.log.has_line("shows the key " + of_nobody.id().to_string() + ", which is not known here"));
  });

  const auto silent = co_await place.dial_below();
  CHECK(connections.master() == nullptr);
  CHECK_FALSE(connections.master_end().has_value());
  const auto master = co_await TlsSlave::master_comes(&place);
  CHECK(connections.master() != nullptr);
  CHECK(place.slave.log.has_line("#" + place.of_master.id().to_string()));

  const auto late = co_await place.dial_with(of_nobody);
  co_await hears_end(late.get());
  CHECK(connections.slaves().unidentified() == 0); // none of them was a slave either
  co_await still_answers(master.get(), 2);
  co_await place.slave.node->stop(Duration::zero()); // the silent one is still there
}

CO_TEST_CASE("lifecycle: silent connections over TLS are bounded, and none of them is the master", over_tcp) {
  for (const auto deadline : {std::chrono::milliseconds(1h), std::chrono::milliseconds(50)}) {
    TlsSlave place(co_await asio::this_coro::executor, [&](SlaveNodeOptions& options) {
      if (deadline > 1min) options.connections.handshakes_max = 4;
      options.connections.handshake_deadline = deadline;
    });
    std::vector<std::unique_ptr<Transport>> silent;
    for (int count = 0; count < 10; ++count) silent.push_back(co_await place.dial_below());
    const std::size_t gone = deadline > 1min ? 6 : 10; // at the limit the oldest, in time all
    for (std::size_t at = 0; at < gone; ++at) co_await hears_end(silent[at].get());
    co_await until([&] {
      return bool(place.slave.log.has_line(deadline > 1min ? "it was silent, and handshakes_max is 4, 64 of one host"
                                                           : "no TLS handshake within handshake_deadline 50 ms"));
    });
    CHECK_FALSE(place.slave.node->connections().master_end().has_value());
    (void)co_await TlsSlave::master_comes(&place);
    co_await place.slave.node->stop(Duration::zero());
  }
}

} // namespace
