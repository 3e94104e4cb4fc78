// One scenario for all services, over the cluster framing and over a native trunk, dialled from either side: every
// method of the typed clients is called, with messages of the golden vectors, and what the services' backends saw and
// the callers got is written down. It must be the same each time.
//
//   here   a master: MasterService, and SlaveClient; also the peer of a shard
//   there  a slave: SlaveService, XshardService, PeerShardService, and MasterClient
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/json_codec.hpp"
#include "services/quarkchain/chain/keccak.hpp"
#include "services/quarkchain/slave/master_client.hpp"
#include "services/quarkchain/master/master_service.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "services/quarkchain/slave/peer_shard_client.hpp"
#include "services/quarkchain/slave/peer_shard_service.hpp"
#include "services/quarkchain/master/slave_client.hpp"
#include "services/quarkchain/slave/slave_service.hpp"
#include "services/quarkchain/slave/xshard_client.hpp"
#include "services/quarkchain/slave/xshard_service.hpp"
#include "tests/services/quarkchain/rpc/both_dialects.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <doctest/doctest.h>

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <set>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;
using namespace std::chrono_literals;

namespace {

/// A message or structure of the vectors: the n-th of its type.
template <class T> T sample(std::size_t n = 0) {
  for (const trunkline::test::Sample& each : trunkline::test::samples())
    if (each.type == T::type_name && n-- == 0) return decoded<T>(each.bytes);
  throw std::logic_error(std::string("no sample of ") + T::type_name);
}

template <class T> std::string show(const T& value) {
  std::string text;
  append_json(text, value);
  if (text.size() > 200) text = fmt::format("{}... {} bytes", text.substr(0, 120), encoded_bytes(value));
  return text;
}
template <class T> std::string show(const std::vector<T>& values) {
  std::string text;
  for (const T& value : values) text += (text.empty() ? "" : ", ") + show(value);
  return "[" + text + "]";
}
std::string show(const Hash256& hash) { return hash.hex().substr(0, 8); }
std::string show(const std::optional<std::uint64_t>& number) { return number ? std::to_string(*number) : "none"; }

/// A backend that implements everything: notes what it was asked, and answers with the vectors.
class NotingBackend final : public Backend {
 public:
  explicit NotingBackend(std::vector<std::string>& seen) : seen_(seen) {}

  std::vector<std::uint32_t> shards() const override { return {0x10001}; }
  awaitable<void> create_shards(RootBlock tip) override {
    note("create_shards {}", show(tip.header));
    co_return;
  }
  awaitable<bool> add_root_block(RootBlock block) override {
    note("add_root_block {}", show(block));
    co_return true;
  }
  awaitable<std::vector<EcoInfo>> get_eco_info_list() override {
    note("get_eco_info_list");
    co_return std::vector<EcoInfo>(2, sample<EcoInfo>());
  }
  awaitable<MinorBlock> get_next_block_to_mine(std::uint32_t branch, Address coinbase,
                                               ArtificialTxConfig artificial) override {
    note("get_next_block_to_mine {} {} {}", branch, show(coinbase), show(artificial));
    co_return sample<MinorBlock>();
  }
  awaitable<std::vector<HeadersInfo>> get_unconfirmed_headers() override {
    note("get_unconfirmed_headers");
    co_return std::vector<HeadersInfo>(1, sample<HeadersInfo>());
  }
  awaitable<std::vector<AccountBranchData>> get_account_data(Address address,
                                                             std::optional<std::uint64_t> height) override {
    note("get_account_data {} {}", show(address), show(height));
    co_return std::vector<AccountBranchData>(1, sample<AccountBranchData>());
  }
  awaitable<void> add_transaction(TypedTransaction transaction) override {
    note("add_transaction {}", show(transaction));
    if (transaction.tx.serialized_tx.empty()) throw Refused(Refusal::failed, "empty");
    co_return;
  }
  awaitable<SyncedBlocks> sync_minor_block_list(PeerShard from, std::vector<Hash256> hashes) override {
    note("sync_minor_block_list {} {} {}", from.branch, from.cluster_peer_id, hashes.size());
    SyncedBlocks synced;
    for (const Hash256& hash : hashes) synced.coinbase[hash] = sample<TokenBalanceMap>();
    synced.stats = sample<ShardStats>();
    co_return synced;
  }
  awaitable<void> add_minor_block(MinorBlock block) override {
    note("add_minor_block {}", show(block));
    co_return;
  }
  awaitable<std::optional<FoundMinorBlock>> get_minor_block(std::uint32_t branch, Hash256 hash, bool extra) override {
    note("get_minor_block {} {} {}", branch, show(hash), extra);
    std::optional<FoundMinorBlock> found;
    if (branch == 1) {
      found.emplace();
      found->block = sample<MinorBlock>();
      found->extra_info = sample<MinorBlockExtraInfo>();
    }
    co_return found;
  }
  awaitable<std::optional<FoundMinorBlock>> get_minor_block_at(std::uint32_t branch, std::uint64_t height,
                                                               bool extra) override {
    note("get_minor_block_at {} {} {}", branch, height, extra);
    co_return std::nullopt;
  }
  awaitable<std::optional<FoundTransaction>> get_transaction(std::uint32_t branch, Hash256 hash) override {
    note("get_transaction {} {}", branch, show(hash));
    std::optional<FoundTransaction> found;
    found.emplace();
    found->block = sample<MinorBlock>();
    found->index = 3;
    co_return found;
  }
  awaitable<std::string> execute_transaction(TypedTransaction transaction, Address from,
                                             std::optional<std::uint64_t> height) override {
    note("execute_transaction {} {} {}", show(transaction), show(from), show(height));
    co_return "executed";
  }
  awaitable<std::optional<FoundReceipt>> get_transaction_receipt(std::uint32_t branch, Hash256 hash) override {
    note("get_transaction_receipt {} {}", branch, show(hash));
    std::optional<FoundReceipt> found;
    found.emplace();
    found->block = sample<MinorBlock>();
    found->receipt = sample<TransactionReceipt>();
    co_return found;
  }
  awaitable<void> mine(ArtificialTxConfig artificial, bool mining) override {
    note("mine {} {}", show(artificial), mining);
    co_return;
  }
  awaitable<void> gen_tx(std::uint32_t per_shard, std::uint32_t percent, TypedTransaction like) override {
    note("gen_tx {} {} {}", per_shard, percent, show(like));
    co_return;
  }
  awaitable<TransactionPage> get_transaction_list_by_address(Address address, std::optional<std::uint64_t> token,
                                                             std::string start, std::uint32_t limit) override {
    note("get_transaction_list_by_address {} {} {} {}", show(address), show(token), start, limit);
    co_return page();
  }
  awaitable<TransactionPage> get_all_transactions(std::uint32_t branch, std::string start,
                                                  std::uint32_t limit) override {
    note("get_all_transactions {} {} {}", branch, start, limit);
    co_return page();
  }
  awaitable<std::vector<Log>> get_log(LogQuery query) override {
    note("get_log {} {} {} {} {}", query.branch, query.addresses.size(), query.topics.size(), query.start_block,
         query.end_block);
    co_return std::vector<Log>(1, sample<Log>());
  }
  awaitable<std::uint32_t> estimate_gas(TypedTransaction transaction, Address from) override {
    note("estimate_gas {} {}", show(transaction), show(from));
    co_return 21000u;
  }
  awaitable<Hash256> get_storage(Address address, Uint256 key, std::optional<std::uint64_t> height) override {
    note("get_storage {} {} {}", show(address), key.to_decimal(), show(height));
    co_return Hash256();
  }
  awaitable<std::string> get_code(Address address, std::optional<std::uint64_t> height) override {
    note("get_code {} {}", show(address), show(height));
    co_return "code";
  }
  awaitable<std::uint64_t> gas_price(std::uint32_t branch, std::uint64_t token) override {
    note("gas_price {} {}", branch, token);
    co_return 1000000000u;
  }
  awaitable<Work> get_work(std::uint32_t branch, std::optional<Address> coinbase) override {
    note("get_work {} {}", branch, coinbase ? show(*coinbase) : "none");
    Work work;
    work.height = 9;
    work.difficulty = BigUint(10);
    co_return work;
  }
  awaitable<bool> submit_work(Solution solution) override {
    note("submit_work {} {} {} {} {}", solution.branch, show(solution.header_hash), solution.nonce,
         show(solution.mixhash), solution.signature.has_value());
    co_return true;
  }
  awaitable<void> check_minor_block(MinorBlockHeader header) override {
    note("check_minor_block {}", show(header));
    throw Refused(Refusal::bad_message, "as told");
    co_return;
  }
  awaitable<Stakes> get_root_chain_stakes(Address address, Hash256 hash) override {
    note("get_root_chain_stakes {} {}", show(address), show(hash));
    Stakes stakes;
    stakes.stakes = BigUint(77);
    co_return stakes;
  }
  awaitable<BalancePage> get_total_balance(BalanceQuery query) override {
    note("get_total_balance {} {} {} {}", query.branch, query.token_id, query.limit, query.start.has_value());
    BalancePage page;
    page.total_balance = BigUint(123);
    page.next.assign(32, 'n');
    co_return page;
  }
  awaitable<void> add_xshard_tx_list(XshardList list) override {
    note("add_xshard_tx_list {} {} {}", list.branch, show(list.minor_block_hash), list.list.tx_list.size());
    if (list.branch == 99) throw Refused(Refusal::not_found, "not run here");
    co_return;
  }
  awaitable<void> on_new_minor_block_header(PeerShard from, RootBlockHeader root, MinorBlockHeader tip) override {
    note("on_new_minor_block_header {}/{} {} {}", from.branch, from.cluster_peer_id, show(root), show(tip));
    co_return;
  }
  awaitable<void> on_new_transaction_list(PeerShard from, std::vector<TypedTransaction> transactions) override {
    note("on_new_transaction_list {}/{} {}", from.branch, from.cluster_peer_id, transactions.size());
    co_return;
  }
  awaitable<void> on_new_block_minor(PeerShard from, MinorBlock block) override {
    note("on_new_block_minor {}/{} {}", from.branch, from.cluster_peer_id, show(block));
    co_return;
  }
  awaitable<std::vector<MinorBlock>> get_minor_block_list(std::uint32_t branch, std::vector<Hash256> hashes) override {
    note("get_minor_block_list {} {}", branch, hashes.size());
    co_return std::vector<MinorBlock>(1, sample<MinorBlock>());
  }
  awaitable<MinorHeaderPage> get_minor_block_header_list(std::uint32_t branch, HeaderQuery query) override {
    note("get_minor_block_header_list {} {} {} {} {} {}", branch, query.hash ? show(*query.hash) : "none",
         query.height.to_decimal(), query.limit, query.skip, query.towards_tip);
    MinorHeaderPage page;
    page.headers.push_back(sample<MinorBlockHeader>());
    co_return page;
  }

 private:
  static TransactionPage page() {
    TransactionPage page;
    page.transactions.push_back(sample<TransactionDetail>());
    page.next = "next";
    return page;
  }
  template <class... Arguments> void note(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
    seen_.push_back(fmt::format(text, std::forward<Arguments>(arguments)...));
  }
  std::vector<std::string>& seen_;
};

class NotingMembership final : public Membership {
 public:
  explicit NotingMembership(std::vector<std::string>& seen) : seen_(seen) {}
  const SlaveIdentity& own() const override { return own_; }
  std::string address_of(const SlaveInfo& info) const override { return fmt::format("at {}:{}", info.host, info.port); }
  awaitable<std::vector<std::string>> connect(std::vector<SlaveTarget> targets) override {
    std::vector<std::string> results;
    for (const SlaveTarget& target : targets) {
      seen_.push_back(fmt::format("connect {} {}", target.identity.id, target.address));
      results.push_back(target.address.empty() ? "no address" : "");
    }
    co_return results;
  }
  bool create_peer(std::uint64_t id) override {
    seen_.push_back(fmt::format("create_peer {}", id));
    return id != 0;
  }
  void destroy_peer(std::uint64_t id) override { seen_.push_back(fmt::format("destroy_peer {}", id)); }
  void add_shard(std::uint32_t id) override { seen_.push_back(fmt::format("add_shard {:x}", id)); }
  bool identify(RpcCircuit&, SlaveIdentity identity) override {
    seen_.push_back(fmt::format("identify {} {}", identity.id, identity.full_shard_ids.size()));
    return true;
  }

 private:
  std::vector<std::string>& seen_;
  SlaveIdentity own_ = SlaveIdentity("S7", {0x10001, 0x20001});
};

class NotingRoot final : public RootBackend {
 public:
  explicit NotingRoot(std::vector<std::string>& seen) : seen_(seen) {}
  awaitable<RootBlock> root_tip() override { co_return sample<RootBlock>(); }
  awaitable<RootBlockHeader> genesis() override { co_return sample<RootBlockHeader>(); }
  awaitable<ArtificialTxConfig> add_minor_block_header(std::string, MinorBlockReport report) override {
    seen_.push_back(fmt::format("add_minor_block_header {} {} {} {}", show(report.header), report.tx_count,
                                report.x_shard_tx_count, show(report.shard_stats)));
    co_return sample<ArtificialTxConfig>();
  }
  awaitable<void> add_minor_block_header_list(std::string, std::vector<MinorBlockHeader> headers,
                                              std::vector<TokenBalanceMap> amounts) override {
    seen_.push_back(fmt::format("add_minor_block_header_list {} {}", headers.size(), amounts.size()));
    co_return;
  }

 private:
  std::vector<std::string>& seen_;
};

/// The result of a call in words.
awaitable<std::string> words(awaitable<void> call) {
  std::string text = "done";
  try {
    co_await std::move(call);
  } catch (const Refused& refused) {
    text = fmt::format("refused with {}", refused.code());
  } catch (const boost::system::system_error& failure) {
    text = failure.code().message();
  }
  co_return text;
}

awaitable<void> master_asks(const SlaveClient& slave, std::vector<std::string>& got) {
  const auto note = [&got](std::string text) { got.push_back(std::move(text)); };
  const auto address = sample<Address>();
  const auto transaction = sample<TypedTransaction>();
  const auto header = sample<MinorBlockHeader>();
  const auto block = sample<MinorBlock>();
  const auto root = sample<RootBlock>();
  const Hash256 hash = keccak256(bytes_of("a hash"));
  const ArtificialTxConfig artificial = sample<ArtificialTxConfig>();

  note(show(co_await slave.ping()));
  note(show(co_await slave.ping(root)));
  std::vector<SlaveInfo> infos(2);
  infos[0].id = "S8";
  infos[0].host = "10.0.0.8";
  infos[0].port = 38000;
  infos[1].id = "S9";
  infos[1].host = "10.0.0.9"; // no port
  const std::vector<std::string> results = co_await slave.connect_to_slaves(infos);
  note(results.at(0) + "|" + results.at(1));
  note(co_await words(slave.create_cluster_peer_connection(12345)));
  note(co_await words(slave.create_cluster_peer_connection(0)));
  co_await slave.destroy_cluster_peer_connection(12345);
  note(fmt::format("{}", co_await slave.add_root_block(root)));
  note(show(co_await slave.get_eco_info_list()));
  note(show(co_await slave.get_next_block_to_mine(1, address, artificial)));
  note(show(co_await slave.get_unconfirmed_headers()));
  note(show(co_await slave.get_account_data(address, 7)));
  note(co_await words(slave.add_transaction(transaction)));
  const TypedTransaction empty;
  note(co_await words(slave.add_transaction(empty)));
  const PeerShard peer{1, 9};
  const std::vector<Hash256> hashes(2, hash);
  const std::vector<Hash256> none;
  const SyncedBlocks synced = co_await slave.sync_minor_block_list(peer, hashes);
  note(fmt::format("{} {}", synced.coinbase.size(), synced.stats ? show(*synced.stats) : "none"));
  const SyncedBlocks nothing = co_await slave.sync_minor_block_list(peer, none);
  note(fmt::format("{} {}", nothing.coinbase.size(), nothing.stats.has_value()));
  note(co_await words(slave.add_minor_block(block)));
  const auto found = co_await slave.get_minor_block(1, hash, true);
  note(found ? show(found->block) + show(*found->extra_info) : "none");
  const auto plain = co_await slave.get_minor_block(1, hash);
  note(plain ? fmt::format("{}", plain->extra_info.has_value()) : "none");
  const auto missing = co_await slave.get_minor_block(2, hash);
  note(missing ? "found" : "none");
  const auto at_height = co_await slave.get_minor_block_at(1, 5);
  note(at_height ? "found" : "none");
  const auto located = co_await slave.get_transaction(1, hash);
  note(located ? fmt::format("{}", located->index) : "none");
  note(co_await slave.execute_transaction(transaction, address, 3));
  const auto receipt = co_await slave.get_transaction_receipt(1, hash);
  note(receipt ? show(receipt->receipt) : "none");
  note(co_await words(slave.mine(artificial, true)));
  note(co_await words(slave.gen_tx(1, 2, transaction)));
  const TransactionPage page = co_await slave.get_transaction_list_by_address(address, 35760, "from", 10);
  note(show(page.transactions) + page.next);
  const TransactionPage all = co_await slave.get_all_transactions(1, "from", 10);
  note(show(all.transactions) + all.next);
  LogQuery logs;
  logs.branch = 1;
  logs.addresses.push_back(address);
  logs.topics.resize(2);
  logs.end_block = 10;
  note(show(co_await slave.get_log(logs)));
  note(fmt::format("{}", co_await slave.estimate_gas(transaction, address)));
  const Uint256 key(5);
  note((co_await slave.get_storage(address, key)).hex());
  note(co_await slave.get_code(address));
  note(fmt::format("{}", co_await slave.gas_price(1, 35760)));
  const Work work = co_await slave.get_work(1, address);
  note(fmt::format("{} {}", work.height, work.difficulty.to_decimal()));
  Solution solution;
  solution.branch = 1;
  solution.header_hash = hash;
  solution.nonce = 6;
  note(fmt::format("{}", co_await slave.submit_work(solution)));
  note(co_await words(slave.check_minor_block(header)));
  note((co_await slave.get_root_chain_stakes(address, hash)).stakes.to_decimal());
  BalanceQuery balance;
  balance.branch = 1;
  balance.limit = 5;
  balance.start = hash;
  const BalancePage total = co_await slave.get_total_balance(balance);
  note(total.total_balance.to_decimal() + total.next);
}

awaitable<void> slave_reports(const MasterClient& master, std::vector<std::string>& got) {
  MinorBlockReport report;
  report.header = sample<MinorBlockHeader>();
  report.tx_count = 3;
  report.x_shard_tx_count = 1;
  report.shard_stats = sample<ShardStats>();
  got.push_back(show(co_await master.add_minor_block_header(report)));
  const std::vector<MinorBlockHeader> headers(2, report.header);
  const std::vector<TokenBalanceMap> amounts(2);
  got.push_back(co_await words(master.add_minor_block_header_list(headers, amounts)));
}

awaitable<void> slaves_exchange(const XshardClient& slave, std::vector<std::string>& got) {
  const SlaveIdentity own("S8", {0x30001});
  const SlaveIdentity other = co_await slave.ping(own);
  got.push_back(fmt::format("{} {}", other.id, other.full_shard_ids.size()));
  XshardList list;
  list.branch = 0x10001;
  list.list = sample<CrossShardTransactionList>();
  got.push_back(co_await words(slave.add_xshard_tx_list(list)));
  std::vector<XshardList> lists(3, list);
  lists[1].branch = 99; // the first failure ends the batch
  got.push_back(co_await words(slave.batch_add_xshard_tx_list(lists)));
}

awaitable<void> peer_talks(const PeerShardClient& peer, std::vector<std::string>& got) {
  auto header = sample<MinorBlockHeader>();
  auto block = sample<MinorBlock>();
  header.branch.value = block.header.branch.value = 0x10001;
  const auto root = sample<RootBlockHeader>();
  co_await peer.new_minor_block_header(root, header);
  const std::vector<TypedTransaction> transactions(2, sample<TypedTransaction>());
  co_await peer.new_transaction_list(transactions);
  co_await peer.new_block_minor(block);
  const std::vector<Hash256> hashes(3);
  got.push_back(show(co_await peer.get_minor_block_list(hashes)));
  HeaderQuery back;
  back.hash = header.hash_meta;
  back.limit = 100;
  got.push_back(show((co_await peer.get_minor_block_header_list(0x10001, back)).headers));
  HeaderQuery skipping;
  skipping.height = BigUint(1234567890123);
  skipping.limit = 10;
  skipping.skip = 3;
  skipping.towards_tip = true;
  got.push_back(show((co_await peer.get_minor_block_header_list(0x10001, skipping)).headers));
}

template <class Made> Transcript run_services(bool here_dials) {
  Transcript transcript;
  sim::World world(11);
  {
    const auto backend = std::make_shared<NotingBackend>(transcript.there);
    const auto membership = std::make_shared<NotingMembership>(transcript.there);
    const auto root = std::make_shared<NotingRoot>(transcript.here);
    MasterService serves_slaves(root);
    SlaveService serves_master(backend, membership);
    XshardService serves_slave(backend, membership);
    PeerShardService serves_peer(backend);
    PeerShardService serves_here(std::make_shared<Backend>()); // implements nothing
    const auto scenario = [&](Ends& ends) -> awaitable<void> {
      co_await ends.meet();
      const SlaveClient slave = SlaveClient(ends.here).within(1h);
      co_await master_asks(slave, transcript.here);
      co_await slave_reports(MasterClient(ends.there), transcript.there);
      const auto peer = co_await ends.meet_on(Route(0x10001, 7), serves_here.server(), serves_peer.server());
      co_await peer_talks(PeerShardClient(peer.first), transcript.here);
      transcript.here.push_back(fmt::format("unserved {}", serves_here.counters().unserved));
      const std::vector<Hash256> hashes(1);
      transcript.there.push_back(show(co_await PeerShardClient(peer.second).get_minor_block_list(hashes)));
      transcript.here.push_back(fmt::format("unserved {}", serves_here.counters().unserved));
      ends.here->close();
      ends.there->close();
      co_await ends.part();
    };
    Made ends(world, serves_slaves.server(), serves_master.server(), here_dials);
    world.run(scenario(ends));
    Made slaves(world, serves_slave.server(), serves_slave.server(), here_dials);
    const auto exchange = [&](Ends& between) -> awaitable<void> {
      co_await between.meet();
      co_await slaves_exchange(XshardClient(between.here), transcript.here);
      co_await slaves_exchange(XshardClient(between.there), transcript.there);
      between.here->close();
      between.there->close();
      co_await between.part();
    };
    world.run(exchange(slaves));
    transcript.there.push_back(
        fmt::format("refused {}, unserved {}", serves_master.counters().refused, serves_master.counters().unserved));
  }
  return transcript;
}

} // namespace

TEST_CASE("services over both dialects: every method of every client, whoever dialled, is seen and answered alike") {
  const Transcript first = run_services<ClusterEnds>(true);
  CHECK(run_services<ClusterEnds>(false).text() == first.text());
  CHECK(run_services<NativeEnds>(true).text() == first.text());
  CHECK(run_services<NativeEnds>(false).text() == first.text());
  CHECK(first.here.size() > 45);
  CHECK(first.there.size() > 45);
  // Each method of Backend was asked.
  std::set<std::string> asked;
  for (const std::string& line : first.there) asked.insert(line.substr(0, line.find(' ')));
  for (const char* name : {"create_shards",
                           "add_root_block",
                           "get_eco_info_list",
                           "get_next_block_to_mine",
                           "get_unconfirmed_headers",
                           "get_account_data",
                           "add_transaction",
                           "sync_minor_block_list",
                           "add_minor_block",
                           "get_minor_block",
                           "get_minor_block_at",
                           "get_transaction",
                           "execute_transaction",
                           "get_transaction_receipt",
                           "mine",
                           "gen_tx",
                           "get_transaction_list_by_address",
                           "get_all_transactions",
                           "get_log",
                           "estimate_gas",
                           "get_storage",
                           "get_code",
                           "gas_price",
                           "get_work",
                           "submit_work",
                           "check_minor_block",
                           "get_root_chain_stakes",
                           "get_total_balance",
                           "add_xshard_tx_list",
                           "on_new_minor_block_header",
                           "on_new_transaction_list",
                           "on_new_block_minor",
                           "get_minor_block_list",
                           "get_minor_block_header_list"})
    CHECK_MESSAGE(asked.contains(name), std::string(name));
}

namespace {

/// Every request that a sender may send, with a message of the vectors, to a service whose backend implements nothing.
awaitable<void> policy(Ends& ends, std::shared_ptr<RpcServer> there, Senders sender, std::vector<std::string>& got) {
  co_await ends.meet();
  std::uint64_t peer = 0;
  for (const OpInfo& op : ops(sender == shard ? OpTable::command : OpTable::cluster)) {
    if ((op.senders & sender) == 0 || op.op_class != OpClass::request) continue;
    if (op.code == 129 || op.code == 131 || op.code == 153) continue; // who is who: always served
    // One circuit each: some are closed.
    const auto knows = std::make_shared<RpcServer>("asker");
    knows->know(op.reply, "REPLY");
    const auto circuit = co_await ends.meet_on(Route(0x10001, ++peer), knows, there);
    Payload payload;
    for (const trunkline::test::Sample& each : trunkline::test::samples())
      if (each.type == op.message) payload = Payload(std::span<const std::byte>(each.bytes));
    if (op.message == "AddMinorBlockRequest") { // that of the vectors has no block in it, which is refused before
      AddMinorBlockRequest request;
      request.minor_block_data = encoded(sample<MinorBlock>()).text();
      payload = encoded(request);
    }
    std::string text;
    try {
      const RpcReply reply = co_await circuit.first->call(op.code, std::move(payload), 5s);
      const bool same = op.fallback && reply.payload == op.fallback(1);
      text = fmt::format("{} {}", op.unserved == Unserved::close ? "answered all the same" : to_string(op.unserved),
                         same ? "as stated" : "differs");
    } catch (const boost::system::system_error&) {
      text = "closed";
    }
    if (op.unserved == Unserved::close && !circuit.second->is_open()) text = "close as stated";
    got.push_back(fmt::format("{} {}: {}", op.code, op.name, text));
    circuit.first->close();
  }
  ends.here->close();
  ends.there->close();
  co_await ends.part();
}

} // namespace

TEST_CASE("services: a backend that implements nothing answers each opcode as the table states") {
  std::vector<std::string> got;
  const auto backend = std::make_shared<Backend>();
  std::vector<std::string> unused;
  const auto membership = std::make_shared<NotingMembership>(unused);
  SlaveService serves_master(backend, membership);
  XshardService serves_slaves(backend, membership);
  PeerShardService serves_peers(backend);
  for (const auto& [server, sender] :
       {std::pair(serves_master.server(), from_master), std::pair(serves_slaves.server(), between_slaves),
        std::pair(serves_peers.server(), shard)}) {
    sim::World world(11);
    const auto plain = std::make_shared<RpcServer>("control");
    ClusterEnds ends(world, plain, plain, true);
    world.run(policy(ends, server, sender, got));
  }
  CHECK(got.size() == 26 + 2 + 3);
  for (const std::string& line : got) CHECK_MESSAGE(line.ends_with("as stated"), line);
}
