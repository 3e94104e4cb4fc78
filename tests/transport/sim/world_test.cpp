// The simulated world by itself, with plain transports: what time does, what links do to bytes, what each fault does to
// connections, and that a seed replays. Bodies run as coroutines in virtual time; minutes of it cost microseconds.
#include "transport/sim/world.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "tests/support/bytes.hpp"
#include "tests/support/co_test_case.hpp"
#include "tests/support/seed.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sim {
namespace {

using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;
using boost::system::error_code;
using TransportPtr = std::unique_ptr<Transport>;

LinkOptions link_of(Duration delay, std::uint64_t bytes_per_second = 0) {
  LinkOptions options;
  options.delay = delay;
  options.bytes_per_second = bytes_per_second;
  return options;
}

awaitable<void> write_text(Transport& to, std::string text) {
  const auto bytes = test::as_bytes(text);
  co_await to.write(std::span(&bytes, 1));
}

/// Reads so many bytes, or fewer at the end.
awaitable<std::string> read_text(Transport& from, std::size_t size) {
  std::string text(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const std::size_t read = co_await from.read_some(std::as_writable_bytes(std::span(text)).subspan(have));
    if (read == 0) break;
    have += read;
  }
  text.resize(have);
  co_return text;
}

template <class T> awaitable<error_code> code_of(awaitable<T> op) {
  try {
    co_await std::move(op);
  } catch (const boost::system::system_error& thrown) {
    co_return thrown.code();
  }
  co_return error_code();
}

template <class T> awaitable<void> note_code(awaitable<T> op, error_code& code, bool& ended) {
  const auto result = co_await code_of(std::move(op));
  code = result;
  ended = true;
}

struct Connected {
  std::unique_ptr<Listener> listener;
  TransportPtr alpha; // dialled
  TransportPtr beta; // accepted
};

awaitable<Connected> connect(World& world) {
  const Executor executor = co_await asio::this_coro::executor;
  Connected pair;
  pair.listener = world.medium("beta")->listen(executor, "sim://beta");
  const auto medium = world.medium("alpha");
  auto both = co_await (medium->dial("sim://beta") && pair.listener->accept());
  pair.alpha = std::move(std::get<0>(both));
  pair.beta = std::move(std::get<1>(both));
  co_return pair;
}

/// A world whose links take ten milliseconds each way.
World world_of_ten_ms() { return World(test::test_seed(), link_of(10ms)); }

/// Runs a body in one.
void over_ten_ms(awaitable<void> (*body)(World&)) {
  World world = world_of_ten_ms();
  world.run(body(world));
}

awaitable<void> note_after(Duration time, int name, std::vector<int>& order) {
  co_await sleep_for(time);
  order.push_back(name);
}

awaitable<void> send_numbers(Transport& to, int count) {
  for (int i = 0; i < count; ++i) {
    co_await write_text(to, std::to_string(i) + ' ');
    co_await sleep_for(1ms);
  }
  to.close();
}

/// Echoes everything to each dialler, as long as the listener lives.
awaitable<void> echo_one(TransportPtr transport) {
  std::vector<std::byte> bytes(5000);
  for (;;) {
    const std::size_t read = co_await transport->read_some(bytes);
    if (read == 0) break;
    const std::span<const std::byte> piece = std::span(bytes).first(read);
    co_await transport->write(std::span(&piece, 1));
  }
}

awaitable<void> echo_all(std::shared_ptr<Medium> medium, std::string address) {
  const Executor executor = co_await asio::this_coro::executor;
  Tasks echoing(executor);
  const auto listener = medium->listen(executor, address);
  for (;;) {
    auto transport = co_await listener->accept();
    echoing.spawn(echo_one(std::move(transport)));
  }
}

awaitable<void> ask_once(std::shared_ptr<Medium> medium, std::string question) {
  const auto transport = co_await medium->dial("sim://beta");
  co_await (write_text(*transport, question) && read_text(*transport, question.size()));
}

awaitable<void> ask_often(std::shared_ptr<Medium> medium, Random random, int count) {
  for (int i = 0; i < count; ++i) {
    const std::size_t size = random.magnitude(100'000);
    co_await code_of(ask_once(medium, std::string(size, static_cast<char>('a' + i % 26))));
    co_await sleep_for(std::chrono::milliseconds(random.below(3000)));
  }
}

Faults all_faults() {
  Faults faults;
  faults.partitions_per_minute = 6;
  faults.stalls_per_minute = 12;
  faults.resets_per_minute = 12;
  faults.losses_per_minute = 2;
  faults.crashes_per_minute = 4;
  faults.crashing = {"beta"};
  return faults;
}

/// Runs a small world with every fault and gives its hash.
std::uint64_t hash_of_run(std::uint64_t seed) {
  LinkOptions links = link_of(5ms, 1'000'000);
  links.jitter = 3ms;
  World world(seed, links);
  auto echoing = std::make_unique<Tasks>(world.executor());
  Tasks asking(world.executor());
  echoing->spawn(echo_all(world.medium("beta"), "sim://beta"));
  world.on_crash("beta", [&] { echoing.reset(); });
  world.on_restart("beta", [&] {
    echoing = std::make_unique<Tasks>(world.executor());
    echoing->spawn(echo_all(world.medium("beta"), "sim://beta"));
  });
  world.inject(all_faults());
  for (const char* name : {"alpha", "gamma"})
    asking.spawn(ask_often(world.medium(name), Random(world.random(name)()), 20));
  const Outcome outcome = world.run_until([&] { return asking.running() == 0; }, 10min);
  static_cast<void>(outcome); // a lost direction may leave one waiting
  return world.trace_hash();
}

} // namespace

static awaitable<void> sleep_in_steps(World& world);
TEST_CASE("world: hours pass in no time, in the order in which alarms are due") {
  World world(test::test_seed());
  world.run(sleep_in_steps(world));

  std::vector<int> order;
  Tasks tasks(world.executor());
  tasks.spawn(note_after(2s, 3, order));
  tasks.spawn(note_after(1s, 1, order));
  tasks.spawn(note_after(1s, 2, order)); // due together: the one set first
  world.run();
  CHECK(order == std::vector{1, 2, 3});
  CHECK(world.idle());
}
static awaitable<void> sleep_in_steps(World& world) {
  co_await sleep_for(1h);
  CHECK(world.elapsed() == 1h);
  co_await (sleep_for(3s) && sleep_for(2s));
  CHECK(world.elapsed() == 1h + 3s);
}

TEST_CASE("world: running until a time ends at that time") {
  World world(test::test_seed());
  CHECK(world.run_for(5s) == Outcome::nothing_left);
  CHECK(world.elapsed() == 5s);
  Tasks tasks(world.executor());
  tasks.spawn(sleep_for(1min));
  CHECK(world.run_for(59s) == Outcome::reached);
  CHECK(tasks.running() == 1);
  CHECK(world.run_until([&] { return tasks.running() == 0; }, 500ms) == Outcome::time_is_up);
  CHECK(world.run_until([&] { return tasks.running() == 0; }, 1h) == Outcome::reached);
  CHECK(world.elapsed() == 65s);
}

TEST_CASE("world: a cancelled sleep ends at once") {
  World world(test::test_seed());
  Tasks tasks(world.executor());
  tasks.spawn(sleep_for(1h));
  world.run_for(1s);
  tasks.cancel();
  world.run();
  CHECK(tasks.running() == 0);
  CHECK(world.elapsed() == 1s);
}

CO_TEST_CASE("link: bytes and connections take their delay", over_ten_ms, World& world) {
  Connected pair = co_await connect(world);
  CHECK(world.elapsed() == 20ms); // there and back
  co_await (write_text(*pair.alpha, "hello") && read_text(*pair.beta, 5));
  CHECK(world.elapsed() == 30ms);
  co_await (write_text(*pair.beta, "hello") && read_text(*pair.alpha, 5));
  CHECK(world.elapsed() == 40ms);
}

static awaitable<void> measure_bandwidth(World& world);
TEST_CASE("link: bytes take the time that its bandwidth leaves them") {
  World world(test::test_seed(), link_of(1ms, 1'000'000));
  world.run(measure_bandwidth(world));
}
static awaitable<void> measure_bandwidth(World& world) {
  Connected pair = co_await connect(world);
  const TimePoint before = world.now();
  co_await (write_text(*pair.alpha, std::string(500'000, 'x')) && read_text(*pair.beta, 500'000));
  CHECK(world.now() - before >= 500ms);
  CHECK(world.now() - before <= 520ms);
}

static awaitable<void> keep_order_under_jitter(World& world);
TEST_CASE("link: jitter and cuts keep the order") {
  LinkOptions options = link_of(1ms);
  options.jitter = 50ms;
  World world(test::test_seed(), options);
  world.run(keep_order_under_jitter(world));
}
static awaitable<void> keep_order_under_jitter(World& world) {
  Connected pair = co_await connect(world);
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i) + ' ';
  auto write_in_parts = [](Transport& to, std::string all) -> awaitable<void> {
    for (std::size_t at = 0; at < all.size(); at += 100) {
      co_await write_text(to, all.substr(at, 100));
      co_await sleep_for(1ms);
    }
  };
  std::string received;
  auto read_into = [](Transport& from, std::size_t size, std::string& into) -> awaitable<void> {
    into = co_await read_text(from, size);
  };
  co_await (write_in_parts(*pair.alpha, text) && read_into(*pair.beta, text.size(), received));
  CHECK(received == text);
}

CO_TEST_CASE("fault: what a partition holds up arrives when it is healed", over_ten_ms, World& world) {
  Connected pair = co_await connect(world);
  co_await write_text(*pair.alpha, "before");
  world.partition("alpha", "beta");
  co_await write_text(*pair.beta, "during");
  Tasks tasks(co_await asio::this_coro::executor);
  error_code code;
  bool arrived = false;
  tasks.spawn(note_code(read_text(*pair.beta, 6), code, arrived));
  co_await sleep_for(1min);
  CHECK_FALSE(arrived);

  world.heal("alpha", "beta");
  const std::string during = co_await read_text(*pair.alpha, 6);
  co_await tasks.join();
  CHECK(during == "during");
  CHECK(arrived);
  CHECK_FALSE(code);
}

CO_TEST_CASE("fault: a stall for the longest duration lasts until calm", over_ten_ms, World& world) {
  const Connected pair = co_await connect(world);
  world.stall("alpha", "beta", Duration::max());
  co_await write_text(*pair.alpha, "x");
  Tasks tasks(world.executor());
  std::string heard;
  auto hear = [](Transport& from, std::string& into) -> awaitable<void> { into = co_await read_text(from, 1); };
  tasks.spawn(hear(*pair.beta, heard));
  co_await sleep_for(1h);
  CHECK(heard == "");

  world.calm();
  co_await tasks.join();
  CHECK(heard == "x");
}

CO_TEST_CASE("fault: a stall holds up one direction for its time", over_ten_ms, World& world) {
  Connected pair = co_await connect(world);
  const TimePoint before = world.now();
  world.stall("alpha", "beta", 5s);
  co_await (write_text(*pair.beta, "back") && read_text(*pair.alpha, 4));
  CHECK(world.now() - before == 10ms);
  co_await (write_text(*pair.alpha, "there") && read_text(*pair.beta, 5));
  CHECK(world.now() - before == 5s);
}

CO_TEST_CASE("fault: a reset breaks both ends, and what had arrived is still read", over_ten_ms, World& world) {
  Connected pair = co_await connect(world);
  co_await write_text(*pair.alpha, "arrived");
  co_await sleep_for(1s);
  co_await write_text(*pair.alpha, "lost");
  CHECK(world.reset("beta", "alpha") == 1);
  const std::string arrived = co_await read_text(*pair.beta, 7);
  const auto read = co_await code_of(read_text(*pair.beta, 1));
  const auto write = co_await code_of(write_text(*pair.alpha, "x"));
  CHECK(arrived == "arrived");
  CHECK(read == asio::error::connection_reset);
  CHECK(write == asio::error::connection_reset);
  CHECK(world.connections_open() == 0);
}

CO_TEST_CASE("fault: a lost direction goes silent, its end included, and the other goes on", over_ten_ms,
             World& world) {
  Connected pair = co_await connect(world);
  CHECK(world.lose_one_way("alpha", "beta") == 1);
  Tasks tasks(co_await asio::this_coro::executor);
  error_code read;
  error_code write;
  bool read_ended = false;
  bool write_ended = false;
  tasks.spawn(note_code(read_text(*pair.beta, 1), read, read_ended));
  co_await write_text(*pair.alpha, "into the void");
  tasks.spawn(note_code(write_text(*pair.alpha, std::string(1 << 20, 'x')), write, write_ended));
  co_await (write_text(*pair.beta, "back") && read_text(*pair.alpha, 4));
  co_await sleep_for(1h);
  CHECK_FALSE(write_ended); // its buffer is full and nobody empties it

  pair.alpha->close();
  co_await sleep_for(1h);
  CHECK(write == asio::error::operation_aborted);
  CHECK_FALSE(read_ended); // its end is lost too
  pair.beta->close();
  co_await tasks.join();
  CHECK(read == asio::error::operation_aborted);
}

CO_TEST_CASE("fault: a process that dies resets its connections and refuses new ones", over_ten_ms, World& world) {
  Connected pair = co_await connect(world);
  world.crash("beta", Crash::reset);
  CHECK_FALSE(world.is_up("beta"));
  const auto near = co_await code_of(read_text(*pair.beta, 1));
  const auto far = co_await code_of(read_text(*pair.alpha, 1));
  const auto accept = co_await code_of(pair.listener->accept());
  const auto dial = co_await code_of(world.medium("alpha")->dial("sim://beta"));
  CHECK(near == asio::error::connection_aborted);
  CHECK(far == asio::error::connection_reset);
  CHECK(accept == asio::error::network_down);
  CHECK(dial == asio::error::connection_refused);
}

CO_TEST_CASE("fault: a host without power is silent until it is back and hears of an old connection", over_ten_ms,
             World& world) {
  Connected pair = co_await connect(world);
  Tasks tasks(co_await asio::this_coro::executor);
  error_code code;
  bool ended = false;
  tasks.spawn(note_code(read_text(*pair.alpha, 1), code, ended));
  world.crash("beta", Crash::silent);
  co_await write_text(*pair.alpha, "anybody there?");
  const auto dial = co_await code_of(world.medium("alpha")->dial("sim://beta"));
  CHECK(dial == asio::error::timed_out);
  co_await sleep_for(1h);
  CHECK_FALSE(ended);

  world.restart("beta");
  co_await tasks.join();
  CHECK(code == asio::error::connection_reset);
  pair.listener = world.medium("beta")->listen(co_await asio::this_coro::executor, "sim://beta");
  const auto medium = world.medium("alpha");
  const auto again = co_await (medium->dial("sim://beta") && pair.listener->accept());
  co_await (write_text(*std::get<0>(again), "back") && read_text(*std::get<1>(again), 4));
}

CO_TEST_CASE("fault: dialling waits for a partition to heal, but not for ever", over_ten_ms, World& world) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = world.medium("beta")->listen(executor, "sim://beta");
  const auto medium = world.medium("alpha");
  world.partition("alpha", "beta");
  const auto first = co_await code_of(medium->dial("sim://beta"));
  CHECK(first == asio::error::timed_out);
  CHECK(world.elapsed() >= 60s);

  auto heal_later = [](World& healed) -> awaitable<void> {
    co_await sleep_for(10s);
    healed.heal("alpha", "beta");
  };
  const auto second = co_await (heal_later(world) && medium->dial("sim://beta") && listener->accept());
  CHECK(std::get<0>(second)->remote() == "sim://beta");
  CHECK(std::get<1>(second)->remote_host() == "alpha");
}

TEST_CASE("world: the longest duration is never, and time does not get there") {
  World world(1);
  CHECK(world.run_for(Duration::max()) == Outcome::nothing_left);
  asio::co_spawn(world.io(), sleep_for(1h), [](std::exception_ptr) {});
  CHECK(world.run_until([] { return false; }, Duration::max()) == Outcome::nothing_left);
  CHECK(world.elapsed() == 1h);
}

TEST_CASE("fault: every kind strikes at its rate, and calm ends them all") {
  World world(test::test_seed());
  world.medium("alpha");
  world.medium("beta");
  std::multiset<std::string> kinds;
  world.on_trace([&](const std::string& line) {
    const std::size_t first = line.find(" s ") + 3;
    kinds.insert(line.substr(first, line.find(' ', first) - first));
  });
  world.inject(all_faults());
  Tasks tasks(world.executor());
  tasks.spawn(sleep_for(60min));
  world.run();
  CHECK(kinds.count("partition") > 180);
  CHECK(kinds.count("partition") < 720);
  CHECK(kinds.count("stall") > 400);
  CHECK(kinds.count("reset") > 400);
  CHECK(kinds.count("lose") > 40);
  CHECK(kinds.count("crash") > 60);
  CHECK(kinds.count("restart") > 60);

  world.calm();
  CHECK(world.is_up("beta"));
  CHECK(world.describe().find("nothing passes") == std::string::npos);
}

static awaitable<void> wait_for_nothing(World& world);
TEST_CASE("world: waiting for what cannot come any more is noticed and described") {
  World world = world_of_ten_ms();
  try {
    world.run(wait_for_nothing(world));
    FAIL("it waited for nothing, successfully");
  } catch (const Stuck& stuck) {
    const std::string text = stuck.what();
    CAPTURE(text);
    CHECK(text.find("nothing can happen any more, at 0.020000 s, seed ") == 0);
    CHECK(text.find("connection 1, alpha open with 0 bytes sent and not read; beta open") != std::string::npos);
  }
}
static awaitable<void> wait_for_nothing(World& world) {
  Connected pair = co_await connect(world);
  co_await read_text(*pair.beta, 1);
}

TEST_CASE("world: what waits longer than it may is described too") {
  World world(test::test_seed());
  CHECK_THROWS_AS(world.run(sleep_for(2h), 1h), Stuck);
  CHECK(world.elapsed() <= 1h);
}

TEST_CASE("world: an exception of the body comes out") {
  World world(test::test_seed());
  auto fail = []() -> awaitable<void> {
    co_await sleep_for(1s);
    throw std::runtime_error("no");
  };
  CHECK_THROWS_WITH(world.run(fail()), "no");
}

static awaitable<void> read_with_cancellations(World& world, std::string& received);
TEST_CASE("world: reads cancelled at any time lose no byte") {
  World world(test::test_seed());
  std::string received;
  world.run(read_with_cancellations(world, received));
  std::string expected;
  for (int i = 0; i < 1000; ++i) expected += std::to_string(i) + ' ';
  CHECK(received == expected);
}
/// Reads in attempts that end at times of their own.
static awaitable<void> read_with_cancellations(World& world, std::string& received) {
  const Executor executor = co_await asio::this_coro::executor;
  Connected pair = co_await connect(world);
  Tasks writer(executor);
  writer.spawn(send_numbers(*pair.alpha, 1000));
  Random random(world.seed());
  bool ended = false;
  auto read_once = [](Transport& from, std::string& into, bool& end) -> awaitable<void> {
    std::byte bytes[3];
    const std::size_t read = co_await from.read_some(bytes);
    into.append(reinterpret_cast<const char*>(bytes), read);
    if (read == 0) end = true;
  };
  while (!ended) {
    Tasks attempt(executor);
    attempt.spawn(read_once(*pair.beta, received, ended));
    co_await sleep_for(std::chrono::microseconds(random.below(1500)));
    attempt.cancel();
    co_await attempt.join();
  }
  co_await writer.join();
}

TEST_CASE("world: random sources differ by name, by call and by seed, and are the same in each run") {
  auto draw = [](std::uint64_t seed) {
    World world(seed);
    return std::vector{world.random("alpha")(), world.random("alpha")(), world.random("beta")()};
  };
  const auto one = draw(1);
  CHECK(one == draw(1));
  CHECK(std::set(one.begin(), one.end()).size() == 3);
  CHECK(one[0] != draw(2)[0]);
}

TEST_CASE("random: the first numbers of a seed never change") {
  Random random(42);
  CHECK(random() == 13679457532755275413u);
  CHECK(random() == 2949826092126892291u);
  for (int i = 0; i < 1000; ++i) {
    const auto value = random.magnitude(1000);
    CHECK(value >= 1);
    CHECK(value <= 1000);
  }
}

TEST_CASE("world: a seed replays byte for byte, and no two seeds are the same run") {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::uint64_t hash = hash_of_run(seed);
    CHECK_MESSAGE(hash == hash_of_run(seed), "seed ", seed);
    hashes.insert(hash);
  }
  CHECK(hashes.size() == 50);
}

TEST_CASE("world: may be destroyed with everything under way") {
  World world(test::test_seed(), link_of(5ms));
  Tasks echoing(world.executor());
  echoing.spawn(echo_all(world.medium("beta"), "sim://beta"));
  Tasks asking(world.executor());
  for (int i = 0; i < 20; ++i)
    asking.spawn(ask_often(world.medium("alpha"), Random(static_cast<std::uint64_t>(i)), 100));
  world.run_for(12ms);
  CHECK(world.connections_open() == 20);
}

} // namespace trunkline::sim
