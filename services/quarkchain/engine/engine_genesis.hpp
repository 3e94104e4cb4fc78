// The genesis of a shard as an execution layer reads it, and the hash that its first block then must have.
#pragma once

#include "services/quarkchain/chain/config.hpp"

#include <string>

namespace trunkline::quarkchain {

/// All rules up to Shanghai, from the first block on. Accounts keep what they have of the genesis token; their shard key
/// is dropped. Errors: ConfigFailure for what an execution layer has no place for: shards of one chain, other tokens,
/// two addresses of one account.
class EngineGenesis {
 public:
  EngineGenesis(const QuarkChainConfig& config, const ShardConfig& shard);

  /// What the file holds that it is started with.
  const std::string& json() const noexcept { return json_; }
  const Hash256& hash() const noexcept { return hash_; }
  const Hash256& state_root() const noexcept { return state_root_; }
  std::uint64_t chain_id() const noexcept { return chain_id_; }

 private:
  std::string json_;
  Hash256 hash_;
  Hash256 state_root_;
  std::uint64_t chain_id_;
};

} // namespace trunkline::quarkchain
