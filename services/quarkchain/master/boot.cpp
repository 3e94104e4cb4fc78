#include "services/quarkchain/master/boot.hpp"

#include "async/all_at_once.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/cluster/cluster_address.hpp"
#include "services/quarkchain/master/master_node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t root_blocks_missed_max = 1000; // by a slave that comes back

SlaveInfo info_of(const SlaveConfig& slave) {
  SlaveInfo info;
  info.id = slave.id;
  info.host = slave.host;
  info.port = slave.port;
  info.full_shard_id_list = slave.full_shard_id_list;
  return info;
}

awaitable<void> add(SlaveClient client, std::shared_ptr<const RootBlock> block) {
  AddRootBlockRequest request;
  request.root_block = *block;
  (void)co_await client.ask(request);
}

} // namespace

Boot::Boot(BootOptions options, std::shared_ptr<RootBackend> backend, std::shared_ptr<SlaveList> slaves,
           std::shared_ptr<ClusterMaster> cluster)
    : options_(std::move(options)), backend_(std::move(backend)), slaves_(std::move(slaves)),
      cluster_(std::move(cluster)) {}

void Boot::enter(std::string step) {
  progress_ = std::move(step);
  cluster_->connections().log(LogLevel::info, progress_);
}

awaitable<void> Boot::all_of(Pointer self) {
  std::vector<std::uint32_t> unserved;
  for (const std::uint32_t shard : self->options_.all_shards)
    if (std::ranges::none_of(*self->slaves_, [shard](const SlaveList::Slave& slave) { return slave.runs(shard); }))
      unserved.push_back(shard);
  if (!unserved.empty()) throw BootFailure(fmt::format("no slave of the configuration runs {}", shards_text(unserved)));

  for (SlaveList::Slave& slave : *self->slaves_) co_await dial(self, slave);

  self->enter("asking all slaves who they are");
  std::vector<awaitable<void>> pings;
  for (const SlaveList::Slave& slave : *self->slaves_)
    pings.push_back(identify(self, slave.config, self->slaves_->client(slave)));
  co_await all_at_once(std::move(pings));

  for (const SlaveList::Slave& slave : *self->slaves_)
    co_await introduce(self, slave.config, self->slaves_->client(slave));

  self->enter("giving all slaves the root tip");
  const auto tip = std::make_shared<const RootBlock>(co_await self->backend_->root_tip());
  std::vector<awaitable<void>> tips;
  for (const SlaveClient& client : self->slaves_->clients())
    tips.push_back(give_tip(client.within(self->options_.deadline), tip));
  co_await all_at_once(std::move(tips));
}

awaitable<void> Boot::one_of(Pointer self, SlaveList::Slave& slave) {
  // A slave takes a second connection of its master for one of another slave: it would be without the first, too.
  if (slave.is_open()) throw BootFailure(fmt::format("slave {} is connected", quote(slave.config.id)));
  if (slave.dialling) throw BootFailure(fmt::format("slave {} is being dialled", quote(slave.config.id)));
  co_await dial(self, slave);
  const SlaveClient client = self->slaves_->client(slave).within(self->options_.deadline);
  co_await identify(self, slave.config, client);
  co_await introduce(self, slave.config, client);
  const auto tip = std::make_shared<const RootBlock>(co_await self->backend_->root_tip());
  co_await catch_up(self, slave.config.id, client, tip);
  co_await give_tip(client, tip);
}

awaitable<void> Boot::dial(Pointer self, SlaveList::Slave& slave) {
  const SlaveConfig& config = slave.config;
  const std::string address =
      self->options_.address_of ? self->options_.address_of(config) : cluster_address(config.host, config.port);
  self->enter(fmt::format("dialling slave {} at {}", quote(config.id), address));
  struct Dialling {
    bool& flag;
    explicit Dialling(bool& of) : flag(of) { flag = true; }
    ~Dialling() { flag = false; }
  };
  const Dialling dialling(slave.dialling);
  slave.circuit = co_await self->cluster_->connect_slave(address, config.full_shard_id_list);
}

awaitable<void> Boot::identify(Pointer self, SlaveConfig slave, SlaveClient client) {
  const Ping ping;
  const Pong pong = co_await client.within(self->options_.deadline).ask(ping);
  if (pong.id != slave.id)
    throw BootFailure(
        fmt::format("at {}:{} is slave {}, expected {}", slave.host, slave.port, quote(pong.id), quote(slave.id)));
  if (pong.full_shard_id_list != slave.full_shard_id_list) // pyquarkchain goes on, too
    self->cluster_->connections().log(
        LogLevel::error, fmt::format("slave {} runs {}, expected {}", quote(slave.id),
                                     shards_text(pong.full_shard_id_list), shards_text(slave.full_shard_id_list)));
}

awaitable<void> Boot::introduce(Pointer self, SlaveConfig slave, SlaveClient client) {
  self->enter(fmt::format("connecting slave {} with the others", quote(slave.id)));
  ConnectToSlavesRequest request;
  for (const SlaveList::Slave& each : *self->slaves_) request.slave_info_list.push_back(info_of(each.config));
  const ConnectToSlavesResponse reply = co_await client.within(self->options_.deadline).ask(request);
  const std::vector<std::string>& results = reply.result_list; // empty for success
  if (results.size() != request.slave_info_list.size())
    throw Refused(Refusal::failed,
                  fmt::format("CONNECT_TO_SLAVES: expected {} results, seen {}, from {}",
                              request.slave_info_list.size(), results.size(), client.circuit()->remote()));
  for (std::size_t i = 0; i < results.size(); ++i)
    if (!results[i].empty())
      throw BootFailure(fmt::format("slave {} cannot connect to slave {}: {}", quote(slave.id),
                                    quote(self->slaves_->begin()[static_cast<std::ptrdiff_t>(i)].config.id),
                                    escape(results[i])));
}

awaitable<void> Boot::give_tip(SlaveClient client, std::shared_ptr<const RootBlock> tip) {
  Ping ping;
  ping.root_tip = *tip;
  (void)co_await client.ask(ping);
}

/// Root blocks that the slave has missed: back to one that it takes, then forward.
awaitable<void> Boot::catch_up(Pointer self, std::string id, SlaveClient client, std::shared_ptr<const RootBlock> tip) {
  std::vector<std::shared_ptr<const RootBlock>> missed; // newest first
  std::string refusal;
  for (std::shared_ptr<const RootBlock> block = tip;;) {
    bool taken = true;
    try {
      co_await add(client, block);
    } catch (const Refused& refused) {
      taken = false;
      refusal = refused.what();
    }
    if (taken) break;
    missed.push_back(block);
    GetRootBlockListRequest parent;
    parent.root_block_hash_list.push_back(block->header.hash_prev_block);
    GetRootBlockListResponse found = co_await self->backend_->on(0, std::move(parent));
    if (found.root_block_list.empty() || missed.size() > root_blocks_missed_max)
      throw BootFailure(
          fmt::format("slave {} takes none of the last {} root blocks: {}", quote(id), missed.size(), refusal));
    block = std::make_shared<const RootBlock>(std::move(found.root_block_list.front()));
    if (block->header.height == 0) { // its shards begin here, and may not exist yet
      co_await give_tip(client, block);
      break;
    }
  }
  for (auto block = missed.rbegin(); block != missed.rend(); ++block) co_await add(client, *block);
}

} // namespace trunkline::quarkchain
