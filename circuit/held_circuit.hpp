// What waits on a circuit without its handle: that may be moved, or dropped, meanwhile.
#pragma once

#include "circuit/circuit.hpp"
#include "circuit/trunk.hpp"

#include <memory>
#include <optional>
#include <utility>

namespace trunkline {

/// Keeps the trunk, and with it the circuit's state, as long as an operation waits on it, also when the handle goes: the
/// state is released then. While there is one, an end of the circuit cancels no task (see OwnedCircuit::ended): what
/// waits hears of it.
struct HeldCircuit {
  HeldCircuit(std::shared_ptr<Trunk> of, TrunkCircuit* held) : trunk(std::move(of)), state(held) { ++state->holds; }
  HeldCircuit(HeldCircuit&& other) noexcept
      : trunk(std::move(other.trunk)), state(std::exchange(other.state, nullptr)) {}
  HeldCircuit& operator=(HeldCircuit&&) = delete;
  ~HeldCircuit() {
    if (state) --state->holds;
  }

  std::shared_ptr<Trunk> trunk;
  TrunkCircuit* state; // null after a move
};

// As the members of Circuit. Once its handle is gone they throw error::circuit_abandoned; send_one_way returns `closed`.
// `held` has to outlive them.
awaitable<void> send(const HeldCircuit& held, Fragment fragment);
SendOutcome send_one_way(const HeldCircuit& held, Fragment& fragment);
awaitable<std::optional<Fragment>> receive_any(const HeldCircuit& held);
/// For answer_calls: as `receive`, and shows also the words about calls (see Fragment::cancels).
awaitable<std::optional<Fragment>> receive_with_words(const HeldCircuit& held);

} // namespace trunkline
