#include "async/signal.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <exception>
#include <utility>

namespace trunkline {

using boost::system::error_code;

/// All waiters of one context, so that they end with it: a waiting coroutine may own the very signal that holds it,
/// and such a cycle would otherwise outlive the context.
class Waiters final : public asio::execution_context::service {
 public:
  using key_type = Waiters;
  static inline asio::execution_context::id id;

  explicit Waiters(asio::execution_context& context) : service(context) {}
  void shutdown() override;

  Waiter* first = nullptr;
};

/// One coroutine in wait: linked into its signal (in order of arrival) and into its context's list.
class Waiter {
 public:
  Waiter(Signal& signal, Waiters& all, const Executor& executor) : signal_(&signal), executor_(executor) {
    before_ = signal.last_;
    (before_ ? before_->after_ : signal.first_) = this;
    signal.last_ = this;
    next_of_all_ = all.first;
    if (next_of_all_) next_of_all_->link_of_all_ = &next_of_all_;
    link_of_all_ = &all.first;
    all.first = this;
  }

  /// Takes it out of both lists; the caller then owns it.
  void unlink() noexcept {
    (before_ ? before_->after_ : signal_->first_) = after_;
    (after_ ? after_->before_ : signal_->last_) = before_;
    *link_of_all_ = next_of_all_;
    if (next_of_all_) next_of_all_->link_of_all_ = link_of_all_;
  }

  /// Unlinks, frees, and posts the resumption: state first, then the wake-up.
  void complete(error_code code) {
    unlink();
    uncancel();
    post(code);
  }

  /// Unlinks it and leaves its resumption to `into`.
  void complete_into(Wakeups& into) {
    if (executor_ != into.executor_) return complete({});
    unlink();
    uncancel();
    after_ = nullptr;
    (into.last_ ? into.last_->after_ : into.first_) = this;
    into.last_ = this;
  }

  static Waiter* pop(Wakeups& from) noexcept {
    Waiter* const waiter = from.first_;
    from.first_ = waiter->after_;
    if (!from.first_) from.last_ = nullptr;
    return waiter;
  }

  /// Frees it and resumes its coroutine at once.
  virtual void resume_now() = 0;
  /// Frees it and posts the resumption.
  virtual void post(error_code code) = 0;
  /// Frees it; its coroutine is destroyed where it waits.
  virtual void drop() = 0;

 protected:
  virtual ~Waiter() = default;

  const Executor& executor() const noexcept { return executor_; }

 private:
  /// The wait is over: it cannot be cancelled from here on.
  virtual void uncancel() = 0;

  Signal* signal_;
  Executor executor_;
  Waiter* before_ = nullptr;
  Waiter* after_ = nullptr;
  Waiter* next_of_all_ = nullptr;
  Waiter** link_of_all_ = nullptr;
};

void Waiters::shutdown() {
  while (first) {
    Waiter* waiter = first;
    waiter->unlink();
    waiter->drop();
  } // each drop may destroy a coroutine and with it signals and further waiters
}

Signal::~Signal() {
  while (first_) first_->complete(asio::error::operation_aborted);
}

void Signal::notify_all(Wakeups* into) noexcept {
  Waiter* const last = last_; // later waiters are not resumed
  while (first_) {
    const bool done = first_ == last;
    if (into) {
      first_->complete_into(*into);
    } else {
      first_->complete({});
    }
    if (done) break;
  }
}

Wakeups::~Wakeups() {
  while (first_) Waiter::pop(*this)->post({});
}

void Wakeups::run() {
  while (first_) {
    try {
      Waiter::pop(*this)->resume_now();
    } catch (...) {
      // The exception belongs to the caller of the executor's run(), not to ours.
      asio::post(executor_, [failure = std::current_exception()] { std::rethrow_exception(failure); });
    }
  }
}

void Signal::notify_one() noexcept {
  if (first_) first_->complete({});
}

void throw_if_cancelled(const asio::cancellation_state& state) {
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
}

awaitable<void> throw_if_cancelled() {
  const auto state = co_await asio::this_coro::cancellation_state;
  throw_if_cancelled(state);
}

namespace {

/// What a waiter resumes. Its type is known where the wait begins, so that nothing erases it: that would cost two
/// allocations for each wait.
template <class Resume>
class WaiterOf final : public Waiter {
 public:
  WaiterOf(Signal& signal, Waiters& all, const Executor& executor, Resume resume)
      : Waiter(signal, all, executor), resume_(std::move(resume)) {
    auto slot = asio::get_associated_cancellation_slot(resume_);
    if (!slot.is_connected()) return;
    try {
      slot.template emplace<Cancel>(this);
    } catch (...) { // no memory
      unlink();
      throw;
    }
  }

  void resume_now() override {
    Resume resume = std::move(resume_);
    delete this;
    std::move(resume)(error_code());
  }

  void post(error_code code) override {
    Resume resume = std::move(resume_);
    const Executor executor = this->executor();
    delete this;
    asio::post(executor, [resume = std::move(resume), code]() mutable { std::move(resume)(code); });
  }

  void drop() override {
    const Resume dropped = std::move(resume_);
    delete this;
  }

 private:
  /// As large as the same of a socket's operation: Asio keeps the memory of two for the next ones, and a coroutine that
  /// reads by turns from a socket and from a circuit would otherwise allocate each time.
  class Cancel {
   public:
    explicit Cancel(Waiter* waiter) noexcept : waiter_(waiter) {}
    void operator()(asio::cancellation_type) const { waiter_->complete(asio::error::operation_aborted); }

   private:
    Waiter* waiter_;
    [[maybe_unused]] void* unused_[2] = {};
  };

  void uncancel() override {
    auto slot = asio::get_associated_cancellation_slot(resume_);
    if (slot.is_connected()) slot.clear();
  }

  Resume resume_;
};

} // namespace

// No coroutine of its own: one less to allocate for each wait.
awaitable<void> Signal::wait() {
  auto initiation = [](auto handler, Signal* signal) {
    const Executor executor = asio::get_associated_executor(handler);
    if (!signal->all_) signal->all_ = &asio::use_service<Waiters>(asio::query(executor, asio::execution::context));
    new WaiterOf<decltype(handler)>(*signal, *signal->all_, executor, std::move(handler)); // owned by its two lists
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(error_code)>(initiation, asio::use_awaitable, this);
}

} // namespace trunkline
