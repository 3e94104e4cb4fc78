// How a run works:
//
//   1. The cluster boots without faults. Then one coroutine for each shard makes blocks, one makes root blocks and now
//      and then a fork of them, one sends transactions, one strikes with faults, and one, like an operator, boots
//      slaves again that the master has lost.
//   2. All wrong is set right, the coroutines end, the lost slaves are booted.
//   3. On top of what came of it, a block on each shard and two root blocks must succeed; every list that was ever
//      acknowledged, and every list of every block of every chain, must be at its destinations; all slaves must have
//      the master's root tip.
//   4. When what crosses shards has arrived: money is neither made nor lost, each transfer of the canonical chains has
//      been credited once and no other at all, each canonical block is right when it runs again, and a twin of each
//      shard to which nothing ever happened comes to the same tip.
#include "tests/services/quarkchain/cluster_simulation.hpp"

#include "async/tasks.hpp"
#include "tests/services/quarkchain/shard_twin.hpp"
#include "tests/services/quarkchain/signer.hpp"
#include "tests/services/quarkchain/whole_cluster.hpp"
#include "transport/sim/random.hpp"

#include <boost/system/system_error.hpp>

#include <exception>
#include <map>
#include <set>
#include <span>

namespace trunkline::quarkchain::test {
namespace {

constexpr std::size_t slaves_count = 4;
constexpr std::size_t violations_kept = 8;
constexpr std::uint8_t signers_count = 4; // who have much in every shard
constexpr std::uint32_t no_chain = 0x90000;

std::string rich_in(std::size_t chain) {
  std::string alloc;
  for (std::uint8_t i = 1; i <= signers_count; ++i)
    alloc += fmt::format("{}\"{}{:08x}\": {{\"QKC\": 1000000000000}}", i == 1 ? "" : ", ", Signer(i).address.hex(),
                         chain << 16);
  return alloc;
}

std::uint32_t shard(std::size_t chain) { return static_cast<std::uint32_t>(chain << 16 | 1); }

/// Forwards all, and notes which lists every destination has acknowledged.
class ForwardingHost final : public BackendHost {
 public:
  ForwardingHost(std::weak_ptr<BackendHost> to, std::map<std::pair<std::uint32_t, Hash256>, std::size_t>& noted)
      : to_(std::move(to)), noted_(noted) {}

  awaitable<ArtificialTxConfig> add_minor_block_header(AddMinorBlockHeaderRequest report) override {
    return live()->add_minor_block_header(std::move(report));
  }
  awaitable<void> add_minor_block_header_list(AddMinorBlockHeaderListRequest reports) override {
    return live()->add_minor_block_header_list(std::move(reports));
  }
  awaitable<void> add_xshard_tx_list(AddXshardTxListRequest list) override {
    const auto live_one = live();
    const auto key = std::pair(list.branch.value, list.minor_block_hash);
    const std::size_t deposits = list.tx_list.tx_list.size();
    co_await live_one->add_xshard_tx_list(std::move(list));
    noted_[key] = deposits;
  }
  awaitable<void> batch_add_xshard_tx_list(std::vector<AddXshardTxListRequest> lists) override {
    return live()->batch_add_xshard_tx_list(std::move(lists));
  }
  std::vector<PeerShard> peers_of(std::uint32_t branch) const override { return live()->peers_of(branch); }
  awaitable<void> tell(PeerShard to, NewMinorBlockHeaderListCommand tip) override {
    return live()->tell(to, std::move(tip));
  }
  awaitable<void> tell(PeerShard to, NewTransactionListCommand transactions) override {
    return live()->tell(to, std::move(transactions));
  }
  awaitable<void> tell(PeerShard to, NewBlockMinorCommand block) override { return live()->tell(to, std::move(block)); }
  awaitable<GetMinorBlockListResponse> ask(PeerShard from, GetMinorBlockListRequest request) override {
    return live()->ask(from, std::move(request));
  }
  awaitable<GetMinorBlockHeaderListResponse> ask(PeerShard from,
                                                 GetMinorBlockHeaderListWithSkipRequest request) override {
    return live()->ask(from, std::move(request));
  }

 private:
  std::shared_ptr<BackendHost> live() const {
    auto live = to_.lock();
    if (!live) throw Refused(Refusal::failed, "the slave is gone");
    return live;
  }
  std::weak_ptr<BackendHost> to_;
  std::map<std::pair<std::uint32_t, Hash256>, std::size_t>& noted_;
};

/// A store whose cross-shard lists are gone when its process is: PlantedBug::unwritten.
class ForgetfulStore final : public Store {
 public:
  explicit ForgetfulStore(std::shared_ptr<Store> on) : on_(std::move(on)) {}
  std::optional<std::string> get(std::string_view key) const override {
    const auto found = lists_.find(key);
    return found != lists_.end() ? std::optional(found->second) : on_->get(key);
  }
  void write(const StoreBatch& batch) override {
    StoreBatch rest;
    for (const auto& [key, value] : batch.changes()) {
      if (is_list(key) && value) lists_[key] = *value;
      else if (value) rest.put(key, *value);
      else rest.erase(key);
    }
    on_->write(rest);
  }
  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    on_->scan(prefix, from, visit);
  }

 private:
  std::shared_ptr<Store> on_;
  std::map<std::string, std::string, std::less<>> lists_;
};

class Run {
 public:
  explicit Run(const ClusterRunOptions& options)
      : options_(options), world_(options.seed), random_(sim::Random::derived(options.seed, "cluster")),
        cluster_(world_,
                 cluster_config(slaves_count, chains(), 0, &rich_in,
                                R"("MIN_TX_POOL_GAS_PRICE": 0, "MIN_MINING_GAS_PRICE": 0)"),
                 tweak_slave(), tweak_master()) {
    cluster_.checks = true;
    cluster_.root_coinbase.full_shard_key = no_chain; // what root blocks pay reaches no shard
  }

  ClusterRunReport run() {
    try {
      world_.run(play(this), 2h);
    } catch (const std::exception& failure) {
      violate(std::string("it ended with: ") + failure.what());
    }
    report_.trace_hash = world_.trace_hash();
    return report_;
  }

 private:
  static constexpr std::size_t chains() { return slaves_count; }

  void violate(const std::string& text) {
    if (++report_.violations_count <= violations_kept) report_.violations.push_back(text);
  }
  void log(const std::string& text) const {
    if (options_.log)
      options_.log(
          fmt::format("{} {}", std::chrono::duration_cast<std::chrono::milliseconds>(world_.elapsed()).count(), text));
  }

  SimCluster::TweakSlave tweak_slave() {
    return [this](SlaveNodeOptions& options, std::shared_ptr<Backend>& backend) {
      options.master_hosts = {"M"};
      options.waits_for_new_master = true;
      options.report_deadline = 20s;
      options.xshard_deadline = 20s;
      backend = std::make_shared<WatchedBackend>(this, backend, options.own.full_shard_ids.front());
    };
  }
  static SimCluster::TweakMaster tweak_master() {
    return [](MasterNodeOptions& options) {
      options.ends_with_slave = false;
      options.boot_deadline = 40s;
      options.request_deadline = 40s;
      options.connect_retry_delay = 500ms;
    };
  }

  /// The shards, with an eye on what they send; they forget where that bug is planted. It forwards what the run uses.
  class WatchedBackend final : public Backend {
   public:
    WatchedBackend(Run* run, std::shared_ptr<Backend> to, std::uint32_t branch)
        : run_(run), to_(std::move(to)), branch_(branch) {}
    void detach() override { to_->detach(); }
    void attach(std::weak_ptr<BackendHost> host) override {
      noting_ = std::make_shared<ForwardingHost>(std::move(host), run_->acknowledged_);
      to_->attach(noting_);
    }
    std::vector<std::uint32_t> shards() const override { return to_->shards(); }
    awaitable<void> create_shards(RootBlock tip) override { return to_->create_shards(std::move(tip)); }
    awaitable<AddRootBlockResponse> on(AddRootBlockRequest request) override {
      return add_root(run_, to_, branch_, std::move(request));
    }
    awaitable<GetAccountDataResponse> on(GetAccountDataRequest request) override { return to_->on(std::move(request)); }
    awaitable<GetNextBlockToMineResponse> on(GetNextBlockToMineRequest request) override {
      return to_->on(std::move(request));
    }
    awaitable<GetUnconfirmedHeadersResponse> on(GetUnconfirmedHeadersRequest request) override {
      return to_->on(std::move(request));
    }
    awaitable<AddTransactionResponse> on(AddTransactionRequest request) override { return to_->on(std::move(request)); }
    awaitable<AddMinorBlockResponse> on(AddMinorBlockRequest request) override { return to_->on(std::move(request)); }
    awaitable<AddXshardTxListResponse> on(AddXshardTxListRequest request) override {
      if (run_->options_.bug == PlantedBug::forget && run_->random_.one_in(50)) return nothing();
      return to_->on(std::move(request));
    }

   private:
    /// Counts when a shard leaves a root block aside.
    static awaitable<AddRootBlockResponse> add_root(Run* run, std::shared_ptr<Backend> to, std::uint32_t branch,
                                                    AddRootBlockRequest request) {
      const auto shards = std::static_pointer_cast<ShardBackend>(to);
      const std::optional<RootBlockHeader> before = shards->root_tip_of(branch);
      AddRootBlockResponse reply = co_await to->on(std::move(request));
      const std::optional<RootBlockHeader> after = shards->root_tip_of(branch);
      if (before && after && *before != *after && after->hash_prev_block != hash_of(*before))
        ++run->report_.root_switches;
      co_return reply;
    }
    static awaitable<AddXshardTxListResponse> nothing() {
      AddXshardTxListResponse reply;
      co_return reply;
    }
    Run* run_;
    std::shared_ptr<Backend> to_;
    std::uint32_t branch_;
    std::shared_ptr<ForwardingHost> noting_;
  };

  // Who does something, each until `ending_`.

  Duration some_time(std::uint64_t low_ms, std::uint64_t high_ms) {
    return std::chrono::milliseconds(random_.between(low_ms, high_ms));
  }

  static awaitable<void> grow(Run* self, std::size_t chain) {
    while (!self->ending_) {
      co_await sleep_for(self->some_time(300, 3000));
      bool done = false;
      try {
        co_await SimCluster::next_minor_block(&self->cluster_, shard(chain));
        done = true;
      } catch (const boost::system::system_error&) { // a link, a deadline
      } catch (const Refused&) { // a list could not be sent
      } catch (const std::out_of_range&) { // the slave is not connected
      }
      ++(done ? self->report_.minor_blocks : self->report_.minor_blocks_failed);
    }
  }

  static awaitable<void> confirm(Run* self) {
    while (!self->ending_) {
      co_await sleep_for(self->some_time(2000, 8000));
      const bool forks = self->random_.one_in(5);
      bool done = false;
      try {
        if (forks) {
          co_await fork(self);
        } else {
          co_await SimCluster::next_root_block(&self->cluster_);
        }
        done = true;
      } catch (const boost::system::system_error&) {
      } catch (const Refused& refused) {
        self->log(std::string("a root block was refused: ") + refused.what());
      } catch (const std::out_of_range&) {}
      ++(done ? self->report_.root_blocks : self->report_.root_blocks_failed);
    }
  }

  /// Two root blocks beside the tip: the chain of the second is the heavier one.
  static awaitable<void> fork(Run* self) {
    SimCluster& cluster = self->cluster_;
    Hash256 parent = cluster.chain->tip().header.hash_prev_block;
    if (cluster.chain->tip().header.height == 0) parent = hash_of(cluster.chain->tip().header);
    Address other;
    other.full_shard_key = no_chain + static_cast<std::uint32_t>(self->random_.below(1000));
    const std::vector<HeadersInfo> none;
    for (int i = 0; i < 2; ++i) {
      const RootBlock block = cluster.chain->next_block(parent, none, other);
      co_await cluster.master->add_root_block(block);
      cluster.chain->add(block);
      parent = hash_of(block.header);
    }
  }

  static awaitable<void> transact(Run* self) {
    while (!self->ending_) {
      co_await sleep_for(self->some_time(100, 2000));
      Transfer transfer;
      transfer.from = self->random_.below(chains());
      transfer.to = self->random_.below(chains());
      transfer.value = self->random_.between(1, 1000000);
      transfer.recipient = recipient(++self->salt_);
      const Signer signer(static_cast<std::uint8_t>(self->random_.between(1, signers_count)));
      try {
        const std::uint64_t nonce = co_await nonce_of(self, transfer.from, signer.address);
        TypedTransaction transaction = signed_by(signer, transfer, nonce);
        self->transfers_[hash_of(transaction)] = transfer;
        co_await self->cluster_.master->add_transaction(std::move(transaction));
      } catch (const boost::system::system_error&) {
      } catch (const Refused&) {
      } catch (const std::out_of_range&) {}
    }
  }

  /// Of value that is asked to go from one shard to another: to an account that nobody else knows.
  struct Transfer {
    std::size_t from = 0; // chains
    std::size_t to = 0;
    std::uint64_t value = 0;
    Recipient recipient;
  };
  static Recipient recipient(std::uint64_t salt) {
    const Hash256 hash = keccak256(bytes_of(std::to_string(salt)));
    return *Recipient::from_bytes(std::span<const std::byte>(hash.bytes).last(Recipient::size));
  }
  static TypedTransaction signed_by(const Signer& signer, const Transfer& transfer, std::uint64_t nonce) {
    EvmTransaction tx;
    tx.nonce = BigUint(nonce);
    tx.startgas = BigUint(100000);
    tx.to = transfer.recipient;
    tx.value = BigUint(transfer.value);
    tx.network_id = BigUint(3);
    tx.from_full_shard_key = static_cast<std::uint32_t>(transfer.from << 16);
    tx.to_full_shard_key = static_cast<std::uint32_t>(transfer.to << 16);
    tx.gas_token_id = tx.transfer_token_id = token_id("QKC").value();
    return signer.sign(tx).typed();
  }
  static awaitable<std::uint64_t> nonce_of(Run* self, std::size_t chain, Recipient who) {
    GetAccountDataRequest request;
    request.address.recipient = who;
    const SlaveClient slave = self->cluster_.master->slave_of(shard(chain));
    const GetAccountDataResponse reply = co_await slave.ask(request);
    if (reply.account_branch_data_list.empty()) throw Refused(Refusal::failed, "the shard is not there yet");
    co_return reply.account_branch_data_list.front().transaction_count.to_u64().value();
  }

  std::string some_host(bool master_too) {
    const std::uint64_t i = random_.below(slaves_count + (master_too ? 1 : 0));
    return i == slaves_count ? std::string("M") : fmt::format("S{}", i);
  }

  static awaitable<void> strike(Run* self) {
    while (!self->ending_) {
      co_await sleep_for(self->some_time(500, 12000));
      if (self->ending_) co_return;
      ++self->report_.faults;
      const std::string one = self->some_host(false);
      std::string other = self->some_host(true);
      while (other == one) other = self->some_host(true);
      switch (self->random_.below(6)) {
        case 0:
        case 1: self->world_.reset(one, other); break;
        case 2:
          self->world_.partition(one, other);
          self->log("partition " + one + " " + other);
          co_await sleep_for(self->some_time(100, 30000));
          self->world_.heal(one, other);
          break;
        case 3: self->world_.stall(one, other, self->some_time(100, 15000)); break;
        case 4:
          // Silent from now on, and nobody is told. Between slaves only: a master that hears nothing waits for ever,
          // as its protocol wants it.
          if (other != "M") self->world_.lose_one_way(one, other);
          break;
        default:
          ++self->report_.crashes;
          self->log("crash " + one);
          self->world_.crash(one, sim::Crash::reset);
          co_await sleep_for(self->some_time(10, 10000));
          self->log("restart " + one);
          self->world_.restart(one);
          break;
      }
    }
  }

  /// Boots what the master has lost.
  static awaitable<void> tend(Run* self, std::size_t i) {
    const std::string id = self->cluster_.slaves[i].id;
    while (!self->tended_) {
      co_await sleep_for(1s);
      if (self->is_connected(id)) continue;
      try {
        co_await self->cluster_.master->boot_slave(id);
        ++self->report_.boots;
      } catch (const std::exception& failure) {
        self->log("boot of " + id + " failed: " + failure.what());
        self->close(id);
      }
    }
  }
  bool is_connected(const std::string& id) const {
    for (const auto& [name, client] : cluster_.master->slaves())
      if (name == id) return true;
    return false;
  }
  /// What was half booted is begun again.
  void close(const std::string& id) {
    for (const auto& [name, client] : cluster_.master->slaves())
      if (name == id) client.circuit()->close(End(error::trunk_lost, "to be booted again"));
  }

  void crashed(std::size_t i) {
    SimCluster::Slave& slave = cluster_.slaves[i];
    if (slave.node) count_up(slave);
    slave.node.reset();
  }
  void count_up(const SimCluster::Slave& slave) {
    report_.redials += slave.node->connections().slaves().counters().redials;
  }

  static awaitable<void> play(Run* self) {
    SimCluster& cluster = self->cluster_;
    sim::World& world = self->world_;
    sim::LinkOptions link;
    link.delay = std::chrono::microseconds(self->random_.magnitude(20'000));
    link.jitter = std::chrono::microseconds(self->random_.magnitude(20'000));
    for (std::size_t a = 0; a <= slaves_count; ++a)
      for (std::size_t b = 0; b < a; ++b)
        world.set_link(a == slaves_count ? "M" : fmt::format("S{}", a), fmt::format("S{}", b), link);
    if (self->options_.bug == PlantedBug::unwritten)
      for (SimCluster::Slave& slave : cluster.slaves)
        slave.wrap = [](std::shared_ptr<Store> store) { return std::make_shared<ForgetfulStore>(std::move(store)); };
    co_await cluster.boot();
    self->money_at_first_ = self->money();
    for (std::size_t i = 0; i < slaves_count; ++i) {
      world.on_crash(fmt::format("S{}", i), [self, i] { self->crashed(i); });
      world.on_restart(fmt::format("S{}", i), [self, i] { self->cluster_.start_slave(i); });
    }

    Tasks tasks(world.executor(), [self](std::exception_ptr failure) {
      try {
        std::rethrow_exception(failure);
      } catch (const std::exception& thrown) {
        self->violate(std::string("a driver ended with: ") + thrown.what());
      }
    });
    Tasks tenders(world.executor());
    for (std::size_t i = 0; i < chains(); ++i) tasks.spawn(grow(self, i));
    for (std::size_t i = 0; i < slaves_count; ++i) tenders.spawn(tend(self, i));
    tasks.spawn(confirm(self));
    tasks.spawn(transact(self));
    tasks.spawn(strike(self));
    co_await sleep_for(std::chrono::seconds(self->options_.seconds));
    self->ending_ = true;
    co_await tasks.join();
    world.calm();
    co_await check(self);
    self->tended_ = true;
    tenders.cancel();
    co_await tenders.join();
    for (SimCluster::Slave& slave : cluster.slaves)
      if (slave.node) self->count_up(slave);
    co_await cluster.stop();
  }

  static awaitable<void> check(Run* self) {
    SimCluster& cluster = self->cluster_;
    // What is silent, or away, is found out by its deadlines.
    std::string last;
    bool well = false;
    const int attempts = self->options_.bug == PlantedBug::none ? 60 : 3; // it will not get well
    for (int attempt = 0; attempt < attempts && !well; ++attempt) {
      co_await sleep_for(5s);
      try {
        for (std::size_t chain = 0; chain < chains(); ++chain) {
          const Hash256 block = co_await SimCluster::next_minor_block(&cluster, shard(chain));
          const auto tip = cluster.slaves[chain].shards->tip_of(shard(chain));
          if (!tip || hash_of(tip->header) != block) throw std::runtime_error("a new block is not the tip");
        }
        const RootBlock block = co_await SimCluster::next_root_block(&cluster);
        if (block.minor_block_header_list.empty()) throw std::runtime_error("a root block without minor blocks");
        // One that reached only some slaves leaves those on it, as heavy as what the master has made instead: the next
        // one on top ends that.
        co_await SimCluster::next_root_block(&cluster);
        well = true;
      } catch (const std::exception& failure) {
        last = failure.what();
      }
    }
    if (!well) self->violate("the healed cluster does not go on: " + last);
    if (well) co_await settle(self);
    for (const auto& [key, deposits] : self->acknowledged_) {
      ++self->report_.lists;
      self->report_.deposits += deposits;
      self->check_list(key.first, key.second, deposits, "an acknowledged list");
    }
    for (std::size_t chain = 0; chain < chains(); ++chain) co_await check_chain(self, chain);
    const Hash256 tip = hash_of(cluster.chain->tip().header);
    for (std::size_t chain = 0; well && chain < chains(); ++chain) {
      const SimCluster::Slave& slave = cluster.slaves[chain];
      const std::optional<RootBlockHeader> root = slave.shards->root_tip_of(shard(chain));
      if (hash_of(root.value()) != tip)
        self->violate(fmt::format("{} is at root block {}, the master at {}", slave.id, root->height,
                                  cluster.chain->tip().header.height));
      const std::string differs = twin_differs(cluster.config.quarkchain, shard(chain),
                                               *slave.shard_stores_open.at(shard(chain)), hash_of(*root));
      if (!differs.empty()) self->violate(fmt::format("a twin of {}: {}", shard_text(shard(chain)), differs));
    }
    if (well && self->options_.bug == PlantedBug::none) co_await check_money(self);
  }

  /// Until all that crosses has arrived: the transactions that wait, their deposits, and nothing more.
  static awaitable<void> settle(Run* self) {
    try {
      for (int round = 0; round < 3; ++round) {
        for (std::size_t chain = 0; chain < chains(); ++chain)
          (void)co_await SimCluster::next_minor_block(&self->cluster_, shard(chain));
        (void)co_await SimCluster::next_root_block(&self->cluster_);
      }
      for (std::size_t chain = 0; chain < chains(); ++chain)
        (void)co_await SimCluster::next_minor_block(&self->cluster_, shard(chain));
    } catch (const std::exception& failure) {
      self->violate(std::string("what crosses shards does not arrive: ") + failure.what());
    }
  }

  BigUint money() const {
    BigUint all;
    for (std::size_t chain = 0; chain < chains(); ++chain)
      all = all + cluster_.slaves[chain].shards->total_balance_of(shard(chain)).value();
    return all;
  }

  /// Gas is free here, and root blocks pay nobody: what miners earn is all that is made.
  static awaitable<void> check_money(Run* self) {
    BigUint expected = self->money_at_first_;
    std::map<Hash256, Transfer> canonical;
    for (std::size_t chain = 0; chain < chains(); ++chain) {
      ShardBackend& shards = *self->cluster_.slaves[chain].shards;
      const std::uint64_t height = shards.tip_of(shard(chain))->header.height;
      for (std::uint64_t at = 1; at <= height; ++at) {
        const std::optional<MinorBlock> found = co_await block_at(&shards, shard(chain), at);
        if (!found) continue; // said before
        expected = expected + found->header.coinbase_amount_map.balance_map.of(token_id("QKC").value());
        for (const TypedTransaction& transaction : found->tx_list) {
          const Hash256 hash = hash_of(transaction);
          if (!canonical.emplace(hash, self->transfers_.at(hash)).second)
            self->violate(fmt::format("transaction {} is in two blocks", hash.hex()));
        }
        CheckMinorBlockRequest again;
        again.minor_block_header = found->header;
        std::string wrong;
        try {
          (void)co_await shards.on(std::move(again));
        } catch (const Refused& refused) {
          wrong = refused.what();
        }
        if (!wrong.empty()) self->violate(wrong);
      }
    }
    const BigUint seen = self->money();
    if (seen != expected)
      self->violate(fmt::format("there is {} in all shards, expected {}", seen.to_decimal(), expected.to_decimal()));
    for (const auto& [hash, transfer] : self->transfers_) {
      GetAccountDataRequest request;
      request.address.recipient = transfer.recipient;
      const GetAccountDataResponse reply = co_await self->cluster_.slaves[transfer.to].shards->on(std::move(request));
      const BigUint has = reply.account_branch_data_list.front().token_balances.balance_map.of(token_id("QKC").value());
      const BigUint due(canonical.contains(hash) ? transfer.value : 0);
      if (has != due)
        self->violate(fmt::format("transfer {} from {} to {}: expected {} there, seen {}", hash.hex(),
                                  shard_text(shard(transfer.from)), shard_text(shard(transfer.to)), due.to_decimal(),
                                  has.to_decimal()));
    }
    self->report_.transfers += canonical.size();
  }

  void check_list(std::uint32_t branch, const Hash256& block, std::optional<std::size_t> deposits, const char* what) {
    ++report_.lists_checked;
    const SimCluster::Slave& slave = cluster_.slaves[(branch >> 16) % slaves_count];
    const std::optional<std::size_t> list = deposits_kept(*slave.shard_stores_open.at(branch), block);
    if (!list) return violate(fmt::format("{} of minor block {} is not at {}", what, block.hex(), shard_text(branch)));
    if (deposits && *list != *deposits)
      violate(fmt::format("{} of minor block {} has {} deposits at {}, expected {}", what, block.hex(), *list,
                          shard_text(branch), *deposits));
  }

  static awaitable<std::optional<MinorBlock>> block_at(Backend* shards, std::uint32_t branch, std::uint64_t height) {
    GetMinorBlockRequest request;
    request.branch.value = branch;
    request.height = height;
    std::optional<MinorBlock> block;
    try {
      GetMinorBlockResponse reply = co_await shards->on(std::move(request));
      block = std::move(reply.minor_block);
    } catch (const NotFound&) { // nothing
    }
    co_return block;
  }

  /// Each block of the best chain but genesis has its lists everywhere.
  static awaitable<void> check_chain(Run* self, std::size_t chain) {
    ShardBackend& shards = *self->cluster_.slaves[chain].shards;
    const std::uint64_t height = shards.tip_of(shard(chain))->header.height;
    for (std::uint64_t at = 1; at <= height; ++at) {
      const std::optional<MinorBlock> found = co_await block_at(&shards, shard(chain), at);
      if (!found) {
        self->violate(fmt::format("there is no block {} of {}", at, shard_text(shard(chain))));
        continue;
      }
      if (found->header.hash_prev_root_block == hash_of(self->cluster_.chain->genesis_block().header))
        continue; // no shard had begun before that root block
      for (std::size_t other = 0; other < chains(); ++other)
        if (other != chain) self->check_list(shard(other), hash_of(found->header), {}, "the list");
    }
  }

  const ClusterRunOptions& options_;
  ClusterRunReport report_;
  sim::World world_;
  sim::Random random_;
  std::map<std::pair<std::uint32_t, Hash256>, std::size_t> acknowledged_; // by branch and block: deposits
  std::map<Hash256, Transfer> transfers_; // that were ever signed, by transaction
  BigUint money_at_first_;
  std::uint64_t salt_ = 0;
  bool ending_ = false;
  bool tended_ = false;
  SimCluster cluster_; // goes first
};

} // namespace

std::optional<PlantedBug> parse_planted_bug(std::string_view name) {
  const std::vector<std::string> names = planted_bug_names();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<PlantedBug>(i);
  return std::nullopt;
}

std::vector<std::string> planted_bug_names() { return {"none", "forget", "unwritten"}; }

void ClusterRunReport::add(const ClusterRunReport& other) {
  violations_count += other.violations_count;
  minor_blocks += other.minor_blocks;
  minor_blocks_failed += other.minor_blocks_failed;
  root_blocks += other.root_blocks;
  root_blocks_failed += other.root_blocks_failed;
  root_switches += other.root_switches;
  lists += other.lists;
  deposits += other.deposits;
  boots += other.boots;
  redials += other.redials;
  faults += other.faults;
  crashes += other.crashes;
  lists_checked += other.lists_checked;
  transfers += other.transfers;
}

ClusterRunReport simulate_cluster(const ClusterRunOptions& options) { return Run(options).run(); }

} // namespace trunkline::quarkchain::test
