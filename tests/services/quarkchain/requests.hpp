// Requests to a backend, for tests that ask one directly.
#pragma once

#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/protocol/cluster_messages.hpp"

namespace trunkline::quarkchain::test {

inline AddMinorBlockRequest adding(const MinorBlock& block) {
  AddMinorBlockRequest request;
  request.minor_block_data = encoded(block).text();
  return request;
}
inline AddRootBlockRequest adding(const RootBlock& block) {
  AddRootBlockRequest request;
  request.root_block = block;
  return request;
}
inline AddTransactionRequest adding(const TypedTransaction& transaction) {
  AddTransactionRequest request;
  request.tx = transaction;
  return request;
}

} // namespace trunkline::quarkchain::test
