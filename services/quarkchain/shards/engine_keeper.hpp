// Keeps the execution layer of one shard running: starts it, finds out that it has died or does not do what it
// promised, starts it again after a pause, and has the shard recover. Five ends in ten minutes are enough: then the
// shard stays down, and whatever else the slave does goes on.
#pragma once

#include "async/tasks.hpp"
#include "services/quarkchain/engine/engine_executor.hpp"
#include "services/quarkchain/engine/engine_process.hpp"
#include "services/quarkchain/shards/engine_settings.hpp"
#include "services/quarkchain/shards/hosted_shard.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace trunkline::quarkchain {

class EngineKeeper {
 public:
  static constexpr std::size_t ends_max = 5;

  EngineKeeper(EngineSettings settings, std::uint32_t full_shard_id, std::size_t place, ShardLog log);
  EngineKeeper(const EngineKeeper&) = delete;
  EngineKeeper& operator=(const EngineKeeper&) = delete;

  /// The shard's executor, which the shard owns.
  ShardExecutor make_executor(const QuarkChainConfig& config, const ShardConfig& shard, const Store& store,
                              std::function<std::uint64_t()> unix_time);
  /// Starts it and waits until the shard can use it; does nothing the second time. `shard` must outlive this, and `owner`
  /// keeps both while this works. Errors: ConfigFailure when it cannot be started or is another one.
  awaitable<void> start(HostedShard& shard, std::shared_ptr<void> owner);
  /// Asks the process to end, and waits for nothing; when this is destroyed it has ended.
  void stop() noexcept;
  /// Of the process, for tests and logs; -1 without one.
  pid_t pid() const noexcept { return process_ ? process_->pid() : -1; }

 private:
  /// What the executor complains about.
  struct Trouble {
    std::string why;
    Signal happened;
  };

  static awaitable<void> keep(EngineKeeper* self, std::shared_ptr<void> owner);
  static awaitable<void> begin(EngineKeeper* self, trunkline::Executor executor);
  static awaitable<void> connect(EngineKeeper* self);
  static awaitable<std::string> end_of(std::shared_ptr<EngineProcess> process, std::shared_ptr<Trouble> trouble);
  static awaitable<std::string> trouble_of(std::shared_ptr<Trouble> trouble);
  /// How long to wait before it is started again; nothing when it has ended too often.
  std::optional<Duration> pause();
  void log(LogLevel level, const std::string& text) const;

  EngineSettings settings_;
  std::uint32_t full_shard_id_;
  std::size_t place_;
  ShardLog log_;
  std::shared_ptr<Trouble> trouble_ = std::make_shared<Trouble>();
  const EngineGenesis* genesis_ = nullptr;
  std::shared_ptr<Engine> engine_;
  HostedShard* shard_ = nullptr;
  std::shared_ptr<EngineProcess> process_;
  std::deque<TimePoint> ends_;
  std::unique_ptr<Tasks> tasks_;
};

} // namespace trunkline::quarkchain
