// One circuit as the cluster machine keeps it. An idle one owns no memory beyond itself.
#pragma once

#include "circuit/circuit_table.hpp"
#include "circuit/machine.hpp"
#include "services/quarkchain/protocol/route.hpp"

#include <cstddef>
#include <cstdint>

namespace trunkline::quarkchain {

/// A frame in an inbox.
struct ReceivedFrame {
  Payload payload;
  std::uint64_t rpc_id = 0;
  std::uint32_t branch = 0; // of the metadata, on the control circuit
  std::uint8_t opcode = 0;
  ReceivedFrame* next = nullptr;
};

struct ClusterCircuit final : TrunkCircuit {
  ClusterCircuit(CircuitId number, bool is_ours, const Route& at) noexcept : TrunkCircuit(number, is_ours), route(at) {}
  const Route& key() const noexcept { return route; }

  const Route route;
  ReceivedFrame* first = nullptr; // the inbox, oldest first
  ReceivedFrame* last = nullptr;
  std::size_t unread = 0; // cost of the inbox: payloads and frame_cost_bytes each
  std::size_t unread_before = 0;   // cost of the inbox when the last `feed` that added to it began
  std::uint64_t received_last = 0; // its number
  CircuitHook of_trunk; // every circuit of the trunk
  CircuitHook of_peer;  // those of one of our peers
  CircuitHook waiting;  // a send was told no_credit
};

} // namespace trunkline::quarkchain
