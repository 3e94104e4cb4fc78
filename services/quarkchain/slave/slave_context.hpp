// What the answers of a slave work with. Internal to its services.
#pragma once

#include "services/quarkchain/slave/slave_service.hpp"
#include "services/quarkchain/rpc/typed_service.hpp"

namespace trunkline::quarkchain {

struct SlaveContext {
  SlaveContext(std::shared_ptr<Backend> to, std::weak_ptr<Membership> of)
      : backend(std::move(to)), membership(std::move(of)) {}
  /// Errors: error::node_closed when the slave is gone.
  std::shared_ptr<Membership> members() const {
    std::shared_ptr<Membership> live = membership.lock();
    if (!live) throw_error(error::node_closed, "the slave has ended");
    return live;
  }
  /// After what may have made shards.
  void announce_shards() const {
    const std::shared_ptr<Membership> live = members();
    for (const std::uint32_t shard : backend->shards()) live->add_shard(shard);
  }

  std::shared_ptr<Backend> backend;
  std::weak_ptr<Membership> membership;
  std::shared_ptr<RpcCircuit> circuit;
};

/// The answers that need the backend alone: slave_reads.cpp.
void serve_reads(TypedService<SlaveContext>& service);

} // namespace trunkline::quarkchain
