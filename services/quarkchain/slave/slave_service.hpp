// What a slave serves its master: all that Backend does for a master, and who is connected to whom.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/rpc/service.hpp"
#include "services/quarkchain/cluster/slave_pool.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

/// What messages about the cluster itself do in a slave.
class Membership {
 public:
  virtual ~Membership() = default;

  virtual const SlaveIdentity& own() const = 0;
  /// Where a listed slave is. Its host is printable, its port not 0.
  virtual std::string address_of(const SlaveInfo& info) const = 0;
  /// CONNECT_TO_SLAVES: one result for each, empty for success. Errors: none.
  virtual awaitable<std::vector<std::string>> connect(std::vector<SlaveTarget> targets) = 0;
  /// CREATE_CLUSTER_PEER_CONNECTION; false when it was refused.
  virtual bool create_peer(std::uint64_t cluster_peer_id) = 0;
  virtual void destroy_peer(std::uint64_t cluster_peer_id) = 0;
  /// The shard exists; again and again is allowed.
  virtual void add_shard(std::uint32_t full_shard_id) = 0;
  /// PING of another slave, before the reply to it. False: it is closed.
  virtual bool identify(RpcCircuit& circuit, SlaveIdentity identity) = 0;
};

class SlaveService : public Service {
 public:
  /// What is asked after the membership has gone fails.
  SlaveService(std::shared_ptr<Backend> backend, std::weak_ptr<Membership> membership,
               const ServiceOptions& options = ServiceOptions());
};

} // namespace trunkline::quarkchain
