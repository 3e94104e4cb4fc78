// Runs an operation only as long as its circuit is open.
#pragma once

#include "async/within.hpp"
#include "circuit/circuit.hpp"
#include "circuit/circuit_ended.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

namespace trunkline {

/// Runs `op` as long as something may still cross the circuit. When the circuit ends (the far side resets it, its peer
/// ends, the trunk is lost), `op` is cancelled and has ended before this throws the reason, a CircuitEnded;
/// error::circuit_closed after a clean end. A finish of the far side is no end. An exception of `op` passes at once. Not needed around the
/// circuit's own operations, which end with it.
template <class T> awaitable<T> while_open(Circuit& circuit, awaitable<T> op) {
  using namespace asio::experimental::awaitable_operators;
  circuit.require("while_open");
  std::shared_ptr<const CircuitNames> names = circuit.state()->names; // the handle may go meanwhile
  const bool opened_here = circuit.opened_here();
  auto first = co_await (outcome_of(std::move(op)) || outcome_of(circuit.ended()));
  if (first.index() == 1) {
    Outcome<End>& ended = std::get<1>(first);
    if (ended.failure) std::rethrow_exception(ended.failure);
    throw CircuitEnded(ended.value->clean() ? End(error::circuit_closed, "the circuit is closed") : std::move(*ended.value),
                       std::move(names), opened_here);
  }
  Outcome<T>& outcome = std::get<0>(first);
  if (outcome.failure) std::rethrow_exception(outcome.failure);
  if constexpr (!std::is_void_v<T>) co_return std::move(*outcome.value);
}

} // namespace trunkline
