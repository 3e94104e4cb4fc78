#include "async/first_of.hpp"
#include "async/within.hpp"

#include "async/signal.hpp"
#include "tests/async/turns.hpp"
#include "tests/support/co_test_case.hpp"
#include "tests/support/note_thrown.hpp"

#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

awaitable<bool> say(bool what) {
  co_await turns(1);
  co_return what;
}

awaitable<void> fail(error code) {
  co_await turns(1);
  throw_error(code, "as was asked");
}

awaitable<std::unique_ptr<int>> make(int value) {
  co_await turns(1);
  co_return std::make_unique<int>(value);
}

} // namespace

CO_TEST_CASE(
    "async: a result holds a value of any type, bool too, or the code of a system error; other exceptions pass",
    run_body) {
  const result<bool> no = co_await as_result(say(false));
  REQUIRE(no.has_value());
  CHECK_FALSE(*no);
  const result<bool> yes = co_await as_result(say(true));
  REQUIRE(yes.has_value());
  CHECK(*yes);
  const result<void> failed = co_await as_result(fail(error::stalled));
  CHECK(failed.error() == error::stalled);
  const result<std::unique_ptr<int>> made = co_await as_result(make(7));
  REQUIRE(made.has_value());
  CHECK(**made == 7);
  bool passed = false;
  try {
    const result<void> broken = co_await as_result(break_down());
    CHECK_FALSE(broken.has_value());
  } catch (const std::runtime_error&) {
    passed = true;
  }
  CHECK(passed);
}

CO_TEST_CASE("async: within passes values and failures, and at its deadline has cancelled and awaited the operation",
             run_body) {
  const bool value = co_await within(1h, say(true));
  CHECK(value);
  const result<void> failed = co_await as_result(within(1h, fail(error::stalled)));
  CHECK(failed.error() == error::stalled);
  const std::unique_ptr<int> made = co_await within(1h, make(3));
  CHECK(*made == 3);

  Signal never;
  int cancelled = 0;
  const result<void> late = co_await as_result(within(1ms, wait_and_note_cancelled(never, cancelled)));
  CHECK(late.error() == error::timed_out);
  CHECK(cancelled == 1); // has ended before the caller goes on
  CHECK_FALSE(never.has_waiters());
}

CO_TEST_CASE("async: the first of two ends with what that one threw, and throws operation_aborted when it is cancelled",
             run_body) {
  Signal never;
  co_await first_of(turns(1), never.wait());
  CHECK_FALSE(never.has_waiters());
  const result<void> failed = co_await as_result(first_of(never.wait(), fail(error::stalled)));
  CHECK(failed.error() == error::stalled);

  std::string thrown;
  const result<void> late = co_await as_result(within(1ms, note_thrown(first_of(never.wait(), sleep_for(1h)), thrown)));

  CHECK(late.error() == error::timed_out);
  CHECK(thrown == "aborted");
  CHECK_FALSE(never.has_waiters());
}
