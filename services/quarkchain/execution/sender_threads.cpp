#include "services/quarkchain/execution/sender_threads.hpp"

#include <boost/asio/post.hpp>

#include <signal.h>

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

namespace trunkline::quarkchain {

void SenderSearch::work() noexcept {
  for (;;) {
    const std::size_t next = begun_.fetch_add(1, std::memory_order_relaxed);
    if (next >= found_.size()) return; // the transactions may be gone
    try {
      found_[next].transaction = SignedTransaction::of(transactions_[next]);
    } catch (const std::exception& failure) {
      found_[next].failure = failure.what();
    }
    if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == found_.size()) done_.notify_all();
  }
}

std::vector<SenderSearch::Found>& SenderSearch::finish() noexcept {
  work();
  for (std::size_t done = done_.load(std::memory_order_acquire); done != found_.size();
       done = done_.load(std::memory_order_acquire))
    done_.wait(done, std::memory_order_acquire);
  return found_;
}

SenderThreads::~SenderThreads() {
  if (!pool_) return;
  pool_->stop(); // searches that nobody finished
  pool_->join();
}

std::shared_ptr<SenderThreads> SenderThreads::of_this_machine() {
  constexpr unsigned threads_max = 3;
  const unsigned cores = std::thread::hardware_concurrency();
  return cores > 1 ? std::make_shared<SenderThreads>(std::min(cores - 1, threads_max)) : nullptr;
}

/// They take no signals: these are for the program's own thread.
void SenderThreads::start() {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pool_.emplace(threads_count_);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void SenderThreads::help(std::shared_ptr<SenderSearch> search) {
  if (!pool_) start();
  for (std::size_t i = 0; i < threads_count_; ++i) asio::post(*pool_, [search] { search->work(); });
}

} // namespace trunkline::quarkchain
