// A circuit that a task serves: how it ends depends on how the task ends.
#pragma once

#include "async/tasks.hpp"
#include "circuit/circuit.hpp"

#include <memory>

namespace trunkline {

/// Decides for a task how the circuit that it serves ends, as long as the task's function holds the handle: its
/// parameter goes with its frame, and only then is it known whether the function returned or threw. A handle that goes
/// before that (a helper's, a local one, one that is assigned over) is abandoned as any other, because half a stream
/// must not look whole; where an exception takes it along, the exception decides if it leaves the function. A circuit
/// has one owner: when another task takes it over, the first one has nothing left to decide. A handle that lives on
/// elsewhere when the function has ended decides for itself again.
class OwnedCircuit {
 public:
  /// Takes the circuit over, from another task if one owns it.
  explicit OwnedCircuit(const Circuit& circuit);
  OwnedCircuit(OwnedCircuit&& other) noexcept;
  OwnedCircuit& operator=(OwnedCircuit&&) = delete;
  /// When the task was destroyed before it ended, the circuit ends as with a dropped handle.
  ~OwnedCircuit();

  /// The function is about to run: from now on the place where the handle is now is the function's parameter.
  void begin() noexcept { home_ = at_; }

  /// Valid also after another task has taken the circuit over.
  const CircuitNames& names() const noexcept { return state_ ? *state_->names : *names_; }
  bool opened_here() const noexcept { return opened_here_; }
  /// The task has returned: closes the circuit cleanly if the function held its handle to the end.
  void close();
  /// The task has thrown: resets the circuit if its handle is gone.
  void reset(End reason);
  /// No end was decided: the circuit ends as with a dropped handle if its handle is gone.
  void release();

  /// The task is cancelled through this when the circuit ends under it. It has to outlive this.
  void cancel_by(Task& task) noexcept { task_ = &task; }
  /// The end for which that has happened; clean when it has not.
  const End& cancelled_for() const noexcept { return cancelled_for_; }

  // For the trunk.
  /// The circuit has ended. Cancels a task that waits for something else and would not hear of it: one that waits on
  /// the circuit hears the reason there. A close of the far side cancels nothing, what it sent before is to be served;
  /// nor does an end that the task has brought about.
  void ended();

  // For the handle.
  /// The task has given the circuit up itself.
  void decide() noexcept { task_ = nullptr; }
  /// The handle is at another place now.
  void note_moved(const Circuit* to) noexcept { at_ = to; }
  /// The handle at this place goes; `assigned` when another circuit takes its place.
  void drop(const Circuit* at, bool assigned) noexcept;

 private:
  TrunkCircuit* give_back() noexcept;
  void hand_over() noexcept;
  void abandon() noexcept;
  void abandon_later() noexcept;

  std::shared_ptr<Trunk> trunk_;
  TrunkCircuit* state_;                       // null once it is not owned here any more
  std::shared_ptr<const CircuitNames> names_; // from then on
  bool opened_here_;                          // by this side
  const Circuit* at_;                         // where the handle is
  const Circuit* home_ = nullptr;             // the function's parameter; null before the function begins
  Task* task_ = nullptr; // null when an end of the circuit does not concern it
  End cancelled_for_;
  bool torn_ = false; // an exception took the handle along; it may still leave the function, and then decides
};

} // namespace trunkline
