// Work that is for one circuit only, and has no sense without it.
#pragma once

#include "async/within.hpp"
#include "circuit/circuit.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

namespace trunkline {

/// Runs `op` for as long as something may still cross the circuit: when the far side resets it, its peer ends or the
/// trunk is lost, `op` is cancelled, has ended, and this throws the reason (error::circuit_closed after a clean end).
/// A finish of the far side ends nothing. What `op` throws passes at once. The circuit's own awaits need none of this.
template <class T> awaitable<T> while_open(Circuit& circuit, awaitable<T> op) {
  using namespace asio::experimental::awaitable_operators;
  auto first = co_await (outcome_of(std::move(op)) || outcome_of(circuit.ended()));
  if (first.index() == 1) {
    const Outcome<End>& ended = std::get<1>(first);
    if (ended.failure) std::rethrow_exception(ended.failure);
    if (ended.value->clean()) throw_error(error::circuit_closed, "the circuit is closed");
    throw boost::system::system_error(ended.value->code, ended.value->text);
  }
  Outcome<T>& outcome = std::get<0>(first);
  if (outcome.failure) std::rethrow_exception(outcome.failure);
  if constexpr (!std::is_void_v<T>) co_return std::move(*outcome.value);
}

} // namespace trunkline
