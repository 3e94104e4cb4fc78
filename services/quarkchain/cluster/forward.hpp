// Forwarding at the master: what a peer says to a shard goes to the slave that runs it, and back. Payloads are moved,
// not read; opcodes and rpc ids pass as they are, only the route differs. (When a slave has come back, the ids of its
// requests are moved behind those that its peers have seen.)
#pragma once

#include "circuit/circuit.hpp"
#include "services/quarkchain/cluster/cluster_connection.hpp"
#include "services/quarkchain/protocol/route.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

struct ForwardCounters {
  std::uint64_t frames_to_slaves = 0;
  std::uint64_t frames_to_peers = 0;
  std::uint64_t pairs_ended = 0;    // a virtual peer that ended by itself: an overflow, mostly
  std::uint64_t foreign = 0;        // circuits of slaves for a branch that is not theirs; dropped
  std::uint64_t unroutable = 0;     // circuits of peers for a branch that no slave runs
};

/// The forwarding of one master. One executor; not thread safe.
class Forwarding {
 public:
  explicit Forwarding(Executor executor, LogSink log = {});
  ~Forwarding();
  Forwarding(const Forwarding&) = delete;
  Forwarding& operator=(const Forwarding&) = delete;

  /// A slave and the shards it runs; the first that was added for a shard gets its frames. Of a connection over the
  /// cluster framing, `slave` is its control circuit. Virtual peers of these shards that had ended may begin anew.
  void add_slave(std::shared_ptr<RpcCircuit> slave, std::vector<std::uint32_t> full_shard_ids);
  void erase_slave(const RpcCircuit& slave);

  /// A peer whose frames may pass from now on; after all slaves have answered CREATE. `root` is the control circuit of
  /// its p2p connection.
  void add_peer(std::uint64_t cluster_peer_id, std::shared_ptr<RpcCircuit> root);
  /// Closes its circuits on both sides; before DESTROY.
  void erase_peer(std::uint64_t cluster_peer_id);

  /// Circuits that frames have opened: of a peer's connection, and of a slave's. What cannot go on is closed.
  void peer_opened(std::uint64_t cluster_peer_id, std::uint32_t branch, Circuit circuit);
  void slave_opened(const RpcCircuit& slave, const Route& route, Circuit circuit);

  /// Hears that a peer broke a rule of forwarding (an unknown branch: pyquarkchain closes it). Nothing of it goes on.
  std::function<void(std::uint64_t cluster_peer_id, const End& reason)> on_peer_failed;

  std::size_t pairs() const noexcept;
  const ForwardCounters& counters() const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::quarkchain
