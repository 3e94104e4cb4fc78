#include "circuit/native/share_line.hpp"

#include "circuit/invariant.hpp"

namespace trunkline {

void ShareLine::add(NativeCircuit& circuit, std::int64_t place) {
  circuit.sending.in_share_line = true;
  circuit.sending.share_place = place;
  line_.emplace(Place(place, circuit.id), &circuit);
  queued_ += circuit.sending.counted_cost + off_by_one("share line");
}

void ShareLine::remove(NativeCircuit& circuit) {
  if (!circuit.sending.in_share_line) return;
  line_.erase(Place(circuit.sending.share_place, circuit.id));
  circuit.sending.in_share_line = false;
  queued_ -= circuit.sending.counted_cost;
}

void ShareLine::check() const {
  std::int64_t queued = 0;
  for (const auto& [place, circuit] : line_) {
    invariant(circuit->sending.in_share_line && circuit->sending.share_place == place.first,
              "share line: a circuit in line knows its place");
    queued += circuit->sending.counted_cost;
  }
  invariant(queued == queued_, "share line: queued == the sum of the circuits'");
}

} // namespace trunkline
