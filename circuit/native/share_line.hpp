// Circuits that have something to send and credit of their own for it, but hold as much of the trunk's credit as is
// their share now. The circuit that holds least comes first: those whose readers pause hold up no other.
#pragma once

#include "circuit/native/circuit.hpp"

#include <cstdint>
#include <map>
#include <utility>

namespace trunkline {

class ShareLine {
 public:
  bool empty() const noexcept { return line_.empty(); }
  /// Calls `go_on(circuit)` for the first ones, at most `most` of them. Those for which it returns true leave the line.
  template <class GoOn> void let_go(int most, GoOn go_on) {
    for (auto at = line_.begin(); at != line_.end() && most > 0; --most) {
      NativeCircuit& circuit = *(at++)->second;
      if (go_on(circuit)) remove(circuit);
    }
  }
  /// Bytes that the circuits in line have queued.
  std::int64_t queued() const noexcept { return queued_; }

  void add(NativeCircuit& circuit, std::int64_t place);
  void remove(NativeCircuit& circuit);
  /// What a circuit in line has queued grew or shrank, before its `counted_cost` says so.
  void note_queued(const NativeCircuit& circuit, std::int64_t more) noexcept {
    if (circuit.sending.in_share_line) queued_ += more;
  }

  /// queued == the sum of what the circuits in line have queued.
  void check() const;

 private:
  using Place = std::pair<std::int64_t, CircuitId>;

  std::map<Place, NativeCircuit*> line_;
  std::int64_t queued_ = 0;
};

} // namespace trunkline
