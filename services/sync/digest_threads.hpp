// Threads that make the digests and block sums of files, so that many files are digested on several cores, and a node does other
// things meanwhile.
#pragma once

#include "async/types.hpp"
#include "services/sync/report.hpp"

#include <boost/asio/thread_pool.hpp>

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace trunkline::sync {

/// A file, or a part of one, that is read and digested step by step: on any thread, by one at a time.
class DigestWork {
 public:
  virtual ~DigestWork() = default;
  /// Takes so many bytes more; false when that were all. Errors: FileError, which is the last step.
  virtual bool step(std::size_t bytes_max) = 0;
};

/// A thread that is free takes a handful of works and a few megabytes of each, then says how far it is. The threads
/// start with the first work, and know nothing but what they have to do: everything else happens on the executor of
/// those who wait, which is one for all of them. Its context has to outlive the threads: destroy this, or `join`, before
/// it goes.
class DigestThreads : public std::enable_shared_from_this<DigestThreads> {
 public:
  explicit DigestThreads(std::size_t threads_count) : threads_count_(threads_count) {}
  DigestThreads(const DigestThreads&) = delete;
  DigestThreads& operator=(const DigestThreads&) = delete;
  ~DigestThreads() { join(); }

  /// As many as there are cores, at most 4; null where there is one core only.
  static std::shared_ptr<DigestThreads> of_this_machine();

  /// Work that is under way; dropped, it is given up at the end of its step.
  class Pending;

  /// Queues all steps of a work; `progress` counts them.
  Pending begin(std::shared_ptr<DigestWork> work, std::shared_ptr<Progress> progress, const Executor& executor);
  /// Waits for the last one. Errors: FileError.
  awaitable<void> end(Pending pending);
  /// Waits until no thread works. Nothing may be waiting for a digest then.
  void join();

 private:
  struct Job;
  using Jobs = std::vector<std::shared_ptr<Job>>;

  void start(const Executor& executor);
  void start_one(const Executor& executor);
  void take_back(const Jobs& jobs, const Executor& executor);

  static constexpr std::size_t works_per_turn = 16;
  static constexpr std::size_t bytes_per_turn = 4 << 20; // of each

  const std::size_t threads_count_;
  std::deque<std::shared_ptr<Job>> waiting_;
  std::size_t working_count_ = 0; // threads that have jobs, <= threads_count_
  std::optional<asio::thread_pool> pool_;
};

class DigestThreads::Pending {
 public:
  Pending(Pending&&) = default;
  Pending& operator=(Pending&&) = delete;
  ~Pending();

 private:
  friend class DigestThreads;
  explicit Pending(std::shared_ptr<Job> job) : job_(std::move(job)) {}

  std::shared_ptr<Job> job_;
};

} // namespace trunkline::sync
