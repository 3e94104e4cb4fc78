// A slave's way to another slave. Deadlines, cancellation and errors are those of SlaveClient.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/rpc/rpc.hpp"
#include "services/quarkchain/cluster/xshard_routes.hpp"

#include <memory>
#include <vector>

namespace trunkline::quarkchain {

class XshardClient {
 public:
  explicit XshardClient(std::shared_ptr<RpcCircuit> circuit, Duration deadline = Duration::zero())
      : circuit_(std::move(circuit)), deadline_(deadline) {}
  XshardClient within(Duration deadline) const { return XshardClient(circuit_, deadline); }
  const std::shared_ptr<RpcCircuit>& circuit() const noexcept { return circuit_; }

  /// Says who we are and returns who the other one is. With a default root tip, which pyquarkchain sends and ignores.
  awaitable<SlaveIdentity> ping(const SlaveIdentity& own) const;
  awaitable<void> add_xshard_tx_list(const XshardList& list) const;
  awaitable<void> batch_add_xshard_tx_list(const std::vector<XshardList>& lists) const;

 private:
  std::shared_ptr<RpcCircuit> circuit_;
  Duration deadline_;
};

} // namespace trunkline::quarkchain
