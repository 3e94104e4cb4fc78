// Whole masters and slaves in a simulated world, with the embedded backends. What a node keeps outlives it: a host that
// restarts makes a new node on the same store.
#pragma once

#include "async/within.hpp"
#include "services/quarkchain/chain/evm_transaction.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/keccak.hpp"
#include "services/quarkchain/ledger/ledger.hpp"
#include "services/quarkchain/master/master_node.hpp"
#include "services/quarkchain/ledger/root_chain.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/shards/shard_backend.hpp"
#include "services/quarkchain/slave/slave_node.hpp"
#include "tests/services/quarkchain/kept_store.hpp"
#include "tests/support/log_lines.hpp"
#include "transport/sim/world.hpp"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain::test {

using trunkline::test::LogLines;

using namespace std::chrono_literals;

/// `chains` chains of one shard each, chain i at slave i modulo `slaves`. The first chain has an account with code and
/// storage.
/// `alloc`: accounts of a chain in its genesis, as JSON members; `network`: members of QUARKCHAIN.
inline ClusterConfig cluster_config(std::size_t slaves, std::size_t chains, std::uint32_t root_height_of_last = 0,
                                    const std::function<std::string(std::size_t chain)>& alloc_of = {},
                                    const std::string& network = {}) {
  std::string chain_texts;
  for (std::size_t i = 0; i < chains; ++i) {
    const std::string alloc = alloc_of ? fmt::format("\"ALLOC\": {{{}}},", alloc_of(i))
                              : i == 0 ? R"("ALLOC": {"0000000000000000000000000000000000000003000000ff":
                   {"balances": {"QKC": 1000, "QI": 7}, "code": "0x6001", "storage": {"0x12": "0x0345"}}},)"
                                       : std::string();
    chain_texts += fmt::format(R"({}{{"CHAIN_ID": {}, "SHARD_SIZE": 1, "CONSENSUS_TYPE": "POW_SIMULATE",
      "CONSENSUS_CONFIG": {{"TARGET_BLOCK_TIME": 10}}, "GENESIS": {{{} "ROOT_HEIGHT": {}}}, "POSW_CONFIG": {{}}}})",
                               i == 0 ? "" : ",", i, alloc, i + 1 == chains ? root_height_of_last : 0);
  }
  std::string slave_texts;
  for (std::size_t i = 0; i < slaves; ++i) {
    std::string shards;
    for (std::size_t chain = i; chain < chains; chain += slaves)
      shards += fmt::format("{}\"0x{:08x}\"", shards.empty() ? "" : ", ", chain << 16 | 1);
    slave_texts += fmt::format(R"({}{{"HOST": "s{}", "PORT": {}, "ID": "S{}", "FULL_SHARD_ID_LIST": [{}]}})",
                               i == 0 ? "" : ",", i, 38000 + i, i, shards);
  }
  return ClusterConfig::parse(fmt::format(
      R"({{"DB_PATH_ROOT": "", "ENABLE_TRANSACTION_HISTORY": true, "QUARKCHAIN": {{"CHAIN_SIZE": {}, "NETWORK_ID": 3,
        "ROOT": {{"CONSENSUS_TYPE": "POW_SIMULATE", "CONSENSUS_CONFIG": {{"TARGET_BLOCK_TIME": 60}}, "GENESIS": {{}},
                  "POSW_CONFIG": {{}}}}, "CHAINS": [{}]{}}},
        "MASTER": {{"MASTER_TO_SLAVE_CONNECT_RETRY_DELAY": 0.5}}, "SLAVE_LIST": [{}],
        "SIMPLE_NETWORK": {{"BOOTSTRAP_HOST": "127.0.0.1", "BOOTSTRAP_PORT": 38291}}, "MONITORING": {{}}}})",
      chains, chain_texts, network.empty() ? network : ", " + network, slave_texts));
}

/// A transaction whose signature is by somebody: who, only `sender` knows.
inline TypedTransaction some_transaction(std::uint32_t from_key, std::uint32_t to_key, std::uint64_t salt,
                                         std::uint64_t nonce = 0) {
  EvmTransaction inside;
  inside.nonce = BigUint(nonce);
  inside.gasprice = BigUint(1000000000);
  inside.startgas = BigUint(100000);
  inside.to = Recipient();
  inside.to->bytes[19] = std::byte{9};
  inside.value = BigUint(salt);
  inside.network_id = BigUint(3);
  inside.from_full_shard_key = from_key;
  inside.to_full_shard_key = to_key;
  inside.gas_token_id = inside.transfer_token_id = 35760;
  inside.v = BigUint(27);
  inside.s = BigUint(salt + 1);
  for (std::uint64_t i = 0;; ++i) { // every second number is a point of the curve
    const Hash256 r = keccak256(bytes_of(fmt::format("{} {}", salt, i)));
    inside.r = *BigUint::from_bytes(r);
    try {
      (void)inside.sender();
      return inside.typed();
    } catch (const TransactionFailure&) { // the next one
    }
  }
}

/// The hosts S0, S1 ... and M of one cluster, with a prefix where there are several.
class SimCluster {
 public:
  using TweakSlave = std::function<void(SlaveNodeOptions&, std::shared_ptr<Backend>&)>;
  using TweakMaster = std::function<void(MasterNodeOptions&)>;

  struct Slave {
    std::string id;
    std::shared_ptr<Store> store = make_memory_store();
    std::function<std::shared_ptr<Store>(std::shared_ptr<Store>)> wrap; // of the store, anew for each process
    std::shared_ptr<Ledger> ledger; // of the node, or of the last one
    std::map<std::uint32_t, std::shared_ptr<Store>> shard_stores;
    std::map<std::uint32_t, std::shared_ptr<Store>> shard_stores_open; // the same as the process sees them
    std::shared_ptr<ShardBackend> shards; // in the ledger's place, see checks
    std::unique_ptr<SlaveNode> node; // null while it is down
  };

  SimCluster(sim::World& of, ClusterConfig with, TweakSlave tweak_slave = {}, TweakMaster tweak_master = {},
             std::string with_prefix = {})
      : world(of), prefix(std::move(with_prefix)), config(std::move(with)), tweak_slave_(std::move(tweak_slave)),
        tweak_master_(std::move(tweak_master)) {
    for (const SlaveConfig& slave : config.slave_list) {
      slaves.emplace_back();
      slaves.back().id = slave.id;
    }
  }

  std::uint64_t unix_time() const {
    return 1700000000 +
           static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(world.elapsed()).count());
  }
  void start_slave(std::size_t i) {
    Slave& slave = slaves.at(i);
    SlaveNodeOptions options = SlaveNodeOptions::of(config, slave.id);
    options.address = "sim://" + prefix + slave.id;
    options.address_of = [this](const SlaveInfo& info) { return "sim://" + prefix + info.id; };
    options.connections.media["sim"] = world.medium(prefix + slave.id);
    options.connections.log = sink(slave.id);
    std::shared_ptr<Backend> backend;
    if (checks) backend = slave.shards = shards_of(slave);
    else backend = slave.ledger = ledger_of(slave);
    if (tweak_slave_) tweak_slave_(options, backend);
    slave.node = std::make_unique<SlaveNode>(world.executor(), std::move(options), std::move(backend));
    slave.node->listen();
  }
  void start_slaves() {
    for (std::size_t i = 0; i < slaves.size(); ++i) start_slave(i);
  }
  void start_master() {
    MasterNodeOptions options = MasterNodeOptions::of(config);
    options.address_of = [this](const SlaveConfig& slave) { return "sim://" + prefix + slave.id; };
    options.connections.media["sim"] = world.medium(prefix + "M");
    options.connections.log = sink("M");
    if (tweak_master_) tweak_master_(options);
    chain = std::make_shared<RootChain>(config.quarkchain, std::make_unique<KeptStore>(master_store), sink("M"),
                                        [this] { return unix_time(); });
    master = std::make_unique<MasterNode>(world.executor(), std::move(options), chain);
  }
  awaitable<void> boot() {
    start_slaves();
    start_master();
    return master->boot();
  }
  /// Asks all slaves for their headers, makes a root block of them and gives it to all, ourselves last.
  static awaitable<RootBlock> next_root_block(SimCluster* self) {
    const std::vector<HeadersInfo> headers = co_await self->master->get_unconfirmed_headers();
    RootBlock block = self->chain->next_block(hash_of(self->chain->tip().header), headers, self->root_coinbase);
    co_await self->master->add_root_block(block);
    self->chain->add(block);
    co_return block;
  }
  /// Asks a slave for the next block of a shard and gives it back as if it had been mined.
  static awaitable<Hash256> next_minor_block(SimCluster* self, std::uint32_t branch) {
    const SlaveClient slave = self->master->slave_of(branch);
    GetNextBlockToMineRequest next;
    next.branch.value = branch;
    const GetNextBlockToMineResponse made = co_await slave.ask(next);
    AddMinorBlockRequest mined;
    mined.minor_block_data = encoded(made.block).text();
    (void)co_await slave.ask(mined);
    co_return hash_of(made.block.header);
  }
  awaitable<void> stop() { return stop_all(this); }

  sim::World& world;
  std::string prefix;
  bool checks = false; // slaves have shards that check what they are told, and not the embedded ledger
  Address root_coinbase; // of next_root_block
  ClusterConfig config;
  std::vector<Slave> slaves;
  std::shared_ptr<Store> master_store = make_memory_store();
  std::shared_ptr<RootChain> chain;
  std::unique_ptr<MasterNode> master;
  LogLines log; // of all nodes

 private:
  LogSink sink(std::string who) {
    return log.sink([this, who = std::move(who)] {
      return fmt::format("{} {}", std::chrono::duration_cast<std::chrono::milliseconds>(world.elapsed()).count(), who);
    });
  }
  std::shared_ptr<Ledger> ledger_of(Slave& slave) {
    LedgerOptions ledger = LedgerOptions::of(config, slave.id);
    ledger.unix_time = [this] { return unix_time(); };
    ledger.log = sink(slave.id);
    return make_ledger(std::move(ledger),
                       std::make_unique<KeptStore>(slave.wrap ? slave.wrap(slave.store) : slave.store));
  }
  std::shared_ptr<ShardBackend> shards_of(Slave& slave) {
    ShardBackendOptions shards = ShardBackendOptions::of(config, slave.id);
    shards.unix_time = [this] { return unix_time(); };
    shards.random = [this] { return ++random_; };
    shards.log = sink(slave.id);
    shards.open_store = [&slave](std::uint32_t id) {
      std::shared_ptr<Store>& store = slave.shard_stores[id];
      if (!store) store = make_memory_store();
      slave.shard_stores_open[id] = slave.wrap ? slave.wrap(store) : store;
      return std::make_unique<KeptStore>(slave.shard_stores_open[id]);
    };
    return make_shard_backend(std::move(shards));
  }
  static awaitable<void> stop_all(SimCluster* self) {
    if (self->master) co_await self->master->stop(Duration::zero());
    for (Slave& slave : self->slaves)
      if (slave.node) co_await slave.node->stop(Duration::zero());
  }

  TweakSlave tweak_slave_;
  TweakMaster tweak_master_;
  std::uint64_t random_ = 0;
};

} // namespace trunkline::quarkchain::test
