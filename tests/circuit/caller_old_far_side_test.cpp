// Calls to a far side that is played by hand, and that may never have heard of calls. What it is told is counted.
#include "circuit/caller.hpp"

#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <utility>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// A call that is given up, and one that is answered afterwards; how many words the far side heard.
awaitable<std::uint64_t> words_to(say::Hello hello, Duration deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto trunk =
      std::make_shared<Trunk>(executor, native_machine(true, Limits(), "node-of-our-side", Clock::of(executor).now()));
  trunk->feed(as_bytes(say::introduction(hello)));
  OpenRequest request = open_request();
  request.deadline = trunk->now() + std::chrono::hours(1);
  TrunkCircuit* const state = trunk->with(
      [&](Machine& machine) { return machine.open(std::move(request), std::nullopt, trunk->now()); });
  Circuit circuit(trunk, *state);

  boost::system::error_code failure;
  auto first = deadline == Duration::max() ? within(std::chrono::milliseconds(1), call(circuit, Fragment(7, "first")))
                                           : call(circuit, Fragment(7, "first"), deadline);
  try {
    co_await std::move(first);
  } catch (const boost::system::system_error& thrown) {
    failure = thrown.code();
  }
  CHECK(failure == make_error_code(error::timed_out));
  const std::uint64_t heard = circuit.counters().fragments_sent;

  say::Said said;
  said.part = static_cast<std::int64_t>(heard + 1);
  trunk->feed(as_bytes(say::data(1, "reply", said)));
  const Fragment reply = co_await call(circuit, Fragment(7, "second"));
  CHECK(reply.payload.text() == "reply");
  CHECK(circuit.is_open());
  co_return heard;
}

} // namespace

TEST_CASE("call: a far side that does not know of calls hears the request and no word that it was given up") {
  const say::Hello old_one;
  say::Hello new_one;
  new_one.features = {"calls"};
  for (const Duration deadline : {Duration::max(), Duration(std::chrono::milliseconds(1))}) {
    CHECK(run_coroutine(words_to(old_one, deadline)) == 1);
    CHECK(run_coroutine(words_to(new_one, deadline)) == 2);
  }
}
