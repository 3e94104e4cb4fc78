// A transaction of version 2 is one of Ethereum with QuarkChain's fields around it: here the one is made of the other.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/execution/signed_transaction.hpp"

#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// As it was signed: the RLP of nine items.
std::string ethereum_form(const EvmTransaction& tx);
/// Of a shard whose chain has one. Errors: TransactionFailure for what is no transaction of EIP-155 of this chain.
EvmTransaction quarkchain_form(std::string_view raw, const ShardConfig& shard);

} // namespace trunkline::quarkchain
