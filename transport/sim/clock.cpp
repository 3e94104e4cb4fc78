#include "transport/sim/clock.hpp"

#include <boost/asio/post.hpp>
#include <boost/assert.hpp>

#include <algorithm>

namespace trunkline::sim {

Schedule::Ticket Schedule::at(TimePoint when, std::function<void()> event) {
  if (when == TimePoint::max()) return {};
  const Ticket ticket{.when = std::max(when, now_), .sequence = ++sequence_};
  events_.emplace(std::pair(ticket.when, ticket.sequence), std::move(event));
  return ticket;
}

void Schedule::cancel(const Ticket& ticket) noexcept {
  if (!ticket) return;
  const auto found = events_.find(std::pair(ticket.when, ticket.sequence));
  if (found == events_.end()) return;
  const auto dropped = events_.extract(found); // what it holds may schedule or cancel while it goes
}

TimePoint Schedule::next() const noexcept { return events_.empty() ? TimePoint::max() : events_.begin()->first.first; }

void Schedule::run_next() {
  auto event = events_.extract(events_.begin());
  now_ = event.key().first;
  event.mapped()();
}

void Schedule::pass(TimePoint to) noexcept {
  BOOST_ASSERT(to <= next());
  now_ = std::max(now_, to);
}

void Schedule::clear() noexcept {
  while (!events_.empty()) {
    const auto dropped = std::exchange(events_, {});
  }
}

namespace {

class SimAlarm final : public Alarm {
 public:
  SimAlarm(std::shared_ptr<Schedule> schedule, Executor executor)
      : schedule_(std::move(schedule)), executor_(std::move(executor)), callback_(std::make_shared<Callback>()) {}
  ~SimAlarm() override { cancel(); }

  void set(TimePoint when, std::function<void()> callback) override {
    cancel();
    callback_->run = std::move(callback);
    auto ring = [state = callback_, set_count = callback_->set_count] {
      if (state->set_count != set_count) return; // set again or cancelled between due and run
      const auto run = std::exchange(state->run, nullptr);
      run();
    };
    ticket_ = schedule_->at(when, [executor = executor_, ring] { asio::post(executor, ring); });
  }
  void cancel() noexcept override {
    ++callback_->set_count;
    callback_->run = nullptr;
    schedule_->cancel(ticket_);
  }

 private:
  struct Callback {
    std::uint64_t set_count = 0;
    std::function<void()> run;
  };

  std::shared_ptr<Schedule> schedule_;
  Executor executor_;
  std::shared_ptr<Callback> callback_;
  Schedule::Ticket ticket_;
};

class SimClock final : public Clock {
 public:
  explicit SimClock(std::shared_ptr<Schedule> schedule) : schedule_(std::move(schedule)) {}

  TimePoint now() const noexcept override { return schedule_->now(); }
  std::unique_ptr<Alarm> make_alarm(const Executor& executor) override {
    return std::make_unique<SimAlarm>(schedule_, executor);
  }

 private:
  std::shared_ptr<Schedule> schedule_;
};

} // namespace

std::unique_ptr<Clock> make_clock(std::shared_ptr<Schedule> schedule) {
  return std::make_unique<SimClock>(std::move(schedule));
}

} // namespace trunkline::sim
