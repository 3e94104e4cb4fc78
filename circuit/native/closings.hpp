// Circuits that we have closed and that are not over yet: what was queued before the close has to go out, and the close
// wants its answer. Perhaps no task waits for that any more, so it has a deadline, which counts from the last progress:
// a frame of it that went out, credit that came. And because what we wrote may take long on its way, a circuit is given
// up only when the far side has answered a ping that was written after all that.
#pragma once

#include "circuit/machine.hpp"
#include "circuit/native/circuit.hpp"
#include "circuit/native/keepalive.hpp"
#include "circuit/native/whole.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

namespace trunkline {

class Closings {
 public:
  Closings(Whole& whole, Keepalive& keepalive);

  /// A close was asked for.
  void add(NativeCircuit& circuit);
  /// Something of the circuit moved. Of one that is not closed: nothing happens.
  void note_progress(NativeCircuit& circuit);
  void remove(NativeCircuit& circuit) noexcept { circuit.closing_hook.unlink(); }

  Instant deadline() const noexcept {
    return line_.empty() ? Instant::max() : after(line_.front().closing_wait.looked_at, interval());
  }
  /// `moved_at`: when the trunk's credit came last, or something was sent that had waited. A circuit that lacks only
  /// that, or the far side's memory, waits for other circuits: while they move it is not given up.
  void tick(Instant moved_at);

  /// looked_at <= now, looks <= looks_for_others_max.
  void check() const;

 private:
  static constexpr std::uint8_t looks_max = 4; // within a stall_deadline
  static constexpr std::uint8_t looks_for_others_max = 3 * looks_max;

  static bool waits_for_others(const NativeCircuit& circuit);
  std::string stalled_text(const NativeCircuit& circuit) const;

  std::chrono::milliseconds interval() const noexcept {
    const auto deadline = whole_.limits.stall_deadline;
    return deadline == deadline.max() ? deadline : std::max(deadline / looks_max, std::chrono::milliseconds(1));
  }

  Whole& whole_;
  Keepalive& keepalive_;
  CircuitList<NativeCircuit, &NativeCircuit::closing_hook> line_; // the one that was looked at first comes first
};

} // namespace trunkline
