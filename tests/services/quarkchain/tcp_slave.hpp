// A slave of ours on a port of this machine, and the test as its master, its neighbours and its peers, in frames.
#pragma once

#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "tests/services/quarkchain/far_end.hpp"
#include "tests/services/quarkchain/whole_cluster.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/tcp.hpp"

#include <doctest/doctest.h>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::quarkchain::test {

using Body = awaitable<void> (*)();
inline void over_tcp(Body body) { trunkline::test::run_coroutine(body()); }
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

inline awaitable<std::unique_ptr<FarEnd>> dials(std::string address, Framing framing) {
  const auto medium = make_tcp_medium();
  auto end = std::make_unique<FarEnd>(co_await medium->dial(address), framing);
  co_return end;
}

/// The first connection, which says PING and hears who that is: the slave has taken it for its master.
inline awaitable<std::unique_ptr<FarEnd>> masters(TcpSlave* slave, std::uint64_t rpc_id = 1) {
  auto master = co_await dials(slave->address, Framing::cluster);
  const Ping ping;
  co_await master->says(op(ClusterOp::ping), rpc_id, ping);
  const Pong pong = co_await FarEnd::hears_message<Pong>(master.get(), op(ClusterOp::pong), rpc_id);
  CHECK(pong.id.starts_with("S"));
  co_return master;
}

/// PING with the root tip; 145 is answered.
inline awaitable<void> gives_tip(FarEnd* master, const TcpSlave* slave, std::uint64_t rpc_id) {
  Ping ping;
  ping.root_tip = slave->root_genesis();
  co_await master->says(op(ClusterOp::ping), rpc_id, ping);
  (void)co_await FarEnd::hears_message<AddMinorBlockHeaderRequest>(master,
                                                                   op(ClusterOp::add_minor_block_header_request), 1);
  const AddMinorBlockHeaderResponse response;
  co_await master->says(op(ClusterOp::add_minor_block_header_response), 1, response);
  (void)co_await FarEnd::hears_message<Pong>(master, op(ClusterOp::pong), rpc_id);
}

inline awaitable<void> still_answers(FarEnd* end, std::uint64_t rpc_id) {
  const Ping ping;
  co_await end->says(op(ClusterOp::ping), rpc_id, ping);
  (void)co_await FarEnd::hears_message<Pong>(end, op(ClusterOp::pong), rpc_id);
}

inline Frame on_peer(Frame frame, std::uint32_t branch, std::uint64_t peer) {
  frame.branch = branch;
  frame.cluster_peer_id = peer;
  return frame;
}

inline awaitable<void> create_peer(FarEnd* master, std::uint64_t rpc_id, std::uint64_t peer) {
  CreateClusterPeerConnectionRequest request;
  request.cluster_peer_id = peer;
  co_await master->says(op(ClusterOp::create_cluster_peer_connection_request), rpc_id, request);
  const auto reply = co_await FarEnd::hears_message<CreateClusterPeerConnectionResponse>(
      master, op(ClusterOp::create_cluster_peer_connection_response), rpc_id);
  CHECK(reply.error_code == 0);
}

inline Ping slave_ping(const char* id, std::uint32_t shard) {
  Ping ping;
  ping.id = id;
  ping.full_shard_id_list.push_back(shard);
  ping.root_tip.emplace();
  return ping;
}

inline Frame blocks_request(std::uint64_t rpc_id) {
  GetMinorBlockListRequest request;
  return FarEnd::frame_of(static_cast<std::uint8_t>(CommandOp::get_minor_block_list_request), rpc_id, request);
}

inline Frame blocks_reply(std::uint64_t rpc_id) {
  Frame frame;
  frame.op = static_cast<std::uint8_t>(CommandOp::get_minor_block_list_response);
  frame.rpc_id = rpc_id;
  return frame;
}

inline SlaveInfo info(const char* id, std::vector<std::uint32_t> shards, std::uint16_t port = 1) {
  SlaveInfo info;
  info.id = id;
  info.host = "127.0.0.1";
  info.port = port;
  info.full_shard_id_list = std::move(shards);
  return info;
}

inline awaitable<std::vector<std::string>> connects(FarEnd* master, std::uint64_t rpc_id,
                                                    std::vector<SlaveInfo> infos) {
  ConnectToSlavesRequest request;
  request.slave_info_list = std::move(infos);
  co_await master->says(op(ClusterOp::connect_to_slaves_request), rpc_id, request);
  auto reply = co_await FarEnd::hears_message<ConnectToSlavesResponse>(
      master, op(ClusterOp::connect_to_slaves_response), rpc_id);
  co_return std::move(reply.result_list);
}

/// What is ready runs; for what is seen on our own side only.
inline awaitable<void> until(std::function<bool()> condition) {
  const TimePoint begin = std::chrono::steady_clock::now();
  while (!condition()) {
    if (std::chrono::steady_clock::now() - begin > 1min) throw std::runtime_error("a condition never came true");
    co_await asio::post(asio::use_awaitable);
  }
}

} // namespace trunkline::quarkchain::test
