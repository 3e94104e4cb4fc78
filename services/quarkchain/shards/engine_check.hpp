// checkdb for a shard whose transactions an execution layer runs: one is started for it that begins with nothing, and
// every block that the database holds is given to it again.
#pragma once

#include "services/quarkchain/shard/database_check.hpp"
#include "services/quarkchain/shards/engine_keeper.hpp"
#include "services/quarkchain/shards/hosted_shard.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

class EngineCheck {
 public:
  /// The configurations must outlive it; `store` is only read. Errors: ConfigFailure, AnotherDatabase, StoreFailure.
  EngineCheck(const QuarkChainConfig& config, const ShardConfig& shard, std::unique_ptr<Store> store,
              EngineSettings settings, bool history, ShardLog log);
  EngineCheck(const EngineCheck&) = delete;
  ~EngineCheck() { stop(); }

  /// Waits until the execution layer answers. Errors: ConfigFailure.
  awaitable<void> start() { return keeper_.start(shard_, nullptr); }
  /// All that are held, canonical or not, by height: the order in which they have to be checked.
  std::vector<Hash256> blocks() { return DatabaseCheck(shard_.cl()).blocks(); }
  /// What is wrong with one; nothing for a good one. A block whose parent is wrong is not run. `now`: seconds of the
  /// clock. Errors: Refused when the execution layer is down.
  awaitable<std::optional<std::string>> fault_of(Hash256 block, std::uint64_t now);
  /// Asks the execution layer to end; when this is destroyed it has ended.
  void stop() noexcept { keeper_.stop(); }

 private:
  EngineKeeper keeper_;
  HostedShard shard_;
  std::set<Hash256> wrong_;
};

} // namespace trunkline::quarkchain
