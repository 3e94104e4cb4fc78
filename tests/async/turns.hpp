// Coroutines that the tests of async/ share.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <stdexcept>

namespace trunkline::test {

/// Lets others run, so many times.
inline awaitable<void> turns(int count) {
  for (int turn = 0; turn < count; ++turn) co_await asio::post(asio::use_awaitable);
}

inline awaitable<void> break_down() {
  co_await turns(1);
  throw std::runtime_error("not a system error");
}

/// Counts a wait that ends by cancellation.
inline awaitable<void> wait_and_note_cancelled(Signal& signal, int& cancelled) {
  try {
    co_await signal.wait();
  } catch (const boost::system::system_error& thrown) {
    cancelled += thrown.code() == asio::error::operation_aborted;
    throw;
  }
}

/// Runs the body of a CO_TEST_CASE on a context of its own.
inline void run_body(awaitable<void> (*body)()) { run_coroutine(body()); }

} // namespace trunkline::test
