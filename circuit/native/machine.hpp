// The native dialect of a trunk: docs/wire.md as a machine. Each part of it keeps its own members (the headers beside
// this one); here is what a call of the application and a frame of the far side mean for all of them.
#pragma once

#include "circuit/invariant.hpp"
#include "circuit/machine.hpp"
#include "circuit/native/circuits.hpp"
#include "circuit/native/deadlines.hpp"
#include "circuit/native/far_patience.hpp"
#include "circuit/native/far_peers.hpp"
#include "circuit/native/farewell.hpp"
#include "circuit/native/flood_guard.hpp"
#include "circuit/native/frame.hpp"
#include "circuit/native/held_opens.hpp"
#include "circuit/native/keepalive.hpp"
#include "circuit/native/local_peers.hpp"
#include "circuit/native/node_pool.hpp"
#include "circuit/native/reader.hpp"
#include "circuit/native/scheduler.hpp"
#include "circuit/native/whole.hpp"
#include "circuit/native/window.hpp"
#include "circuit/native/writer.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace google::protobuf {
class MessageLite;
}
namespace trunkline::wire {
class Hello;
class Open;
}

namespace trunkline {

struct NativeMachineOptions {
  Limits limits;
  bool dialled = false; // decides the parity of our circuit numbers, nothing else
  NodeId node_id;
  std::string node_name;
  std::vector<std::string> addresses; // where this node listens
  std::string far_end;                // the far end's name for error texts; may be set later
  bool proof_to_come = false; // the connection will say who is at the far end, and our Hello waits for that

  NativeMachineOptions() = default;
};

class NativeMachine final : public Machine, private Whole {
 public:
  explicit NativeMachine(NativeMachineOptions options) : NativeMachine(std::move(options), Instant()) {}
  NativeMachine(NativeMachineOptions options, Instant now);
  ~NativeMachine() override;

  void feed(std::span<const std::byte> bytes, Instant now) override;
  std::span<std::byte> read_space() override { return reader_.read_space(); }
  void prove(const ChannelProof& proof) override;
  void disconnected(End cause) override;
  void tick(Instant now) override;

  bool may_open() override;
  TrunkCircuit* open(OpenRequest request, std::optional<Fragment> first, Instant now) override;
  void accept(TrunkCircuit& circuit, std::shared_ptr<const PeerName> local) override;
  void refuse(TrunkCircuit& circuit, error reason, std::string text, std::string existing) override;
  void left_backlog(TrunkCircuit& circuit) override;
  SendOutcome send(TrunkCircuit& circuit, Fragment& fragment) override;
  std::string why_not(const Fragment& fragment) const override;
  std::optional<Fragment> take(TrunkCircuit& circuit) override;
  std::optional<Fragment> take_error(TrunkCircuit& circuit) override;
  void finish(TrunkCircuit& circuit) override;
  void close(TrunkCircuit& circuit, End reason) override;
  void reset(TrunkCircuit& circuit, End reason) override;
  void release(TrunkCircuit& circuit) override;
  void set_metadata(const PeerName& local, const Metadata& metadata) override;
  const Metadata* remote_metadata(const PeerId& peer) const override { return far_peers_.metadata(peer); }
  void end_peer(const PeerName& local, const End& reason) override;
  void drain(Instant deadline, bool serve_late = false) override;
  void close(End reason) override;

  bool has_events() const noexcept override { return !events.empty() || deadline_is_nearer; }
  void collect_events(std::vector<TrunkEvent>& into) override;
  void collect_output(Output& into, std::size_t bytes_max, Instant now) override;
  void set_write_bytes(std::size_t bytes) override { writer_.set_direct_bytes_max(bytes); }
  void write_progressed(Instant at) override { keepalive_.write_progressed(at); }
  void written(Instant now) override;
  bool has_output() const override;
  std::size_t output_bytes() const override { return writer_.bytes() + scheduler_.sendable_bytes(); }
  bool has_queued(const TrunkCircuit& circuit) const override {
    return static_cast<const NativeCircuit&>(circuit).sending.queued > 0;
  }
  Instant deadline() const override;
  bool over() const override { return farewell_.over(); }
  bool wants_input() const override { return !flood_guard_.paused(); }

  const RemoteNode* remote() const override { return far_peers_.node(); }
  bool draining() const override { return farewell_.draining(); }
  std::size_t circuits_count() const override { return circuits_.size(); }
  void circuits_of(const PeerId& local, std::vector<TrunkCircuit*>& into) override { circuits_.of_peer(local, into); }
  std::size_t fragment_bytes_max() const override {
    return std::min(limits.fragment_bytes_max, far_peers_.takes().fragment_bytes_max);
  }
  Instant circuits_deadline() const override { return deadlines_.next(); }
  bool far_knows_calls() const override { return far_peers_.knows_calls(); }
  std::size_t credit_bytes(const TrunkCircuit& circuit) const override;
  std::size_t memory_bytes() const override { return window_.memory_bytes() + reader_.memory_bytes(); }
  const TrunkCounters& counters() const override { return Whole::counters; }

  /// Every part's inequality holds. Called after every input, in builds with assertions.
  void check();

 private:
  using Input = CheckedInput<NativeMachine>;

  // What the parts ask of the whole.
  void violate(error reason, std::string text) override;
  void refuse_connection(End cause) override;
  void reset_circuit(NativeCircuit& circuit, End reason) override;
  void reset_provoked(NativeCircuit& circuit, End reason) override;
  void end_circuit(NativeCircuit& circuit, End reason) override;
  void on_control(wire::FrameType type, std::span<const std::byte> body) override;

  void say_hello();
  std::string why_not_proven(const wire::Hello& hello, const NodeId& id) const;
  void on_hello(std::span<const std::byte> body);
  void on_open(std::span<const std::byte> body);
  void on_accept(std::span<const std::byte> body);
  void on_refuse(std::span<const std::byte> body);
  void on_credit(std::span<const std::byte> body);
  void on_finish(std::span<const std::byte> body);
  void on_finish_acknowledged(std::span<const std::byte> body);
  void on_close(std::span<const std::byte> body);
  void on_close_received(std::span<const std::byte> body);
  void on_reset(std::span<const std::byte> body);
  void on_peer_metadata(std::span<const std::byte> body);
  void on_peer_ended(std::span<const std::byte> body);
  void on_ping(std::span<const std::byte> body);
  void on_pong(std::span<const std::byte> body);
  void on_drain(std::span<const std::byte> body);
  void on_goodbye(std::span<const std::byte> body);
  bool parse(google::protobuf::MessageLite& message, std::span<const std::byte> body);
  /// Of one that mostly says no more than its circuit.
  template <class Message> bool parse_short(Message& message, std::span<const std::byte> body);
  std::optional<CircuitId> parse_open(std::span<const std::byte> body);
  /// The reason that a frame gives; `otherwise` where it gives none.
  template <class Message> End reason_in(const Message& message, error otherwise) const;
  std::optional<End> why_not_open(const OpenRequest& request, const Fragment* first, std::size_t metadata) const;
  std::optional<End> why_not_opened(const wire::Open& message, std::size_t strings) const;

  bool crosses(const Fragment& fragment, std::size_t metadata) const;
  void note_time(Instant at) noexcept { now = std::max(now, at); }
  NativeCircuit& add_stillborn(OpenRequest& request, End reason);
  bool has_room_to_open() const;
  End why_no_room_to_open() const;
  void note_room_to_open();
  void note_cancelled(NativeCircuit& circuit);
  void note_unheard(NativeCircuit& circuit);
  void hand_out(NativeCircuit& circuit);
  void hand_out_held();
  void acknowledge_finish(NativeCircuit& circuit);
  void end_when_done(NativeCircuit& circuit);
  void end_all(const End& reason);
  void goodbye_when_drained();
  void end_drain();
  void emit_closed(End reason);
  bool unwritten() const noexcept { return writer_.bytes() > 0 || keepalive_.writing(); }
  std::string from() const;

  struct Heard; // protobuf objects, reused: a fresh one per frame would cost more than the frame

  NativeMachineOptions options_;
  ChannelProof proof_; // empty: the connection proves nothing, or has not yet
  std::unique_ptr<Heard> heard_;
  NodePool nodes_;
  Writer writer_;
  Farewell farewell_;
  FarPeers far_peers_;
  FarPatience far_patience_;
  LocalPeers local_peers_;
  FloodGuard flood_guard_;
  HeldOpens held_opens_;
  Keepalive keepalive_;
  Circuits circuits_;
  Window window_;
  Scheduler scheduler_;
  Deadlines deadlines_;
  Reader reader_;
  bool wants_to_open_ = false; // may_open has said no
  Checks checks_;
};

} // namespace trunkline
