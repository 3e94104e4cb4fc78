#include "services/quarkchain/master/master_node.hpp"

#include "async/all_at_once.hpp"
#include "services/quarkchain/chain/evm_transaction.hpp"
#include "services/quarkchain/master/boot.hpp"
#include "services/quarkchain/master/master_lobby.hpp"
#include "services/quarkchain/master/master_service.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace trunkline::quarkchain {
namespace {

template <class T> awaitable<void> keep(awaitable<T> call, std::shared_ptr<T> into) {
  *into = co_await std::move(call);
}

template <class Reply> awaitable<void> done(awaitable<Reply> call) { (void)co_await std::move(call); }

} // namespace

MasterNodeOptions MasterNodeOptions::of(const ClusterConfig& config) {
  MasterNodeOptions options;
  options.slaves = config.slave_list;
  options.all_shards = config.quarkchain.full_shard_ids();
  Branches branches = options.all_shards;
  std::ranges::sort(branches);
  options.connections.branches = std::make_shared<const Branches>(std::move(branches));
  options.peers.command_bytes_max = config.quarkchain.p2p_command_size_limit;
  options.connect_retry_delay =
      std::chrono::milliseconds(static_cast<std::int64_t>(config.master_to_slave_connect_retry_delay * 1000));
  options.peers.version = config.quarkchain.p2p_protocol_version;
  options.peers.network_id = config.quarkchain.network_id;
  options.peers.port = config.p2p_port;
  options.mining = config.start_simulated_mining;
  options.artificial.target_root_block_time = config.quarkchain.root.consensus_config.target_block_time;
  if (!config.quarkchain.shards.empty())
    options.artificial.target_minor_block_time = config.quarkchain.shards.front().consensus_config.target_block_time;
  return options;
}

struct MasterNode::State final : std::enable_shared_from_this<State> {
  State(MasterNodeOptions with, std::shared_ptr<RootBackend> to)
      : options(std::move(with)), backend(std::move(to)),
        slaves(std::make_shared<SlaveList>(options.slaves, options.request_deadline)) {}
  using Pointer = std::shared_ptr<State>;

  void start(const Executor& executor);
  static Pointer live(const std::weak_ptr<State>& weak) {
    Pointer self = weak.lock();
    if (!self) throw_error(error::node_closed, "the master has ended");
    return self;
  }

  static awaitable<void> boot_all(Pointer self);
  static awaitable<void> boot_one(Pointer self, std::string id);
  template <class Request>
  static awaitable<std::vector<typename Rpc<Request>::Reply>> ask_all(Pointer self, Request request);
  static awaitable<bool> add_root_block(Pointer self, RootBlock block);
  static awaitable<std::vector<HeadersInfo>> unconfirmed(Pointer self);
  static awaitable<std::vector<AccountBranchData>> accounts(Pointer self, Address address,
                                                            std::optional<std::uint64_t> height);
  static awaitable<void> add_transaction(Pointer self, TypedTransaction transaction);
  static awaitable<void> mine(Pointer self, bool mining);
  static awaitable<void> create_peer(Pointer self, std::uint64_t id);
  static awaitable<void> destroy_peer(Pointer self, std::uint64_t id);

  MasterNodeOptions options;
  std::shared_ptr<RootBackend> backend;
  std::shared_ptr<SlaveList> slaves;
  std::unique_ptr<MasterService> service;
  std::shared_ptr<MasterLobby> lobby;
  std::shared_ptr<ClusterMaster> cluster;
  std::shared_ptr<Boot> boot;
  std::set<std::uint64_t> peers; // those that slaves know
};

void MasterNode::State::start(const Executor& executor) {
  ServiceOptions with(options.connections.log);
  with.limits = options.rpc;
  service = std::make_unique<MasterService>(backend, with, [weak = weak_from_this()](const RpcCircuit& circuit) {
    const Pointer self = weak.lock();
    return self ? self->slaves->name_of(circuit) : circuit.remote();
  });
  lobby = std::make_shared<MasterLobby>(executor, backend, options.peers, with);
  ClusterMasterOptions cluster_options;
  cluster_options.connections = options.connections;
  cluster_options.peer_command_bytes_max = options.peers.command_bytes_max;
  cluster_options.slave_server = service->server();
  cluster_options.root_server = lobby->server();
  cluster_options.connect_retry_delay = options.connect_retry_delay;
  cluster_options.ends_with_slave = options.ends_with_slave;
  cluster = std::make_shared<ClusterMaster>(executor, std::move(cluster_options));
  BootOptions boot_options;
  boot_options.all_shards = options.all_shards;
  boot_options.deadline = options.boot_deadline;
  boot_options.address_of = options.address_of;
  boot = std::make_shared<Boot>(std::move(boot_options), backend, slaves, cluster);
  lobby->open(
      *cluster, [weak = weak_from_this()](std::uint64_t peer) { return create_peer(live(weak), peer); },
      [weak = weak_from_this()](std::uint64_t peer) { return destroy_peer(live(weak), peer); });
}

awaitable<void> MasterNode::State::boot_all(Pointer self) {
  co_await self->boot->all();
  if (self->options.mining) co_await mine(self, true);
  self->boot->enter("active");
}

awaitable<void> MasterNode::State::boot_one(Pointer self, std::string id) {
  SlaveList::Slave& slave = self->slaves->find(id);
  co_await self->boot->one(slave);
  const SlaveClient client = self->slaves->client(slave).within(self->options.boot_deadline);
  for (const std::uint64_t peer : std::set(self->peers)) {
    CreateClusterPeerConnectionRequest request;
    request.cluster_peer_id = peer;
    (void)co_await client.ask(request);
  }
  self->boot->enter("active");
}

// Requests that concern more than one slave.

/// What all slaves say, in the order of the configuration.
template <class Request>
awaitable<std::vector<typename Rpc<Request>::Reply>> MasterNode::State::ask_all(Pointer self, Request request) {
  using Reply = Rpc<Request>::Reply;
  std::vector<std::shared_ptr<Reply>> replies;
  std::vector<awaitable<void>> calls;
  for (const SlaveClient& client : self->slaves->clients()) {
    replies.push_back(std::make_shared<Reply>());
    calls.push_back(keep<Reply>(client.ask(request), replies.back()));
  }
  co_await all_at_once(std::move(calls));
  std::vector<Reply> all;
  for (const auto& reply : replies) all.push_back(std::move(*reply));
  co_return all;
}

awaitable<bool> MasterNode::State::add_root_block(Pointer self, RootBlock block) {
  AddRootBlockRequest request;
  request.root_block = std::move(block);
  const std::vector<AddRootBlockResponse> all = co_await ask_all(self, std::move(request));
  co_return std::ranges::any_of(all, [](const AddRootBlockResponse& reply) { return reply.switched; });
}

awaitable<std::vector<HeadersInfo>> MasterNode::State::unconfirmed(Pointer self) {
  std::vector<HeadersInfo> merged;
  std::set<std::uint32_t> seen;
  GetUnconfirmedHeadersRequest request;
  std::vector<GetUnconfirmedHeadersResponse> all = co_await ask_all(self, std::move(request));
  for (GetUnconfirmedHeadersResponse& reply : all)
    for (HeadersInfo& info : reply.headers_info_list)
      if (seen.insert(info.branch.value).second) merged.push_back(std::move(info));
  co_return merged;
}

awaitable<std::vector<AccountBranchData>> MasterNode::State::accounts(Pointer self, Address address,
                                                                      std::optional<std::uint64_t> height) {
  std::vector<AccountBranchData> merged;
  std::set<std::uint32_t> seen;
  GetAccountDataRequest request;
  request.address = address;
  request.block_height = height;
  std::vector<GetAccountDataResponse> all = co_await ask_all(self, std::move(request));
  for (GetAccountDataResponse& reply : all)
    for (AccountBranchData& account : reply.account_branch_data_list) {
      const bool wanted = !height || contains_key(account.branch.value, address.full_shard_key);
      if (wanted && seen.insert(account.branch.value).second) merged.push_back(std::move(account));
    }
  co_return merged;
}

awaitable<void> MasterNode::State::add_transaction(Pointer self, TypedTransaction transaction) {
  const std::uint32_t key = EvmTransaction::from(transaction).from_full_shard_key;
  AddTransactionRequest request;
  request.tx = std::move(transaction);
  std::vector<awaitable<void>> calls;
  for (const SlaveList::Slave& slave : *self->slaves)
    if (std::ranges::any_of(slave.config.full_shard_id_list,
                            [key](std::uint32_t shard) { return contains_key(shard, key); }))
      calls.push_back(done(self->slaves->client(slave).ask(request)));
  if (calls.empty())
    throw Refused(Refusal::failed, fmt::format("the sender's key {} belongs to no shard", shard_text(key)));
  co_await all_at_once(std::move(calls));
}

awaitable<void> MasterNode::State::mine(Pointer self, bool mining) {
  MineRequest request;
  request.artificial_tx_config = self->options.artificial;
  request.mining = mining;
  (void)co_await ask_all(self, std::move(request));
}

awaitable<void> MasterNode::State::create_peer(Pointer self, std::uint64_t id) {
  self->peers.insert(id);
  CreateClusterPeerConnectionRequest request;
  request.cluster_peer_id = id;
  std::vector<awaitable<void>> calls;
  for (const SlaveList::Slave& slave : *self->slaves)
    if (slave.is_open()) calls.push_back(done(self->slaves->client(slave).ask(request)));
  co_await all_at_once(std::move(calls));
}

awaitable<void> MasterNode::State::destroy_peer(Pointer self, std::uint64_t id) {
  self->peers.erase(id);
  DestroyClusterPeerConnectionCommand command;
  command.cluster_peer_id = id;
  std::vector<awaitable<void>> calls;
  for (const SlaveList::Slave& slave : *self->slaves)
    if (slave.is_open())
      calls.push_back(self->slaves->client(slave).tell<ClusterOp::destroy_cluster_peer_connection_command>(command));
  co_await all_at_once(std::move(calls));
}

// The node.

MasterNode::MasterNode(Executor executor, MasterNodeOptions options, std::shared_ptr<RootBackend> backend)
    : state_(std::make_shared<State>(std::move(options), std::move(backend))) {
  state_->start(executor);
}

MasterNode::~MasterNode() {
  state_->lobby->close();
  state_->cluster->stop_now(End(error::node_closed));
}

awaitable<void> MasterNode::boot() { return State::boot_all(state_); }
awaitable<void> MasterNode::boot_slave(std::string id) { return State::boot_one(state_, std::move(id)); }
const std::string& MasterNode::progress() const noexcept { return state_->boot->progress(); }

SlaveClient MasterNode::slave(std::string_view id) const { return state_->slaves->client(state_->slaves->find(id)); }
SlaveClient MasterNode::slave_of(std::uint32_t full_shard_id) const {
  return state_->slaves->client(state_->slaves->running(full_shard_id));
}

std::vector<std::pair<std::string, SlaveClient>> MasterNode::slaves() const {
  std::vector<std::pair<std::string, SlaveClient>> open;
  for (const SlaveList::Slave& slave : *state_->slaves)
    if (slave.is_open()) open.emplace_back(slave.config.id, state_->slaves->client(slave));
  return open;
}

awaitable<bool> MasterNode::add_root_block(RootBlock block) { return State::add_root_block(state_, std::move(block)); }
awaitable<std::vector<HeadersInfo>> MasterNode::get_unconfirmed_headers() { return State::unconfirmed(state_); }
awaitable<std::vector<AccountBranchData>> MasterNode::get_account_data(Address address,
                                                                       std::optional<std::uint64_t> height) {
  return State::accounts(state_, std::move(address), height);
}
awaitable<void> MasterNode::add_transaction(TypedTransaction transaction) {
  return State::add_transaction(state_, std::move(transaction));
}
awaitable<void> MasterNode::mine(bool mining) { return State::mine(state_, mining); }
awaitable<void> MasterNode::create_peer(std::uint64_t id) { return State::create_peer(state_, id); }
awaitable<void> MasterNode::destroy_peer(std::uint64_t id) { return State::destroy_peer(state_, id); }

std::string MasterNode::listen_for_peers(std::string_view address) { return state_->lobby->listen(address); }
awaitable<std::uint64_t> MasterNode::connect_peer(std::string address) {
  return state_->lobby->connect(std::move(address));
}
std::vector<std::uint64_t> MasterNode::peers() const { return state_->lobby->peers(); }
std::uint64_t MasterNode::peers_turned_away() const noexcept { return state_->lobby->turned_away(); }
void MasterNode::disconnect_peer(std::uint64_t id) { state_->lobby->disconnect(id); }

ClusterMaster& MasterNode::connections() noexcept { return *state_->cluster; }
const std::shared_ptr<RootBackend>& MasterNode::backend() const noexcept { return state_->backend; }
const std::shared_ptr<RpcServer>& MasterNode::serves_slaves() const noexcept { return state_->service->server(); }
const ServiceCounters& MasterNode::counters() const noexcept { return state_->service->counters(); }
awaitable<End> MasterNode::stopped() { return state_->cluster->stopped(); }
awaitable<void> MasterNode::stop(Duration deadline, End reason) {
  state_->lobby->close();
  return state_->cluster->stop(deadline, std::move(reason));
}

} // namespace trunkline::quarkchain
