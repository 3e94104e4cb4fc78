// What a slave serves the other slaves: PING, and cross-shard lists one by one and in batches.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/rpc/service.hpp"
#include "services/quarkchain/slave/slave_service.hpp"

#include <memory>

namespace trunkline::quarkchain {

class XshardService {
 public:
  XshardService(std::shared_ptr<Backend> backend, std::weak_ptr<Membership> membership,
                ServiceOptions options = ServiceOptions());

  const std::shared_ptr<RpcServer>& server() const noexcept { return server_; }
  const ServiceCounters& counters() const noexcept { return *counters_; }

 private:
  std::shared_ptr<RpcServer> server_;
  std::shared_ptr<ServiceCounters> counters_;
};

} // namespace trunkline::quarkchain
