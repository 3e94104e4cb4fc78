// What a master reads from a slave. What is not found is said with pyquarkchain's filler block.
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/slave/slave_context.hpp"

namespace trunkline::quarkchain {
namespace {

using Context = SlaveContext;

constexpr auto code_of(Refusal refusal) { return static_cast<std::uint32_t>(refusal); }

awaitable<GetEcoInfoListResponse> answer(Context at, GetEcoInfoListRequest) {
  GetEcoInfoListResponse reply;
  reply.eco_info_list = co_await at.backend->get_eco_info_list();
  co_return reply;
}

awaitable<GetNextBlockToMineResponse> answer(Context at, GetNextBlockToMineRequest request) {
  GetNextBlockToMineResponse reply;
  reply.block =
      co_await at.backend->get_next_block_to_mine(request.branch.value, request.address, request.artificial_tx_config);
  co_return reply;
}

awaitable<GetUnconfirmedHeadersResponse> answer(Context at, GetUnconfirmedHeadersRequest) {
  GetUnconfirmedHeadersResponse reply;
  reply.headers_info_list = co_await at.backend->get_unconfirmed_headers();
  co_return reply;
}

awaitable<GetAccountDataResponse> answer(Context at, GetAccountDataRequest request) {
  GetAccountDataResponse reply;
  reply.account_branch_data_list = co_await at.backend->get_account_data(request.address, request.block_height);
  co_return reply;
}

awaitable<GetMinorBlockResponse> answer(Context at, GetMinorBlockRequest request) {
  const std::uint32_t branch = request.branch.value;
  std::optional<FoundMinorBlock> found;
  if (!request.minor_block_hash.is_zero()) {
    found = co_await at.backend->get_minor_block(branch, request.minor_block_hash, request.need_extra_info);
  } else {
    found = co_await at.backend->get_minor_block_at(branch, request.height, request.need_extra_info);
  }
  GetMinorBlockResponse reply;
  if (found) {
    reply.minor_block = std::move(found->block);
    if (request.need_extra_info) reply.extra_info = std::move(found->extra_info);
  } else {
    reply.error_code = code_of(Refusal::failed);
    reply.minor_block = filler_minor_block();
  }
  co_return reply;
}

awaitable<GetTransactionResponse> answer(Context at, GetTransactionRequest request) {
  std::optional<FoundTransaction> found = co_await at.backend->get_transaction(request.branch.value, request.tx_hash);
  GetTransactionResponse reply;
  if (found) {
    reply.minor_block = std::move(found->block);
    reply.index = found->index;
  } else {
    reply.error_code = code_of(Refusal::failed);
    reply.minor_block = filler_minor_block();
  }
  co_return reply;
}

awaitable<ExecuteTransactionResponse> answer(Context at, ExecuteTransactionRequest request) {
  ExecuteTransactionResponse reply;
  reply.result =
      co_await at.backend->execute_transaction(std::move(request.tx), request.from_address, request.block_height);
  co_return reply;
}

awaitable<GetTransactionReceiptResponse> answer(Context at, GetTransactionReceiptRequest request) {
  std::optional<FoundReceipt> found =
      co_await at.backend->get_transaction_receipt(request.branch.value, request.tx_hash);
  GetTransactionReceiptResponse reply;
  if (found) {
    reply.minor_block = std::move(found->block);
    reply.index = found->index;
    reply.receipt = std::move(found->receipt);
  } else {
    reply.error_code = code_of(Refusal::failed);
    reply.minor_block = filler_minor_block();
  }
  co_return reply;
}

awaitable<GetTransactionListByAddressResponse> answer(Context at, GetTransactionListByAddressRequest request) {
  TransactionPage page = co_await at.backend->get_transaction_list_by_address(
      request.address, request.transfer_token_id, std::move(request.start), request.limit);
  GetTransactionListByAddressResponse reply;
  reply.tx_list = std::move(page.transactions);
  reply.next = std::move(page.next);
  co_return reply;
}

awaitable<GetAllTransactionsResponse> answer(Context at, GetAllTransactionsRequest request) {
  TransactionPage page =
      co_await at.backend->get_all_transactions(request.branch.value, std::move(request.start), request.limit);
  GetAllTransactionsResponse reply;
  reply.tx_list = std::move(page.transactions);
  reply.next = std::move(page.next);
  co_return reply;
}

awaitable<GetLogResponse> answer(Context at, GetLogRequest request) {
  LogQuery query;
  query.branch = request.branch.value;
  query.addresses = std::move(request.addresses);
  query.topics = std::move(request.topics);
  query.start_block = request.start_block;
  query.end_block = request.end_block;
  GetLogResponse reply;
  reply.logs = co_await at.backend->get_log(std::move(query));
  co_return reply;
}

awaitable<EstimateGasResponse> answer(Context at, EstimateGasRequest request) {
  EstimateGasResponse reply;
  reply.result = co_await at.backend->estimate_gas(std::move(request.tx), request.from_address);
  co_return reply;
}

awaitable<GetStorageResponse> answer(Context at, GetStorageRequest request) {
  GetStorageResponse reply;
  reply.result = co_await at.backend->get_storage(request.address, request.key, request.block_height);
  co_return reply;
}

awaitable<GetCodeResponse> answer(Context at, GetCodeRequest request) {
  GetCodeResponse reply;
  reply.result = co_await at.backend->get_code(request.address, request.block_height);
  co_return reply;
}

awaitable<GasPriceResponse> answer(Context at, GasPriceRequest request) {
  GasPriceResponse reply;
  reply.result = co_await at.backend->gas_price(request.branch.value, request.token_id);
  co_return reply;
}

awaitable<GetWorkResponse> answer(Context at, GetWorkRequest request) {
  Work work = co_await at.backend->get_work(request.branch.value, request.coinbase_addr);
  GetWorkResponse reply;
  reply.header_hash = work.header_hash;
  reply.height = work.height;
  reply.difficulty = std::move(work.difficulty);
  co_return reply;
}

awaitable<CheckMinorBlockResponse> answer(Context at, CheckMinorBlockRequest request) {
  co_await at.backend->check_minor_block(std::move(request.minor_block_header));
  CheckMinorBlockResponse reply;
  co_return reply;
}

awaitable<GetRootChainStakesResponse> answer(Context at, GetRootChainStakesRequest request) {
  Stakes stakes = co_await at.backend->get_root_chain_stakes(request.address, request.minor_block_hash);
  GetRootChainStakesResponse reply;
  reply.stakes = std::move(stakes.stakes);
  reply.signer = stakes.signer;
  co_return reply;
}

awaitable<GetTotalBalanceResponse> answer(Context at, GetTotalBalanceRequest request) {
  BalanceQuery query;
  query.branch = request.branch.value;
  query.start = request.start;
  query.token_id = request.token_id;
  query.limit = request.limit;
  query.minor_block_hash = request.minor_block_hash;
  query.root_block_hash = request.root_block_hash;
  BalancePage page = co_await at.backend->get_total_balance(std::move(query));
  GetTotalBalanceResponse reply;
  reply.total_balance = std::move(page.total_balance);
  reply.next = std::move(page.next);
  co_return reply;
}

} // namespace

void serve_reads(TypedService<SlaveContext>& service) {
  service.serve<GetEcoInfoListRequest>(answer);
  service.serve<GetNextBlockToMineRequest>(answer);
  service.serve<GetUnconfirmedHeadersRequest>(answer);
  service.serve<GetAccountDataRequest>(answer);
  service.serve<GetMinorBlockRequest>(answer);
  service.serve<GetTransactionRequest>(answer);
  service.serve<ExecuteTransactionRequest>(answer);
  service.serve<GetTransactionReceiptRequest>(answer);
  service.serve<GetTransactionListByAddressRequest>(answer);
  service.serve<GetAllTransactionsRequest>(answer);
  service.serve<GetLogRequest>(answer);
  service.serve<EstimateGasRequest>(answer);
  service.serve<GetStorageRequest>(answer);
  service.serve<GetCodeRequest>(answer);
  service.serve<GasPriceRequest>(answer);
  service.serve<GetWorkRequest>(answer);
  service.serve<CheckMinorBlockRequest>(answer);
  service.serve<GetRootChainStakesRequest>(answer);
  service.serve<GetTotalBalanceRequest>(answer);
}

} // namespace trunkline::quarkchain
