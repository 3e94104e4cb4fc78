// Which other shards there are at a height of the root chain, and which of them a shard exchanges deposits with.
#pragma once

#include "services/quarkchain/execution/executor.hpp"

#include <cstdint>
#include <vector>

namespace trunkline::quarkchain {

class Neighbourhood {
 public:
  /// `config` must outlive it.
  Neighbourhood(const QuarkChainConfig& config, std::uint32_t own) : config_(config), own_(own) {}

  std::uint32_t own() const noexcept { return own_; }
  /// Counted among the shards that exist before the root block of this height. A shard counts as its own neighbour.
  bool is_neighbour(std::uint32_t branch, std::uint32_t root_height) const;
  /// The others that get a list of each of our blocks whose root block has this height, ascending.
  std::vector<std::uint32_t> neighbours(std::uint32_t root_height) const;
  Reach reach(std::uint32_t root_height) const;

 private:
  const QuarkChainConfig& config_;
  std::uint32_t own_;
};

} // namespace trunkline::quarkchain
