// The cluster framing of pyquarkchain as a dialect of the trunk. Each (branch, cluster_peer_id) of a connection is a
// circuit, an opcode a fragment's `op`, an rpc id its `part`. Bytes and a time point in; bytes, events and a deadline
// out.
//
// What the protocol does not have stays on this side: there is no hello, no credit, no word for the opening, finishing
// or closing of a circuit, and no goodbye. `open`, `finish` and `close` of a virtual peer are therefore local, `finish`
// is never acknowledged, nothing is said about peers, and the end of the control circuit is the end of the connection.
//
// Each part keeps its own members (the headers beside this one); the far side is held back by not being read (Inboxes).
#pragma once

#include "circuit/invariant.hpp"
#include "circuit/machine.hpp"
#include "services/quarkchain/trunk/cluster_circuits.hpp"
#include "services/quarkchain/trunk/cluster_farewell.hpp"
#include "services/quarkchain/trunk/cluster_reader.hpp"
#include "services/quarkchain/trunk/cluster_whole.hpp"
#include "services/quarkchain/trunk/cluster_writer.hpp"
#include "services/quarkchain/trunk/inboxes.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

class ClusterMachine final : public Machine, private ClusterWhole {
 public:
  explicit ClusterMachine(ClusterMachineOptions options);

  /// The circuit that is there from the beginning. Its end is the end of the connection, dropping its handle too.
  TrunkCircuit& control() noexcept { return *circuits_.control(); }
  Framing framing() const noexcept { return options.framing; }
  /// Who the circuit belongs to on the wire.
  static Route route_of(const TrunkCircuit& circuit) noexcept;

  /// From now on a frame of this peer for a branch that is not open opens it (an `opened` event, then the frame)
  /// instead of being dropped. For the cluster framing; on a p2p connection every branch opens like this.
  void allow_peer(std::uint64_t cluster_peer_id) { circuits_.allow_peer(cluster_peer_id); }
  /// The far side has said who it is: its frames may have command_bytes_max.
  void identify() noexcept { options.identified = true; }
  /// Frames of this peer for branches that are not open are dropped again; open circuits stay.
  void forget_peer(std::uint64_t cluster_peer_id) { circuits_.forget_peer(cluster_peer_id); }

  const ClusterTrunkCounters& cluster_counters() const noexcept { return ClusterWhole::cluster_counters; }

  void feed(std::span<const std::byte> bytes, Instant now) override;
  /// A clean cause between two frames is a clean end; inside a frame it is an unexpected one.
  void disconnected(End cause) override;
  void tick(Instant now) override;

  /// The name says the route (see `to_text`). One that is open already, that this framing does not have, or beyond
  /// circuits_max ends at once.
  TrunkCircuit* open(OpenRequest request, std::optional<Fragment> first, Instant now) override;
  void accept(TrunkCircuit& circuit, std::shared_ptr<const PeerName> local) override;
  void refuse(TrunkCircuit& circuit, error reason, std::string text, std::string existing) override;
  void left_backlog(TrunkCircuit& circuit) override;
  /// The payload crosses with `op` (0 to 255) and `part`. On the control circuit of the cluster framing a subject is
  /// the branch of the metadata in decimal, where it is not 0; so it is on what arrives. Returns `closed` for what
  /// cannot cross (see why_not): another subject, args, err, a larger op. Throws std::invalid_argument for the subject
  /// of a virtual peer's fragment.
  SendOutcome send(TrunkCircuit& circuit, Fragment& fragment) override;
  std::string why_not(const Fragment& fragment) const override;
  std::optional<Fragment> take(TrunkCircuit& circuit) override;
  std::optional<Fragment> take_error(TrunkCircuit& circuit) override;
  void finish(TrunkCircuit& circuit) override;
  void close(TrunkCircuit& circuit, End reason) override;
  void reset(TrunkCircuit& circuit, End reason) override;
  void release(TrunkCircuit& circuit) override;
  void set_metadata(const PeerName& local, const Metadata& metadata) override;
  const Metadata* remote_metadata(const PeerId& peer) const override;
  void end_peer(const PeerName& local, const End& reason) override;
  /// No new circuits; over when all have ended, the control circuit among them.
  void drain(Instant deadline, bool serve_late = false) override;
  void close(End reason) override;

  bool has_events() const noexcept override { return !events.empty(); }
  void collect_events(std::vector<TrunkEvent>& into) override;
  void collect_output(Output& into, std::size_t bytes_max, Instant now) override;
  void write_progressed(Instant at) override { writer_.write_progressed(at); }
  void written(Instant now) override;
  bool has_output() const override { return writer_.bytes() > 0 && !farewell_.over(); }
  std::size_t output_bytes() const override { return writer_.bytes(); }
  Instant deadline() const override;
  bool over() const override { return farewell_.over(); }
  bool wants_input() const override { return !inboxes_.paused(); }

  const RemoteNode* remote() const override { return nullptr; } // there is no hello
  bool draining() const override { return farewell_.draining(); }
  std::size_t circuits_count() const override { return circuits_.size(); }
  void circuits_of(const PeerId& local, std::vector<TrunkCircuit*>& into) override { circuits_.of_peer(local, into); }
  std::size_t fragment_bytes_max() const override { return options.limits.command_bytes_max; }
  std::size_t credit_bytes(const TrunkCircuit& circuit) const override;
  std::size_t memory_bytes() const override { return inboxes_.memory_bytes() + reader_.memory_bytes(); }
  const TrunkCounters& counters() const override { return ClusterWhole::counters; }

  /// Every part's inequality holds. Called after every input, in builds with assertions.
  void check();

 private:
  using Input = CheckedInput<ClusterMachine>;

  bool crosses(const Fragment& fragment, bool on_control) const;
  std::string words_of(const Fragment& fragment, bool on_control) const;
  void violate(error reason, std::string text) override;
  void end_circuit(ClusterCircuit& circuit, End reason) override;
  void end_all(const End& reason);
  void end_trunk(End reason);
  void note_time(Instant at) noexcept { now = std::max(now, at); }

  ClusterFarewell farewell_;
  ClusterCircuits circuits_;
  Inboxes inboxes_;
  ClusterReader reader_;
  ClusterWriter writer_;
  Checks checks_;
};

} // namespace trunkline::quarkchain
