// A circuit that a task serves: how it ends depends on how the task ends.
#pragma once

#include "circuit/circuit.hpp"

#include <memory>

namespace trunkline {

/// Decides for a task how the circuit that it serves ends. The task may drop the handle or move it elsewhere at any
/// time; only when the task has returned or thrown is it known which end is right. A circuit has one owner: when
/// another task takes it over, the first one has nothing left to decide. A handle that lives on elsewhere without an
/// owner decides for itself again.
class OwnedCircuit {
 public:
  /// Takes the circuit over, from another task if one owns it.
  explicit OwnedCircuit(const Circuit& circuit);
  OwnedCircuit(OwnedCircuit&& other) noexcept;
  OwnedCircuit& operator=(OwnedCircuit&&) = delete;
  /// When the task was destroyed before it ended, the circuit ends as with a dropped handle.
  ~OwnedCircuit();

  /// Valid also after another task has taken the circuit over.
  const CircuitNames& names() const noexcept { return state_ ? *state_->names : *names_; }
  /// The task has returned: closes the circuit cleanly if its handle is gone.
  void close();
  /// The task has thrown: resets the circuit if its handle is gone.
  void reset(End reason);

 private:
  TrunkCircuit* give_back() noexcept;
  void hand_over() noexcept;

  std::shared_ptr<Trunk> trunk_;
  TrunkCircuit* state_;                       // null once it is not owned here any more
  std::shared_ptr<const CircuitNames> names_; // from then on
};

} // namespace trunkline
