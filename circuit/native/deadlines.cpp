#include "circuit/native/deadlines.hpp"

#include "circuit/invariant.hpp"
#include "circuit/native/whole.hpp"

#include <fmt/format.h>

namespace trunkline {

void Deadlines::tick() {
  while (next() <= whole_.now) {
    NativeCircuit& circuit = *due_.begin()->circuit;
    whole_.reset_provoked(circuit, End(error::deadline_passed, fmt::format("the deadline of circuit {}", circuit.id)));
  }
}

void Deadlines::check(bool full) const {
  if (!full) return;
  for (const Due& due : due_)
    invariant(!due.circuit->ended && due.circuit->deadline == due.at, "deadlines: each is of a circuit that lives");
}

} // namespace trunkline
