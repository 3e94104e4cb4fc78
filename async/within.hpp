// Deadlines and results as adapters: an operation is written once, its caller chooses how it may fail.
#pragma once

#include "async/clock.hpp"
#include "async/types.hpp"
#include "fragment/error.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/result.hpp>

#include <exception>
#include <new>
#include <type_traits>
#include <utility>
#include <variant>

namespace trunkline {

template <class T> using result = boost::system::result<T>;

/// Runs `op` and throws error::timed_out when it has not ended after `duration`; `op` is then cancelled and has
/// ended before this throws. For occasional use: it costs two coroutines, so do not put it around each fragment.
template <class T> awaitable<T> within(Duration duration, awaitable<T> op) {
  using namespace asio::experimental::awaitable_operators;
  auto outcome = co_await (std::move(op) || sleep_for(duration));
  if (outcome.index() == 1) throw_error(error::timed_out, "operation did not end within its deadline");
  if constexpr (!std::is_void_v<T>) co_return std::get<0>(std::move(outcome));
}

/// Runs `op` and turns a thrown system_error (also one inside asio::multiple_exceptions) into a value.
/// Other exceptions pass.
template <class T> awaitable<result<T>> as_result(awaitable<T> op) {
  boost::system::error_code failure;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(op);
      co_return result<T>();
    } else {
      co_return result<T>(co_await std::move(op));
    }
  } catch (const boost::system::system_error& thrown) {
    failure = thrown.code();
  } catch (const asio::multiple_exceptions& thrown) {
    try {
      std::rethrow_exception(thrown.first_exception());
    } catch (const boost::system::system_error& first) {
      failure = first.code();
    }
  }
  co_return result<T>(failure);
}

} // namespace trunkline
