#include "circuit/native/closings.hpp"

#include "circuit/invariant.hpp"

#include <fmt/format.h>

namespace trunkline {

Closings::Closings(Whole& whole, Keepalive& keepalive) : whole_(whole), keepalive_(keepalive) {}

void Closings::add(NativeCircuit& circuit) {
  circuit.closing_hook.unlink();
  circuit.closing_wait.looked_at = whole_.now + Instant::duration(off_by_one("closings"));
  circuit.closing_wait.looks = 0;
  line_.push_back(circuit);
}

void Closings::note_progress(NativeCircuit& circuit) {
  if (circuit.closing_hook.is_linked()) add(circuit);
}

void Closings::tick(Instant moved_at) {
  while (!line_.empty() && whole_.now >= after(line_.front().closing_wait.looked_at, interval())) {
    NativeCircuit& circuit = line_.front();
    const bool for_others = waits_for_others(circuit);
    if (for_others && moved_at > circuit.closing_wait.looked_at) {
      add(circuit);
      continue;
    }
    const std::uint8_t most = for_others ? looks_for_others_max : looks_max;
    if (circuit.closing_wait.looks == 0) circuit.closing_wait.answered_from = keepalive_.answers_that_prove();
    if (circuit.closing_wait.looks < most) ++circuit.closing_wait.looks;
    if (circuit.closing_wait.looks >= most && keepalive_.answers() >= circuit.closing_wait.answered_from) {
      whole_.reset_circuit(circuit, End(error::stalled, stalled_text(circuit)));
      continue;
    }
    keepalive_.probe();
    circuit.closing_wait.looked_at = whole_.now;
    line_.splice(line_.end(), line_, line_.begin());
  }
}

/// It lacks the trunk's credit, or it has begun a fragment that the far side has no memory for. Whoever holds that is
/// given up by the far side when nobody reads there, but its deadline may begin when ours is half over.
bool Closings::waits_for_others(const NativeCircuit& circuit) {
  return circuit.sending.queued > 0 && (circuit.sending.counted_cost > 0 || circuit.sending.begun != 0);
}

std::string Closings::stalled_text(const NativeCircuit& circuit) const {
  const auto deadline = whole_.limits.stall_deadline.count();
  if (waits_for_others(circuit))
    return fmt::format("what is queued had no share of the trunk's credit, or no memory at the far side, within three "
                       "times stall_deadline {} ms, though the far side answers pings",
                       deadline);
  return fmt::format("{} within stall_deadline {} ms, though the far side answers pings",
                     circuit.sending.queued > 0 ? "nothing of it could be sent" : "no answer to the close", deadline);
}

void Closings::check() const {
  if (line_.empty()) return;
  invariant(line_.front().closed_here() && !line_.front().ended, "closings: a circuit in line is closed and not over");
  invariant(line_.back().closing_wait.looked_at <= whole_.now, "closings: looked_at <= now");
  invariant(line_.front().closing_wait.looks <= looks_for_others_max, "closings: looks <= looks_for_others_max");
}

} // namespace trunkline
