#include "circuit/native/share_line.hpp"

#include "circuit/invariant.hpp"

namespace trunkline {

void ShareLine::add(NativeCircuit& circuit, std::int64_t place) {
  circuit.in_share_line = true;
  circuit.share_place = place;
  line_.emplace(Place(place, circuit.id), &circuit);
  queued_ += circuit.counted_cost + off_by_one("share line");
}

void ShareLine::remove(NativeCircuit& circuit) {
  if (!circuit.in_share_line) return;
  line_.erase(Place(circuit.share_place, circuit.id));
  circuit.in_share_line = false;
  queued_ -= circuit.counted_cost;
}

void ShareLine::check() const {
  std::int64_t queued = 0;
  for (const auto& [place, circuit] : line_) {
    invariant(circuit->in_share_line && circuit->share_place == place.first,
              "share line: a circuit in line knows its place");
    queued += circuit->counted_cost;
  }
  invariant(queued == queued_, "share line: queued == the sum of the circuits'");
}

} // namespace trunkline
