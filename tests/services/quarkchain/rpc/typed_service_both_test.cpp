// One scenario for all services, over the cluster framing and over a native trunk, dialled from either side: every
// method of the typed clients is called, with messages of the golden vectors, and what the services' backends saw and
// the callers got is written down. It must be the same each time.
//
//   here   a master: MasterService, and SlaveClient; also the peer of a shard
//   there  a slave: SlaveService, XshardService, PeerShardService, and MasterClient
#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/json_codec.hpp"
#include "services/quarkchain/chain/keccak.hpp"
#include "services/quarkchain/master/master_service.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "services/quarkchain/slave/peer_shard_client.hpp"
#include "services/quarkchain/slave/peer_shard_service.hpp"
#include "services/quarkchain/slave/slave_service.hpp"
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

/// A backend that implements everything: notes what it was asked, and answers with the vectors.
class NotingBackend final : public Backend {
 public:
  explicit NotingBackend(std::vector<std::string>& seen) : seen_(seen) {}

  std::vector<std::uint32_t> shards() const override { return {0x10001}; }
  awaitable<void> create_shards(RootBlock tip) override {
    note("create_shards {}", show(tip.header));
    co_return;
  }
  awaitable<AddRootBlockResponse> on(AddRootBlockRequest request) override {
    note("add_root_block {}", show(request.root_block));
    AddRootBlockResponse reply;
    reply.switched = true;
    co_return reply;
  }
  awaitable<GetEcoInfoListResponse> on(GetEcoInfoListRequest) override {
    note("get_eco_info_list");
    GetEcoInfoListResponse reply;
    reply.eco_info_list.assign(2, sample<EcoInfo>());
    co_return reply;
  }
  awaitable<GetNextBlockToMineResponse> on(GetNextBlockToMineRequest request) override {
    note("get_next_block_to_mine {}", show(request));
    GetNextBlockToMineResponse reply;
    reply.block = sample<MinorBlock>();
    co_return reply;
  }
  awaitable<GetUnconfirmedHeadersResponse> on(GetUnconfirmedHeadersRequest) override {
    note("get_unconfirmed_headers");
    GetUnconfirmedHeadersResponse reply;
    reply.headers_info_list.push_back(sample<HeadersInfo>());
    co_return reply;
  }
  awaitable<GetAccountDataResponse> on(GetAccountDataRequest request) override {
    note("get_account_data {}", show(request));
    GetAccountDataResponse reply;
    reply.account_branch_data_list.push_back(sample<AccountBranchData>());
    co_return reply;
  }
  awaitable<AddTransactionResponse> on(AddTransactionRequest request) override {
    note("add_transaction {}", show(request.tx));
    if (request.tx.tx.serialized_tx.empty()) throw Refused(Refusal::failed, "empty");
    co_return AddTransactionResponse();
  }
  awaitable<SyncMinorBlockListResponse> on(SyncMinorBlockListRequest request) override {
    note("sync_minor_block_list {} {} {}", request.branch.value, request.cluster_peer_id,
         request.minor_block_hash_list.size());
    SyncMinorBlockListResponse reply;
    for (const Hash256& hash : request.minor_block_hash_list)
      reply.block_coinbase_map[hash] = sample<TokenBalanceMap>();
    reply.shard_stats = sample<ShardStats>();
    co_return reply;
  }
  awaitable<AddMinorBlockResponse> on(AddMinorBlockRequest request) override {
    note("add_minor_block {}", show(decoded<MinorBlock>(bytes_of(request.minor_block_data))));
    co_return AddMinorBlockResponse();
  }
  awaitable<GetMinorBlockResponse> on(GetMinorBlockRequest request) override {
    note("get_minor_block {}", show(request));
    if (request.branch.value != 1 || request.minor_block_hash.is_zero()) throw NotFound("no such block");
    GetMinorBlockResponse reply;
    reply.minor_block = sample<MinorBlock>();
    if (request.need_extra_info) reply.extra_info = sample<MinorBlockExtraInfo>();
    co_return reply;
  }
  awaitable<GetTransactionResponse> on(GetTransactionRequest request) override {
    note("get_transaction {}", show(request));
    GetTransactionResponse reply;
    reply.minor_block = sample<MinorBlock>();
    reply.index = 3;
    co_return reply;
  }
  awaitable<ExecuteTransactionResponse> on(ExecuteTransactionRequest request) override {
    note("execute_transaction {}", show(request));
    ExecuteTransactionResponse reply;
    reply.result = "executed";
    co_return reply;
  }
  awaitable<GetTransactionReceiptResponse> on(GetTransactionReceiptRequest request) override {
    note("get_transaction_receipt {}", show(request));
    GetTransactionReceiptResponse reply;
    reply.minor_block = sample<MinorBlock>();
    reply.receipt = sample<TransactionReceipt>();
    co_return reply;
  }
  awaitable<MineResponse> on(MineRequest request) override {
    note("mine {}", show(request));
    co_return MineResponse();
  }
  awaitable<GenTxResponse> on(GenTxRequest request) override {
    note("gen_tx {}", show(request));
    co_return GenTxResponse();
  }
  awaitable<GetTransactionListByAddressResponse> on(GetTransactionListByAddressRequest request) override {
    note("get_transaction_list_by_address {}", show(request));
    co_return page<GetTransactionListByAddressResponse>();
  }
  awaitable<GetAllTransactionsResponse> on(GetAllTransactionsRequest request) override {
    note("get_all_transactions {}", show(request));
    co_return page<GetAllTransactionsResponse>();
  }
  awaitable<GetLogResponse> on(GetLogRequest request) override {
    note("get_log {}", show(request));
    GetLogResponse reply;
    reply.logs.push_back(sample<Log>());
    co_return reply;
  }
  awaitable<EstimateGasResponse> on(EstimateGasRequest request) override {
    note("estimate_gas {}", show(request));
    EstimateGasResponse reply;
    reply.result = 21000;
    co_return reply;
  }
  awaitable<GetStorageResponse> on(GetStorageRequest request) override {
    note("get_storage {}", show(request));
    co_return GetStorageResponse();
  }
  awaitable<GetCodeResponse> on(GetCodeRequest request) override {
    note("get_code {}", show(request));
    GetCodeResponse reply;
    reply.result = "code";
    co_return reply;
  }
  awaitable<GasPriceResponse> on(GasPriceRequest request) override {
    note("gas_price {}", show(request));
    GasPriceResponse reply;
    reply.result = 1000000000;
    co_return reply;
  }
  awaitable<GetWorkResponse> on(GetWorkRequest request) override {
    note("get_work {}", show(request));
    GetWorkResponse reply;
    reply.height = 9;
    reply.difficulty = BigUint(10);
    co_return reply;
  }
  awaitable<SubmitWorkResponse> on(SubmitWorkRequest request) override {
    note("submit_work {}", show(request));
    SubmitWorkResponse reply;
    reply.success = true;
    co_return reply;
  }
  awaitable<CheckMinorBlockResponse> on(CheckMinorBlockRequest request) override {
    note("check_minor_block {}", show(request));
    throw Refused(Refusal::bad_message, "as told");
    co_return CheckMinorBlockResponse();
  }
  awaitable<GetRootChainStakesResponse> on(GetRootChainStakesRequest request) override {
    note("get_root_chain_stakes {}", show(request));
    GetRootChainStakesResponse reply;
    reply.stakes = BigUint(77);
    co_return reply;
  }
  awaitable<GetTotalBalanceResponse> on(GetTotalBalanceRequest request) override {
    note("get_total_balance {}", show(request));
    GetTotalBalanceResponse reply;
    reply.total_balance = BigUint(123);
    reply.next.assign(32, 'n');
    co_return reply;
  }
  awaitable<AddXshardTxListResponse> on(AddXshardTxListRequest request) override {
    note("add_xshard_tx_list {}", show(request));
    if (request.branch.value == 99) throw Refused(Refusal::not_found, "not run here");
    co_return AddXshardTxListResponse();
  }
  awaitable<void> on(PeerShard from, NewMinorBlockHeaderListCommand command) override {
    note("new_minor_block_header_list {}/{} {}", from.branch, from.cluster_peer_id, show(command));
    co_return;
  }
  awaitable<void> on(PeerShard from, NewTransactionListCommand command) override {
    note("new_transaction_list {}/{} {}", from.branch, from.cluster_peer_id, show(command));
    co_return;
  }
  awaitable<void> on(PeerShard from, NewBlockMinorCommand command) override {
    note("new_block_minor {}/{} {}", from.branch, from.cluster_peer_id, show(command));
    co_return;
  }
  awaitable<GetMinorBlockListResponse> on(PeerShard from, GetMinorBlockListRequest request) override {
    note("get_minor_block_list {}/{} {}", from.branch, from.cluster_peer_id, show(request));
    GetMinorBlockListResponse reply;
    reply.minor_block_list.push_back(sample<MinorBlock>());
    co_return reply;
  }
  awaitable<GetMinorBlockHeaderListResponse> on(PeerShard from,
                                                GetMinorBlockHeaderListWithSkipRequest request) override {
    note("get_minor_block_header_list {}/{} {}", from.branch, from.cluster_peer_id, show(request));
    GetMinorBlockHeaderListResponse reply;
    reply.block_header_list.push_back(sample<MinorBlockHeader>());
    co_return reply;
  }

 private:
  template <class Reply> static Reply page() {
    Reply reply;
    reply.tx_list.push_back(sample<TransactionDetail>());
    reply.next = "next";
    return reply;
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
  awaitable<AddMinorBlockHeaderResponse> on(std::string, AddMinorBlockHeaderRequest request) override {
    seen_.push_back(fmt::format("add_minor_block_header {}", show(request)));
    AddMinorBlockHeaderResponse reply;
    reply.artificial_tx_config = sample<ArtificialTxConfig>();
    co_return reply;
  }
  awaitable<AddMinorBlockHeaderListResponse> on(std::string, AddMinorBlockHeaderListRequest request) override {
    seen_.push_back(fmt::format("add_minor_block_header_list {}", show(request)));
    co_return AddMinorBlockHeaderListResponse();
  }

 private:
  std::vector<std::string>& seen_;
};

/// The result of a call in words.
template <class Reply> awaitable<std::string> words(awaitable<Reply> call) {
  std::string text = "done";
  try {
    const Reply reply = co_await std::move(call);
    text = show(reply);
  } catch (const Refused& refused) {
    text = fmt::format("refused with {}", refused.code());
  } catch (const boost::system::system_error& failure) {
    text = failure.code().message();
  }
  co_return text;
}
template <class Reply> awaitable<std::string> found_words(awaitable<std::optional<Reply>> call) {
  const std::optional<Reply> reply = co_await std::move(call);
  co_return reply ? show(*reply) : std::string("none");
}

awaitable<void> master_asks(const SlaveClient& slave, std::vector<std::string>& got) {
  const auto note = [&got](std::string text) { got.push_back(std::move(text)); };
  const Hash256 hash = keccak256(bytes_of("a hash"));

  Ping ping;
  note(co_await words(slave.ask(ping)));
  ping.root_tip = sample<RootBlock>();
  note(co_await words(slave.ask(ping)));
  ConnectToSlavesRequest connect;
  connect.slave_info_list.resize(2);
  connect.slave_info_list[0].id = "S8";
  connect.slave_info_list[0].host = "10.0.0.8";
  connect.slave_info_list[0].port = 38000;
  connect.slave_info_list[1].id = "S9";
  connect.slave_info_list[1].host = "10.0.0.9"; // no port
  note(co_await words(slave.ask(connect)));
  CreateClusterPeerConnectionRequest create;
  create.cluster_peer_id = 12345;
  note(co_await words(slave.ask(create)));
  create.cluster_peer_id = 0;
  note(co_await words(slave.ask(create)));
  DestroyClusterPeerConnectionCommand destroy;
  destroy.cluster_peer_id = 12345;
  co_await slave.tell<ClusterOp::destroy_cluster_peer_connection_command>(destroy);

  AddRootBlockRequest root;
  root.root_block = sample<RootBlock>();
  note(co_await words(slave.ask(root)));
  const GetEcoInfoListRequest eco;
  note(co_await words(slave.ask(eco)));
  const auto next = sample<GetNextBlockToMineRequest>();
  note(co_await words(slave.ask(next)));
  const GetUnconfirmedHeadersRequest headers;
  note(co_await words(slave.ask(headers)));
  const auto account = sample<GetAccountDataRequest>();
  note(co_await words(slave.ask(account)));
  AddTransactionRequest transaction;
  transaction.tx = sample<TypedTransaction>();
  note(co_await words(slave.ask(transaction)));
  const AddTransactionRequest empty;
  note(co_await words(slave.ask(empty)));
  SyncMinorBlockListRequest sync;
  sync.branch.value = 1;
  sync.cluster_peer_id = 9;
  note(co_await words(slave.ask(sync))); // nothing to fetch: the backend is not asked
  sync.minor_block_hash_list.assign(2, hash);
  note(co_await words(slave.ask(sync)));
  AddMinorBlockRequest block;
  block.minor_block_data = encoded(sample<MinorBlock>()).text();
  note(co_await words(slave.ask(block)));
  GetMinorBlockRequest get;
  get.branch.value = 1;
  get.minor_block_hash = hash;
  get.need_extra_info = true;
  note(co_await found_words(slave.find(get)));
  get.need_extra_info = false;
  note(co_await found_words(slave.find(get)));
  get.branch.value = 2;
  note(co_await found_words(slave.find(get)));
  note(co_await words(slave.ask(get)));
  get.minor_block_hash = Hash256();
  get.height = 5;
  note(co_await found_words(slave.find(get)));
  const auto locate = sample<GetTransactionRequest>();
  note(co_await found_words(slave.find(locate)));
  const auto execute = sample<ExecuteTransactionRequest>();
  note(co_await words(slave.ask(execute)));
  const auto receipt = sample<GetTransactionReceiptRequest>();
  note(co_await found_words(slave.find(receipt)));
  const auto mine = sample<MineRequest>();
  note(co_await words(slave.ask(mine)));
  const auto generate = sample<GenTxRequest>();
  note(co_await words(slave.ask(generate)));
  const auto of_address = sample<GetTransactionListByAddressRequest>();
  note(co_await words(slave.ask(of_address)));
  const auto all = sample<GetAllTransactionsRequest>();
  note(co_await words(slave.ask(all)));
  const auto logs = sample<GetLogRequest>();
  note(co_await words(slave.ask(logs)));
  const auto estimate = sample<EstimateGasRequest>();
  note(co_await words(slave.ask(estimate)));
  const auto storage = sample<GetStorageRequest>();
  note(co_await words(slave.ask(storage)));
  const auto code = sample<GetCodeRequest>();
  note(co_await words(slave.ask(code)));
  const auto price = sample<GasPriceRequest>();
  note(co_await words(slave.ask(price)));
  const auto work = sample<GetWorkRequest>();
  note(co_await words(slave.ask(work)));
  const auto solution = sample<SubmitWorkRequest>();
  note(co_await words(slave.ask(solution)));
  const auto check = sample<CheckMinorBlockRequest>();
  note(co_await words(slave.ask(check)));
  const auto stakes = sample<GetRootChainStakesRequest>();
  note(co_await words(slave.ask(stakes)));
  const auto balance = sample<GetTotalBalanceRequest>();
  note(co_await words(slave.ask(balance)));
}

awaitable<void> slave_reports(const MasterClient& master, std::vector<std::string>& got) {
  AddMinorBlockHeaderRequest report;
  report.minor_block_header = sample<MinorBlockHeader>();
  report.tx_count = 3;
  report.x_shard_tx_count = 1;
  report.shard_stats = sample<ShardStats>();
  got.push_back(co_await words(master.ask(report)));
  AddMinorBlockHeaderListRequest reports;
  reports.minor_block_header_list.assign(2, report.minor_block_header);
  reports.coinbase_amount_map_list.resize(2);
  got.push_back(co_await words(master.ask(reports)));
}

awaitable<void> slaves_exchange(const XshardClient& slave, std::vector<std::string>& got) {
  Ping ping;
  ping.id = "S8";
  ping.full_shard_id_list.push_back(0x30001);
  got.push_back(co_await words(slave.ask(ping)));
  AddXshardTxListRequest list;
  list.branch.value = 0x10001;
  list.tx_list = sample<CrossShardTransactionList>();
  got.push_back(co_await words(slave.ask(list)));
  BatchAddXshardTxListRequest lists;
  lists.add_xshard_tx_list_request_list.assign(3, list);
  lists.add_xshard_tx_list_request_list[1].branch.value = 99; // the first failure ends the batch
  got.push_back(co_await words(slave.ask(lists)));
}

awaitable<void> peer_talks(const PeerShardClient& peer, std::vector<std::string>& got) {
  const std::uint32_t branch = 0x10001;
  NewMinorBlockHeaderListCommand tip;
  tip.root_block_header = sample<RootBlockHeader>();
  tip.minor_block_header_list.push_back(sample<MinorBlockHeader>());
  tip.minor_block_header_list[0].branch.value = branch;
  co_await peer.tell<CommandOp::new_minor_block_header_list>(tip);
  NewTransactionListCommand transactions;
  transactions.transaction_list.assign(2, sample<TypedTransaction>());
  co_await peer.tell<CommandOp::new_transaction_list>(transactions);
  NewBlockMinorCommand block;
  block.block = sample<MinorBlock>();
  block.block.header.branch.value = branch;
  co_await peer.tell<CommandOp::new_block_minor>(block);
  GetMinorBlockListRequest blocks;
  blocks.minor_block_hash_list.resize(3);
  got.push_back(co_await words(peer.ask(blocks)));
  GetMinorBlockHeaderListWithSkipRequest headers;
  headers.data = tip.minor_block_header_list[0].hash_meta;
  headers.branch.value = branch;
  headers.limit = 100;
  got.push_back(co_await words(peer.headers(headers)));
  headers.type = 1;
  headers.data = data_of_height(BigUint(1234567890123));
  headers.limit = 10;
  headers.skip = 3;
  headers.direction = 1;
  got.push_back(co_await words(peer.headers(headers)));
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
      GetMinorBlockListRequest blocks;
      blocks.minor_block_hash_list.resize(1);
      transcript.there.push_back(co_await words(PeerShardClient(peer.second).ask(blocks)));
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
                           "new_minor_block_header_list",
                           "new_transaction_list",
                           "new_block_minor",
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
