// A shard's way to a peer of it. Deadlines, cancellation and errors are those of SlaveClient.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/rpc/rpc.hpp"

#include <memory>
#include <vector>

namespace trunkline::quarkchain {

class PeerShardClient {
 public:
  explicit PeerShardClient(std::shared_ptr<RpcCircuit> circuit, Duration deadline = Duration::zero())
      : circuit_(std::move(circuit)), deadline_(deadline) {}
  PeerShardClient within(Duration deadline) const { return PeerShardClient(circuit_, deadline); }
  const std::shared_ptr<RpcCircuit>& circuit() const noexcept { return circuit_; }

  // Commands: they wait for room only, and nobody answers.
  awaitable<void> new_minor_block_header(const RootBlockHeader& root, const MinorBlockHeader& tip) const;
  awaitable<void> new_transaction_list(const std::vector<TypedTransaction>& transactions) const;
  awaitable<void> new_block_minor(const MinorBlock& block) const;

  awaitable<std::vector<MinorBlock>> get_minor_block_list(const std::vector<Hash256>& hashes) const;
  /// From a hash, without skips, towards genesis: opcode 11; anything else: opcode 19.
  awaitable<MinorHeaderPage> get_minor_block_header_list(std::uint32_t branch, const HeaderQuery& query) const;

 private:
  std::shared_ptr<RpcCircuit> circuit_;
  Duration deadline_;
};

} // namespace trunkline::quarkchain
