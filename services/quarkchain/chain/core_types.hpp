// The structures that blocks, transactions and their proofs are made of, with the names of pyquarkchain.
#pragma once

#include "services/quarkchain/chain/fields.hpp"
#include "services/quarkchain/chain/token_balance_map.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

struct Address {
  Recipient recipient;
  std::uint32_t full_shard_key = 0;
  QUARKCHAIN_FIELDS(Address, recipient, full_shard_key)
};

/// A full shard id, see shard.hpp; 0 is the root chain.
struct Branch {
  std::uint32_t value = 0;
  QUARKCHAIN_FIELDS(Branch, value)
};

struct HashList {
  std::vector<Hash256> hlist;
  QUARKCHAIN_FIELDS(HashList, hlist)
};

/// The RLP inside is not looked at here, see evm_transaction.hpp.
struct SerializedEvmTransaction {
  std::uint8_t type = 0;
  std::string serialized_tx;
  QUARKCHAIN_FIELDS(SerializedEvmTransaction, type, serialized_tx)
};

/// A transaction of one of the known types, of which there is one: 0. The type is the first byte of what follows, and
/// an unknown one is refused in both directions.
struct TypedTransaction {
  SerializedEvmTransaction tx;
  QUARKCHAIN_FIELDS(TypedTransaction, tx)
};

struct XshardTxCursorInfo {
  std::uint64_t root_block_height = 0;
  std::uint64_t minor_block_index = 0;
  std::uint64_t xshard_deposit_index = 0;
  QUARKCHAIN_FIELDS(XshardTxCursorInfo, root_block_height, minor_block_index, xshard_deposit_index)
};

struct MinorBlockMeta {
  Hash256 hash_merkle_root;
  Hash256 hash_evm_state_root;
  Hash256 hash_evm_receipt_root;
  Uint256 evm_gas_used;
  Uint256 evm_cross_shard_receive_gas_used;
  XshardTxCursorInfo xshard_tx_cursor_info;
  Uint256 evm_xshard_gas_limit;
  QUARKCHAIN_FIELDS(MinorBlockMeta, hash_merkle_root, hash_evm_state_root, hash_evm_receipt_root, evm_gas_used,
                    evm_cross_shard_receive_gas_used, xshard_tx_cursor_info, evm_xshard_gas_limit)
};

struct MinorBlockHeader {
  std::uint32_t version = 0;
  Branch branch;
  std::uint64_t height = 0;
  Address coinbase_address;
  TokenBalanceMap coinbase_amount_map;
  Hash256 hash_prev_minor_block;
  Hash256 hash_prev_root_block;
  Uint256 evm_gas_limit;
  Hash256 hash_meta;
  std::uint64_t create_time = 0;
  BigUint difficulty;
  std::uint64_t nonce = 0;
  Uint2048 bloom;
  Bytes2 extra_data;
  Hash256 mixhash;
  QUARKCHAIN_FIELDS(MinorBlockHeader, version, branch, height, coinbase_address, coinbase_amount_map,
                    hash_prev_minor_block, hash_prev_root_block, evm_gas_limit, hash_meta, create_time, difficulty,
                    nonce, bloom, extra_data, mixhash)
};

struct MinorBlock {
  MinorBlockHeader header;
  MinorBlockMeta meta;
  std::vector<TypedTransaction> tx_list;
  Bytes2 tracking_data;
  QUARKCHAIN_FIELDS(MinorBlock, header, meta, tx_list, tracking_data)
};

struct RootBlockHeader {
  std::uint32_t version = 0;
  std::uint32_t height = 0;
  Hash256 hash_prev_block;
  Hash256 hash_merkle_root;
  Hash256 hash_evm_state_root;
  Address coinbase_address;
  TokenBalanceMap coinbase_amount_map;
  std::uint64_t create_time = 0;
  BigUint difficulty;
  BigUint total_difficulty;
  std::uint64_t nonce = 0;
  Bytes2 extra_data;
  Hash256 mixhash;
  Signature65 signature;
  QUARKCHAIN_FIELDS(RootBlockHeader, version, height, hash_prev_block, hash_merkle_root, hash_evm_state_root,
                    coinbase_address, coinbase_amount_map, create_time, difficulty, total_difficulty, nonce, extra_data,
                    mixhash, signature)
};

struct RootBlock {
  RootBlockHeader header;
  std::vector<MinorBlockHeader> minor_block_header_list;
  Bytes2 tracking_data;
  QUARKCHAIN_FIELDS(RootBlock, header, minor_block_header_list, tracking_data)
};

struct CrossShardTransactionDepositDeprecated {
  Hash256 tx_hash;
  Address from_address;
  Address to_address;
  Uint256 value;
  Uint256 gas_price;
  std::uint64_t gas_token_id = 0;
  std::uint64_t transfer_token_id = 0;
  bool is_from_root_chain = false;
  QUARKCHAIN_FIELDS(CrossShardTransactionDepositDeprecated, tx_hash, from_address, to_address, value, gas_price,
                    gas_token_id, transfer_token_id, is_from_root_chain)
};

struct CrossShardTransactionDepositV0 {
  Hash256 tx_hash;
  Address from_address;
  Address to_address;
  Uint256 value;
  Uint256 gas_price;
  std::uint64_t gas_token_id = 0;
  std::uint64_t transfer_token_id = 0;
  Uint256 gas_remained;
  std::string message_data;
  bool create_contract = false;
  bool is_from_root_chain = false;
  QUARKCHAIN_FIELDS(CrossShardTransactionDepositV0, tx_hash, from_address, to_address, value, gas_price, gas_token_id,
                    transfer_token_id, gas_remained, message_data, create_contract, is_from_root_chain)
};

struct CrossShardTransactionDeposit {
  Hash256 tx_hash;
  Address from_address;
  Address to_address;
  Uint256 value;
  Uint256 gas_price;
  std::uint64_t gas_token_id = 0;
  std::uint64_t transfer_token_id = 0;
  Uint256 gas_remained;
  std::string message_data;
  bool create_contract = false;
  bool is_from_root_chain = false;
  std::uint8_t refund_rate = 0;
  QUARKCHAIN_FIELDS(CrossShardTransactionDeposit, tx_hash, from_address, to_address, value, gas_price, gas_token_id,
                    transfer_token_id, gas_remained, message_data, create_contract, is_from_root_chain, refund_rate)
};

struct CrossShardTransactionDeprecatedList {
  std::vector<CrossShardTransactionDepositDeprecated> tx_list;
  QUARKCHAIN_FIELDS(CrossShardTransactionDeprecatedList, tx_list)
};

struct CrossShardTransactionListV0 {
  std::vector<CrossShardTransactionDepositV0> tx_list;
  std::uint32_t version = 0;
  QUARKCHAIN_FIELDS(CrossShardTransactionListV0, tx_list, version)
};

struct CrossShardTransactionList {
  std::vector<CrossShardTransactionDeposit> tx_list;
  Always<1> version;
  QUARKCHAIN_FIELDS(CrossShardTransactionList, tx_list, version)
};

struct Log {
  Recipient recipient;
  List1<Hash256> topics;
  std::string data;
  std::uint64_t block_number = 0;
  Hash256 block_hash;
  std::uint32_t tx_idx = 0;
  Hash256 tx_hash;
  std::uint32_t log_idx = 0;
  QUARKCHAIN_FIELDS(Log, recipient, topics, data, block_number, block_hash, tx_idx, tx_hash, log_idx)
};

struct TransactionReceipt {
  Bytes1 success;
  std::uint64_t gas_used = 0;
  std::uint64_t prev_gas_used = 0;
  Uint2048 bloom;
  Address contract_address;
  std::vector<Log> logs;
  QUARKCHAIN_FIELDS(TransactionReceipt, success, gas_used, prev_gas_used, bloom, contract_address, logs)
};

#define QUARKCHAIN_CORE_TYPES(X)            \
  X(Address)                                \
  X(Branch)                                 \
  X(HashList)                               \
  X(SerializedEvmTransaction)               \
  X(TypedTransaction)                       \
  X(TokenBalanceMap)                        \
  X(XshardTxCursorInfo)                     \
  X(MinorBlockMeta)                         \
  X(MinorBlockHeader)                       \
  X(MinorBlock)                             \
  X(RootBlockHeader)                        \
  X(RootBlock)                              \
  X(CrossShardTransactionDepositDeprecated) \
  X(CrossShardTransactionDepositV0)         \
  X(CrossShardTransactionDeposit)           \
  X(CrossShardTransactionDeprecatedList)    \
  X(CrossShardTransactionListV0)            \
  X(CrossShardTransactionList)              \
  X(Log)                                    \
  X(TransactionReceipt)

} // namespace trunkline::quarkchain
