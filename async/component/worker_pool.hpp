// A fixed number of workers and a bounded queue of jobs for them.
#pragma once

#include "async/component/component.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

namespace trunkline {

/// Runs jobs, a fixed number at a time. When it stops, running jobs are finished and queued ones are dropped and
/// counted. A job that throws is counted as failed, and nothing else happens.
class WorkerPool final : public Component {
 public:
  /// Called with the pool's scope, to report an irrecoverable error and to see whether the pool stops.
  using Job = std::function<awaitable<void>(Scope&)>;
  enum class Submitted : std::uint8_t { queued, not_started, shutting_down, queue_full };
  struct Counters {
    std::uint64_t finished = 0;
    std::uint64_t failed = 0;  // threw
    std::uint64_t dropped = 0; // were in the queue at the end
  };

  /// Errors: std::invalid_argument for no workers and for a queue of no jobs.
  WorkerPool(Executor executor, std::string name, std::size_t workers, std::size_t queue_jobs_max);

  /// Queues a job without waiting. The job is moved from only when this returns `queued`.
  Submitted submit(Job&& job);
  std::size_t queue_size() const noexcept { return queue_.size(); }
  std::size_t workers() const noexcept { return workers_; }
  const Counters& counters() const noexcept { return counters_; }

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;

 private:
  awaitable<void> work(std::shared_ptr<Scope> scope);

  std::size_t workers_;
  std::size_t queue_jobs_max_;
  std::deque<Job> queue_;
  std::shared_ptr<Scope> scope_; // once it runs
  Signal submitted_;             // a job, or the end
  Counters counters_;
  Tasks tasks_;
};

} // namespace trunkline
