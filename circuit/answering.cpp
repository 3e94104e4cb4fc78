#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "circuit/caller.hpp"
#include "circuit/held_circuit.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iterator>
#include <list>
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
  Answering(Executor executor, const Circuit& circuit, std::function<awaitable<Fragment>(Fragment)> answer,
            AnswerOptions options)
      : trunk_(circuit.trunk()), state_(circuit.state()), answer_(std::move(answer)), options_(options), clock_(Clock::of(executor)),
        alarm_(clock_.make_alarm(executor)), tasks_(executor) {
    std::shared_ptr<const void>& handle = trunk_->waits(*state_).handle;
    if (!handle) handle = std::make_shared<char>();
    handle_ = handle;
  }

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
        std::optional<Fragment> fragment = co_await receive(*self);
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

  /// The circuit, for as long as one operation waits on it. Its handle may have been dropped between two of them, and
  /// then the circuit is gone.
  HeldCircuit hold() const {
    if (handle_.expired())
      throw_error(error::circuit_abandoned, "the handle of the circuit was dropped while its calls were answered");
    return HeldCircuit(trunk_, state_);
  }
  static awaitable<std::optional<Fragment>> receive(const Answering& self) {
    const HeldCircuit held = self.hold();
    std::optional<Fragment> fragment = co_await receive_with_words(held);
    co_return fragment;
  }

  void note(std::exception_ptr failure) {
    if (!failure_) failure_ = std::move(failure);
    changed_.notify_all();
  }

  bool is_done() const { return all_taken_ && running_.empty() && waiting_.empty(); }

  static void take(const Pointer& self, Fragment request) {
    if (self->has_room() && self->waiting_.empty()) return start(self, std::move(request));
    const std::size_t cost = cost_of(request);
    self->waiting_bytes_ += cost;
    self->waiting_.push_back(WaitingCall{std::move(request), cost});
    const auto at = std::prev(self->waiting_.end());
    self->waiting_parts_.emplace(at->request.part, at);
    if (at->deadline() < self->watched_until_) watch(self);
  }

  bool has_room() const { return !failure_ && running_.size() < options_.calls_max; }

  static void start_waiting(const Pointer& self) {
    const bool was_full = self->waiting_bytes_ >= read_ahead_bytes_max;
    while (self->has_room() && !self->waiting_.empty()) {
      Fragment request = std::move(self->waiting_.front().request);
      self->forget_waiting(self->waiting_parts_.lower_bound(request.part)); // those of one part are in order
      start(self, std::move(request));
    }
    // Reading may stand behind this in the line of those that wait, and go on now.
    if (was_full && self->waiting_bytes_ < read_ahead_bytes_max) self->changed_.notify_all();
  }

  /// A call that has been read and has not begun.
  struct WaitingCall {
    Fragment request;
    std::size_t cost;

    TimePoint deadline() const { return request.deadline().value_or(TimePoint::max()); }
  };
  using Waiting = std::list<WaitingCall>;
  using WaitingParts = std::multimap<std::int64_t, Waiting::iterator>;

  /// Those that have not begun need no more than to be forgotten.
  WaitingParts::iterator forget_waiting(WaitingParts::iterator at) {
    waiting_bytes_ -= at->second->cost;
    waiting_.erase(at->second);
    return waiting_parts_.erase(at);
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
      const HeldCircuit held = self->hold();
      co_await send(held, std::move(reply));
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
    const auto [first, last] = waiting_parts_.equal_range(part);
    for (auto waiting = first; waiting != last;) waiting = forget_waiting(waiting);
    changed_.notify_all();
  }

  /// One alarm for the earliest deadline of all.
  static void watch(const Pointer& self) {
    if (self->options_.runs_on) return;
    self->watched_until_ = TimePoint::max();
    for (const auto& [part, call] : self->running_)
      if (!call.task || !call.task->is_cancelled()) self->watched_until_ = std::min(self->watched_until_, call.deadline);
    for (const WaitingCall& call : self->waiting_)
      self->watched_until_ = std::min(self->watched_until_, call.deadline());
    if (self->watched_until_ == TimePoint::max()) return self->alarm_->cancel();
    self->alarm_->set(self->watched_until_, [weak = std::weak_ptr(self)] {
      const Pointer answering = weak.lock();
      if (!answering) return;
      const TimePoint now = answering->clock_.now();
      for (auto& [part, call] : answering->running_)
        if (call.deadline <= now && !call.task->is_cancelled()) call.task->cancel();
      for (auto at = answering->waiting_parts_.begin(); at != answering->waiting_parts_.end();) {
        const bool is_late = at->second->deadline() <= now;
        at = is_late ? answering->forget_waiting(at) : std::next(at);
      }
      answering->changed_.notify_all();
      watch(answering);
    });
  }

  std::shared_ptr<Trunk> trunk_;
  TrunkCircuit* state_; // may be used while `handle_` has not expired, see `hold`
  std::weak_ptr<const void> handle_;
  std::function<awaitable<Fragment>(Fragment)> answer_;
  AnswerOptions options_;
  Clock& clock_;
  std::unique_ptr<Alarm> alarm_;
  TimePoint watched_until_ = TimePoint::max();
  Calls running_; // by part: a far side may use one twice
  Waiting waiting_;            // read, and not begun, oldest first
  WaitingParts waiting_parts_; // the same, by part
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
