#include "transport/web_socket.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "tests/peer/faulty.hpp"
#include "tests/support/breakpoints.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/support/seed.hpp"
#include "tests/transport/conformance.hpp"
#include "transport/memory.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;

class WebSocketUnderTest : public MediumUnderTest {
 public:
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return *medium_; }
  Medium& listening() override { return *medium_; }
  std::string address() override { return "ws://127.0.0.1:0"; }
  std::string address_of_nobody() override { return "ws://127.0.0.1:1"; }

 private:
  asio::io_context io_{1};
  std::shared_ptr<Medium> medium_ = make_web_socket_medium();
};

/// Over memory, where both ends run in turns.
class WebSocketOverMemory final : public MediumUnderTest {
 public:
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return *medium_; }
  Medium& listening() override { return *medium_; }
  std::string address() override { return "ws://somewhere"; }
  std::string address_of_nobody() override { return "ws://nowhere"; }

 private:
  asio::io_context io_{1};
  std::shared_ptr<Medium> medium_ =
      make_web_socket_medium(WebSocketOptions(), std::make_shared<MemoryMedium>(64 << 10), "ws");
};

/// Over links that hand out one byte at a time.
class WebSocketByteByByte final : public MediumUnderTest {
 public:
  asio::io_context& io() override { return world_.io(); }
  Medium& dialling() override { return *alpha_; }
  Medium& listening() override { return *beta_; }
  std::string address() override { return "ws://beta:" + std::to_string(++listeners_); }
  std::string address_of_nobody() override { return "ws://beta:nobody"; }
  void run() override { world_.run(); }
  void run_some() override { world_.step(); }

 private:
  static sim::LinkOptions byte_by_byte() {
    sim::LinkOptions options;
    options.delay = Duration::zero();
    options.split = sim::Split::every_byte;
    return options;
  }

  sim::World world_{test_seed(), byte_by_byte()};
  std::shared_ptr<Medium> alpha_ = make_web_socket_medium(WebSocketOptions(), world_.medium("alpha"), "ws");
  std::shared_ptr<Medium> beta_ = make_web_socket_medium(WebSocketOptions(), world_.medium("beta"), "ws");
  int listeners_ = 0;
};

awaitable<void> write_bytes(Transport& to, std::size_t count) {
  const std::vector<std::byte> bytes(count, std::byte{7});
  const std::span<const std::byte> piece(bytes);
  co_await to.write(std::span(&piece, 1));
}

awaitable<std::size_t> read_to_end(Transport& from) {
  std::vector<std::byte> bytes(1000);
  std::size_t all = 0;
  for (std::size_t count = 1; count > 0; all += count) count = co_await from.read_some(bytes);
  co_return all;
}

/// One whole conversation: both directions carry something and are finished.
awaitable<void> converse(std::shared_ptr<Medium> medium, std::size_t& received) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = medium->listen(executor, "ws://x");
  auto both = co_await (medium->dial("ws://x") && listener->accept());
  const std::unique_ptr<Transport> near = std::move(std::get<0>(both));
  const std::unique_ptr<Transport> far = std::move(std::get<1>(both));
  auto speak = [](Transport& to) -> awaitable<void> {
    co_await write_bytes(to, 3000);
    co_await write_bytes(to, 10);
    to.finish();
  };
  // Each side drops its end when it fails, so that the other one hears of it.
  const auto all = co_await (speak(*near) && speak(*far) && read_to_end(*near) && read_to_end(*far));
  received = std::get<0>(all) + std::get<1>(all);
}

} // namespace

TRUNKLINE_TRANSPORT_CONFORMS("ws", WebSocketUnderTest)
TRUNKLINE_TRANSPORT_CONFORMS("ws over memory", WebSocketOverMemory)
TRUNKLINE_TRANSPORT_CHECK("ws byte by byte", WebSocketByteByByte, "a reader may take one byte at a time",
                          check_reads_of_one_byte)
TRUNKLINE_TRANSPORT_CHECK("ws byte by byte", WebSocketByteByByte, "a cancelled read with two places takes nothing",
                          check_cancelled_scattered_read)

TEST_CASE("ws: whichever operation below fails, both ends are over and nothing waits") {
  const std::size_t runs = fail_each_io([](FailPoint& point) {
    asio::io_context io(1);
    auto faulty = std::make_shared<FaultyMedium>(std::make_shared<MemoryMedium>(1000), &point);
    WebSocketOptions options;
    options.handshake_deadline = std::chrono::seconds(5);
    std::size_t received = 0;
    try {
      run_coroutine(io, converse(make_web_socket_medium(std::move(options), std::move(faulty), "ws"), received));
    } catch (const std::exception&) {
      CHECK(point.reached());
    }
    if (!point.reached()) CHECK(received == 2 * 3010);
  });
  CHECK(runs > 10);
}

TEST_CASE("ws: may be destroyed at every moment of a conversation") {
  for (const After after : {After::run_on, After::destroy_all}) {
    const std::size_t runs = stop_after_each_handler(after, [](asio::io_context& io) {
      auto tasks = std::make_unique<Tasks>(io.get_executor());
      auto run = [](std::shared_ptr<Medium> medium) -> awaitable<void> {
        std::size_t received = 0;
        co_await converse(std::move(medium), received);
        CHECK(received == 2 * 3010);
      };
      tasks->spawn(run(make_web_socket_medium(WebSocketOptions(), std::make_shared<MemoryMedium>(1000), "ws")));
      return tasks;
    });
    CHECK(runs > 30);
  }
}

namespace {

/// The time of a dial, in round trips.
awaitable<void> time_dial(Medium& dialling, Medium& listening, std::string address, Duration& took) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = listening.listen(executor, address);
  const TimePoint began = Clock::of(executor).now();
  const auto both = co_await (dialling.dial(address) && listener->accept());
  took = Clock::of(executor).now() - began;
}

} // namespace

TEST_CASE("ws: a dial takes one round trip more than that of the medium below") {
  sim::LinkOptions links;
  links.delay = std::chrono::milliseconds(50);
  links.jitter = Duration::zero();
  sim::World world(test_seed(), links);
  const std::shared_ptr<Medium> alpha = world.medium("alpha");
  const std::shared_ptr<Medium> beta = world.medium("beta");
  const auto web_alpha = make_web_socket_medium(WebSocketOptions(), alpha, "ws");
  const auto web_beta = make_web_socket_medium(WebSocketOptions(), beta, "ws");
  Duration plain{};
  Duration web{};
  asio::co_spawn(world.io(), time_dial(*alpha, *beta, "sim://beta:plain", plain), [](std::exception_ptr) {});
  asio::co_spawn(world.io(), time_dial(*web_alpha, *web_beta, "ws://beta:web", web), [](std::exception_ptr) {});
  world.run();
  CHECK(std::chrono::duration_cast<std::chrono::milliseconds>(plain) == std::chrono::milliseconds(100));
  CHECK(std::chrono::duration_cast<std::chrono::milliseconds>(web) == std::chrono::milliseconds(200));
}

static awaitable<void> dial_http();
TEST_CASE("ws: a dial that meets another answer says which, and what it says") { run_coroutine(dial_http()); }
static awaitable<void> dial_http() {
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  const auto medium = make_web_socket_medium(WebSocketOptions(), memory, "ws");
  const auto listener = memory->listen(executor, "mem://x");
  auto answer = [](Listener& from, std::string text) -> awaitable<void> {
    const std::unique_ptr<Transport> accepted = co_await from.accept();
    std::vector<std::byte> request(4096);
    co_await accepted->read_some(request);
    const std::span<const std::byte> piece = std::as_bytes(std::span(text));
    co_await accepted->write(std::span(&piece, 1));
    accepted->finish();
    co_await read_to_end(*accepted);
  };
  auto failure_of_dial = [](Medium& by) -> awaitable<std::string> {
    std::string text;
    try {
      co_await by.dial("ws://x");
    } catch (const boost::system::system_error& failure) {
      text = failure.what();
    }
    co_return text;
  };
  const auto forbidden =
      co_await (failure_of_dial(*medium) &&
                answer(*listener, "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nnot here\n"));
  CHECK(forbidden == "cannot connect to ws://x: the answer is 403 Forbidden: not here");
  const auto silent = co_await (failure_of_dial(*medium) && answer(*listener, ""));
  CHECK(silent == "cannot connect to ws://x: the far side has ended the connection without an answer");
  const auto garbage = co_await (failure_of_dial(*medium) && answer(*listener, "TRNK\x01 what is this?\r\n\r\n"));
  CHECK(garbage == "cannot connect to ws://x: bad version");
}

} // namespace trunkline::test
