// What a master and its slaves say to each other, and the slaves to one another, with the names of pyquarkchain.
// Which opcode carries which message is said in opcode_table.hpp.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/protocol/opcode_table.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

struct Ping {
  std::string id;
  std::vector<std::uint32_t> full_shard_id_list;
  std::optional<RootBlock> root_tip;
  QUARKCHAIN_FIELDS(Ping, id, full_shard_id_list, root_tip)
};

struct Pong {
  std::string id;
  std::vector<std::uint32_t> full_shard_id_list;
  QUARKCHAIN_FIELDS(Pong, id, full_shard_id_list)
};

struct SlaveInfo {
  std::string id;
  std::string host;
  std::uint16_t port = 0;
  std::vector<std::uint32_t> full_shard_id_list;
  QUARKCHAIN_FIELDS(SlaveInfo, id, host, port, full_shard_id_list)
};

struct ConnectToSlavesRequest {
  std::vector<SlaveInfo> slave_info_list;
  QUARKCHAIN_FIELDS(ConnectToSlavesRequest, slave_info_list)
};

struct ConnectToSlavesResponse {
  std::vector<std::string> result_list;
  QUARKCHAIN_FIELDS(ConnectToSlavesResponse, result_list)
};

struct ArtificialTxConfig {
  std::uint32_t target_root_block_time = 0;
  std::uint32_t target_minor_block_time = 0;
  QUARKCHAIN_FIELDS(ArtificialTxConfig, target_root_block_time, target_minor_block_time)
};

struct MineRequest {
  ArtificialTxConfig artificial_tx_config;
  bool mining = false;
  QUARKCHAIN_FIELDS(MineRequest, artificial_tx_config, mining)
};

struct MineResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(MineResponse, error_code)
};

struct GenTxRequest {
  std::uint32_t num_tx_per_shard = 0;
  std::uint32_t x_shard_percent = 0;
  TypedTransaction tx;
  QUARKCHAIN_FIELDS(GenTxRequest, num_tx_per_shard, x_shard_percent, tx)
};

struct GenTxResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(GenTxResponse, error_code)
};

struct CreateClusterPeerConnectionRequest {
  std::uint64_t cluster_peer_id = 0;
  QUARKCHAIN_FIELDS(CreateClusterPeerConnectionRequest, cluster_peer_id)
};

struct CreateClusterPeerConnectionResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(CreateClusterPeerConnectionResponse, error_code)
};

struct DestroyClusterPeerConnectionCommand {
  std::uint64_t cluster_peer_id = 0;
  QUARKCHAIN_FIELDS(DestroyClusterPeerConnectionCommand, cluster_peer_id)
};

struct GetMinorBlockRequest {
  Branch branch;
  Hash256 minor_block_hash;
  std::uint64_t height = 0;
  bool need_extra_info = false;
  QUARKCHAIN_FIELDS(GetMinorBlockRequest, branch, minor_block_hash, height, need_extra_info)
};

struct MinorBlockExtraInfo {
  BigUint effective_difficulty;
  std::uint16_t posw_mineable_blocks = 0;
  std::uint16_t posw_mined_blocks = 0;
  QUARKCHAIN_FIELDS(MinorBlockExtraInfo, effective_difficulty, posw_mineable_blocks, posw_mined_blocks)
};

struct GetMinorBlockResponse {
  std::uint32_t error_code = 0;
  MinorBlock minor_block;
  std::optional<MinorBlockExtraInfo> extra_info;
  QUARKCHAIN_FIELDS(GetMinorBlockResponse, error_code, minor_block, extra_info)
};

struct GetTransactionRequest {
  Hash256 tx_hash;
  Branch branch;
  QUARKCHAIN_FIELDS(GetTransactionRequest, tx_hash, branch)
};

struct GetTransactionResponse {
  std::uint32_t error_code = 0;
  MinorBlock minor_block;
  std::uint32_t index = 0;
  QUARKCHAIN_FIELDS(GetTransactionResponse, error_code, minor_block, index)
};

struct ExecuteTransactionRequest {
  TypedTransaction tx;
  Address from_address;
  std::optional<std::uint64_t> block_height;
  QUARKCHAIN_FIELDS(ExecuteTransactionRequest, tx, from_address, block_height)
};

struct ExecuteTransactionResponse {
  std::uint32_t error_code = 0;
  std::string result;
  QUARKCHAIN_FIELDS(ExecuteTransactionResponse, error_code, result)
};

struct GetTransactionReceiptRequest {
  Hash256 tx_hash;
  Branch branch;
  QUARKCHAIN_FIELDS(GetTransactionReceiptRequest, tx_hash, branch)
};

struct GetTransactionReceiptResponse {
  std::uint32_t error_code = 0;
  MinorBlock minor_block;
  std::uint32_t index = 0;
  TransactionReceipt receipt;
  QUARKCHAIN_FIELDS(GetTransactionReceiptResponse, error_code, minor_block, index, receipt)
};

struct GetTransactionListByAddressRequest {
  Address address;
  std::optional<std::uint64_t> transfer_token_id;
  std::string start;
  std::uint32_t limit = 0;
  QUARKCHAIN_FIELDS(GetTransactionListByAddressRequest, address, transfer_token_id, start, limit)
};

struct TransactionDetail {
  Hash256 tx_hash;
  std::uint64_t nonce = 0;
  Address from_address;
  std::optional<Address> to_address;
  Uint256 value;
  std::uint64_t block_height = 0;
  std::uint64_t timestamp = 0;
  bool success = false;
  std::uint64_t gas_token_id = 0;
  std::uint64_t transfer_token_id = 0;
  bool is_from_root_chain = false;
  QUARKCHAIN_FIELDS(TransactionDetail, tx_hash, nonce, from_address, to_address, value, block_height, timestamp,
                    success, gas_token_id, transfer_token_id, is_from_root_chain)
};

struct GetTransactionListByAddressResponse {
  std::uint32_t error_code = 0;
  std::vector<TransactionDetail> tx_list;
  std::string next;
  QUARKCHAIN_FIELDS(GetTransactionListByAddressResponse, error_code, tx_list, next)
};

struct GetAllTransactionsRequest {
  Branch branch;
  std::string start;
  std::uint32_t limit = 0;
  QUARKCHAIN_FIELDS(GetAllTransactionsRequest, branch, start, limit)
};

struct GetAllTransactionsResponse {
  std::uint32_t error_code = 0;
  std::vector<TransactionDetail> tx_list;
  std::string next;
  QUARKCHAIN_FIELDS(GetAllTransactionsResponse, error_code, tx_list, next)
};

struct AddRootBlockRequest {
  RootBlock root_block;
  bool expect_switch = false;
  QUARKCHAIN_FIELDS(AddRootBlockRequest, root_block, expect_switch)
};

struct AddRootBlockResponse {
  std::uint32_t error_code = 0;
  bool switched = false;
  QUARKCHAIN_FIELDS(AddRootBlockResponse, error_code, switched)
};

struct EcoInfo {
  Branch branch;
  std::uint64_t height = 0;
  Uint256 coinbase_amount;
  BigUint difficulty;
  Uint256 unconfirmed_headers_coinbase_amount;
  QUARKCHAIN_FIELDS(EcoInfo, branch, height, coinbase_amount, difficulty, unconfirmed_headers_coinbase_amount)
};

struct GetEcoInfoListRequest {
  QUARKCHAIN_FIELDS(GetEcoInfoListRequest)
};

struct GetEcoInfoListResponse {
  std::uint32_t error_code = 0;
  std::vector<EcoInfo> eco_info_list;
  QUARKCHAIN_FIELDS(GetEcoInfoListResponse, error_code, eco_info_list)
};

struct GetNextBlockToMineRequest {
  Branch branch;
  Address address;
  ArtificialTxConfig artificial_tx_config;
  QUARKCHAIN_FIELDS(GetNextBlockToMineRequest, branch, address, artificial_tx_config)
};

struct GetNextBlockToMineResponse {
  std::uint32_t error_code = 0;
  MinorBlock block;
  QUARKCHAIN_FIELDS(GetNextBlockToMineResponse, error_code, block)
};

struct AddMinorBlockRequest {
  std::string minor_block_data;
  QUARKCHAIN_FIELDS(AddMinorBlockRequest, minor_block_data)
};

struct AddMinorBlockResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(AddMinorBlockResponse, error_code)
};

struct CheckMinorBlockRequest {
  MinorBlockHeader minor_block_header;
  QUARKCHAIN_FIELDS(CheckMinorBlockRequest, minor_block_header)
};

struct CheckMinorBlockResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(CheckMinorBlockResponse, error_code)
};

struct HeadersInfo {
  Branch branch;
  std::vector<MinorBlockHeader> header_list;
  QUARKCHAIN_FIELDS(HeadersInfo, branch, header_list)
};

struct GetUnconfirmedHeadersRequest {
  QUARKCHAIN_FIELDS(GetUnconfirmedHeadersRequest)
};

struct GetUnconfirmedHeadersResponse {
  std::uint32_t error_code = 0;
  std::vector<HeadersInfo> headers_info_list;
  QUARKCHAIN_FIELDS(GetUnconfirmedHeadersResponse, error_code, headers_info_list)
};

struct GetAccountDataRequest {
  Address address;
  std::optional<std::uint64_t> block_height;
  QUARKCHAIN_FIELDS(GetAccountDataRequest, address, block_height)
};

struct AccountBranchData {
  Branch branch;
  Uint256 transaction_count;
  TokenBalanceMap token_balances;
  bool is_contract = false;
  std::uint16_t posw_mineable_blocks = 0;
  std::uint16_t mined_blocks = 0;
  QUARKCHAIN_FIELDS(AccountBranchData, branch, transaction_count, token_balances, is_contract, posw_mineable_blocks,
                    mined_blocks)
};

struct GetAccountDataResponse {
  std::uint32_t error_code = 0;
  std::vector<AccountBranchData> account_branch_data_list;
  QUARKCHAIN_FIELDS(GetAccountDataResponse, error_code, account_branch_data_list)
};

struct AddTransactionRequest {
  TypedTransaction tx;
  QUARKCHAIN_FIELDS(AddTransactionRequest, tx)
};

struct AddTransactionResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(AddTransactionResponse, error_code)
};

struct ShardStats {
  Branch branch;
  std::uint64_t height = 0;
  BigUint difficulty;
  Address coinbase_address;
  std::uint64_t timestamp = 0;
  std::uint32_t tx_count60s = 0;
  std::uint32_t pending_tx_count = 0;
  std::uint32_t total_tx_count = 0;
  std::uint32_t block_count60s = 0;
  std::uint32_t stale_block_count60s = 0;
  std::uint32_t last_block_time = 0;
  QUARKCHAIN_FIELDS(ShardStats, branch, height, difficulty, coinbase_address, timestamp, tx_count60s, pending_tx_count,
                    total_tx_count, block_count60s, stale_block_count60s, last_block_time)
};

struct RootBlockSychronizerStats {
  std::uint64_t headers_downloaded = 0;
  std::uint64_t blocks_downloaded = 0;
  std::uint64_t blocks_added = 0;
  std::uint64_t ancestor_not_found_count = 0;
  std::uint64_t ancestor_lookup_requests = 0;
  QUARKCHAIN_FIELDS(RootBlockSychronizerStats, headers_downloaded, blocks_downloaded, blocks_added,
                    ancestor_not_found_count, ancestor_lookup_requests)
};

struct SyncMinorBlockListRequest {
  std::vector<Hash256> minor_block_hash_list;
  Branch branch;
  std::uint64_t cluster_peer_id = 0;
  QUARKCHAIN_FIELDS(SyncMinorBlockListRequest, minor_block_hash_list, branch, cluster_peer_id)
};

struct SyncMinorBlockListResponse {
  std::uint32_t error_code = 0;
  std::map<Hash256, TokenBalanceMap> block_coinbase_map;
  std::optional<ShardStats> shard_stats;
  QUARKCHAIN_FIELDS(SyncMinorBlockListResponse, error_code, block_coinbase_map, shard_stats)
};

struct AddMinorBlockHeaderRequest {
  MinorBlockHeader minor_block_header;
  std::uint32_t tx_count = 0;
  std::uint32_t x_shard_tx_count = 0;
  TokenBalanceMap coinbase_amount_map;
  ShardStats shard_stats;
  QUARKCHAIN_FIELDS(AddMinorBlockHeaderRequest, minor_block_header, tx_count, x_shard_tx_count, coinbase_amount_map,
                    shard_stats)
};

struct AddMinorBlockHeaderResponse {
  std::uint32_t error_code = 0;
  ArtificialTxConfig artificial_tx_config;
  QUARKCHAIN_FIELDS(AddMinorBlockHeaderResponse, error_code, artificial_tx_config)
};

struct AddMinorBlockHeaderListRequest {
  std::vector<MinorBlockHeader> minor_block_header_list;
  std::vector<TokenBalanceMap> coinbase_amount_map_list;
  QUARKCHAIN_FIELDS(AddMinorBlockHeaderListRequest, minor_block_header_list, coinbase_amount_map_list)
};

struct AddMinorBlockHeaderListResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(AddMinorBlockHeaderListResponse, error_code)
};

struct AddXshardTxListRequest {
  Branch branch;
  Hash256 minor_block_hash;
  CrossShardTransactionList tx_list;
  QUARKCHAIN_FIELDS(AddXshardTxListRequest, branch, minor_block_hash, tx_list)
};

struct AddXshardTxListResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(AddXshardTxListResponse, error_code)
};

struct BatchAddXshardTxListRequest {
  std::vector<AddXshardTxListRequest> add_xshard_tx_list_request_list;
  QUARKCHAIN_FIELDS(BatchAddXshardTxListRequest, add_xshard_tx_list_request_list)
};

struct BatchAddXshardTxListResponse {
  std::uint32_t error_code = 0;
  QUARKCHAIN_FIELDS(BatchAddXshardTxListResponse, error_code)
};

struct GetLogRequest {
  Branch branch;
  std::vector<Address> addresses;
  std::vector<std::vector<Hash256>> topics;
  std::uint64_t start_block = 0;
  std::uint64_t end_block = 0;
  QUARKCHAIN_FIELDS(GetLogRequest, branch, addresses, topics, start_block, end_block)
};

struct GetLogResponse {
  std::uint32_t error_code = 0;
  std::vector<Log> logs;
  QUARKCHAIN_FIELDS(GetLogResponse, error_code, logs)
};

struct EstimateGasRequest {
  TypedTransaction tx;
  Address from_address;
  QUARKCHAIN_FIELDS(EstimateGasRequest, tx, from_address)
};

struct EstimateGasResponse {
  std::uint32_t error_code = 0;
  std::uint32_t result = 0;
  QUARKCHAIN_FIELDS(EstimateGasResponse, error_code, result)
};

struct GetStorageRequest {
  Address address;
  Uint256 key;
  std::optional<std::uint64_t> block_height;
  QUARKCHAIN_FIELDS(GetStorageRequest, address, key, block_height)
};

struct GetStorageResponse {
  std::uint32_t error_code = 0;
  Hash256 result;
  QUARKCHAIN_FIELDS(GetStorageResponse, error_code, result)
};

struct GetCodeRequest {
  Address address;
  std::optional<std::uint64_t> block_height;
  QUARKCHAIN_FIELDS(GetCodeRequest, address, block_height)
};

struct GetCodeResponse {
  std::uint32_t error_code = 0;
  std::string result;
  QUARKCHAIN_FIELDS(GetCodeResponse, error_code, result)
};

struct GasPriceRequest {
  Branch branch;
  std::uint64_t token_id = 0;
  QUARKCHAIN_FIELDS(GasPriceRequest, branch, token_id)
};

struct GasPriceResponse {
  std::uint32_t error_code = 0;
  std::uint64_t result = 0;
  QUARKCHAIN_FIELDS(GasPriceResponse, error_code, result)
};

struct GetWorkRequest {
  Branch branch;
  std::optional<Address> coinbase_addr;
  QUARKCHAIN_FIELDS(GetWorkRequest, branch, coinbase_addr)
};

struct GetWorkResponse {
  std::uint32_t error_code = 0;
  Hash256 header_hash;
  std::uint64_t height = 0;
  BigUint difficulty;
  QUARKCHAIN_FIELDS(GetWorkResponse, error_code, header_hash, height, difficulty)
};

struct SubmitWorkRequest {
  Branch branch;
  Hash256 header_hash;
  std::uint64_t nonce = 0;
  Hash256 mixhash;
  std::optional<Signature65> signature;
  QUARKCHAIN_FIELDS(SubmitWorkRequest, branch, header_hash, nonce, mixhash, signature)
};

struct SubmitWorkResponse {
  std::uint32_t error_code = 0;
  bool success = false;
  QUARKCHAIN_FIELDS(SubmitWorkResponse, error_code, success)
};

struct GetRootChainStakesRequest {
  Address address;
  Hash256 minor_block_hash;
  QUARKCHAIN_FIELDS(GetRootChainStakesRequest, address, minor_block_hash)
};

struct GetRootChainStakesResponse {
  std::uint32_t error_code = 0;
  BigUint stakes;
  Recipient signer;
  QUARKCHAIN_FIELDS(GetRootChainStakesResponse, error_code, stakes, signer)
};

struct GetTotalBalanceRequest {
  Branch branch;
  std::optional<Hash256> start;
  std::uint64_t token_id = 0;
  std::uint32_t limit = 0;
  Hash256 minor_block_hash;
  std::optional<Hash256> root_block_hash;
  QUARKCHAIN_FIELDS(GetTotalBalanceRequest, branch, start, token_id, limit, minor_block_hash, root_block_hash)
};

struct GetTotalBalanceResponse {
  std::uint32_t error_code = 0;
  BigUint total_balance;
  std::string next;
  QUARKCHAIN_FIELDS(GetTotalBalanceResponse, error_code, total_balance, next)
};

// Every type here: ROW is a macro for rows of the opcode table, whose third column is a message, PART one for the
// structures that only occur in messages.
#define QUARKCHAIN_CLUSTER_TYPES(ROW, PART) \
  QUARKCHAIN_CLUSTER_OPS(ROW, ROW, ROW)     \
  PART(SlaveInfo)                           \
  PART(ArtificialTxConfig)                  \
  PART(MinorBlockExtraInfo)                 \
  PART(TransactionDetail)                   \
  PART(EcoInfo)                             \
  PART(HeadersInfo)                         \
  PART(AccountBranchData)                   \
  PART(ShardStats)                          \
  PART(RootBlockSychronizerStats)

} // namespace trunkline::quarkchain
