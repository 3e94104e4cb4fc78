#include "circuit/native/closings.hpp"

#include "circuit/invariant.hpp"

#include <fmt/format.h>

namespace trunkline {

Closings::Closings(Whole& whole, Keepalive& keepalive) : whole_(whole), keepalive_(keepalive) {}

void Closings::add(NativeCircuit& circuit) {
  circuit.closing_hook.unlink();
  circuit.looked_at = whole_.now;
  circuit.looks = 0;
  line_.push_back(circuit);
}

void Closings::note_progress(NativeCircuit& circuit) {
  if (circuit.closing_hook.is_linked()) add(circuit);
}

void Closings::tick(Instant credited_at) {
  while (!line_.empty() && whole_.now >= after(line_.front().looked_at, interval())) {
    NativeCircuit& circuit = line_.front();
    const bool lacks_trunk_credit = circuit.outgoing_cost > 0 && circuit.counted_cost > 0;
    if (lacks_trunk_credit && credited_at > circuit.looked_at) {
      add(circuit);
      continue;
    }
    if (circuit.looks == 0) circuit.answered_from = keepalive_.answers_that_prove();
    if (circuit.looks < looks_max) ++circuit.looks;
    if (circuit.looks == looks_max && keepalive_.answers() >= circuit.answered_from) {
      whole_.reset_circuit(
          circuit, End(error::stalled,
                       fmt::format("{} within stall_deadline {} ms, though the far side answers pings",
                                   circuit.outgoing_cost > 0 ? "nothing of it could be sent" : "no answer to the close",
                                   whole_.limits.stall_deadline.count())));
      continue;
    }
    keepalive_.probe();
    circuit.looked_at = whole_.now;
    line_.splice(line_.end(), line_, line_.begin());
  }
}

void Closings::check() const {
  if (line_.empty()) return;
  invariant(line_.front().closed_here() && !line_.front().ended, "closings: a circuit in line is closed and not over");
  invariant(line_.front().looks <= looks_max, "closings: looks <= looks_max");
}

} // namespace trunkline
