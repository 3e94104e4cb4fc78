#include "circuit/native/circuits.hpp"

#include <fmt/format.h>

#include <utility>

namespace trunkline {

std::shared_ptr<const CircuitNames> make_names(std::shared_ptr<const PeerName> local,
                                               std::shared_ptr<const PeerName> remote, CircuitId id, std::string name,
                                               std::string user_string) {
  auto names = std::make_shared<CircuitNames>();
  names->local = std::move(local);
  names->remote = std::move(remote);
  names->circuit_id = id;
  names->name = std::move(name);
  names->user_string = std::move(user_string);
  return names;
}

Circuits::Circuits(Whole& whole, bool dialled)
    : whole_(whole), table_(whole.counters.circuits_held), next_here_(dialled ? 1 : 2), next_there_(dialled ? 2 : 1) {}

Circuits::Known Circuits::find_unknown(wire::FrameType type, CircuitId id) {
  const CircuitId next = (id & 1) == (next_here_ & 1) ? next_here_ : next_there_;
  if (id != 0 && id < next) {
    ++whole_.counters.frames_for_forgotten_circuits;
    return Known::forgotten;
  }
  whole_.violate(error::protocol_error, fmt::format("frame type 0x{:02x} for circuit {}, which was never opened",
                                                    static_cast<unsigned>(type), id));
  return Known::broken;
}

CircuitId Circuits::take_number() noexcept { return std::exchange(next_here_, next_here_ + 2); }

NativeCircuit& Circuits::add(CircuitId id, bool opened_here, std::shared_ptr<const CircuitNames> names) {
  NativeCircuit& circuit = table_.add(id, opened_here);
  circuit.names = std::move(names);
  circuit.opening.opened_at = whole_.now;
  circuit.receiving.granted_at = whole_.now;
  if (id != 0) table_.enter(id, circuit);
  return circuit;
}

NativeCircuit& Circuits::open_here(CircuitId id, std::shared_ptr<const CircuitNames> names) {
  if (id != 0) opened_here_ += 1 + static_cast<std::uint32_t>(off_by_one("circuits"));
  return add(id, true, std::move(names));
}

std::optional<End> Circuits::why_no_more(std::size_t strings) const {
  const Limits& limits = whole_.limits;
  if (open_there_ >= limits.circuits_max)
    return End(error::circuit_limit_reached, fmt::format("circuits_max {} reached", limits.circuits_max));
  if (const std::uint32_t held = opened_there_ - open_there_; held >= limits.circuits_max)
    return End(error::circuit_limit_reached,
               fmt::format("{} circuits are over and services still hold on to them, circuits_max is {}", held,
                           limits.circuits_max));
  if (strings_there_ + strings > limits.circuit_strings_bytes_max)
    return End(error::circuit_limit_reached,
               fmt::format("circuit_strings_bytes_max {} reached", limits.circuit_strings_bytes_max));
  return std::nullopt;
}

NativeCircuit& Circuits::open_there(CircuitId id, std::shared_ptr<const CircuitNames> names, std::size_t strings) {
  NativeCircuit& circuit = add(id, false, std::move(names));
  circuit.opening.in_backlog = true;
  circuit.opening.strings = static_cast<std::uint16_t>(strings); // their limits fit
  strings_there_ += strings;
  ++open_there_;
  ++opened_there_;
  return circuit;
}

void Circuits::rename(NativeCircuit& circuit, std::shared_ptr<const CircuitNames> names) {
  names_before_[circuit.id] = std::exchange(circuit.names, std::move(names));
}

void Circuits::retire(NativeCircuit& circuit) {
  if (table_.retire(circuit)) bury(circuit);
}

void Circuits::let_go(NativeCircuit& circuit) {
  table_.let_go();
  bury(circuit);
}

void Circuits::bury(NativeCircuit& circuit) {
  if (!circuit.opened_here) {
    --opened_there_;
    strings_there_ -= circuit.opening.strings;
  }
  table_.bury(circuit);
}

void Circuits::free_all_buried() {
  table_.free_buried([this](const NativeCircuit& circuit) {
    if (!names_before_.empty()) names_before_.erase(circuit.id);
  });
}

void Circuits::check(bool full) const {
  invariant(opened_here_ <= table_.size(), "circuits: opened_here <= on the wire");
  invariant(opened_there_ <= table_.all_count(), "circuits: opened_there <= all");
  invariant(open_there_ <= opened_there_, "circuits: open_there <= opened_there");
  invariant((next_here_ & 1) != (next_there_ & 1), "circuits: the two sides' numbers differ in parity");
  table_.check(full);
  if (!full) return;
  std::size_t opened_there = 0;
  std::size_t strings = 0;
  std::size_t opened_here = 0;
  std::size_t open_there = 0;
  for (const NativeCircuit& circuit : table_.all()) {
    opened_there += circuit.opened_here ? 0 : 1;
    strings += circuit.opened_here ? 0 : circuit.opening.strings;
    opened_here += circuit.opened_here && !circuit.ended ? 1 : 0;
    open_there += !circuit.opened_here && !circuit.ended ? 1 : 0;
  }
  invariant(opened_there == opened_there_, "circuits: opened_there == the far side's circuits in the table");
  invariant(strings == strings_there_, "circuits: strings == the sum of the circuits'");
  invariant(opened_here == opened_here_, "circuits: opened_here == our circuits on the wire in the table");
  invariant(open_there == open_there_, "circuits: open_there == the far side's circuits on the wire in the table");
}

} // namespace trunkline
