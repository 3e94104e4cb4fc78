#include "services/quarkchain/slave/slave_node.hpp"

#include "fragment/quote.hpp"
#include "async/all_at_once.hpp"
#include "services/quarkchain/slave/peer_shard_client.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/cluster/cluster_address.hpp"
#include "services/quarkchain/slave/slave_service.hpp"
#include "services/quarkchain/slave/xshard_service.hpp"

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace trunkline::quarkchain {
namespace {

/// Deposits in one BATCH_ADD_XSHARD_TX_LIST, unless a single list has more: about 2 MB.
constexpr std::size_t batch_deposits_max = 10000;

/// A slave that does not answer is given up, so that it is dialled again: the protocol has no other sign of life.
awaitable<void> or_close(std::shared_ptr<RpcCircuit> circuit, awaitable<void> call) {
  try {
    co_await std::move(call);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == error::timed_out) circuit->close(End(error::stalled, trunkline::text_of(failure)));
    throw;
  }
}

template <class Reply> awaitable<void> done(awaitable<Reply> call) { (void)co_await std::move(call); }

/// Says who we are and returns who the other one is. With a default root tip, which pyquarkchain sends and ignores.
awaitable<SlaveIdentity> greet(std::shared_ptr<RpcCircuit> circuit, SlaveIdentity own) {
  Ping ping;
  ping.id = own.id;
  ping.full_shard_id_list = own.full_shard_ids;
  ping.root_tip.emplace();
  Pong pong = co_await XshardClient(std::move(circuit)).ask(ping);
  SlaveIdentity identity(std::move(pong.id), std::move(pong.full_shard_id_list));
  co_return identity;
}

awaitable<ArtificialTxConfig> artificial_of(awaitable<AddMinorBlockHeaderResponse> call) {
  const AddMinorBlockHeaderResponse reply = co_await std::move(call);
  co_return reply.artificial_tx_config;
}

} // namespace

SlaveNodeOptions SlaveNodeOptions::of(const ClusterConfig& config, std::string_view id) {
  SlaveNodeOptions options;
  const SlaveConfig& slave = config.slave(id);
  options.own = SlaveIdentity(slave.id, slave.full_shard_id_list);
  options.address = cluster_listen_address(slave.host, slave.port);
  for (const SlaveConfig& each : config.slave_list) options.slaves.emplace_back(each.id, each.full_shard_id_list);
  Branches branches = config.quarkchain.full_shard_ids();
  std::ranges::sort(branches);
  options.connections.branches = std::make_shared<const Branches>(std::move(branches));
  return options;
}

struct SlaveNode::State final : Membership, BackendHost, std::enable_shared_from_this<State> {
  State(SlaveNodeOptions with, std::shared_ptr<Backend> to) : options(std::move(with)), backend(std::move(to)) {}

  void start(const Executor& executor);
  static awaitable<void> stop(std::shared_ptr<State> self, Duration deadline, End reason);

  // Membership: what services ask for.
  const SlaveIdentity& own() const override { return options.own; }
  std::string address_of(const SlaveInfo& info) const override {
    return options.address_of ? options.address_of(info) : cluster_address(info.host, info.port);
  }
  awaitable<std::vector<std::string>> connect(std::vector<SlaveTarget> targets) override {
    return cluster->slaves().connect(std::move(targets));
  }
  bool create_peer(std::uint64_t cluster_peer_id) override;
  void destroy_peer(std::uint64_t cluster_peer_id) override { cluster->peers().destroy(cluster_peer_id); }
  void add_shard(std::uint32_t full_shard_id) override { cluster->peers().add_branch(full_shard_id); }
  bool identify(RpcCircuit& circuit, SlaveIdentity identity) override {
    return cluster->slaves().identify(circuit, std::move(identity));
  }

  // BackendHost: what the backend asks for.
  MasterClient master() const { return MasterClient(cluster->master(), options.report_deadline); }
  awaitable<ArtificialTxConfig> add_minor_block_header(AddMinorBlockHeaderRequest report) override {
    return artificial_of(master().ask(report));
  }
  awaitable<void> add_minor_block_header_list(AddMinorBlockHeaderListRequest reports) override {
    return done(master().ask(reports));
  }
  std::vector<XshardClient> running(std::uint32_t branch) const;
  awaitable<void> add_xshard_tx_list(AddXshardTxListRequest list) override;
  awaitable<void> batch_add_xshard_tx_list(std::vector<AddXshardTxListRequest> lists) override;

  PeerShardClient peer(const PeerShard& of) const {
    return PeerShardClient(cluster->peers().find(of.branch, of.cluster_peer_id), options.peer_deadline);
  }
  std::vector<PeerShard> peers_of(std::uint32_t branch) const override;
  awaitable<void> tell(PeerShard to, NewMinorBlockHeaderListCommand tip) override {
    return peer(to).tell<CommandOp::new_minor_block_header_list>(tip);
  }
  awaitable<void> tell(PeerShard to, NewTransactionListCommand transactions) override {
    return peer(to).tell<CommandOp::new_transaction_list>(transactions);
  }
  awaitable<void> tell(PeerShard to, NewBlockMinorCommand block) override {
    return peer(to).tell<CommandOp::new_block_minor>(block);
  }
  awaitable<GetMinorBlockListResponse> ask(PeerShard from, GetMinorBlockListRequest request) override {
    return peer(from).ask(request);
  }
  awaitable<GetMinorBlockHeaderListResponse> ask(PeerShard from,
                                                 GetMinorBlockHeaderListWithSkipRequest request) override {
    return peer(from).headers(request);
  }

  SlaveNodeOptions options;
  std::shared_ptr<Backend> backend;
  std::unique_ptr<SlaveService> master_service;
  std::unique_ptr<XshardService> slave_service;
  std::unique_ptr<PeerShardService> peer_service;
  std::unique_ptr<ClusterSlave> cluster;
};

void SlaveNode::State::start(const Executor& executor) {
  ServiceOptions with(options.connections.log);
  with.limits = options.rpc;
  master_service = std::make_unique<SlaveService>(backend, weak_from_this(), with);
  slave_service = std::make_unique<XshardService>(backend, weak_from_this(), with);
  // A peer's requests count like what it has not been read of: there may be many peers.
  const std::size_t of_peer = options.connections.limits.peer_inbox_bytes_max;
  with.limits.requests_in_flight_bytes_max = std::min(with.limits.requests_in_flight_bytes_max, of_peer);
  with.limits.requests_read_ahead_bytes_max = std::min(with.limits.requests_read_ahead_bytes_max, of_peer);
  peer_service = std::make_unique<PeerShardService>(backend, with, options.peer_shards);

  ClusterSlaveOptions cluster_options;
  cluster_options.connections = options.connections;
  cluster_options.slaves = options.pool;
  cluster_options.slaves.id = options.own.id;
  cluster_options.slaves.branches = options.connections.branches;
  cluster_options.slaves.strict_parity = options.strict_parity;
  cluster_options.slaves.log = options.connections.log;
  if (!options.master_hosts.empty()) // pyquarkchain's way is to take any
    for (const SlaveIdentity& slave : options.slaves) cluster_options.slaves.known_ids.push_back(slave.id);
  cluster_options.slaves.greet = [own = options.own](std::shared_ptr<RpcCircuit> circuit) {
    return greet(std::move(circuit), own);
  };
  cluster_options.master_server = master_service->server();
  cluster_options.slave_server = slave_service->server();
  cluster_options.peer_server = peer_service->server();
  cluster_options.master_hosts = options.master_hosts;
  cluster_options.waits_for_new_master = options.waits_for_new_master;
  cluster_options.peers_max = options.peers_max;
  cluster = std::make_unique<ClusterSlave>(executor, std::move(cluster_options));

  backend->attach(std::weak_ptr<BackendHost>(shared_from_this()));
  for (const std::uint32_t shard : backend->shards()) add_shard(shard); // those that a store has kept
}

bool SlaveNode::State::create_peer(std::uint64_t cluster_peer_id) {
  const VirtualPeers& peers = cluster->peers();
  if (cluster->peers().create(cluster_peer_id)) return true;
  cluster->connections().log("peers", LogLevel::warning,
                             fmt::format("peer {} refused: there are {}, peers_max is {}", cluster_peer_id,
                                         peers.peers().size(), options.peers_max));
  return false;
}

/// The slaves that must have what is for this branch. Errors: error::connect_failed when one of them is missing.
std::vector<XshardClient> SlaveNode::State::running(std::uint32_t branch) const {
  SlavePool& pool = cluster->slaves();
  std::vector<XshardClient> clients;
  std::vector<std::string> reached;
  for (const auto& circuit : pool.routes().to(branch)) {
    if (const SlaveIdentity* const identity = pool.identity_of(*circuit)) reached.push_back(identity->id);
    clients.emplace_back(circuit, options.xshard_deadline);
  }
  if (options.strict_parity) return clients; // what is in the routes is all that there is
  for (const SlaveIdentity& slave : options.slaves) {
    if (slave.id == options.own.id || std::ranges::find(slave.full_shard_ids, branch) == slave.full_shard_ids.end())
      continue;
    if (std::ranges::find(reached, slave.id) == reached.end())
      throw_error(error::connect_failed,
                  fmt::format("slave {}, which runs {}, is not connected", quote(slave.id), shard_text(branch)));
  }
  const bool ours = std::ranges::find(options.own.full_shard_ids, branch) != options.own.full_shard_ids.end();
  if (clients.empty() && !ours)
    throw_error(error::connect_failed, fmt::format("no slave that runs {} is connected", shard_text(branch)));
  return clients;
}

awaitable<void> SlaveNode::State::add_xshard_tx_list(AddXshardTxListRequest list) {
  std::vector<awaitable<void>> sends;
  for (const XshardClient& slave : running(list.branch.value))
    sends.push_back(or_close(slave.circuit(), done(slave.ask(list))));
  return all_at_once(std::move(sends));
}

awaitable<void> SlaveNode::State::batch_add_xshard_tx_list(std::vector<AddXshardTxListRequest> lists) {
  std::map<std::uint32_t, std::vector<AddXshardTxListRequest>> by_branch;
  for (AddXshardTxListRequest& list : lists) by_branch[list.branch.value].push_back(std::move(list));
  std::vector<awaitable<void>> sends;
  for (auto& [branch, of_branch] : by_branch) {
    const std::vector<XshardClient> slaves = running(branch);
    BatchAddXshardTxListRequest batch;
    std::vector<AddXshardTxListRequest>& in_batch = batch.add_xshard_tx_list_request_list;
    std::size_t deposits = 0;
    const auto flush = [&] {
      for (const XshardClient& slave : slaves) sends.push_back(or_close(slave.circuit(), done(slave.ask(batch))));
      in_batch.clear();
      deposits = 0;
    };
    for (AddXshardTxListRequest& list : of_branch) {
      deposits += list.tx_list.tx_list.size() + 1;
      in_batch.push_back(std::move(list));
      if (deposits >= batch_deposits_max) flush();
    }
    if (!in_batch.empty()) flush();
  }
  return all_at_once(std::move(sends));
}

std::vector<PeerShard> SlaveNode::State::peers_of(std::uint32_t branch) const {
  std::vector<PeerShard> peers;
  for (const auto& circuit : cluster->peers().on_branch(branch))
    if (const std::optional<Route> route = parse_route(circuit->name()))
      peers.push_back(PeerShard{route->branch, route->cluster_peer_id});
  return peers;
}

SlaveNode::SlaveNode(Executor executor, SlaveNodeOptions options, std::shared_ptr<Backend> backend)
    : state_(std::make_shared<State>(std::move(options), std::move(backend))) {
  state_->start(executor);
}

SlaveNode::~SlaveNode() {
  state_->cluster->stop_now(End(error::node_closed));
  state_->backend->detach();
}

std::string SlaveNode::listen() { return state_->cluster->listen(state_->options.address); }
awaitable<End> SlaveNode::stopped() { return state_->cluster->stopped(); }
awaitable<void> SlaveNode::State::stop(std::shared_ptr<State> self, Duration deadline, End reason) {
  co_await self->cluster->stop(deadline, std::move(reason));
  self->backend->detach();
}

awaitable<void> SlaveNode::stop(Duration deadline, End reason) {
  return State::stop(state_, deadline, std::move(reason));
}
MasterClient SlaveNode::master() const { return state_->master(); }
ClusterSlave& SlaveNode::connections() noexcept { return *state_->cluster; }
const std::shared_ptr<Backend>& SlaveNode::backend() const noexcept { return state_->backend; }
BackendHost& SlaveNode::host() noexcept { return *state_; }
const std::shared_ptr<RpcServer>& SlaveNode::serves_master() const noexcept { return state_->master_service->server(); }
const std::shared_ptr<RpcServer>& SlaveNode::serves_slaves() const noexcept { return state_->slave_service->server(); }
const std::shared_ptr<RpcServer>& SlaveNode::serves_peers() const noexcept { return state_->peer_service->server(); }
const ServiceCounters& SlaveNode::master_counters() const noexcept { return state_->master_service->counters(); }
const ServiceCounters& SlaveNode::slave_counters() const noexcept { return state_->slave_service->counters(); }
const ServiceCounters& SlaveNode::peer_counters() const noexcept { return state_->peer_service->counters(); }

} // namespace trunkline::quarkchain
