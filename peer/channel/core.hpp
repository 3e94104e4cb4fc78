// The state of one network, kept alive by everything that still runs for it.
//
// Wire: one circuit per sender, receiver and channel, opened by the sender to the service "network", with the channel's
// name as the circuit's name. Fragments on it are messages (payload and args); with op_acked their `part` is a number,
// which comes back with op_ack when the processor has taken the message. docs/network.md says the same for outsiders.
#pragma once

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "peer/channel/network.hpp"
#include "peer/channel/outbox.hpp"

#include <boost/system/system_error.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace trunkline {

inline constexpr const char* network_service = "network";
inline constexpr const char* operator_service = "network.operator";
inline constexpr std::int32_t op_message = 0;
inline constexpr std::int32_t op_acked = 1;
inline constexpr std::int32_t op_ack = 2;
// What an operator is answered; counters are args.
inline constexpr std::int32_t op_operator_total = 1;
inline constexpr std::int32_t op_operator_channel = 2;
inline constexpr std::int32_t op_operator_peer = 3;

/// A channel on this side: who processes it, and what went over it.
struct ChannelState {
  std::string name;
  std::shared_ptr<const Processor> processor; // null while nobody is registered
  Traffic traffic;
};

/// Our circuit to one node for one channel, from its opening until it has ended.
struct Line {
  explicit Line(Circuit opened) : circuit(std::move(opened)) {}

  Circuit circuit;
  bool over = false; // nothing more can be sent on it
  bool ended = false; // nothing more comes back
  bool carried_unacked = false; // messages whose failure nobody waits for
  End end; // why
  std::int64_t number_last = 0; // of messages that want an ack
  std::map<std::int64_t, bool> waiting; // number: taken
  std::deque<std::int64_t> taken_recently; // to tell a duplicate from a late one
  Signal changed;
};

/// A far node, connected or not.
struct Remote {
  explicit Remote(NodeId far) : id(far) {}

  const NodeId id;
  std::map<std::string, std::shared_ptr<Line>> lines; // by channel; only those on which can be sent
  std::map<std::string, std::shared_ptr<Line>> retiring; // finished, and not yet taken by the far side
  std::map<std::string, Outbox> outboxes; // by channel; only those on which something waits
  std::map<std::string, Outbox> turns; // by channel: circuits that have something for its processor
  std::uint32_t circuits_in = 0; // that it has open to us
  std::uint32_t busy = 0; // sends, one-shot writes and processors that run
  bool connecting = false;
  bool one_shot = false; // the connection was made for a one-shot write, and for nothing else so far
  SendResult failure; // of the last attempt to connect
  std::vector<std::string> addresses_before; // that the book had after that attempt
  std::uint32_t failures = 0; // in a row
  TimePoint next_attempt{};
  TimePoint connected_at{};
  std::uint64_t connections = 0; // that were ever open
  End end; // of the last one, or why it takes no circuits
  TimePoint used{};
  PeerMetrics metrics;
  Signal changed; // connected, or not, or a line came to its end
};

/// What the node told of its trunks and nobody has looked at yet. Shared with the node, which may live longer.
struct TrunkChanges {
  std::deque<std::pair<LinkChange, LinkInfo>> pending;
  bool wanted = true;
  Signal changed;
};

bool is_aborted(const boost::system::system_error& thrown);
/// "node " and its id.
std::string node_text(const NodeId& node);
/// A large payload is shared with the message, for another attempt.
Fragment fragment_of(std::int32_t op, std::int64_t number, Message& message);

class NetworkCore : public std::enable_shared_from_this<NetworkCore> {
 public:
  enum class Phase : std::uint8_t { idle, running, stopping, closed };
  enum class Kind : std::uint8_t { pooled, acked, one_shot };

  NetworkCore(Executor executor, NetworkOptions options);

  // network_core.cpp: life, registration, counters.
  void start();
  static awaitable<void> stop(std::shared_ptr<NetworkCore> core);
  /// It will never run.
  void close_unstarted() noexcept;
  Conduit register_processor(const std::string& channel, Processor processor);
  void unregister(const std::shared_ptr<ChannelState>& channel) noexcept;
  NetworkMetrics metrics() const;
  Node& node() noexcept { return node_; }
  AddressBook& book() noexcept { return options_.book; }
  const NetworkOptions& options() const noexcept { return options_; }

  // Coroutines keep the core alive, so they are static.
  static awaitable<NodeId> connect(std::shared_ptr<NetworkCore> core, std::string address); // network_connect.cpp
  // network_send.cpp
  static awaitable<SendResult> send(std::shared_ptr<NetworkCore> core, std::shared_ptr<ChannelState> channel, NodeId to,
                                    Message message, Duration deadline, Kind kind, bool patient = false);
  static awaitable<std::vector<SendResult>> broadcast(std::shared_ptr<NetworkCore> core,
                                                      std::shared_ptr<ChannelState> channel, std::vector<NodeId> to,
                                                      Message message, BroadcastOptions options);

 private:
  using CorePointer = std::shared_ptr<NetworkCore>;
  using RemotePointer = std::shared_ptr<Remote>;
  struct Broadcast;
  class Sending;

  TimePoint now() const noexcept { return clock_.now(); }
  void log(LogLevel level, const std::string& text) const;
  RemotePointer remote(const NodeId& id);
  void forget_some_remotes();

  // network_send.cpp
  SendResult note(Remote& remote, ChannelState& channel, std::size_t bytes, SendResult result);
  SendResult failure_of(const Remote& remote, const boost::system::system_error& thrown) const;
  // The references live in the frame of who waits for these.
  static awaitable<SendResult> send_waiting(CorePointer core, std::shared_ptr<ChannelState> channel,
                                            RemotePointer remote, Message message, Kind kind, bool patient,
                                            Sending& sending);
  static awaitable<SendResult> send_on_line(CorePointer core, std::shared_ptr<ChannelState> channel,
                                            RemotePointer remote, Message& message, Kind kind, Sending& sending,
                                            bool& again);
  static awaitable<SendResult> wait_for_ack(CorePointer core, RemotePointer remote, std::shared_ptr<Line> line,
                                            std::int64_t number);
  void on_ack(Line& line, std::int64_t number);
  static awaitable<void> broadcast_some(CorePointer core, std::shared_ptr<Broadcast> broadcast);
  static awaitable<void> broadcast_to(CorePointer core, std::shared_ptr<Broadcast> broadcast, std::size_t mine);

  // network_lines.cpp: a circuit per node and channel, and those of one-shot writes.
  std::shared_ptr<Line> usable_line(const Remote& remote, const ChannelState& channel) const;
  std::shared_ptr<Line> open_line(const RemotePointer& remote, const std::shared_ptr<ChannelState>& channel);
  void retire(const RemotePointer& remote, const std::shared_ptr<Line>& line);
  static awaitable<void> read_line(CorePointer core, RemotePointer remote, std::shared_ptr<ChannelState> channel,
                                   std::shared_ptr<Line> line);
  static awaitable<SendResult> write_once(CorePointer core, std::shared_ptr<ChannelState> channel, RemotePointer remote,
                                          Message message);
  /// Begins to close a connection that only one-shot writes have used, unless it is used by more than `own` others.
  std::shared_ptr<Trunk> end_one_shot(Remote& remote, std::uint32_t own);
  static awaitable<void> wait_until_over(CorePointer core, std::shared_ptr<Trunk> trunk, TimePoint due);

  // network_connect.cpp
  /// `patient`: waits until a connection gives way where there are too many.
  static awaitable<SendResult> ensure_connected(CorePointer core, RemotePointer remote, bool patient);
  static awaitable<void> connect_remote(CorePointer core, RemotePointer remote);
  struct Attempt {
    SendResult result;
    bool cost = false; // others were asked: not again at once
  };
  static awaitable<Attempt> try_addresses(CorePointer core, RemotePointer remote);
  SendResult dial_failed(Remote& remote, const std::exception_ptr& failure);
  /// Since the attempt that failed.
  bool has_new_address(const Remote& remote) const;
  /// Who is at the far end of the connection to an address.
  std::optional<NodeId> connected_at(const std::string& address, bool also_draining) const;
  /// Makes room for one more connection that is dialled; false when none is idle.
  bool has_room_to_dial();
  Duration backoff(std::uint32_t failures) const;
  std::uint64_t random() const;

  // network_receive.cpp
  static awaitable<void> serve(std::weak_ptr<NetworkCore> weak, LocalPeer& peer, CircuitInbox& inbox);
  static awaitable<void> receive(CorePointer core, RemotePointer remote, Circuit circuit);
  static awaitable<void> receive_all(CorePointer core, RemotePointer remote, Circuit& circuit);
  static awaitable<void> process(CorePointer core, RemotePointer remote, std::shared_ptr<ChannelState> channel,
                                 Circuit& circuit, Fragment fragment);
  ChannelState* processed_channel(const std::string& name);
  void note_unknown_channel(Remote& remote, const std::string& name);
  static awaitable<void> answer_operator(std::weak_ptr<NetworkCore> weak, Circuit circuit);
  static awaitable<void> answer_request(CorePointer core, Circuit& circuit);

  // network_limits.cpp
  static awaitable<void> watch_trunks(CorePointer core);
  static awaitable<void> watch_idle(CorePointer core);
  /// Looks at everything that the node has told: before anything is decided by it, since those who wait on a connection
  /// are woken before the task that hears of its end.
  void hear_links();
  void on_link(LinkChange change, const LinkInfo& view);
  /// A connection cannot be used any more: when to try again.
  void pace(Remote& far, const LinkInfo& view);
  bool is_idle(const LinkInfo& view, Duration for_at_least) const;
  std::uint32_t connections(bool dialled) const;
  /// Ends the least recently used idle connection of one direction; null when there is none.
  std::shared_ptr<Trunk> evict(bool dialled, const Trunk* spared);
  void end_connection(const LinkInfo& view, const std::string& reason);

  Executor executor_;
  Clock& clock_;
  NetworkOptions options_;
  Phase phase_ = Phase::idle;
  std::map<std::string, std::shared_ptr<ChannelState>> channels_;
  std::map<NodeId, RemotePointer> remotes_;
  std::set<std::string> unknown_channels_logged_;
  AckMetrics acks_;
  std::uint64_t dials_ = 0;
  std::uint64_t reuses_ = 0;
  std::uint64_t drops_unknown_channel_ = 0;
  std::uint64_t evictions_ = 0;
  std::uint64_t turned_away_ = 0;
  std::uint32_t sends_running_ = 0;
  std::uint32_t operators_ = 0; // being answered
  std::uint32_t dialling_ = 0; // outbound connections on their way
  Signal sends_changed_;
  std::shared_ptr<TrunkChanges> trunk_changes_ = std::make_shared<TrunkChanges>();
  Signal connections_changed_; // one is over
  Node node_;
  std::shared_ptr<LocalPeer> peer_; // once it runs
  Tasks tasks_;
};

} // namespace trunkline
