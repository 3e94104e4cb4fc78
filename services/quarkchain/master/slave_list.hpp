// The slaves of a configuration, in its order, and the circuits to those that are connected. Internal to MasterNode.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/rpc/client.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

/// Never changes but for its circuits: references to its slaves stay good.
class SlaveList {
 public:
  struct Slave {
    SlaveConfig config;
    std::shared_ptr<RpcCircuit> circuit; // also one that has ended
    bool dialling = false;
    bool is_open() const { return circuit && circuit->is_open(); }
    bool runs(std::uint32_t full_shard_id) const;
  };

  SlaveList(const std::vector<SlaveConfig>& slaves, Duration request_deadline);

  auto begin() noexcept { return slaves_.begin(); }
  auto end() noexcept { return slaves_.end(); }
  // Errors of each: std::out_of_range for one that is not in the configuration, or not connected.
  Slave& find(std::string_view id);
  /// The first of those that run it.
  Slave& running(std::uint32_t full_shard_id);
  SlaveClient client(const Slave& slave) const;
  /// To all of them.
  std::vector<SlaveClient> clients() const;
  /// Whose circuit it is; its address for one that is nobody's.
  std::string name_of(const RpcCircuit& circuit) const;

 private:
  std::vector<Slave> slaves_;
  Duration request_deadline_;
};

} // namespace trunkline::quarkchain
