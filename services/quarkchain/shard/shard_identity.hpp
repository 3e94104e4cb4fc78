// Whose database this is. One of another network, another executor or other rules is refused by name, never started
// over in silence.
#pragma once

#include "services/quarkchain/execution/executor.hpp"
#include "services/quarkchain/store/store.hpp"

#include <string>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// Names what differs, what this shard has and what the database has.
class AnotherDatabase : public ConfigFailure {
 public:
  using ConfigFailure::ConfigFailure;
};

class ShardIdentity {
 public:
  ShardIdentity(const QuarkChainConfig& config, const ShardConfig& shard, const Executor& executor);

  /// Errors: AnotherDatabase. A database without a shard is nobody's yet.
  void check(const Store& store) const;
  void write(StoreBatch& into) const;

 private:
  std::vector<std::pair<std::string, std::string>> facts_;
};

} // namespace trunkline::quarkchain
