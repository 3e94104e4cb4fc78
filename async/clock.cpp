#include "async/clock.hpp"

#include "async/signal.hpp"

#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/assert.hpp>

#include <utility>

namespace trunkline {
namespace {

class SteadyAlarm final : public Alarm {
 public:
  explicit SteadyAlarm(const Executor& executor) : timer_(executor), callback_(std::make_shared<Callback>()) {}
  ~SteadyAlarm() override { cancel(); }

  void set(TimePoint when, std::function<void()> callback) override {
    const std::uint64_t set_count = ++callback_->set_count; // a wait that is due already is ignored from here on
    callback_->run = std::move(callback);
    timer_.expires_at(when);
    timer_.async_wait([state = callback_, set_count](boost::system::error_code code) {
      if (code || state->set_count != set_count) return;
      auto run = std::exchange(state->run, nullptr); // it may set or destroy the alarm
      run();
    });
  }
  void cancel() noexcept override {
    ++callback_->set_count;
    callback_->run = nullptr;
    timer_.cancel();
  }

 private:
  struct Callback {
    std::uint64_t set_count = 0;
    std::function<void()> run;
  };

  asio::steady_timer timer_;
  std::shared_ptr<Callback> callback_;
};

class SteadyClock final : public Clock {
 public:
  TimePoint now() const noexcept override { return std::chrono::steady_clock::now(); }
  std::unique_ptr<Alarm> make_alarm(const Executor& executor) override {
    return std::make_unique<SteadyAlarm>(executor);
  }
};

class ClockService final : public asio::execution_context::service {
 public:
  using key_type = ClockService;
  static inline asio::execution_context::id id;

  explicit ClockService(asio::execution_context& context) : ClockService(context, std::make_unique<SteadyClock>()) {}
  ClockService(asio::execution_context& context, std::unique_ptr<Clock> clock)
      : service(context), clock_(std::move(clock)) {}

  Clock& clock() noexcept { return *clock_; }

 private:
  void shutdown() override {}

  std::unique_ptr<Clock> clock_;
};

} // namespace

Clock& Clock::of(const Executor& executor) {
  return asio::use_service<ClockService>(asio::query(executor, asio::execution::context)).clock();
}

void Clock::install(asio::execution_context& context, std::unique_ptr<Clock> clock) {
  BOOST_ASSERT_MSG(!asio::has_service<ClockService>(context), "a clock is installed before the context is used");
  asio::add_service(context, new ClockService(context, std::move(clock)));
}

awaitable<void> sleep_until(TimePoint when) {
  const Executor executor = co_await asio::this_coro::executor;
  Signal due;
  bool is_due = false;
  const auto alarm = Clock::of(executor).make_alarm(executor);
  alarm->set(when, [&] {
    is_due = true;
    due.notify_all();
  });
  while (!is_due) co_await due.wait();
}

awaitable<void> sleep_for(Duration duration) {
  const Executor executor = co_await asio::this_coro::executor;
  const TimePoint now = Clock::of(executor).now();
  const TimePoint when = duration < TimePoint::max() - now ? now + duration : TimePoint::max();
  co_await sleep_until(when);
}

} // namespace trunkline
