// The virtual peers of a slave over real sockets: how they come and go, and what one of them may not do to the others.
#include "tests/services/quarkchain/tcp_slave.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <boost/asio/this_coro.hpp>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

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

} // namespace
