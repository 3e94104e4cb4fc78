// The native dialect of a trunk: docs/wire.md as a machine.
#pragma once

#include "circuit/native/circuit.hpp"
#include "circuit/machine.hpp"
#include "circuit/native/frame.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace google::protobuf {
class MessageLite;
}

namespace trunkline {

struct NativeMachineOptions {
  Limits limits;
  bool dialled = false; // decides the parity of our circuit numbers, nothing else
  NodeId node_id;
  std::string node_name;
  std::vector<std::string> addresses; // where this node listens
  std::string far_end;                // who it is with, for the texts of errors; may be set later

  NativeMachineOptions() = default;
};

/// At most `max` events in each period; counts from the first event of a period.
class RateLimit {
 public:
  /// Counts one; false when it is one too many.
  bool count(Instant now, std::uint32_t max, std::chrono::nanoseconds period);
  std::uint32_t counted() const noexcept { return count_; }

 private:
  Instant since_{};
  std::uint32_t count_ = 0;
};

class NativeMachine final : public Machine {
 public:
  explicit NativeMachine(NativeMachineOptions options);
  NativeMachine(NativeMachineOptions options, Instant now) : NativeMachine(std::move(options)) { now_ = now; }
  ~NativeMachine() override;

  /// Names the far end in the texts of errors from now on.
  void set_far_end(std::string name) { options_.far_end = std::move(name); }

  void feed(std::span<const std::byte> bytes, Instant now) override;
  std::span<std::byte> read_space() override;
  void disconnected(End cause) override;
  void tick(Instant now) override;

  TrunkCircuit* open(OpenRequest request, std::optional<Fragment> first, Instant now) override;
  void accept(TrunkCircuit& circuit, std::shared_ptr<const PeerName> local) override;
  void refuse(TrunkCircuit& circuit, error reason, std::string text, std::string existing) override;
  void left_backlog(TrunkCircuit& circuit) override;
  SendOutcome send(TrunkCircuit& circuit, Fragment& fragment) override;
  std::optional<Fragment> take(TrunkCircuit& circuit) override;
  std::optional<Fragment> take_error(TrunkCircuit& circuit) override;
  void finish(TrunkCircuit& circuit) override;
  void close(TrunkCircuit& circuit, End reason) override;
  void reset(TrunkCircuit& circuit, End reason) override;
  void release(TrunkCircuit& circuit) override;
  void set_metadata(const PeerName& local, const Metadata& metadata) override;
  const Metadata* remote_metadata(const PeerId& peer) const override;
  void end_peer(const PeerName& local, const End& reason) override;
  void drain(Instant deadline, bool serve_late = false) override;
  void close(End reason) override;

  bool has_events() const noexcept override { return !events_.empty(); }
  void collect_events(std::vector<TrunkEvent>& into) override;
  void collect_output(Output& into, std::size_t bytes_max, Instant now) override;
  void set_write_bytes(std::size_t bytes) override { direct_bytes_max_ = bytes; }
  void write_progressed(Instant now) override { writing_since_ = now; }
  void written(Instant now) override;
  bool has_output() const override;
  std::size_t output_bytes() const override {
    return pending_.bytes + static_cast<std::size_t>(trunk_send_credit_ > 0 ? sendable_cost_ : 0);
  }
  bool has_queued(const TrunkCircuit& circuit) const override {
    return static_cast<const NativeCircuit&>(circuit).outgoing_cost > 0;
  }
  Instant deadline() const override;
  bool over() const override;

  const RemoteNode* remote() const override { return remote_ ? &*remote_ : nullptr; }
  bool draining() const override { return draining_here_ || draining_there_; }
  std::size_t circuits_count() const override { return circuits_.size(); }
  void circuits_of(const PeerId& local, std::vector<TrunkCircuit*>& into) override;
  std::size_t fragment_bytes_max() const override { return std::min(fragment_bytes_max_, fragment_bytes_max_theirs_); }
  std::size_t credit_bytes(const TrunkCircuit& circuit) const override;
  std::size_t memory_bytes() const override;
  const TrunkCounters& counters() const override { return counters_; }

 private:
  template <NativeCircuit::Hook NativeCircuit::* hook> using CircuitList =
      boost::intrusive::list<NativeCircuit, boost::intrusive::member_hook<NativeCircuit, NativeCircuit::Hook, hook>,
                             boost::intrusive::constant_time_size<false>>;

  // native_machine.cpp: the life of the trunk and of its circuits.
  enum class State : std::uint8_t { running, goodbye_said, over };
  NativeCircuit* find(CircuitId id);
  bool was_opened(CircuitId id) const noexcept;
  NativeCircuit& add(CircuitId id, bool opened_here, std::shared_ptr<const CircuitNames> names);
  TrunkEvent& emit(TrunkEvent::Kind kind, NativeCircuit* circuit = nullptr) {
    return events_.emplace_back(TrunkEvent{kind, circuit, {}, {}, {}});
  }
  void end_circuit(NativeCircuit& circuit, End reason);
  NativeCircuit& add_stillborn(OpenRequest& request, End reason);
  static std::shared_ptr<const CircuitNames> name(std::shared_ptr<const PeerName> local,
                                                  std::shared_ptr<const PeerName> remote, CircuitId id,
                                                  std::string name, std::string user_string);
  std::shared_ptr<const PeerName> remote_peer(const PeerId& id, const std::string& service);
  void send_drain();
  void send_refuse(CircuitId id, error reason, const std::string& text, const std::string& existing);
  static error wire_reason(const End& reason) noexcept;
  void acknowledge_finish(NativeCircuit& circuit);
  void end_when_done(NativeCircuit& circuit);
  void end_all(const End& reason);
  void bury(NativeCircuit& circuit);
  void leave_backlog(NativeCircuit& circuit);
  void violate(error reason, std::string text);
  void say_goodbye(error reason, const std::string& text);
  void goodbye_when_drained();
  void emit_closed(End reason);
  std::string from() const;

  // native_receive.cpp: frames in.
  std::size_t read_frame(std::span<const std::byte> bytes);
  void check_preface(std::span<const std::byte>& bytes);
  void start_data(const wire::DataHead& head);
  void start_fragment(NativeCircuit& circuit, const wire::DataHead& head, std::size_t cost);
  void start_continuation(NativeCircuit& circuit, const wire::DataHead& head);
  void discard_chunk(std::size_t payload_bytes, std::size_t cost);
  void hold_chunk(Assembly& assembly, std::size_t size);
  void read_chunk(std::span<const std::byte>& bytes);
  void end_chunk();
  void forget_chunk(NativeCircuit& circuit);
  void deliver(NativeCircuit& circuit, FragmentNode* node);
  void on_control(wire::FrameType type, std::span<const std::byte> body);
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
  void on_goodbye(std::span<const std::byte> body);
  bool parse(google::protobuf::MessageLite& message, std::span<const std::byte> body);
  /// Of one that mostly says no more than its circuit.
  template <class Message> bool parse_short(Message& message, std::span<const std::byte> body);
  std::optional<CircuitId> parse_open(std::span<const std::byte> body);
  bool count_control_frame();
  enum class Known : std::uint8_t { live, forgotten, broken };
  Known find_for(wire::FrameType type, CircuitId id, NativeCircuit*& circuit);

  // native_credit.cpp: what may be sent to us, and the memory behind it.
  bool charge(NativeCircuit* circuit, std::size_t cost);
  std::optional<Fragment> take(NativeCircuit& circuit, FragmentQueue& queue);
  void settle_node(NativeCircuit& circuit, const FragmentNode& node, NativeCircuit* granting);
  void consumed(NativeCircuit* circuit, std::size_t cost, std::size_t extra = 0, std::size_t trunk_extra = 0);
  void grant_circuit(NativeCircuit& circuit, std::int64_t extra);
  void grant_trunk();
  void drop_unread(NativeCircuit& circuit);
  void drop_assembly(NativeCircuit& circuit);
  bool reserve(NativeCircuit& circuit);
  void serve_reservations();
  std::size_t pool_free() const noexcept;
  void check_stalled_readers();
  void free_spare_nodes();
  FragmentNode* make_node();
  void free_node(FragmentNode* node);

  // native_send.cpp: what we send.
  void put_control(wire::FrameType type, const google::protobuf::MessageLite& message);
  /// `rest` are the fields behind the circuit.
  void put_control(wire::FrameType type, CircuitId circuit, std::string_view rest = {});
  void count_control(wire::FrameType type, std::size_t bytes);
  void put_in_band(wire::FrameType type, const google::protobuf::MessageLite& message, bool is_answer = false);
  void put_in_band(wire::FrameType type, CircuitId circuit, bool is_answer);
  const std::string& open_rest(const OpenRequest& request, bool wants_answer);
  void commit_small(std::size_t bytes);
  void fill(std::size_t bytes_max);
  void take_turn(NativeCircuit& circuit, std::size_t bytes_max);
  void put_data(NativeCircuit& circuit, Fragment& fragment, std::size_t offset, std::size_t size, std::size_t metadata);
  void append_frame(ByteBuffer& into, wire::FrameType type, const google::protobuf::MessageLite& message);
  void enqueue(NativeCircuit& circuit, Fragment& fragment, std::size_t cost);
  bool covered(const NativeCircuit& circuit) const;
  void block(NativeCircuit& circuit);
  void unblock();
  bool must_queue() const;
  void block_uncovered();
  std::int64_t wanted(const NativeCircuit& circuit) const;
  std::int64_t available(const NativeCircuit& circuit) const;
  void promise(NativeCircuit& circuit, std::int64_t bytes);
  void promise_more();
  void note_sent(NativeCircuit& circuit, std::int64_t cost);
  bool send_chunk(NativeCircuit& circuit);
  void end_sending(NativeCircuit& circuit);
  void update_sendable(NativeCircuit& circuit);
  void wake_sender(NativeCircuit& circuit);
  void wake_waiting();
  void drop_outgoing(NativeCircuit& circuit);
  void send_credit_frame(CircuitId id, std::uint64_t bytes);
  void send_reset(CircuitId id, const End& reason);
  bool says_little() const;
  bool wants_ping() const;
  void send_ping();
  bool may_pong() const noexcept { return now_ >= pong_at_; }

  struct Messages; // protobuf objects, reused: a fresh one per frame would cost more than the frame

  NativeMachineOptions options_;
  std::unique_ptr<Messages> messages_;
  Instant now_{};
  State state_ = State::running;
  std::vector<TrunkEvent> events_;
  TrunkCounters counters_;
  std::optional<RemoteNode> remote_;
  std::size_t fragment_bytes_max_; // what we take
  std::size_t fragment_bytes_max_theirs_ = std::size_t{1} << 30; // what the far side takes, as far as known

  // Circuits.
  boost::unordered_flat_map<CircuitId, NativeCircuit*> circuits_; // iterated only in sorted order
  CircuitList<&NativeCircuit::of_trunk> all_; // owned here: those above, and the ended ones whose handle is still there
  // Buried circuits are freed two collect_events later: events that were taken before may still name them.
  std::vector<std::unique_ptr<NativeCircuit>> buried_;
  std::vector<std::unique_ptr<NativeCircuit>> buried_before_;
  NativeCircuit* found_last_ = nullptr;
  CircuitId next_here_;
  CircuitId next_there_;
  std::uint32_t opened_there_count_ = 0;
  std::size_t opened_there_strings_ = 0;
  std::uint32_t backlog_count_ = 0;
  std::uint32_t peers_may_end_ = 0; // circuits opened, either way, since as many ends of peers arrived
  boost::unordered_flat_map<PeerId, std::weak_ptr<const PeerName>, std::hash<PeerId>> remote_peers_;
  std::size_t remote_peers_sweep_at_ = 0;
  std::map<PeerId, Metadata> remote_metadata_;
  std::size_t remote_metadata_bytes_ = 0;

  // Reading.
  std::size_t preface_seen_ = 0;
  std::vector<std::byte> carry_; // the beginning of a frame head that has not arrived whole
  std::size_t skip_left_ = 0; // bytes of an unknown optional frame
  std::size_t chunk_bytes_ = 0; // payload bytes of the data frame being read, if they are kept
  std::size_t chunk_left_ = 0; // payload bytes of the data frame being read
  std::byte* chunk_into_ = nullptr; // null: dropped
  NativeCircuit* chunk_circuit_ = nullptr;
  FragmentNode* chunk_node_ = nullptr; // a fragment of one frame; null for an assembly
  bool chunk_is_last_ = false;
  bool read_space_given_ = false; // since the last receive
  Payload abandoned_; // memory given as read_space whose fragment has gone

  // Credit for the far side, and memory. trunk_receive_credit_ + trunk_consumed_ + unread_ == window + extras.
  std::int64_t trunk_window_;
  std::int64_t trunk_receive_credit_ = trunk_window_bytes_initial;
  std::int64_t trunk_consumed_ = 0; // negative: extras of abandoned fragments that the far side still holds
  std::size_t unread_ = 0;
  std::size_t pool_bytes_;
  std::size_t pool_reserved_ = 0;
  std::size_t pool_missing_ = 0; // allocated for fragments, and still to arrive
  boost::intrusive::list<Assembly, boost::intrusive::member_hook<Assembly, Assembly::Hook, &Assembly::reserving>,
                         boost::intrusive::constant_time_size<false>>
      reserving_;
  boost::unordered_flat_map<CircuitId, std::shared_ptr<const CircuitNames>>
      names_opened_; // those that an accept replaced
  FragmentNode* spare_nodes_ = nullptr;
  std::size_t spare_nodes_count_ = 0;
  Instant stall_check_at_ = Instant::max();

  // Sending.
  Output pending_;
  std::size_t direct_bytes_max_ = 64 * 1024; // output up to here takes a lone circuit's fragments at once
  std::size_t answers_bytes_ = 0; // in pending_: what the far side makes us say has a limit
  std::int64_t trunk_send_credit_ = trunk_window_bytes_initial;
  std::int64_t sendable_cost_ = 0; // queued on circuits whose credit is not used up
  std::uint32_t passed_by_ = 0; // how often credit came and was too little for the first of blocked_
  // Fragments that have begun, the oldest first. Of the trunk's credit each is promised as much as its circuit's credit
  // covers, as far as there is some; never is more promised than there is.
  std::map<std::uint64_t, NativeCircuit*> begun_;
  std::uint64_t begun_count_ = 0;
  std::int64_t trunk_promised_ = 0;
  CircuitList<&NativeCircuit::sendable> sendable_;
  CircuitList<&NativeCircuit::sendable> blocked_; // by the trunk's credit
  CircuitList<&NativeCircuit::stalled> stalled_;
  CircuitList<&NativeCircuit::waiting> waiting_;
  Instant trunk_stalled_since_ = Instant::max(); // sendable circuits wait for the trunk's credit
  std::vector<std::byte> metadata_; // scratch
  std::optional<std::uint64_t> pong_due_;
  bool writing_ = false;
  Instant writing_since_{};

  // Time.
  bool connected_ = false; // from the first collect_output
  Instant connected_at_{};
  Instant heard_at_{};
  bool ping_sent_ = false; // since heard_at_
  bool ping_unwritten_ = false; // it is in the output; until it is written, the write's deadline counts
  bool ping_taken_ = false; // the write in progress carries it
  std::uint64_t ping_number_ = 0;
  Instant ping_at_{};
  bool ping_timed_ = false;
  std::chrono::nanoseconds round_trip_{std::chrono::milliseconds(1)};
  Instant drain_deadline_ = Instant::max();
  Instant goodbye_deadline_ = Instant::max();
  Instant goodbye_write_by_ = Instant::max();
  bool draining_here_ = false;
  bool draining_there_ = false;
  bool drain_sent_ = false;
  bool serve_late_ = false;
  RateLimit pings_;
  RateLimit pongs_;
  Instant pong_at_{}; // when pong_due_ may go out
  RateLimit unknown_frames_;
  RateLimit control_frames_;
  double cancelled_opens_tokens_;
  Instant cancelled_opens_at_{};
};

} // namespace trunkline
