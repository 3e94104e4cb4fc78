#include "services/sync/digest_threads.hpp"

#include "async/signal.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <signal.h>

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

namespace trunkline::sync {
namespace {

/// While it lives, threads are made that take no signals: these are for the program's own threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

} // namespace

/// A work that somebody waits for. A thread touches `work`, `failure` and `goes_on` only, and nobody else does while it
/// has the job.
struct DigestThreads::Job {
  std::shared_ptr<DigestWork> work;
  std::shared_ptr<Progress> progress;
  std::exception_ptr failure;
  bool goes_on = true;
  bool is_wanted = true;
  bool ended = false;
  Signal changed;

  void step() noexcept {
    try {
      goes_on = work->step(bytes_per_turn);
    } catch (...) {
      failure = std::current_exception();
      goes_on = false;
    }
  }
};

std::shared_ptr<DigestThreads> DigestThreads::of_this_machine() {
  constexpr unsigned threads_max = 4;
  const unsigned cores = std::thread::hardware_concurrency();
  return cores > 1 ? std::make_shared<DigestThreads>(std::min(cores, threads_max)) : nullptr;
}

void DigestThreads::join() {
  if (!pool_) return;
  pool_->join();
  pool_.reset();
}

DigestThreads::Pending::~Pending() {
  if (job_) job_->is_wanted = false;
}

DigestThreads::Pending DigestThreads::begin(std::shared_ptr<DigestWork> work, std::shared_ptr<Progress> progress,
                                            const Executor& executor) {
  auto job = std::make_shared<Job>();
  job->work = std::move(work);
  job->progress = std::move(progress);
  waiting_.push_back(job);
  start(executor);
  return Pending(std::move(job));
}

awaitable<void> DigestThreads::end(Pending pending) {
  Job& job = *pending.job_;
  while (!job.ended) co_await job.changed.wait();
  if (job.failure) std::rethrow_exception(job.failure);
}

void DigestThreads::start(const Executor& executor) {
  while (working_count_ < threads_count_ && !waiting_.empty()) start_one(executor);
}

void DigestThreads::start_one(const Executor& executor) {
  // Each thread gets its part of what waits, so that none is idle while another one has a handful.
  const std::size_t share = (waiting_.size() + threads_count_ - 1) / threads_count_;
  auto jobs = std::make_shared<Jobs>();
  while (!waiting_.empty() && jobs->size() < std::min(share, works_per_turn)) {
    if (waiting_.front()->is_wanted) jobs->push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  if (jobs->empty()) return;
  if (!pool_) {
    const SignalsBlocked blocked;
    pool_.emplace(threads_count_);
  }
  ++working_count_;
  // The thread has let go of the jobs before anybody here hears of it: what else is in them belongs to the executor.
  asio::post(*pool_, [self = shared_from_this(), jobs = std::move(jobs), executor,
                      work = asio::make_work_guard(executor)]() mutable {
    for (const std::shared_ptr<Job>& job : *jobs) job->step();
    asio::post(work.get_executor(), [self = std::move(self), jobs = std::move(jobs), executor = std::move(executor)] {
      self->take_back(*jobs, executor);
    });
  });
}

void DigestThreads::take_back(const Jobs& jobs, const Executor& executor) {
  --working_count_;
  for (auto job = jobs.rbegin(); job != jobs.rend(); ++job) {
    ++(*job)->progress->worked;
    if ((*job)->goes_on) {
      waiting_.push_front(*job); // what is open is read to its end first
      continue;
    }
    (*job)->ended = true;
    (*job)->changed.notify_all();
  }
  start(executor);
}

} // namespace trunkline::sync
