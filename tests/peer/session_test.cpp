// A session between a machine and a far side that is played by hand.
#include "peer/session.hpp"

#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "circuit/circuit.hpp"
#include "circuit/trunk.hpp"
#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/memory.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<void> run_session(std::shared_ptr<Trunk> trunk, std::unique_ptr<Transport> transport) {
  Session session(std::move(trunk), std::move(transport), std::chrono::milliseconds(100));
  co_await session.run();
}

awaitable<void> cancel_when_it_speaks(Circuit circuit, Tasks& sessions) {
  const std::optional<Fragment> fragment = co_await circuit.receive();
  CHECK(fragment);
  sessions.cancel();
}

} // namespace

static awaitable<void> cancelled_by_the_first_read();
TEST_CASE("session: one that is cancelled by whom its first read woke ends at once") {
  run_coroutine(cancelled_by_the_first_read());
}
/// The far side's words are there before the session is, so that its very first read has them.
static awaitable<void> cancelled_by_the_first_read() {
  const Executor executor = co_await asio::this_coro::executor;
  MemoryMedium medium;
  const auto listener = medium.listen(executor, "mem://x");
  std::unique_ptr<Transport> near = co_await medium.dial("mem://x");
  const std::unique_ptr<Transport> far = co_await listener->accept();
  const auto trunk =
      std::make_shared<Trunk>(executor, native_machine(true, Limits(), "node-of-our-side", Clock::of(executor).now()));
  TrunkCircuit* const state =
      trunk->with([&](Machine& machine) { return machine.open(open_request(), std::nullopt, trunk->now()); });
  Tasks sessions(executor);
  Tasks users(executor);
  users.spawn(cancel_when_it_speaks(Circuit(trunk, *state), sessions));
  co_await asio::post(asio::use_awaitable);

  const std::string words = say::introduction() + say::data(1, "x");
  const std::vector<std::span<const std::byte>> pieces{as_bytes(words)};
  co_await far->write(pieces);
  sessions.spawn(run_session(trunk, std::move(near)));

  co_await users.join();
  co_await sessions.join(); // would wait for the far side, which says nothing more
  CHECK(trunk->machine().over());
}
