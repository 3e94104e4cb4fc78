#include "services/quarkchain/shard/posw.hpp"

#include <algorithm>

namespace trunkline::quarkchain {

bool posw_enabled(const PoswConfig& config, std::uint64_t create_time) noexcept {
  return config.enabled && create_time >= config.enable_timestamp;
}

BigUint posw_divider(const PoswConfig& config, std::uint64_t create_time) {
  BigUint divider = config.diff_divider;
  if (config.boost_timestamp == 0 || create_time < config.boost_timestamp) return divider;
  const std::uint64_t steps = (create_time - config.boost_timestamp) / config.boost_step_interval + 1;
  for (std::uint64_t step = std::min(steps, config.boost_steps); step > 0; --step)
    divider = divider * config.boost_multiplier_per_step;
  return divider;
}

std::optional<PoswResult> posw(const PoswConfig& config, const PoswMiner& miner) {
  if (!posw_enabled(config, miner.create_time) || miner.height == 0) return std::nullopt;
  const BigUint per_block = miner.stake_per_block.is_zero() ? config.total_stake_per_block : miner.stake_per_block;
  PoswResult result;
  result.mineable = *std::min(BigUint(config.window_size), miner.stakes / per_block).to_u64();
  result.mined = miner.mined_in_window + 1;
  result.difficulty = miner.difficulty;
  if (miner.mined_in_window < result.mineable)
    result.difficulty = (miner.difficulty / posw_divider(config, miner.create_time));
  return result;
}

} // namespace trunkline::quarkchain
