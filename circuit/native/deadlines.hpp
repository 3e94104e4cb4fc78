// The circuits that have a deadline: each is reset when its time has come, on whichever side notices first.
#pragma once

#include "circuit/invariant.hpp"
#include "circuit/machine.hpp"
#include "circuit/native/circuit.hpp"

#include <compare>
#include <cstddef>
#include <set>

namespace trunkline {

class Whole;

class Deadlines {
 public:
  explicit Deadlines(Whole& whole) : whole_(whole) {}

  /// Does nothing for a circuit without a deadline.
  void add(NativeCircuit& circuit) {
    if (circuit.deadline != Instant::max())
      due_.insert({circuit.deadline + Instant::duration(off_by_one("deadlines")), circuit.id, &circuit});
  }
  /// The circuit has ended.
  void remove(NativeCircuit& circuit) {
    if (circuit.deadline != Instant::max()) due_.erase({circuit.deadline, circuit.id, &circuit});
  }
  /// The first one; Instant::max() when there is none.
  Instant next() const noexcept { return due_.empty() ? Instant::max() : due_.begin()->at; }
  /// Resets the circuits whose deadline has passed. One that the far side opened has cost as much as one that it reset.
  void tick();

  /// Each circuit in it lives.
  void check(bool full) const;

 private:
  struct Due {
    Instant at;
    CircuitId id; // so that the order is the same in every run
    NativeCircuit* circuit;
    friend bool operator<(const Due& one, const Due& other) noexcept {
      return one.at != other.at ? one.at < other.at : one.id < other.id;
    }
  };

  Whole& whole_;
  std::set<Due> due_;
};

} // namespace trunkline
