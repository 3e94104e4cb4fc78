#include "services/quarkchain/shards/engine_keeper.hpp"

#include "async/clock.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {
namespace {

using namespace std::chrono_literals;

constexpr Duration ends_counted_for = 10min;
constexpr Duration pause_max = 30s;
constexpr Duration between_tries = 100ms;
constexpr int start_deadlines_max = 10; // however busily it starts

std::int64_t ms_of(Duration duration) { return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count(); }

/// How long a start is waited for: programs of this kind need some seconds of processor time, which on a busy machine
/// are minutes. So what counts is that it works.
class StartPatience {
 public:
  StartPatience(Duration deadline, TimePoint now) : deadline_(deadline), began_(now), progress_(now) {}

  /// Why it is over; empty while it is not. `work`: of a process that is ours.
  std::string over(TimePoint now, const std::optional<EngineProcess::Work>& work) {
    if (work && (work->said_bytes != seen_.said_bytes || work->processor != seen_.processor)) {
      seen_ = *work;
      progress_ = now;
    }
    if (seen_.processor >= deadline_)
      return fmt::format("does not answer after {} ms of processor time", ms_of(seen_.processor));
    if (now - progress_ >= deadline_)
      return fmt::format("does not answer, and has done nothing for {} ms", ms_of(deadline_));
    if (now - began_ >= deadline_ * start_deadlines_max)
      return fmt::format("does not answer after {} ms", ms_of(now - began_));
    return {};
  }

 private:
  Duration deadline_;
  TimePoint began_;
  TimePoint progress_;
  EngineProcess::Work seen_;
};

} // namespace

EngineKeeper::EngineKeeper(EngineSettings settings, std::uint32_t full_shard_id, std::size_t place, ShardLog log)
    : settings_(std::move(settings)), full_shard_id_(full_shard_id), place_(place), log_(std::move(log)) {}

void EngineKeeper::log(LogLevel level, const std::string& text) const {
  if (log_) log_(nullptr, level, fmt::format("shard {}: the execution layer {}", shard_text(full_shard_id_), text));
}

ShardExecutor EngineKeeper::make_executor(const QuarkChainConfig& config, const ShardConfig& shard,
                                          const Store& store, std::function<std::uint64_t()> unix_time) {
  EngineExecutorOptions options;
  options.bridge = settings_.bridge;
  options.store = &store;
  options.engine.deadlines = settings_.deadlines;
  options.engine.transactions_max = settings_.transactions_max;
  options.engine.unix_time = std::move(unix_time);
  options.engine.failed = [trouble = trouble_](const std::string& why) {
    trouble->why = why;
    trouble->happened.notify_all();
  };
  auto executor = std::make_unique<EngineExecutor>(config, shard, std::move(options));
  genesis_ = &executor->genesis();
  engine_ = executor->engine();
  return {std::move(executor), engine_};
}

awaitable<void> EngineKeeper::start(HostedShard& shard, std::shared_ptr<void> owner) {
  shard_ = &shard;
  if (tasks_) co_return;
  const trunkline::Executor executor = co_await asio::this_coro::executor;
  tasks_ = std::make_unique<Tasks>(executor);
  std::string why;
  try {
    co_await begin(this, executor);
    tasks_->spawn(keep(this, std::move(owner)));
    co_return;
  } catch (const ExecutorDown& down) {
    why = down.what();
  } catch (const ConfigFailure& failure) {
    why = failure.what();
  }
  const std::string log_file = process_ ? "; its log is " + process_->log_file() : std::string();
  stop();
  throw ConfigFailure(fmt::format("shard {}: the execution layer: {}{}", shard_text(full_shard_id_), why, log_file));
}

void EngineKeeper::stop() noexcept {
  tasks_.reset();
  if (process_) process_->terminate();
}

awaitable<void> EngineKeeper::begin(EngineKeeper* self, trunkline::Executor executor) {
  self->trouble_->why.clear();
  if (!self->settings_.running) {
    EngineProcessOptions options;
    options.command = self->settings_.command;
    options.directory = self->settings_.directory_of(self->full_shard_id_);
    if (self->settings_.ports_from != 0)
      options.ports_from = static_cast<std::uint16_t>(self->settings_.ports_from + 2 * self->place_);
    if (self->process_ && !self->process_->has_ended()) { // two would want the same directory
      self->process_->kill();
      (void)co_await EngineProcess::ended(self->process_);
    }
    self->process_ = std::make_shared<EngineProcess>(executor, std::move(options), self->genesis_->json());
    self->tasks_->spawn(EngineProcess::keep_log(self->process_));
    self->log(LogLevel::info, fmt::format("is process {}, and logs into {}", self->process_->pid(),
                                          self->process_->log_file()));
  }
  co_await connect(self);
  const std::size_t replayed = co_await self->shard_->recover();
  self->log(LogLevel::info, fmt::format("answers; {} blocks were run again that it did not hold", replayed));
}

/// Until it answers, which takes programs of this kind some seconds.
awaitable<void> EngineKeeper::connect(EngineKeeper* self) {
  const trunkline::Executor executor = co_await asio::this_coro::executor;
  StartPatience patience(self->settings_.start_deadline, Clock::of(executor).now());
  for (;;) {
    EngineAddress address = self->settings_.running ? self->settings_.running(self->full_shard_id_)
                                                    : self->process_->address();
    std::string why;
    try {
      co_await self->engine_->connect(std::move(address), *self->genesis_);
      co_return;
    } catch (const ExecutorDown& down) {
      why = down.what();
    }
    if (self->process_ && self->process_->has_ended()) throw ExecutorDown("it ended while it started");
    const auto work = self->process_ ? std::optional(self->process_->work()) : std::nullopt;
    const std::string over = patience.over(Clock::of(executor).now(), work);
    if (!over.empty()) throw ExecutorDown(over + ": " + why);
    co_await sleep_for(between_tries);
  }
}

awaitable<std::string> EngineKeeper::trouble_of(std::shared_ptr<Trouble> trouble) {
  while (trouble->why.empty()) co_await trouble->happened.wait();
  co_return trouble->why;
}

/// How it ends, or what is wrong with it.
awaitable<std::string> EngineKeeper::end_of(std::shared_ptr<EngineProcess> process, std::shared_ptr<Trouble> trouble) {
  using namespace asio::experimental::awaitable_operators;
  if (!process) co_return co_await trouble_of(std::move(trouble));
  auto first = co_await (EngineProcess::ended(process) || trouble_of(std::move(trouble)));
  if (first.index() == 0) co_return "ended with " + std::get<0>(first);
  process->kill(); // who breaks the contract once is not asked to end in order
  co_return "does not do what it has to: " + std::get<1>(first);
}

std::optional<Duration> EngineKeeper::pause() {
  const TimePoint now = std::chrono::steady_clock::now();
  ends_.push_back(now);
  while (ends_.front() + ends_counted_for < now) ends_.pop_front();
  if (ends_.size() >= ends_max) return std::nullopt;
  return std::min<Duration>(settings_.pause_first * (1 << (ends_.size() - 1)), pause_max);
}

awaitable<void> EngineKeeper::keep(EngineKeeper* self, std::shared_ptr<void>) {
  const trunkline::Executor executor = co_await asio::this_coro::executor;
  std::string why = co_await end_of(self->process_, self->trouble_);
  for (;;) {
    self->shard_->lose_engine(why);
    const std::optional<Duration> pause = self->pause();
    if (!pause) {
      self->log(LogLevel::error, fmt::format("{}; it has ended {} times in 10 minutes, and the shard stays down", why, ends_max));
      co_return;
    }
    self->log(LogLevel::warning, fmt::format("{}; again in {} ms", why, ms_of(*pause)));
    co_await sleep_for(*pause);
    try {
      co_await begin(self, executor);
      why.clear();
    } catch (const ExecutorDown& down) {
      why = down.what();
    } catch (const ConfigFailure& failure) {
      why = failure.what();
    } catch (const Refused& refused) { // of a block that is run again
      why = refused.what();
    }
    if (why.empty()) why = co_await end_of(self->process_, self->trouble_);
    else if (self->process_) self->process_->kill();
  }
}

} // namespace trunkline::quarkchain
