// What a slave serves the other slaves: PING, and cross-shard lists one by one and in batches.
#pragma once

#include "services/quarkchain/slave/slave_service.hpp"

#include <memory>

namespace trunkline::quarkchain {

class XshardService : public Service {
 public:
  XshardService(std::shared_ptr<Backend> backend, std::weak_ptr<Membership> membership,
                const ServiceOptions& options = ServiceOptions());
};

} // namespace trunkline::quarkchain
