#include "tests/sim/streaming.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "async/within.hpp"
#include "fragment/error.hpp"

#include <boost/asio/this_coro.hpp>

#include <exception>
#include <utility>

namespace trunkline::sim {
namespace {

/// What one attempt to receive or send came to; shared, because a cancelled attempt may end after who made it.
struct Attempt {
  bool done = false;
  bool end = false;
  std::exception_ptr failure;
};

void take(Stage& stage, const Circuit& circuit, int way, const Fragment& fragment) {
  stage.streams.received(circuit.name(), way, fragment);
}

awaitable<void> receive_once(std::shared_ptr<Circuit> circuit, Stage& stage, int way,
                             std::shared_ptr<Attempt> attempt) {
  const std::optional<Fragment> fragment = co_await circuit->receive();
  attempt->done = true;
  attempt->end = !fragment;
  if (fragment) take(stage, *circuit, way, *fragment);
}

awaitable<void> send_once(std::shared_ptr<Circuit> circuit, Stage& stage, int way, std::size_t bytes,
                          std::shared_ptr<Attempt> attempt) {
  Fragment fragment = stage.streams.next(circuit->name(), way, bytes);
  co_await circuit->send(std::move(fragment));
  attempt->done = true;
  stage.streams.sent(circuit->name(), way, bytes);
}

/// Runs the attempt for so long and then cancels it. Throws what it failed with.
awaitable<void> run_for(awaitable<void> attempted, std::shared_ptr<Attempt> attempt, Duration time) {
  const Executor executor = co_await asio::this_coro::executor;
  Tasks tasks(executor, [attempt](std::exception_ptr failure) { attempt->failure = std::move(failure); });
  tasks.spawn(std::move(attempted));
  co_await sleep_for(time);
  tasks.cancel();
  co_await tasks.join();
  if (attempt->failure) std::rethrow_exception(attempt->failure);
}

Duration draw_pause(Random& random, std::uint64_t microseconds_max) {
  return std::chrono::microseconds(random.magnitude(microseconds_max));
}

awaitable<bool> take_cancelling(std::shared_ptr<Circuit> circuit, Stage& stage, int way, Random& random) {
  for (;;) {
    const auto attempt = std::make_shared<Attempt>();
    auto receiving = receive_once(circuit, stage, way, attempt);
    co_await run_for(std::move(receiving), attempt, draw_pause(random, 200'000));
    if (attempt->done) co_return !attempt->end;
  }
}

awaitable<bool> take_hurried(std::shared_ptr<Circuit> circuit, Stage& stage, int way, Random& random) {
  for (;;) {
    const trunkline::Outcome<std::optional<Fragment>> received =
        co_await outcome_of(within(draw_pause(random, 200'000), circuit->receive()));
    if (!received.failure) {
      const std::optional<Fragment>& fragment = *received.value;
      if (fragment) take(stage, *circuit, way, *fragment);
      co_return fragment.has_value();
    }
    try {
      std::rethrow_exception(received.failure);
    } catch (const boost::system::system_error& failure) {
      if (failure.code() != error::timed_out) throw;
    }
  }
}

/// Whether there was one.
awaitable<bool> take_one(std::shared_ptr<Circuit> circuit, Stage& stage, int way, Pace pace, Random& random) {
  if (pace == Pace::cancelling) co_return co_await take_cancelling(circuit, stage, way, random);
  if (pace == Pace::hurried) co_return co_await take_hurried(circuit, stage, way, random);
  if (pace == Pace::slow && random.one_in(3)) co_await sleep_for(draw_pause(random, 200'000));
  const std::optional<Fragment> fragment = co_await circuit->receive();
  if (fragment) take(stage, *circuit, way, *fragment);
  co_return fragment.has_value();
}

} // namespace

Pace draw_pace(Random& random) { return static_cast<Pace>(random.below(4)); }

awaitable<bool> take_all(std::shared_ptr<Circuit> circuit, Stage& stage, int way, Pace pace, Random random,
                         std::uint64_t most) {
  for (std::uint64_t taken = 0; taken < most; ++taken) {
    const bool more = co_await take_one(circuit, stage, way, pace, random);
    if (more) continue;
    stage.streams.end_seen(circuit->name(), way);
    co_return true;
  }
  co_return false;
}

awaitable<void> take_complaints(std::shared_ptr<Circuit> circuit, Stage& stage) {
  for (;;) {
    const std::optional<Fragment> complaint = co_await circuit->receive_error();
    if (!complaint) break;
    take(stage, *circuit, complaints, *complaint);
  }
  stage.streams.end_seen(circuit->name(), complaints);
}

awaitable<void> send_all(std::shared_ptr<Circuit> circuit, Stage& stage, int way, std::uint64_t count,
                         std::size_t bytes_max, Random random) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t bytes = random.one_in(10) ? 0 : random.magnitude(bytes_max);
    if (random.one_in(20)) co_await sleep_for(draw_pause(random, 500'000));
    if (random.one_in(2)) {
      Fragment fragment = stage.streams.next(circuit->name(), way, bytes);
      if (circuit->send_one_way(fragment) == SendOutcome::queued) {
        stage.streams.sent(circuit->name(), way, bytes);
        continue;
      }
    }
    const auto attempt = std::make_shared<Attempt>();
    auto sending = send_once(circuit, stage, way, bytes, attempt);
    if (random.one_in(4))
      co_await run_for(std::move(sending), attempt, draw_pause(random, 100'000)); // cancelled: not sent
    else co_await std::move(sending);
  }
}

awaitable<void> answer_all(std::shared_ptr<Circuit> circuit, Stage& stage) {
  for (;;) {
    const std::optional<Fragment> question = co_await circuit->receive();
    if (!question) break;
    take(stage, *circuit, forth, *question);
    const auto attempt = std::make_shared<Attempt>();
    co_await send_once(circuit, stage, back, question->payload.size(), attempt);
  }
  stage.streams.end_seen(circuit->name(), forth);
}

awaitable<void> finish(std::shared_ptr<Circuit> circuit, Stage& stage, int way, bool wait) {
  stage.streams.finished(circuit->name(), way);
  if (way == forth) stage.streams.finished(circuit->name(), complaints);
  circuit->finish();
  if (!wait) co_return;
  co_await circuit->finish_acknowledged();
  stage.streams.acknowledged(circuit->name(), way);
}

} // namespace trunkline::sim
