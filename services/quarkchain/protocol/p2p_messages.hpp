// What clusters say to each other: masters about the root chain, shards about their own. Names are those of
// pyquarkchain. Which opcode carries which message is said in opcode_table.hpp.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"

#include <cstdint>
#include <vector>

namespace trunkline::quarkchain {

struct HelloCommand {
  std::uint32_t version = 0;
  std::uint32_t network_id = 0;
  Hash256 peer_id;
  Uint128 peer_ip;
  std::uint16_t peer_port = 0;
  std::vector<std::uint32_t> chain_mask_list;
  RootBlockHeader root_block_header;
  Hash256 genesis_root_block_hash;
  QUARKCHAIN_FIELDS(HelloCommand, version, network_id, peer_id, peer_ip, peer_port, chain_mask_list, root_block_header,
                    genesis_root_block_hash)
};

struct GetPeerListRequest {
  std::uint32_t max_peers = 0;
  QUARKCHAIN_FIELDS(GetPeerListRequest, max_peers)
};

struct PeerInfo {
  Uint128 ip;
  std::uint16_t port = 0;
  QUARKCHAIN_FIELDS(PeerInfo, ip, port)
};

struct GetPeerListResponse {
  std::vector<PeerInfo> peer_info_list;
  QUARKCHAIN_FIELDS(GetPeerListResponse, peer_info_list)
};

struct NewMinorBlockHeaderListCommand {
  RootBlockHeader root_block_header;
  std::vector<MinorBlockHeader> minor_block_header_list;
  QUARKCHAIN_FIELDS(NewMinorBlockHeaderListCommand, root_block_header, minor_block_header_list)
};

struct NewTransactionListCommand {
  std::vector<TypedTransaction> transaction_list;
  QUARKCHAIN_FIELDS(NewTransactionListCommand, transaction_list)
};

struct GetRootBlockHeaderListRequest {
  Hash256 block_hash;
  std::uint32_t limit = 0;
  std::uint8_t direction = 0;
  QUARKCHAIN_FIELDS(GetRootBlockHeaderListRequest, block_hash, limit, direction)
};

struct GetRootBlockHeaderListResponse {
  RootBlockHeader root_tip;
  std::vector<RootBlockHeader> block_header_list;
  QUARKCHAIN_FIELDS(GetRootBlockHeaderListResponse, root_tip, block_header_list)
};

struct GetRootBlockHeaderListWithSkipRequest {
  std::uint8_t type = 0;
  Hash256 data;
  std::uint32_t limit = 0;
  std::uint32_t skip = 0;
  std::uint8_t direction = 0;
  QUARKCHAIN_FIELDS(GetRootBlockHeaderListWithSkipRequest, type, data, limit, skip, direction)
};

struct GetMinorBlockHeaderListWithSkipRequest {
  std::uint8_t type = 0;
  Hash256 data;
  Branch branch;
  std::uint32_t limit = 0;
  std::uint32_t skip = 0;
  std::uint8_t direction = 0;
  QUARKCHAIN_FIELDS(GetMinorBlockHeaderListWithSkipRequest, type, data, branch, limit, skip, direction)
};

struct GetRootBlockListRequest {
  std::vector<Hash256> root_block_hash_list;
  QUARKCHAIN_FIELDS(GetRootBlockListRequest, root_block_hash_list)
};

struct GetRootBlockListResponse {
  std::vector<RootBlock> root_block_list;
  QUARKCHAIN_FIELDS(GetRootBlockListResponse, root_block_list)
};

struct GetMinorBlockListRequest {
  std::vector<Hash256> minor_block_hash_list;
  QUARKCHAIN_FIELDS(GetMinorBlockListRequest, minor_block_hash_list)
};

struct GetMinorBlockListResponse {
  std::vector<MinorBlock> minor_block_list;
  QUARKCHAIN_FIELDS(GetMinorBlockListResponse, minor_block_list)
};

struct GetMinorBlockHeaderListRequest {
  Hash256 block_hash;
  Branch branch;
  std::uint32_t limit = 0;
  std::uint8_t direction = 0;
  QUARKCHAIN_FIELDS(GetMinorBlockHeaderListRequest, block_hash, branch, limit, direction)
};

struct GetMinorBlockHeaderListResponse {
  RootBlockHeader root_tip;
  MinorBlockHeader shard_tip;
  std::vector<MinorBlockHeader> block_header_list;
  QUARKCHAIN_FIELDS(GetMinorBlockHeaderListResponse, root_tip, shard_tip, block_header_list)
};

struct NewBlockMinorCommand {
  MinorBlock block;
  QUARKCHAIN_FIELDS(NewBlockMinorCommand, block)
};

struct NewRootBlockCommand {
  RootBlock block;
  QUARKCHAIN_FIELDS(NewRootBlockCommand, block)
};

struct PingPongCommand {
  Hash256 message;
  QUARKCHAIN_FIELDS(PingPongCommand, message)
};

#define QUARKCHAIN_P2P_TYPES(X)             \
  X(HelloCommand)                           \
  X(GetPeerListRequest)                     \
  X(PeerInfo)                               \
  X(GetPeerListResponse)                    \
  X(NewMinorBlockHeaderListCommand)         \
  X(NewTransactionListCommand)              \
  X(GetRootBlockHeaderListRequest)          \
  X(GetRootBlockHeaderListResponse)         \
  X(GetRootBlockHeaderListWithSkipRequest)  \
  X(GetMinorBlockHeaderListWithSkipRequest) \
  X(GetRootBlockListRequest)                \
  X(GetRootBlockListResponse)               \
  X(GetMinorBlockListRequest)               \
  X(GetMinorBlockListResponse)              \
  X(GetMinorBlockHeaderListRequest)         \
  X(GetMinorBlockHeaderListResponse)        \
  X(NewBlockMinorCommand)                   \
  X(NewRootBlockCommand)                    \
  X(PingPongCommand)

} // namespace trunkline::quarkchain
