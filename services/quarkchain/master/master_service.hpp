// What a master serves its slaves: ADD_MINOR_BLOCK_HEADER and ADD_MINOR_BLOCK_HEADER_LIST.
#pragma once

#include "services/quarkchain/backend/root_backend.hpp"
#include "services/quarkchain/rpc/service.hpp"

#include <functional>
#include <memory>
#include <string>

namespace trunkline::quarkchain {

class MasterService : public Service {
 public:
  /// `name_of` says which slave a circuit is of; empty: its address is its name.
  explicit MasterService(std::shared_ptr<RootBackend> backend, const ServiceOptions& options = ServiceOptions(),
                         std::function<std::string(const RpcCircuit&)> name_of = {});
};

} // namespace trunkline::quarkchain
