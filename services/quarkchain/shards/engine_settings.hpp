// How the execution layers of a slave's shards are run.
#pragma once

#include "services/quarkchain/engine/engine.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace trunkline::quarkchain {

struct EngineSettings {
  std::string command; // as EngineProcessOptions has it
  std::function<std::string(std::uint32_t full_shard_id)> directory_of;
  std::uint16_t ports_from = 0; // two for each shard, in their order; 0: any that are free
  std::function<EngineAddress(std::uint32_t full_shard_id)> running; // instead of all of these: somebody else's
  bool bridge = false;
  EngineDeadlines deadlines;
  std::size_t transactions_max = 20; // of a block
  /// For a start, from the last sign that it works: processor time that it has used, anything that it has said. One
  /// that has used as much processor time as this, or taken ten times as long altogether, is given up all the same.
  Duration start_deadline = std::chrono::seconds(60);
  Duration pause_first = std::chrono::seconds(1); // doubled with each end
};

} // namespace trunkline::quarkchain
