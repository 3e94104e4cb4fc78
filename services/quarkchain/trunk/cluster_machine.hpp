// The cluster framing of pyquarkchain as a dialect of the trunk. Each (branch, cluster_peer_id) of a connection is a
// circuit, an opcode a fragment's `op`, an rpc id its `part`. Bytes and a time point in; bytes, events and a deadline
// out.
//
// What the protocol does not have stays on this side: there is no hello, no credit, no word for the opening, finishing
// or closing of a circuit, and no goodbye. `open`, `finish` and `close` of a virtual peer are therefore local, `finish`
// is never acknowledged, nothing is said about peers, and the end of the control circuit is the end of the connection.
//
// Nobody is held back but by not reading the connection: that is done while the control circuit holds more than
// control_inbox_bytes_max unread, and for at most stall_deadline. A virtual peer never causes it: one that overflows
// peer_inbox_bytes_max is closed alone.
#pragma once

#include "circuit/machine.hpp"
#include "services/quarkchain/trunk/cluster_circuit.hpp"
#include "services/quarkchain/trunk/cluster_limits.hpp"
#include "services/quarkchain/protocol/frame.hpp"
#include "services/quarkchain/protocol/route.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

/// The full shard ids of a whole cluster, sorted.
using Branches = std::vector<std::uint32_t>;

struct ClusterMachineOptions {
  Framing framing = Framing::cluster;
  ClusterLimits limits;
  /// A frame of a virtual peer for any other branch breaks the connection. Null: nothing is checked.
  std::shared_ptr<const Branches> branches;
  bool identified = true; // otherwise unidentified_command_bytes_max holds until `identify`
  std::string far_end; // who it is with, for the texts of errors
  std::function<void(const std::string& why)> on_first_pause; // of reading, for control_inbox_bytes_max; null: nobody
  std::shared_ptr<const PeerName> local; // who the circuits of both sides belong to, as their handles show it
  std::shared_ptr<const PeerName> remote;

  ClusterMachineOptions() = default;
};

struct ClusterTrunkCounters {
  std::uint64_t frames_for_unknown_peers = 0; // dropped; also in TrunkCounters, as frames for forgotten circuits
  std::uint64_t frames_too_large = 0; // command_bytes_max, or the one for the unidentified; each broke the connection
  std::uint64_t frames_for_unknown_branches = 0; // each broke the connection
  std::uint64_t peers_overflowed = 0; // closed for peer_inbox_bytes_max or peers_inbox_bytes_max
  std::uint64_t pauses = 0; // times that the connection was not read, for control_inbox_bytes_max
};

class ClusterMachine final : public Machine {
 public:
  explicit ClusterMachine(ClusterMachineOptions options);
  ~ClusterMachine() override;

  /// The circuit that is there from the beginning. Its end is the end of the connection, dropping its handle too.
  TrunkCircuit& control() noexcept;
  Framing framing() const noexcept { return options_.framing; }
  /// Who the circuit belongs to on the wire.
  static Route route_of(const TrunkCircuit& circuit) noexcept;

  /// From now on a frame of this peer for a branch that nobody opened opens it (an `opened` event, then the frame)
  /// instead of being dropped. For the cluster framing; on a p2p connection every branch opens like this.
  void allow_peer(std::uint64_t cluster_peer_id) { allowed_peers_.insert(cluster_peer_id); }
  /// The far side has said who it is: its frames may have command_bytes_max.
  void identify() noexcept { options_.identified = true; }
  /// Frames of this peer for branches that are not open are dropped again; open circuits stay.
  void forget_peer(std::uint64_t cluster_peer_id) { allowed_peers_.erase(cluster_peer_id); }

  const ClusterTrunkCounters& cluster_counters() const noexcept { return cluster_counters_; }

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
  /// the branch of the metadata in decimal, where it is not 0; so it is on what arrives. Throws std::invalid_argument
  /// for what cannot cross: another subject, args, err, a larger op.
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

  bool has_events() const noexcept override { return !events_.empty(); }
  void collect_events(std::vector<TrunkEvent>& into) override;
  void collect_output(Output& into, std::size_t bytes_max, Instant now) override;
  void write_progressed(Instant now) override { writing_since_ = now; }
  void written(Instant now) override;
  bool has_output() const override { return output_bytes_ > 0 && state_ != State::over; }
  std::size_t output_bytes() const override { return output_bytes_; }
  Instant deadline() const override;
  bool over() const override { return state_ == State::over; }
  bool wants_input() const override { return paused_since_ == Instant::max(); }

  const RemoteNode* remote() const override { return nullptr; } // nobody says hello
  bool draining() const override { return draining_; }
  std::size_t circuits_count() const override { return circuits_.size(); }
  void circuits_of(const PeerId& local, std::vector<TrunkCircuit*>& into) override;
  std::size_t fragment_bytes_max() const override { return options_.limits.command_bytes_max; }
  std::size_t credit_bytes(const TrunkCircuit& circuit) const override;
  std::size_t memory_bytes() const override;
  const TrunkCounters& counters() const override { return counters_; }

 private:
  using Circuit = ClusterCircuit;
  template <Circuit::Hook Circuit::* hook> using CircuitList =
      boost::intrusive::list<Circuit, boost::intrusive::member_hook<Circuit, Circuit::Hook, hook>,
                             boost::intrusive::constant_time_size<false>>;
  enum class State : std::uint8_t { running, ending, over };

  // cluster_trunk.cpp: the life of the connection and of its circuits.
  Circuit& add(const Route& route, bool opened_here, const OpenRequest* request);
  Circuit& add_stillborn(const OpenRequest& request, End reason);
  void end_circuit(Circuit& circuit, End reason);
  void end_all(const End& reason);
  void end_trunk(End reason);
  void violate(error reason, std::string text);
  void bury(Circuit& circuit);
  void drop_inbox(Circuit& circuit);
  TrunkEvent& emit(TrunkEvent::Kind kind, Circuit* circuit = nullptr);
  std::string from() const;

  // cluster_receive.cpp: frames in.
  std::size_t read_header(std::span<const std::byte> bytes);
  void start_frame();
  std::size_t read_payload(std::span<const std::byte> bytes);
  void grow_payload(std::size_t bytes);
  void end_frame(Payload payload);
  Circuit* find_for(const FrameHeader& header);
  void admit(Circuit& circuit);
  void overflow(Circuit& circuit, std::string_view limit, std::size_t max);
  void drop_frame();
  void update_pause();
  ReceivedFrame* make_frame();
  void free_frame(ReceivedFrame* frame);

  // cluster_send.cpp: frames out.
  std::size_t send_bytes_max(const TrunkCircuit& circuit) const noexcept;
  void put_frame(const FrameHeader& header, Payload& payload);
  Output& output_end();
  static void append(Output& into, Output& portion);
  void wake_senders();

  ClusterMachineOptions options_;
  State state_ = State::running;
  bool draining_ = false;
  Instant now_{};
  std::vector<TrunkEvent> events_;
  TrunkCounters counters_;
  ClusterTrunkCounters cluster_counters_;

  CircuitList<&Circuit::of_trunk>
      all_; // owned here: those in circuits_, and the ended ones whose handle is still there
  CircuitList<&Circuit::waiting> waiting_; // for room in the output, the longest first
  Circuit* control_ = nullptr; // null again when it is buried
  boost::unordered_flat_map<Route, Circuit*> circuits_; // iterated only in sorted order
  boost::unordered_flat_set<std::uint64_t> allowed_peers_;
  Circuit* found_last_ = nullptr;
  CircuitId id_last_ = 0;
  // Freed two collect_events later: events that were taken before may still name them.
  std::vector<std::unique_ptr<Circuit>> buried_;
  std::vector<std::unique_ptr<Circuit>> buried_before_;

  // Reading. The frame that has begun: its header, then its payload as far as it has arrived.
  std::array<std::byte, frame_header_bytes_max> carry_;
  std::size_t carried_ = 0; // bytes of a header that has not arrived whole
  FrameHeader frame_;
  bool in_payload_ = false;
  Circuit* frame_circuit_ = nullptr; // null: dropped
  Payload payload_; // allocated for it
  std::size_t arrived_ = 0; // bytes of the payload
  std::uint64_t receives_ = 0; // calls of `receive`
  std::size_t peers_unread_ = 0; // cost of what lies in the inboxes of all virtual peers
  ReceivedFrame* spare_ = nullptr;
  std::size_t spare_count_ = 0;
  Instant paused_since_ = Instant::max();
  bool taken_since_pause_ = false;

  // Sending: one queue for all, in portions that are written one after another.
  std::deque<Output> pending_;
  std::vector<Output> spare_outputs_;
  std::size_t output_bytes_ = 0;
  bool writing_ = false;
  Instant writing_since_{};
  Instant drain_deadline_ = Instant::max();
  Instant ending_since_ = Instant::max();
};

} // namespace trunkline::quarkchain
