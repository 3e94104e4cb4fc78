// What the table of circuits looks at, counted by a circuit that counts.
#include "circuit/circuit_table.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace trunkline;

namespace {

std::shared_ptr<const CircuitNames> names_of(int peer) {
  std::string bytes = "0123456789abcdef";
  std::memcpy(bytes.data(), &peer, sizeof peer);
  auto names = std::make_shared<CircuitNames>();
  names->local = std::make_shared<const PeerName>(PeerName{*PeerId::from_bytes(bytes), "store", {}});
  return names;
}

/// Counts how often somebody asks whether its handle is gone, as all do who look at it.
struct Counted : TrunkCircuit {
  Counted(CircuitId number, int& count, std::shared_ptr<const CircuitNames> of)
      : TrunkCircuit(number, true), looks(count) {
    names = std::move(of);
  }
  CircuitId key() const noexcept { return id; }
  bool released() const noexcept {
    ++looks;
    return TrunkCircuit::released();
  }

  int& looks;
  CircuitHook of_trunk;
  CircuitHook of_peer;
};

} // namespace

TEST_CASE("circuit table: the end of a peer looks at its circuits, and at none of sixty thousand beside them") {
  std::uint64_t held = 0;
  int looks = 0;
  CircuitTable<Counted, CircuitId> table(held);
  CircuitId next = 1;
  const auto open = [&](const std::shared_ptr<const CircuitNames>& names) {
    Counted& circuit = table.add(next, looks, names);
    table.enter(next, circuit);
    table.join_peer(circuit);
    next += 2;
  };
  const auto quiet = names_of(0);
  for (int circuit = 0; circuit < 60'000; ++circuit) open(quiet);
  for (int peer = 1; peer <= 1000; ++peer) {
    const auto names = names_of(peer);
    open(names);
    open(names);
  }

  std::vector<TrunkCircuit*> circuits;
  for (int peer = 1; peer <= 1000; ++peer) {
    const PeerId id = names_of(peer)->local->id;
    table.of_peer(id, circuits);
    REQUIRE(circuits.size() == 2);
    for (TrunkCircuit* const circuit : circuits) {
      circuit->ended = true;
      table.leave(circuit->id, static_cast<Counted&>(*circuit));
    }
    CHECK(table.forget_peer(id));
  }

  CHECK(looks == 2 * 1000);
  CHECK(table.size() == 60'000);
}
