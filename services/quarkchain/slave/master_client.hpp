// A slave's way to its master. Deadlines, cancellation and errors are those of SlaveClient.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/rpc/rpc.hpp"

#include <memory>
#include <vector>

namespace trunkline::quarkchain {

/// A handle; null circuits are allowed: their calls fail with error::circuit_closed, as before a master has come.
class MasterClient {
 public:
  explicit MasterClient(std::shared_ptr<RpcCircuit> circuit, Duration deadline = Duration::zero())
      : circuit_(std::move(circuit)), deadline_(deadline) {}
  MasterClient within(Duration deadline) const { return MasterClient(circuit_, deadline); }
  const std::shared_ptr<RpcCircuit>& circuit() const noexcept { return circuit_; }

  awaitable<ArtificialTxConfig> add_minor_block_header(const MinorBlockReport& report) const;
  awaitable<void> add_minor_block_header_list(const std::vector<MinorBlockHeader>& headers,
                                              const std::vector<TokenBalanceMap>& coinbase_amounts) const;

 private:
  std::shared_ptr<RpcCircuit> circuit_;
  Duration deadline_;
};

} // namespace trunkline::quarkchain
