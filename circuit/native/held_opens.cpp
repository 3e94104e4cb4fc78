#include "circuit/native/held_opens.hpp"

#include "circuit/invariant.hpp"

#include <cstddef>
#include <utility>

namespace trunkline {

HeldOpens::HeldOpens(Whole& whole) : whole_(whole) {}

HeldOpens::~HeldOpens() = default;

void HeldOpens::hold(NativeCircuit& circuit, std::unique_ptr<OpenRequest> open) {
  const PeerId& peer = open->from->id;
  auto [known, is_new] = by_peer_.try_emplace(peer);
  if (is_new) {
    openers_.emplace_back();
    known->second = std::prev(openers_.end());
    known->second->peer = peer;
  }
  circuit.held = std::make_unique<HeldOpen>();
  circuit.held->circuit = &circuit;
  circuit.held->open = std::move(open);
  known->second->opens.push_back(*circuit.held);
  ++whole_.counters.opens_delayed;
  whole_.counters.opens_waiting += 1 + static_cast<std::uint64_t>(off_by_one("held opens"));
}

std::unique_ptr<OpenRequest> HeldOpens::let_go(NativeCircuit& circuit) {
  const std::unique_ptr<HeldOpen> held = std::move(circuit.held);
  held->of_opener.unlink();
  --whole_.counters.opens_waiting;
  const auto known = by_peer_.find(held->open->from->id);
  const Openers::iterator opener = known->second;
  if (opener->opens.empty()) {
    by_peer_.erase(known);
    openers_.erase(opener);
  } else if (opener == openers_.begin()) {
    openers_.splice(openers_.end(), openers_, opener);
  }
  return std::move(held->open);
}

void HeldOpens::check(bool full) const {
  invariant(by_peer_.size() == openers_.size(), "held opens: every peer has one place");
  invariant(openers_.size() <= whole_.counters.opens_waiting, "held opens: peers <= opens_waiting");
  if (!full) return;
  std::size_t opens = 0;
  for (const Opener& opener : openers_) opens += opener.opens.size();
  invariant(opens == whole_.counters.opens_waiting, "held opens: opens_waiting == the sum over the peers");
}

} // namespace trunkline
