// The backend of a slave whose shards know what is true: each is a consensus layer over an executor, and what comes
// from the master, from other slaves and from peers is checked before anybody hears of it.
//
// A block or transaction that the executor cannot run is not called invalid: its shard stops following there, says once
// what was missing, and goes on answering what it has.
#pragma once

#include "fragment/log.hpp"
#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/shards/engine_settings.hpp"
#include "services/quarkchain/store/store.hpp"

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

class SenderThreads;

struct ShardBackendOptions {
  QuarkChainConfig config;
  std::vector<std::uint32_t> full_shard_ids; // ours, of those in `config`
  bool transaction_history = false; // serves the lists by address and of a whole shard
  std::uint32_t page_max = 100; // transactions in one answer
  std::uint32_t xshard_deposits_max = 100000; // in one list; longer ones are refused
  std::function<std::unique_ptr<Store>(std::uint32_t full_shard_id)> open_store; // default: in memory
  std::function<std::uint64_t()> unix_time; // seconds; default: the system's clock
  std::function<std::uint64_t()> random; // default: the system's
  std::optional<EngineSettings> engine; // runs the transactions of all shards; default: plain transfers, in this process
  std::shared_ptr<SenderThreads> sender_threads; // help with the signatures of blocks; default: none
  LogSink log;

  ShardBackendOptions() = default;
  static ShardBackendOptions of(const ClusterConfig& config, std::string_view slave_id);
};

class ShardBackend : public Backend {
 public:
  /// Starts the executors that are other processes, and waits until they can be used; without them it does nothing.
  /// Whoever does not call it has it done when the shards are created. Errors: ConfigFailure.
  virtual awaitable<void> start_executors() = 0;

  // What can be seen beyond Backend, for tests and tools. Nothing for a shard that does not exist yet.
  virtual std::optional<RootBlockHeader> root_tip_of(std::uint32_t full_shard_id) const = 0;
  virtual std::optional<MinorBlock> tip_of(std::uint32_t full_shard_id) const = 0;
  /// Of all its accounts, in the genesis token, after the tip.
  virtual std::optional<BigUint> total_balance_of(std::uint32_t full_shard_id) const = 0;
  /// What stopped it; empty while it follows.
  virtual std::string stopped(std::uint32_t full_shard_id) const = 0;
  /// Of the process that runs its transactions; nothing without one.
  virtual std::optional<pid_t> engine_pid(std::uint32_t full_shard_id) const = 0;
};

/// Opens the database of each shard. Errors: ConfigFailure; AnotherDatabase and StoreFailure, of what was kept before.
std::shared_ptr<ShardBackend> make_shard_backend(ShardBackendOptions options);

} // namespace trunkline::quarkchain
