// Messages between nodes by channel, without handling connections: register a processor, get a conduit, send to node
// ids.
//
//   auto network = std::make_shared<Network>(io.get_executor(), options);
//   Conduit chat = network->register_processor("chat", on_message);
//   network->start();
//   co_await chat.send(them, "hello");
#pragma once

#include "peer/channel/address_book.hpp"
#include "async/component/component.hpp"
#include "peer/channel/conduit.hpp"
#include "peer/node.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trunkline {

struct NetworkOptions {
  NodeOptions node;
  std::vector<std::string> listen; // addresses to bind at the start
  AddressBook book;
  std::shared_ptr<Resolver> resolver; // for nodes that are not in the book; may be null

  std::chrono::milliseconds send_deadline{5000};
  std::size_t broadcast_concurrency = 64;
  std::size_t queue_bytes_max = 4 << 20; // backlog per node and channel; a single message may be larger
  std::uint32_t acks_outstanding_max = 1024; // per node and channel
  std::uint32_t channels_per_node_max = 256; // circuits that one far node may have open to this one
  std::uint32_t nodes_remembered_max = 4096; // far nodes whose counters are kept while they are not connected

  std::uint32_t connections_inbound_max = 125;
  std::uint32_t connections_outbound_max = 125;
  std::chrono::milliseconds evict_idle_after{1000}; // a connection used more recently is not evicted for another
  std::chrono::milliseconds idle_timeout{600000}; // unused for so long: closed

  std::chrono::milliseconds redial_backoff_min{100}; // doubled with each failure
  std::chrono::milliseconds redial_backoff_max{10000};
  std::chrono::milliseconds stop_deadline{2000}; // for messages in flight when the network stops

  /// Answers `trunkline net peers` and `stats` of any node that connects.
  bool answers_operators = false;
  std::uint32_t operators_max = 16; // answered at the same time
  std::chrono::milliseconds operator_deadline{10000}; // for an operator to ask and to read the answer

  NetworkOptions() = default;
};

/// What went over one channel, or to and from one node.
struct Traffic {
  std::uint64_t messages_sent = 0;
  std::uint64_t bytes_sent = 0; // of payloads
  std::uint64_t messages_received = 0;
  std::uint64_t bytes_received = 0;
  std::array<std::uint64_t, send_errors_count> send_failures{}; // by SendError
  std::uint64_t processor_failures = 0;
  std::uint64_t drops = 0; // received for a channel without a processor, or with an unknown op
  std::size_t queue_bytes = 0; // backlog now, metadata included
  std::size_t queue_messages = 0;

  std::uint64_t failures() const noexcept;
};

struct PeerMetrics : Traffic {
  bool connected = false;
  bool dialled = false; // the connection, by us
  std::string remote; // the address of the far end
  std::string name; // of its Hello, the last one when it is not connected
  std::uint64_t dials = 0;
  std::uint64_t reuses = 0; // sends that found a connection
};

struct AckMetrics {
  std::uint64_t waiting = 0;
  std::uint64_t taken = 0;
  std::uint64_t late = 0; // came after their deadline
  std::uint64_t duplicate = 0; // came again
  std::uint64_t unknown = 0; // for no message that was sent
};

/// A copy of all counters.
struct NetworkMetrics {
  std::map<std::string, Traffic> channels; // every channel that was registered or sent on
  std::map<NodeId, PeerMetrics> peers;
  AckMetrics acks;
  std::uint64_t dials = 0;
  std::uint64_t reuses = 0;
  std::uint64_t drops_unknown_channel = 0;
  std::uint64_t processor_failures = 0;
  std::uint64_t connections_inbound = 0; // open now
  std::uint64_t connections_outbound = 0;
  std::uint64_t evictions = 0; // idle connections closed for another, or for being idle
  std::uint64_t connections_turned_away = 0;
  std::size_t queue_bytes = 0;
  std::size_t queue_messages = 0;
};

/// A node and its channels, as a component: ready when it listens, done when nothing of it runs and its ports are free.
/// One executor; not thread safe. Dropped without `stop`, it runs on until its executor's context is destroyed.
class Network final : public Component {
 public:
  explicit Network(Executor executor, NetworkOptions options = NetworkOptions());
  ~Network() override;

  /// Registers the one processor of a channel, until the conduit is closed or dropped. Before or after start.
  /// Errors: ProcessorAlreadyRegistered; error::node_closed once it stops; std::invalid_argument for a name that is
  /// empty, longer than name_bytes_max, or begins with '#', and for no function.
  Conduit register_processor(const std::string& channel, Processor processor);

  using Component::start;
  /// Starts it in a scope of its own. An irrecoverable error is logged and stops it.
  void start();
  /// Stops accepting, lets messages in flight finish until stop_deadline, and closes everything. Returns when it is
  /// done. Do not call it from a processor.
  awaitable<void> stop();

  const NodeId& local_id() const noexcept;
  NetworkMetrics metrics() const;
  AddressBook& address_book() noexcept;
  /// Real addresses, once it is ready.
  std::vector<std::string> addresses() const;
  /// Connects to an address, unless it is connected, and returns the id of the node there; the book then has the
  /// address. Errors: as Node::dial; error::connect_failed at connections_outbound_max; error::node_closed while it
  /// does not run.
  awaitable<NodeId> connect(std::string address);
  /// For further services beside the channels.
  Node& node() noexcept;

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;
  void start_cancelled(const std::shared_ptr<Scope>& scope) override;

 private:
  std::shared_ptr<NetworkCore> core_;
  std::shared_ptr<Scope> own_scope_;
};

} // namespace trunkline
