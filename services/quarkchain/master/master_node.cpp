#include "services/quarkchain/master/master_node.hpp"

#include "fragment/quote.hpp"
#include "async/all_at_once.hpp"
#include "services/quarkchain/chain/evm_transaction.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/master/master_lobby.hpp"
#include "services/quarkchain/master/master_service.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t root_blocks_missed_max = 1000; // by a slave that comes back

template <class T> awaitable<void> keep(awaitable<T> call, std::shared_ptr<T> into) {
  *into = co_await std::move(call);
}

SlaveInfo info_of(const SlaveConfig& slave) {
  SlaveInfo info;
  info.id = slave.id;
  info.host = slave.host;
  info.port = slave.port;
  info.full_shard_id_list = slave.full_shard_id_list;
  return info;
}

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
  State(MasterNodeOptions with, std::shared_ptr<RootBackend> to) : options(std::move(with)), backend(std::move(to)) {
    for (const SlaveConfig& slave : options.slaves) slaves.push_back(Slave{slave, nullptr});
  }
  using Pointer = std::shared_ptr<State>;

  struct Slave {
    SlaveConfig config;
    std::shared_ptr<RpcCircuit> circuit; // also one that has ended
    bool dialling = false;
    bool is_open() const { return circuit && circuit->is_open(); }
  };

  void start(const Executor& executor);
  static Pointer live(const std::weak_ptr<State>& weak) {
    Pointer self = weak.lock();
    if (!self) throw_error(error::node_closed, "the master has ended");
    return self;
  }
  std::string name_of(const RpcCircuit& circuit) const {
    for (const Slave& slave : slaves)
      if (slave.circuit.get() == &circuit) return slave.config.id;
    return circuit.remote();
  }
  Slave& find(std::string_view id) {
    const auto found = std::ranges::find_if(slaves, [&](const Slave& slave) { return slave.config.id == id; });
    if (found == slaves.end()) throw std::out_of_range(fmt::format("no slave {} in the configuration", quote(id)));
    return *found;
  }
  SlaveClient client(const Slave& slave) const {
    if (!slave.is_open()) throw std::out_of_range(fmt::format("slave {} is not connected", quote(slave.config.id)));
    return SlaveClient(slave.circuit, options.request_deadline);
  }
  /// All, or std::out_of_range that names the one that is missing.
  std::vector<SlaveClient> clients() const {
    std::vector<SlaveClient> all;
    for (const Slave& slave : slaves) all.push_back(client(slave));
    return all;
  }
  void enter(std::string step) {
    progress = std::move(step);
    cluster->connections().log(LogLevel::info, progress);
  }

  static awaitable<void> boot(Pointer self);
  static awaitable<void> boot_slave(Pointer self, std::string id);
  static awaitable<void> dial(Pointer self, Slave& slave);
  static awaitable<void> identify(Pointer self, SlaveConfig slave, SlaveClient client);
  static awaitable<void> introduce(Pointer self, SlaveConfig slave, SlaveClient client);
  static awaitable<void> give_tip(SlaveClient client, std::shared_ptr<const RootBlock> tip);
  static awaitable<void> catch_up(Pointer self, std::string id, SlaveClient client,
                                  std::shared_ptr<const RootBlock> tip);
  template <class T, class Call> static awaitable<std::vector<T>> ask_all(Pointer self, Call call);
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
  std::unique_ptr<MasterService> service;
  std::shared_ptr<MasterLobby> lobby;
  std::unique_ptr<ClusterMaster> cluster;
  std::vector<Slave> slaves;
  std::set<std::uint64_t> peers; // those that slaves know
  std::string progress = "not started";
};

void MasterNode::State::start(const Executor& executor) {
  ServiceOptions with(options.connections.log);
  with.limits = options.rpc;
  service = std::make_unique<MasterService>(backend, with, [weak = weak_from_this()](const RpcCircuit& circuit) {
    const Pointer self = weak.lock();
    return self ? self->name_of(circuit) : circuit.remote();
  });
  lobby = std::make_shared<MasterLobby>(executor, backend, options.peers, with);
  ClusterMasterOptions cluster_options;
  cluster_options.connections = options.connections;
  cluster_options.peer_command_bytes_max = options.peers.command_bytes_max;
  cluster_options.slave_server = service->server();
  cluster_options.root_server = lobby->server();
  cluster_options.connect_retry_delay = options.connect_retry_delay;
  cluster_options.ends_with_slave = options.ends_with_slave;
  cluster = std::make_unique<ClusterMaster>(executor, std::move(cluster_options));
  lobby->open(
      *cluster, [weak = weak_from_this()](std::uint64_t peer) { return create_peer(live(weak), peer); },
      [weak = weak_from_this()](std::uint64_t peer) { return destroy_peer(live(weak), peer); });
}

// The boot: the steps and their order are those of pyquarkchain's master.

awaitable<void> MasterNode::State::boot(Pointer self) {
  std::vector<std::uint32_t> unserved;
  for (const std::uint32_t shard : self->options.all_shards)
    if (std::ranges::none_of(self->slaves, [shard](const Slave& slave) {
          return std::ranges::find(slave.config.full_shard_id_list, shard) != slave.config.full_shard_id_list.end();
        }))
      unserved.push_back(shard);
  if (!unserved.empty()) throw BootFailure(fmt::format("no slave of the configuration runs {}", shards_text(unserved)));

  for (Slave& slave : self->slaves) co_await dial(self, slave);

  self->enter("asking all slaves who they are");
  std::vector<awaitable<void>> pings;
  for (const Slave& slave : self->slaves) pings.push_back(identify(self, slave.config, self->client(slave)));
  co_await all_at_once(std::move(pings));

  for (const Slave& slave : self->slaves) co_await introduce(self, slave.config, self->client(slave));

  self->enter("giving all slaves the root tip");
  const auto tip = std::make_shared<const RootBlock>(co_await self->backend->root_tip());
  std::vector<awaitable<void>> tips;
  for (const SlaveClient& client : self->clients())
    tips.push_back(give_tip(client.within(self->options.boot_deadline), tip));
  co_await all_at_once(std::move(tips));

  if (self->options.mining) co_await mine(self, true);
  self->enter("active");
}

awaitable<void> MasterNode::State::boot_slave(Pointer self, std::string id) {
  Slave& slave = self->find(id); // the list of slaves never changes
  // A slave takes a second connection of its master for one of another slave: it would be without the first, too.
  if (slave.is_open()) throw BootFailure(fmt::format("slave {} is connected", quote(id)));
  if (slave.dialling) throw BootFailure(fmt::format("slave {} is being dialled", quote(id)));
  co_await dial(self, slave);
  const SlaveClient client = self->client(slave).within(self->options.boot_deadline);
  co_await identify(self, slave.config, client);
  co_await introduce(self, slave.config, client);
  const auto tip = std::make_shared<const RootBlock>(co_await self->backend->root_tip());
  co_await catch_up(self, slave.config.id, client, tip);
  co_await give_tip(client, tip);
  for (const std::uint64_t peer : std::set(self->peers)) co_await client.create_cluster_peer_connection(peer);
  self->enter("active");
}

awaitable<void> MasterNode::State::dial(Pointer self, Slave& slave) {
  const SlaveConfig& config = slave.config;
  const std::string address = self->options.address_of ? self->options.address_of(config)
                                                       : fmt::format("tcp://{}:{}", config.host, config.port);
  self->enter(fmt::format("dialling slave {} at {}", quote(config.id), address));
  struct Dialling {
    bool& flag;
    explicit Dialling(bool& of) : flag(of) { flag = true; }
    ~Dialling() { flag = false; }
  };
  const Dialling dialling(slave.dialling);
  slave.circuit = co_await self->cluster->connect_slave(address, config.full_shard_id_list);
}

awaitable<void> MasterNode::State::identify(Pointer self, SlaveConfig slave, SlaveClient client) {
  const Pong pong = co_await client.within(self->options.boot_deadline).ping();
  if (pong.id != slave.id)
    throw BootFailure(
        fmt::format("at {}:{} is slave {}, expected {}", slave.host, slave.port, quote(pong.id), quote(slave.id)));
  if (pong.full_shard_id_list != slave.full_shard_id_list) // pyquarkchain goes on, too
    self->cluster->connections().log(
        LogLevel::error, fmt::format("slave {} runs {}, expected {}", quote(slave.id),
                                     shards_text(pong.full_shard_id_list), shards_text(slave.full_shard_id_list)));
}

awaitable<void> MasterNode::State::introduce(Pointer self, SlaveConfig slave, SlaveClient client) {
  self->enter(fmt::format("connecting slave {} with the others", quote(slave.id)));
  std::vector<SlaveInfo> infos;
  for (const Slave& each : self->slaves) infos.push_back(info_of(each.config));
  const std::vector<std::string> results =
      co_await client.within(self->options.boot_deadline).connect_to_slaves(std::move(infos));
  for (std::size_t i = 0; i < results.size(); ++i)
    if (!results[i].empty())
      throw BootFailure(fmt::format("slave {} cannot connect to slave {}: {}", quote(slave.id),
                                    quote(self->slaves[i].config.id), escape(results[i])));
}

awaitable<void> MasterNode::State::give_tip(SlaveClient client, std::shared_ptr<const RootBlock> tip) {
  (void)co_await client.ping(*tip);
}

/// Root blocks that the slave has missed: back to one that it takes, then forward.
awaitable<void> MasterNode::State::catch_up(Pointer self, std::string id, SlaveClient client,
                                            std::shared_ptr<const RootBlock> tip) {
  std::vector<std::shared_ptr<const RootBlock>> missed; // newest first
  std::string refusal;
  for (std::shared_ptr<const RootBlock> block = tip;;) {
    bool taken = true;
    try {
      (void)co_await client.add_root_block(*block);
    } catch (const Refused& refused) {
      taken = false;
      refusal = refused.what();
    }
    if (taken) break;
    missed.push_back(block);
    const std::vector<Hash256> parent(1, block->header.hash_prev_block);
    std::vector<RootBlock> found = co_await self->backend->get_root_block_list(parent);
    if (found.empty() || missed.size() > root_blocks_missed_max)
      throw BootFailure(
          fmt::format("slave {} takes none of the last {} root blocks: {}", quote(id), missed.size(), refusal));
    block = std::make_shared<const RootBlock>(std::move(found.front()));
    if (block->header.height == 0) { // its shards begin here, and may not exist yet
      co_await give_tip(client, block);
      break;
    }
  }
  for (auto block = missed.rbegin(); block != missed.rend(); ++block) (void)co_await client.add_root_block(**block);
}

// Requests that concern more than one slave.

/// What all slaves say, in the order of the configuration.
template <class T, class Call> awaitable<std::vector<T>> MasterNode::State::ask_all(Pointer self, Call call) {
  std::vector<std::shared_ptr<T>> replies;
  std::vector<awaitable<void>> calls;
  for (const SlaveClient& client : self->clients()) {
    replies.push_back(std::make_shared<T>());
    calls.push_back(keep<T>(call(client), replies.back()));
  }
  co_await all_at_once(std::move(calls));
  std::vector<T> all;
  for (const auto& reply : replies) all.push_back(std::move(*reply));
  co_return all;
}

awaitable<bool> MasterNode::State::add_root_block(Pointer self, RootBlock block) {
  const auto add = [&block](const SlaveClient& client) { return client.add_root_block(block); };
  const std::vector<bool> switched = co_await ask_all<bool>(self, add);
  co_return std::ranges::find(switched, true) != switched.end();
}

awaitable<std::vector<HeadersInfo>> MasterNode::State::unconfirmed(Pointer self) {
  const auto ask = [](const SlaveClient& client) { return client.get_unconfirmed_headers(); };
  std::vector<HeadersInfo> merged;
  std::set<std::uint32_t> seen;
  std::vector<std::vector<HeadersInfo>> all = co_await ask_all<std::vector<HeadersInfo>>(self, ask);
  for (std::vector<HeadersInfo>& infos : all)
    for (HeadersInfo& info : infos)
      if (seen.insert(info.branch.value).second) merged.push_back(std::move(info));
  co_return merged;
}

awaitable<std::vector<AccountBranchData>> MasterNode::State::accounts(Pointer self, Address address,
                                                                      std::optional<std::uint64_t> height) {
  std::vector<AccountBranchData> merged;
  std::set<std::uint32_t> seen;
  const auto ask = [&](const SlaveClient& client) { return client.get_account_data(address, height); };
  std::vector<std::vector<AccountBranchData>> all = co_await ask_all<std::vector<AccountBranchData>>(self, ask);
  for (std::vector<AccountBranchData>& accounts : all)
    for (AccountBranchData& account : accounts) {
      const bool wanted = !height || contains_key(account.branch.value, address.full_shard_key);
      if (wanted && seen.insert(account.branch.value).second) merged.push_back(std::move(account));
    }
  co_return merged;
}

awaitable<void> MasterNode::State::add_transaction(Pointer self, TypedTransaction transaction) {
  const std::uint32_t key = EvmTransaction::from(transaction).from_full_shard_key;
  std::vector<awaitable<void>> calls;
  for (const Slave& slave : self->slaves)
    if (std::ranges::any_of(slave.config.full_shard_id_list,
                            [key](std::uint32_t shard) { return contains_key(shard, key); }))
      calls.push_back(self->client(slave).add_transaction(transaction));
  if (calls.empty())
    throw Refused(Refusal::failed, fmt::format("the sender's key {} belongs to no shard", shard_text(key)));
  co_await all_at_once(std::move(calls));
}

awaitable<void> MasterNode::State::mine(Pointer self, bool mining) {
  std::vector<awaitable<void>> calls;
  for (const SlaveClient& client : self->clients()) calls.push_back(client.mine(self->options.artificial, mining));
  co_await all_at_once(std::move(calls));
}

awaitable<void> MasterNode::State::create_peer(Pointer self, std::uint64_t id) {
  self->peers.insert(id);
  std::vector<awaitable<void>> calls;
  for (const Slave& slave : self->slaves)
    if (slave.is_open()) calls.push_back(self->client(slave).create_cluster_peer_connection(id));
  co_await all_at_once(std::move(calls));
}

awaitable<void> MasterNode::State::destroy_peer(Pointer self, std::uint64_t id) {
  self->peers.erase(id);
  std::vector<awaitable<void>> calls;
  for (const Slave& slave : self->slaves)
    if (slave.is_open()) calls.push_back(self->client(slave).destroy_cluster_peer_connection(id));
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

awaitable<void> MasterNode::boot() { return State::boot(state_); }
awaitable<void> MasterNode::boot_slave(std::string id) { return State::boot_slave(state_, std::move(id)); }
const std::string& MasterNode::progress() const noexcept { return state_->progress; }

SlaveClient MasterNode::slave(std::string_view id) const { return state_->client(state_->find(id)); }

SlaveClient MasterNode::slave_of(std::uint32_t full_shard_id) const {
  for (const State::Slave& slave : state_->slaves)
    if (std::ranges::find(slave.config.full_shard_id_list, full_shard_id) != slave.config.full_shard_id_list.end())
      return state_->client(slave);
  throw std::out_of_range(fmt::format("no slave runs {}", shard_text(full_shard_id)));
}

std::vector<std::pair<std::string, SlaveClient>> MasterNode::slaves() const {
  std::vector<std::pair<std::string, SlaveClient>> open;
  for (const State::Slave& slave : state_->slaves)
    if (slave.is_open()) open.emplace_back(slave.config.id, state_->client(slave));
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
