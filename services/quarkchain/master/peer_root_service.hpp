// What a master serves other clusters on the root chain: GET_PEER_LIST, root headers and blocks, and what they
// announce.
#pragma once

#include "services/quarkchain/backend/root_backend.hpp"
#include "services/quarkchain/rpc/service.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace trunkline::quarkchain {

/// As pyquarkchain has them.
struct PeerRootLimits {
  std::uint32_t transactions_max = 1000; // in one NEW_TRANSACTION_LIST
  std::uint32_t blocks_max = 200;        // in one GET_ROOT_BLOCK_LIST
  std::uint32_t headers_max = 1000;      // in one answer
};

/// What messages between masters do that are not about the chain.
class PeerLobby {
 public:
  virtual ~PeerLobby() = default;

  /// HELLO. Errors: anything; the connection is closed.
  virtual void hello(RpcCircuit& circuit, HelloCommand hello) = 0;
  /// The id under which the cluster knows who is on a circuit. Errors: Refused before HELLO.
  virtual std::uint64_t id_of(const RpcCircuit& circuit) const = 0;
  /// Up to so many others, without the one on the circuit.
  virtual std::vector<PeerInfo> others(const RpcCircuit& circuit, std::uint32_t max) const = 0;
};

class PeerRootService : public Service {
 public:
  /// What is asked after the lobby has gone fails.
  PeerRootService(std::shared_ptr<RootBackend> backend, std::weak_ptr<PeerLobby> lobby,
                  const ServiceOptions& options = ServiceOptions(), PeerRootLimits limits = PeerRootLimits());
};

} // namespace trunkline::quarkchain
