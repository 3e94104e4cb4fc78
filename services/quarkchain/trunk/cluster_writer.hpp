// Frames out: one queue for the whole connection, in the order of the sends, and the circuits that wait for room in it.
// Small payloads are copied once, large ones are written from where they lie.
#pragma once

#include "circuit/circuit_table.hpp"
#include "circuit/output.hpp"
#include "services/quarkchain/protocol/frame.hpp"
#include "services/quarkchain/trunk/cluster_circuit.hpp"
#include "services/quarkchain/trunk/cluster_whole.hpp"

#include <cstddef>
#include <deque>
#include <vector>

namespace trunkline::quarkchain {

class ClusterWriter {
 public:
  explicit ClusterWriter(ClusterWhole& whole) : whole_(whole) {}

  std::size_t bytes() const noexcept { return bytes_; }
  /// Bytes in the queue from which on the circuit's sends wait.
  std::size_t bytes_max(const ClusterCircuit& circuit) const noexcept {
    const ClusterLimits& limits = whole_.options.limits;
    return circuit.route.is_control() ? limits.output_bytes_max : limits.peer_output_bytes_max;
  }
  /// Whether the circuit may send now. Where it may not, it waits in line.
  bool may_send(ClusterCircuit& circuit) {
    return (bytes_ <= bytes_max(circuit) / 2 && !circuit.waiting.is_linked()) || may_send_much(circuit);
  }
  void put_frame(const FrameHeader& header, Payload& payload);

  /// Moves about `bytes_max` into `into`, which has to be empty.
  void collect(Output& into, std::size_t bytes_max);
  void written();
  void write_progressed(Instant at) noexcept { writing_since_ = at; }
  /// The connection is gone.
  void clear();

  Instant deadline() const noexcept;
  /// Clean, or why the connection has to end.
  End tick() const;

  /// bytes == the sum of the portions'. Looks at each piece when `full`.
  void check(bool full) const;

 private:
  bool may_send_much(ClusterCircuit& circuit);
  Output& end();
  void wake_senders();

  ClusterWhole& whole_;
  std::deque<Output> portions_; // written one after another
  std::vector<Output> spares_;
  std::size_t bytes_ = 0;
  CircuitList<ClusterCircuit, &ClusterCircuit::waiting> waiting_; // for room, the longest first
  bool writing_ = false;
  Instant writing_since_{};
};

} // namespace trunkline::quarkchain
