// What a shard serves its peers in other clusters. Which shard and which peer, the name of the circuit says.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/rpc/service.hpp"

#include <cstdint>
#include <memory>

namespace trunkline::quarkchain {

/// As pyquarkchain has them.
struct PeerShardLimits {
  std::uint32_t transactions_max = 1000; // in one NEW_TRANSACTION_LIST
  std::uint32_t blocks_max = 100;        // in one GET_MINOR_BLOCK_LIST
  std::uint32_t headers_max = 200;       // in one answer
};

class PeerShardService : public Service {
 public:
  explicit PeerShardService(std::shared_ptr<Backend> backend, const ServiceOptions& options = ServiceOptions(),
                            PeerShardLimits limits = PeerShardLimits());
};

} // namespace trunkline::quarkchain
