#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "circuit/caller.hpp"
#include "circuit/trunk.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

/// Calls beyond calls_max are read as far as this, because the word that gives one of them up stands behind it, and
/// behind others. What they cost is counted as the circuit counts it: about one window.
constexpr std::size_t read_ahead_bytes_max = 256 * 1024;

std::size_t cost_of(const Fragment& request) {
  std::size_t bytes = 256 + request.payload.size() + request.subject.size();
  for (const auto& [key, value] : request.args) bytes += key.size() + value.size();
  return bytes;
}

/// The calls of one circuit that are being answered. Shared by their tasks.
/// running_.size() <= calls_max; nothing waits in waiting_ while there is room among those that run.
class Answering {
 public:
  Answering(Executor executor, Circuit& circuit, std::function<awaitable<Fragment>(Fragment)> answer,
            AnswerOptions options)
      : circuit_(circuit), answer_(std::move(answer)), options_(options), clock_(Clock::of(executor)),
        alarm_(clock_.make_alarm(executor)), tasks_(executor) {}

  using Pointer = std::shared_ptr<Answering>;

  /// Answers calls until the far side has finished and all are answered, or one has failed.
  static awaitable<void> run(Pointer self) {
    self->tasks_.spawn(take_all(self));
    while (!self->failure_ && !self->is_done()) {
      co_await self->changed_.wait();
      start_waiting(self); // here, and not where a call ends: its frame is being destroyed there
    }
    if (self->failure_) std::rethrow_exception(self->failure_);
  }
  /// Cancels what runs and waits for it.
  static awaitable<void> stop(Pointer self) {
    self->alarm_->cancel();
    self->tasks_.cancel();
    co_await self->tasks_.join();
  }

 private:
  struct Call {
    Task* task = nullptr;
    TimePoint deadline = TimePoint::max();
  };
  using Calls = std::multimap<std::int64_t, Call>;

  /// A call's place among those that run; it goes with its task, also when that never began.
  class Place {
   public:
    Place(Pointer of, Calls::iterator call) : of_(std::move(of)), call_(call) {}
    Place(Place&& other) noexcept : of_(std::move(other.of_)), call_(other.call_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (!of_) return;
      of_->running_.erase(call_);
      of_->changed_.notify_all();
    }
    bool is_cancelled() const noexcept { return call_->second.task->is_cancelled(); }

   private:
    Pointer of_;
    Calls::iterator call_;
  };

  static awaitable<void> take_all(Pointer self) {
    std::exception_ptr failure;
    try {
      for (;;) {
        while (self->waiting_bytes_ >= read_ahead_bytes_max) co_await self->changed_.wait();
        std::optional<Fragment> fragment = co_await self->circuit_.receive_with_words();
        if (!fragment) break;
        if (fragment->cancels()) self->give_up(fragment->part);
        else take(self, std::move(*fragment));
      }
    } catch (...) {
      failure = std::current_exception();
    }
    self->all_taken_ = true;
    self->note(failure);
  }

  void note(std::exception_ptr failure) {
    if (!failure_) failure_ = std::move(failure);
    changed_.notify_all();
  }

  bool is_done() const { return all_taken_ && running_.empty() && waiting_.empty(); }

  static void take(const Pointer& self, Fragment request) {
    self->waiting_bytes_ += cost_of(request);
    const TimePoint deadline = request.deadline().value_or(TimePoint::max());
    self->waiting_.push_back(std::move(request));
    start_waiting(self);
    if (!self->waiting_.empty() && deadline < self->watched_until_) watch(self);
  }

  static void start_waiting(const Pointer& self) {
    while (!self->failure_ && !self->waiting_.empty() && self->running_.size() < self->options_.calls_max) {
      Fragment request = std::move(self->waiting_.front());
      self->waiting_.pop_front();
      self->waiting_bytes_ -= cost_of(request);
      start(self, std::move(request));
    }
  }

  /// Those that have not begun need no more than to be forgotten.
  template <class IsMeant> void forget_waiting(IsMeant is_meant) {
    std::erase_if(waiting_, [&](const Fragment& request) {
      if (!is_meant(request)) return false;
      waiting_bytes_ -= cost_of(request);
      return true;
    });
    changed_.notify_all();
  }

  static void start(const Pointer& self, Fragment request) {
    Call call;
    call.deadline = request.deadline().value_or(TimePoint::max());
    const auto at = self->running_.emplace(request.part, call);
    at->second.task = &self->tasks_.spawn_cancellable(answer_one(self, Place(self, at), std::move(request)));
    if (call.deadline < self->watched_until_) watch(self);
  }

  static awaitable<void> answer_one(Pointer self, Place place, Fragment request) {
    const std::int64_t part = request.part;
    std::exception_ptr failure;
    try {
      Fragment reply = co_await self->answer_(std::move(request));
      reply.part = part;
      co_await self->circuit_.send(std::move(reply));
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure && !place.is_cancelled()) self->note(std::move(failure));
  }

  void give_up(std::int64_t part) {
    if (options_.runs_on) return;
    const auto [begin, end] = running_.equal_range(part);
    for (auto call = begin; call != end; ++call)
      if (!call->second.task->is_cancelled()) call->second.task->cancel(); // ends later, by a post
    forget_waiting([part](const Fragment& request) { return request.part == part; });
  }

  /// One alarm for the earliest deadline of all.
  static void watch(const Pointer& self) {
    if (self->options_.runs_on) return;
    self->watched_until_ = TimePoint::max();
    for (const auto& [part, call] : self->running_)
      if (!call.task || !call.task->is_cancelled()) self->watched_until_ = std::min(self->watched_until_, call.deadline);
    for (const Fragment& request : self->waiting_)
      self->watched_until_ = std::min(self->watched_until_, request.deadline().value_or(TimePoint::max()));
    if (self->watched_until_ == TimePoint::max()) return self->alarm_->cancel();
    self->alarm_->set(self->watched_until_, [weak = std::weak_ptr(self)] {
      const Pointer answering = weak.lock();
      if (!answering) return;
      const TimePoint now = answering->clock_.now();
      for (auto& [part, call] : answering->running_)
        if (call.deadline <= now && !call.task->is_cancelled()) call.task->cancel();
      answering->forget_waiting(
          [now](const Fragment& request) { return request.deadline().value_or(TimePoint::max()) <= now; });
      watch(answering);
    });
  }

  Circuit& circuit_;
  std::function<awaitable<Fragment>(Fragment)> answer_;
  AnswerOptions options_;
  Clock& clock_;
  std::unique_ptr<Alarm> alarm_;
  TimePoint watched_until_ = TimePoint::max();
  Calls running_; // by part: a far side may use one twice
  std::deque<Fragment> waiting_; // read, and not begun, oldest first
  std::size_t waiting_bytes_ = 0; // what those cost
  bool all_taken_ = false;     // nothing more comes
  std::exception_ptr failure_; // the first
  Signal changed_;             // a call has ended, or one of the two above
  Tasks tasks_;
};

} // namespace

awaitable<void> answer_calls(Circuit& circuit, std::function<awaitable<Fragment>(Fragment)> answer,
                             AnswerOptions options) {
  circuit.require("answer_calls");
  if (options.calls_max == 0) throw std::invalid_argument("calls_max is 0, expected at least 1");
  const Executor executor = co_await asio::this_coro::executor;
  const auto answering = std::make_shared<Answering>(executor, circuit, std::move(answer), options);
  std::exception_ptr failure;
  try {
    co_await Answering::run(answering);
  } catch (...) {
    failure = std::current_exception();
  }
  // The calls use the circuit, so they are waited for also when this is cancelled. In a coroutine of its own, because
  // the cancellation state belongs to all of this one down to its first frame: the caller must still be cancelled.
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await asio::co_spawn(executor, Answering::stop(answering),
                          asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable));
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (failure) std::rethrow_exception(failure);
}

} // namespace trunkline
