// Two operations, of which the first to end counts.
#pragma once

#include "async/signal.hpp"
#include "async/within.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <exception>
#include <utility>
#include <variant>

namespace trunkline {

/// Runs both until one has ended; the other has been cancelled and has ended by then. What the first one throws passes,
/// what it returns is dropped. Cancelled: throws operation_aborted, where the operator of Asio throws
/// asio::multiple_exceptions.
template <class One, class Other> awaitable<void> first_of(awaitable<One> one, awaitable<Other> other) {
  using namespace asio::experimental::awaitable_operators;
  const auto first = co_await (outcome_of(std::move(one)) || outcome_of(std::move(other)));
  co_await throw_if_cancelled();
  const std::exception_ptr failure = first.index() == 0 ? std::get<0>(first).failure : std::get<1>(first).failure;
  if (failure) std::rethrow_exception(failure);
}

} // namespace trunkline
