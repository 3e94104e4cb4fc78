// Links so slow that a batch of frames takes seconds: what moves is not dead, and what is small does not wait for ever.
#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "peer/node.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace trunkline::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t bytes_per_second = 5'000;

NodeOptions options_for(World& world, const std::string& host) {
  NodeOptions options;
  options.media["sim"] = world.medium(host);
  options.random = world.random(host);
  return options;
}

awaitable<void> store(Circuit circuit) {
  Fragment total(0);
  while (const auto fragment = co_await circuit.receive())
    total.part += static_cast<std::int64_t>(fragment->payload.size());
  co_await circuit.send(std::move(total));
}

awaitable<void> echo(Circuit circuit) {
  while (auto fragment = co_await circuit.receive()) co_await circuit.send(std::move(*fragment));
}

awaitable<void> send_much(LocalPeer& me, std::size_t fragments, std::size_t fragment_bytes, std::int64_t& stored) {
  Circuit circuit = me.join_or_start("sim://beta", "store", std::nullopt);
  for (std::size_t i = 0; i < fragments; ++i)
    co_await circuit.send(Fragment(1, Payload(std::string(fragment_bytes, 'x'))));
  circuit.finish();
  const std::optional<Fragment> total = co_await circuit.receive();
  stored = total ? total->part : -1;
}

/// 600 kB of bulk, by turns with an echo that is asked for all along.
awaitable<void> use_slow_link(Node& here, std::size_t fragment_bytes) {
  const auto me = here.new_peer("sender");
  Tasks bulk(co_await asio::this_coro::executor);
  std::int64_t stored = 0;
  const std::size_t fragments = 600'000 / fragment_bytes;
  bulk.spawn(send_much(*me, fragments, fragment_bytes, stored));

  Circuit circuit = me->join_or_start("sim://beta", "echo", std::nullopt);
  Duration longest{};
  Clock& clock = Clock::of(co_await asio::this_coro::executor);
  while (bulk.running() > 0) {
    const TimePoint asked_at = clock.now();
    co_await circuit.send(Fragment(1, Payload("ping")));
    const std::optional<Fragment> reply = co_await circuit.receive();
    REQUIRE(reply);
    longest = std::max(longest, clock.now() - asked_at);
    co_await sleep_for(5s);
  }
  co_await bulk.join();
  CHECK(stored == static_cast<std::int64_t>(fragments * fragment_bytes));
  // Behind a write or two of each and one frame: not behind all that waits, which takes two minutes.
  CHECK(longest < 60s);
}

void run_over_slow_link(std::size_t fragment_bytes) {
  LinkOptions link;
  link.delay = 100ms;
  link.bytes_per_second = bytes_per_second;
  link.buffer_bytes_max = bytes_per_second / 2;
  World world(1, link);
  Node alpha(world.executor(), options_for(world, "alpha"));
  Node beta(world.executor(), options_for(world, "beta"));
  beta.serve("store", store);
  beta.serve("echo", echo);
  beta.listen("sim://beta");
  world.run(use_slow_link(alpha, fragment_bytes));
  CHECK(world.elapsed() >= 600'000s / bytes_per_second);
}

TEST_CASE("slow link: many small fragments arrive though each batch takes seconds") { run_over_slow_link(100); }

TEST_CASE("slow link: large fragments arrive, and an echo beside them is heard") { run_over_slow_link(300'000); }

TEST_CASE("slow link: fragments of every size arrive, whatever one write is made of") {
  for (const std::size_t bytes : {1'000, 20'000, 50'000, 65'000, 100'000}) {
    CAPTURE(bytes);
    run_over_slow_link(bytes);
  }
}

/// Takes one fragment when all that may be sent lies here, and works for long before the next one.
awaitable<void> take_slowly(Circuit circuit) {
  co_await sleep_for(2s);
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    co_await sleep_for(12s);
  }
}

awaitable<void> push_at_slow_reader(Node& here, Duration& waited) {
  const auto me = here.new_peer("sender");
  Circuit circuit = me->join_or_start("sim://beta", "slow", std::nullopt);
  Clock& clock = Clock::of(co_await asio::this_coro::executor);
  const TimePoint began = clock.now();
  for (int i = 0; i < 5; ++i) co_await circuit.send(Fragment(1, Payload(std::string(64 * 1024, 'x'))));
  waited = clock.now() - began;
}

TEST_CASE("slow reader: what it has taken is granted again within seconds, long before it takes the next") {
  World world(1);
  Node alpha(world.executor(), options_for(world, "alpha"));
  Node beta(world.executor(), options_for(world, "beta"));
  beta.serve("slow", take_slowly);
  beta.listen("sim://beta");
  Duration waited{};

  world.run(push_at_slow_reader(alpha, waited));

  CHECK(waited >= 2s); // a window takes three of them, and one may wait
  CHECK(waited < 4s);
}

awaitable<void> send_only(Node& here, std::size_t fragments, std::size_t fragment_bytes) {
  const auto me = here.new_peer("sender");
  std::int64_t stored = 0;
  co_await send_much(*me, fragments, fragment_bytes, stored);
  CHECK(stored == static_cast<std::int64_t>(fragments * fragment_bytes));
}

// The kernel's buffer takes a whole minute's bytes at once: the pings of either side stand behind them, and writes wait
// for longer than write_deadline.
TEST_CASE("slow link: behind a buffer that takes minutes to empty, whoever only listens is not taken for dead") {
  for (const std::size_t buffer : {65'536, 262'144}) {
    for (const std::size_t bytes : {1'000, 100'000, 300'000}) {
      CAPTURE(buffer);
      CAPTURE(bytes);
      LinkOptions link;
      link.delay = 100ms;
      link.bytes_per_second = bytes_per_second;
      link.buffer_bytes_max = buffer;
      World world(1, link);
      Node alpha(world.executor(), options_for(world, "alpha"));
      Node beta(world.executor(), options_for(world, "beta"));
      beta.serve("store", store);
      beta.listen("sim://beta");
      world.run(send_only(alpha, 900'000 / bytes, bytes));
    }
  }
}

} // namespace
} // namespace trunkline::sim
