#include "services/quarkchain/master/slave_client.hpp"

#include "services/quarkchain/rpc/typed_call.hpp"

#include <type_traits>

namespace trunkline::quarkchain {
namespace {

// Each takes the reply's fields apart. The call was encoded before, so that nothing of its arguments is kept.

template <class Reply, class Part> awaitable<Part> part_of(awaitable<Reply> call, Part Reply::* member) {
  Reply reply = co_await std::move(call);
  co_return std::move(reply.*member);
}

template <class Reply> awaitable<void> done(awaitable<Reply> call) { (void)co_await std::move(call); }

/// Nothing for any error_code: pyquarkchain says "not found" so.
template <class Reply> awaitable<std::optional<Reply>> found(awaitable<Reply> call) {
  std::optional<Reply> reply;
  try {
    reply = co_await std::move(call);
  } catch (const Refused&) { // nothing
  }
  co_return reply;
}

awaitable<std::optional<FoundMinorBlock>> to_block(awaitable<GetMinorBlockResponse> call) {
  std::optional<GetMinorBlockResponse> reply = co_await found(std::move(call));
  std::optional<FoundMinorBlock> block;
  if (reply) {
    block.emplace();
    block->block = std::move(reply->minor_block);
    block->extra_info = std::move(reply->extra_info);
  }
  co_return block;
}

awaitable<std::optional<FoundTransaction>> to_transaction(awaitable<GetTransactionResponse> call) {
  std::optional<GetTransactionResponse> reply = co_await found(std::move(call));
  std::optional<FoundTransaction> transaction;
  if (reply) {
    transaction.emplace();
    transaction->block = std::move(reply->minor_block);
    transaction->index = reply->index;
  }
  co_return transaction;
}

awaitable<std::optional<FoundReceipt>> to_receipt(awaitable<GetTransactionReceiptResponse> call) {
  std::optional<GetTransactionReceiptResponse> reply = co_await found(std::move(call));
  std::optional<FoundReceipt> receipt;
  if (reply) {
    receipt.emplace();
    receipt->block = std::move(reply->minor_block);
    receipt->index = reply->index;
    receipt->receipt = std::move(reply->receipt);
  }
  co_return receipt;
}

template <class Reply> awaitable<TransactionPage> to_page(awaitable<Reply> call) {
  Reply reply = co_await std::move(call);
  TransactionPage page;
  page.transactions = std::move(reply.tx_list);
  page.next = std::move(reply.next);
  co_return page;
}

awaitable<SyncedBlocks> to_synced(awaitable<SyncMinorBlockListResponse> call) {
  SyncMinorBlockListResponse reply = co_await std::move(call);
  SyncedBlocks synced;
  synced.coinbase = std::move(reply.block_coinbase_map);
  synced.stats = std::move(reply.shard_stats);
  co_return synced;
}

awaitable<Work> to_work(awaitable<GetWorkResponse> call) {
  GetWorkResponse reply = co_await std::move(call);
  Work work;
  work.header_hash = reply.header_hash;
  work.height = reply.height;
  work.difficulty = std::move(reply.difficulty);
  co_return work;
}

awaitable<Stakes> to_stakes(awaitable<GetRootChainStakesResponse> call) {
  GetRootChainStakesResponse reply = co_await std::move(call);
  Stakes stakes;
  stakes.stakes = std::move(reply.stakes);
  stakes.signer = reply.signer;
  co_return stakes;
}

awaitable<BalancePage> to_balance(awaitable<GetTotalBalanceResponse> call) {
  GetTotalBalanceResponse reply = co_await std::move(call);
  BalancePage page;
  page.total_balance = std::move(reply.total_balance);
  page.next = std::move(reply.next);
  co_return page;
}

awaitable<std::vector<std::string>> as_many(awaitable<ConnectToSlavesResponse> call, std::size_t expected,
                                            std::string from) {
  ConnectToSlavesResponse reply = co_await std::move(call);
  if (reply.result_list.size() != expected)
    throw Refused(Refusal::failed, fmt::format("CONNECT_TO_SLAVES: expected {} results, seen {}, from {}", expected,
                                               reply.result_list.size(), from));
  co_return std::move(reply.result_list);
}

template <class Request>
awaitable<typename Rpc<Request>::Reply> call(const SlaveClient& on, Duration deadline, const Request& request) {
  return typed_call(CallVia(on.circuit(), deadline), request);
}

} // namespace

awaitable<Pong> SlaveClient::ping(std::optional<RootBlock> root_tip) const {
  Ping ping;
  ping.root_tip = std::move(root_tip);
  return call(*this, deadline_, ping);
}

awaitable<std::vector<std::string>> SlaveClient::connect_to_slaves(std::vector<SlaveInfo> slaves) const {
  ConnectToSlavesRequest request;
  request.slave_info_list = std::move(slaves);
  return as_many(call(*this, deadline_, request), request.slave_info_list.size(),
                 circuit_ ? circuit_->remote() : std::string());
}

awaitable<void> SlaveClient::create_cluster_peer_connection(std::uint64_t cluster_peer_id) const {
  CreateClusterPeerConnectionRequest request;
  request.cluster_peer_id = cluster_peer_id;
  return done(call(*this, deadline_, request));
}

awaitable<void> SlaveClient::destroy_cluster_peer_connection(std::uint64_t cluster_peer_id) const {
  DestroyClusterPeerConnectionCommand command;
  command.cluster_peer_id = cluster_peer_id;
  return raw_command(CallVia(circuit_, deadline_),
                     static_cast<std::uint8_t>(ClusterOp::destroy_cluster_peer_connection_command), encoded(command));
}

awaitable<bool> SlaveClient::add_root_block(const RootBlock& block, bool expect_switch) const {
  AddRootBlockRequest request;
  request.root_block = block;
  request.expect_switch = expect_switch;
  return part_of(call(*this, deadline_, request), &AddRootBlockResponse::switched);
}

awaitable<std::vector<EcoInfo>> SlaveClient::get_eco_info_list() const {
  const GetEcoInfoListRequest request;
  return part_of(call(*this, deadline_, request), &GetEcoInfoListResponse::eco_info_list);
}

awaitable<MinorBlock> SlaveClient::get_next_block_to_mine(std::uint32_t branch, const Address& coinbase,
                                                          ArtificialTxConfig artificial) const {
  GetNextBlockToMineRequest request;
  request.branch.value = branch;
  request.address = coinbase;
  request.artificial_tx_config = artificial;
  return part_of(call(*this, deadline_, request), &GetNextBlockToMineResponse::block);
}

awaitable<std::vector<HeadersInfo>> SlaveClient::get_unconfirmed_headers() const {
  const GetUnconfirmedHeadersRequest request;
  return part_of(call(*this, deadline_, request), &GetUnconfirmedHeadersResponse::headers_info_list);
}

awaitable<std::vector<AccountBranchData>> SlaveClient::get_account_data(const Address& address,
                                                                        std::optional<std::uint64_t> height) const {
  GetAccountDataRequest request;
  request.address = address;
  request.block_height = height;
  return part_of(call(*this, deadline_, request), &GetAccountDataResponse::account_branch_data_list);
}

awaitable<void> SlaveClient::add_transaction(const TypedTransaction& transaction) const {
  AddTransactionRequest request;
  request.tx = transaction;
  return done(call(*this, deadline_, request));
}

awaitable<SyncedBlocks> SlaveClient::sync_minor_block_list(PeerShard from, std::vector<Hash256> hashes) const {
  SyncMinorBlockListRequest request;
  request.minor_block_hash_list = std::move(hashes);
  request.branch.value = from.branch;
  request.cluster_peer_id = from.cluster_peer_id;
  return to_synced(call(*this, deadline_, request));
}

awaitable<void> SlaveClient::add_minor_block(const MinorBlock& block) const {
  AddMinorBlockRequest request;
  request.minor_block_data = encoded(block).text();
  return done(call(*this, deadline_, request));
}

awaitable<std::optional<FoundMinorBlock>> SlaveClient::get_minor_block(std::uint32_t branch, const Hash256& hash,
                                                                       bool need_extra_info) const {
  GetMinorBlockRequest request;
  request.branch.value = branch;
  request.minor_block_hash = hash;
  request.need_extra_info = need_extra_info;
  return to_block(call(*this, deadline_, request));
}

awaitable<std::optional<FoundMinorBlock>> SlaveClient::get_minor_block_at(std::uint32_t branch, std::uint64_t height,
                                                                          bool need_extra_info) const {
  GetMinorBlockRequest request;
  request.branch.value = branch;
  request.height = height;
  request.need_extra_info = need_extra_info;
  return to_block(call(*this, deadline_, request));
}

awaitable<std::optional<FoundTransaction>> SlaveClient::get_transaction(std::uint32_t branch,
                                                                        const Hash256& hash) const {
  GetTransactionRequest request;
  request.branch.value = branch;
  request.tx_hash = hash;
  return to_transaction(call(*this, deadline_, request));
}

awaitable<std::string> SlaveClient::execute_transaction(const TypedTransaction& transaction, const Address& from,
                                                        std::optional<std::uint64_t> height) const {
  ExecuteTransactionRequest request;
  request.tx = transaction;
  request.from_address = from;
  request.block_height = height;
  return part_of(call(*this, deadline_, request), &ExecuteTransactionResponse::result);
}

awaitable<std::optional<FoundReceipt>> SlaveClient::get_transaction_receipt(std::uint32_t branch,
                                                                            const Hash256& hash) const {
  GetTransactionReceiptRequest request;
  request.branch.value = branch;
  request.tx_hash = hash;
  return to_receipt(call(*this, deadline_, request));
}

awaitable<void> SlaveClient::mine(ArtificialTxConfig artificial, bool mining) const {
  MineRequest request;
  request.artificial_tx_config = artificial;
  request.mining = mining;
  return done(call(*this, deadline_, request));
}

awaitable<void> SlaveClient::gen_tx(std::uint32_t per_shard, std::uint32_t xshard_percent,
                                    const TypedTransaction& like) const {
  GenTxRequest request;
  request.num_tx_per_shard = per_shard;
  request.x_shard_percent = xshard_percent;
  request.tx = like;
  return done(call(*this, deadline_, request));
}

awaitable<TransactionPage> SlaveClient::get_transaction_list_by_address(const Address& address,
                                                                        std::optional<std::uint64_t> token,
                                                                        std::string start, std::uint32_t limit) const {
  GetTransactionListByAddressRequest request;
  request.address = address;
  request.transfer_token_id = token;
  request.start = std::move(start);
  request.limit = limit;
  return to_page(call(*this, deadline_, request));
}

awaitable<TransactionPage> SlaveClient::get_all_transactions(std::uint32_t branch, std::string start,
                                                             std::uint32_t limit) const {
  GetAllTransactionsRequest request;
  request.branch.value = branch;
  request.start = std::move(start);
  request.limit = limit;
  return to_page(call(*this, deadline_, request));
}

awaitable<std::vector<Log>> SlaveClient::get_log(const LogQuery& query) const {
  GetLogRequest request;
  request.branch.value = query.branch;
  request.addresses = query.addresses;
  request.topics = query.topics;
  request.start_block = query.start_block;
  request.end_block = query.end_block;
  return part_of(call(*this, deadline_, request), &GetLogResponse::logs);
}

awaitable<std::uint32_t> SlaveClient::estimate_gas(const TypedTransaction& transaction, const Address& from) const {
  EstimateGasRequest request;
  request.tx = transaction;
  request.from_address = from;
  return part_of(call(*this, deadline_, request), &EstimateGasResponse::result);
}

awaitable<Hash256> SlaveClient::get_storage(const Address& address, const Uint256& key,
                                            std::optional<std::uint64_t> height) const {
  GetStorageRequest request;
  request.address = address;
  request.key = key;
  request.block_height = height;
  return part_of(call(*this, deadline_, request), &GetStorageResponse::result);
}

awaitable<std::string> SlaveClient::get_code(const Address& address, std::optional<std::uint64_t> height) const {
  GetCodeRequest request;
  request.address = address;
  request.block_height = height;
  return part_of(call(*this, deadline_, request), &GetCodeResponse::result);
}

awaitable<std::uint64_t> SlaveClient::gas_price(std::uint32_t branch, std::uint64_t token) const {
  GasPriceRequest request;
  request.branch.value = branch;
  request.token_id = token;
  return part_of(call(*this, deadline_, request), &GasPriceResponse::result);
}

awaitable<Work> SlaveClient::get_work(std::uint32_t branch, std::optional<Address> coinbase) const {
  GetWorkRequest request;
  request.branch.value = branch;
  request.coinbase_addr = std::move(coinbase);
  return to_work(call(*this, deadline_, request));
}

awaitable<bool> SlaveClient::submit_work(const Solution& solution) const {
  SubmitWorkRequest request;
  request.branch.value = solution.branch;
  request.header_hash = solution.header_hash;
  request.nonce = solution.nonce;
  request.mixhash = solution.mixhash;
  request.signature = solution.signature;
  return part_of(call(*this, deadline_, request), &SubmitWorkResponse::success);
}

awaitable<void> SlaveClient::check_minor_block(const MinorBlockHeader& header) const {
  CheckMinorBlockRequest request;
  request.minor_block_header = header;
  return done(call(*this, deadline_, request));
}

awaitable<Stakes> SlaveClient::get_root_chain_stakes(const Address& address, const Hash256& minor_block_hash) const {
  GetRootChainStakesRequest request;
  request.address = address;
  request.minor_block_hash = minor_block_hash;
  return to_stakes(call(*this, deadline_, request));
}

awaitable<BalancePage> SlaveClient::get_total_balance(const BalanceQuery& query) const {
  GetTotalBalanceRequest request;
  request.branch.value = query.branch;
  request.start = query.start;
  request.token_id = query.token_id;
  request.limit = query.limit;
  request.minor_block_hash = query.minor_block_hash;
  request.root_block_hash = query.root_block_hash;
  return to_balance(call(*this, deadline_, request));
}

} // namespace trunkline::quarkchain
