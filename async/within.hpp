// Adapters for an operation: a deadline for it, and its failure as a value.
#pragma once

#include "async/clock.hpp"
#include "async/types.hpp"
#include "fragment/error.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/result.hpp>

#include <exception>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace trunkline {

template <class T> using result = boost::system::result<T>;

/// The result of an operation: its exception, or null and its value. Asio's `||` does not count an operation that
/// throws as the first to end; one that returns its failure can be raced.
template <class T> struct Outcome {
  std::exception_ptr failure;
  std::conditional_t<std::is_void_v<T>, std::monostate, std::optional<std::conditional_t<std::is_void_v<T>, int, T>>>
      value;
};

/// Runs `op` and returns its value or its exception; does not throw.
template <class T> awaitable<Outcome<T>> outcome_of(awaitable<T> op) {
  Outcome<T> outcome;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(op);
    } else {
      outcome.value.emplace(co_await std::move(op));
    }
  } catch (...) {
    outcome.failure = std::current_exception();
  }
  co_return outcome;
}

/// Runs `op` and throws error::timed_out when it has not ended after `duration`; `op` has been cancelled and has ended
/// by then. What `op` throws passes at once. It costs a few coroutines and a timer: do not put it around each fragment.
template <class T> awaitable<T> within(Duration duration, awaitable<T> op) {
  using namespace asio::experimental::awaitable_operators;
  auto first = co_await (outcome_of(std::move(op)) || sleep_for(duration));
  if (first.index() == 1) throw_error(error::timed_out, "operation did not end within its deadline");
  Outcome<T>& outcome = std::get<0>(first);
  if (outcome.failure) std::rethrow_exception(outcome.failure);
  if constexpr (!std::is_void_v<T>) co_return std::move(*outcome.value);
}

/// Runs `op` and returns a thrown system_error (also one inside asio::multiple_exceptions) as a value. Other exceptions
/// pass.
template <class T> awaitable<result<T>> as_result(awaitable<T> op) {
  boost::system::error_code failure;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(op);
      co_return result<T>();
    } else {
      co_return result<T>(boost::system::in_place_value, co_await std::move(op));
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
  co_return result<T>(boost::system::in_place_error, failure); // T may itself be made from an error code: bool is
}

} // namespace trunkline
