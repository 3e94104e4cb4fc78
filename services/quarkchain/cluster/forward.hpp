// Forwarding at the master: frames of a peer to a shard go to the slave that runs the shard, and back. Payloads are
// moved, not read; opcodes and rpc ids pass unchanged, only the route differs. (When a slave has come back, the ids of
// its requests are shifted behind those that its peers have seen.)
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

  /// Adds a slave and the shards that it runs; the first slave that was added for a shard gets its frames. `slave` is
  /// the control circuit of its connection. Virtual peers of these shards that had ended may begin anew.
  void add_slave(std::shared_ptr<RpcCircuit> slave, std::vector<std::uint32_t> full_shard_ids);
  void erase_slave(const RpcCircuit& slave);

  /// Lets the frames of a peer pass from now on. Call it when all slaves have answered CREATE. `root` is the control
  /// circuit of its p2p connection.
  void add_peer(std::uint64_t cluster_peer_id, std::shared_ptr<RpcCircuit> root);
  /// Closes the circuits of a peer on both sides. Call it before DESTROY.
  void erase_peer(std::uint64_t cluster_peer_id);

  /// Take circuits that frames have opened on a peer's and on a slave's connection. A circuit that leads nowhere is
  /// closed.
  void peer_opened(std::uint64_t cluster_peer_id, std::uint32_t branch, Circuit circuit);
  void slave_opened(const RpcCircuit& slave, const Route& route, Circuit circuit);

  /// Called when a peer broke a rule of forwarding (an unknown branch, for example, for which pyquarkchain closes the
  /// connection), or does not read what a slave has for it. Its frames are not forwarded any more: its connection is to
  /// be closed.
  void set_on_peer_failed(std::function<void(std::uint64_t cluster_peer_id, const End& reason)> callback);

  std::size_t pairs() const noexcept;
  const ForwardCounters& counters() const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::quarkchain
