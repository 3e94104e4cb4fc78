#include "async/component/worker_pool.hpp"

#include <stdexcept>
#include <utility>

namespace trunkline {

WorkerPool::WorkerPool(Executor executor, std::string name, std::size_t workers, std::size_t queue_jobs_max)
    : Component(executor, std::move(name)), workers_(workers), queue_jobs_max_(queue_jobs_max), tasks_(executor) {
  if (workers == 0 || queue_jobs_max == 0)
    throw std::invalid_argument("pool " + this->name() + " needs a worker and room for a job");
}

WorkerPool::Submitted WorkerPool::submit(Job&& job) {
  if (is_done() || (scope_ && scope_->is_cancelled())) return Submitted::shutting_down;
  if (!is_ready()) return Submitted::not_started;
  if (queue_.size() >= queue_jobs_max_) return Submitted::queue_full;
  queue_.push_back(std::move(job));
  submitted_.notify_one();
  return Submitted::queued;
}

awaitable<void> WorkerPool::run(std::shared_ptr<Scope> scope) {
  scope_ = scope;
  for (std::size_t i = 0; i < workers_; ++i) tasks_.spawn(work(scope));
  set_ready();
  co_await scope->cancelled();
  counters_.dropped += queue_.size();
  queue_.clear();
  submitted_.notify_all();
  co_await tasks_.join(); // not cancelled: what runs is finished
}

awaitable<void> WorkerPool::work(std::shared_ptr<Scope> scope) {
  for (;;) {
    while (queue_.empty() && !scope->is_cancelled()) co_await submitted_.wait();
    if (scope->is_cancelled()) co_return;
    const Job job = std::move(queue_.front()); // in this frame for as long as its coroutine runs
    queue_.pop_front();
    try {
      co_await job(*scope);
      ++counters_.finished;
    } catch (...) {
      ++counters_.failed;
    }
  }
}

} // namespace trunkline
