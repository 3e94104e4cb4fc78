#include "async/home_thread.hpp"

#include <boost/asio/detail/concurrency_hint.hpp>
#include <boost/asio/detail/scheduler.hpp>
#include <boost/asio/query.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace trunkline {
namespace {

/// What an io_context and a thread pool are made of. Asio has no public way to ask either for its concurrency hint, or
/// whether this thread runs it, once a strand or any_io_executor is around its executor.
using Scheduler = asio::detail::scheduler;

asio::execution_context& context_of(const Executor& executor) {
  return asio::query(executor, asio::execution::context);
}

Scheduler* scheduler_of(asio::execution_context& context) {
  return asio::has_service<Scheduler>(context) ? &asio::use_service<Scheduler>(context) : nullptr;
}

/// A template, so that a Boost that does not tell it any more still compiles: then nothing is refused.
template <class Any> bool may_run_on_many(const Any& scheduler, int& hint) {
  if constexpr (requires { scheduler.concurrency_hint(); }) {
    hint = scheduler.concurrency_hint();
    return hint != 1 && BOOST_ASIO_CONCURRENCY_HINT_IS_LOCKING(SCHEDULER, hint) &&
           BOOST_ASIO_CONCURRENCY_HINT_IS_LOCKING(REACTOR_IO, hint);
  } else {
    return false;
  }
}

} // namespace

class HomeThreadService final : public asio::execution_context::service {
 public:
  using key_type = HomeThreadService;
  static inline asio::execution_context::id id;

  explicit HomeThreadService(asio::execution_context& context) : service(context), home_(new HomeThread) {
    home_->scheduler_ = scheduler_of(context);
  }
  void shutdown() override { home_->scheduler_ = nullptr; }
  const std::shared_ptr<HomeThread>& home() const noexcept { return home_; }

 private:
  std::shared_ptr<HomeThread> home_;
};

std::string why_many_threads(const Executor& executor) {
  const Scheduler* const scheduler = scheduler_of(context_of(executor));
  int hint = 1;
  if (!scheduler || !may_run_on_many(*scheduler, hint)) return {};
  if (hint == 0) return "a thread_pool of several threads, or an io_context with the concurrency hint 0";
  if (hint == BOOST_ASIO_CONCURRENCY_HINT_DEFAULT) return "an io_context made without the concurrency hint 1";
  return fmt::format("an io_context with the concurrency hint {}", hint);
}

std::shared_ptr<HomeThread> HomeThread::of(const Executor& executor) {
  return asio::use_service<HomeThreadService>(context_of(executor)).home();
}

bool HomeThread::is_allowed() noexcept {
  const std::thread::id self = std::this_thread::get_id();
  if (home_ == self) return true;
  auto* const scheduler = static_cast<Scheduler*>(scheduler_.load());
  if (scheduler && !scheduler->can_dispatch() && !scheduler->stopped()) return false;
  home_ = self;
  return true;
}

void HomeThread::refuse(const char* of, const char* call, const char* why) noexcept {
  std::fprintf(stderr,
               "trunkline: %s%s was called on the wrong thread: %s. Post the call to the node's executor instead; "
               "see docs/threads.md\n",
               of, call, why);
  std::abort();
}

} // namespace trunkline
