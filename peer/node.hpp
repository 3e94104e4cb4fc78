// One endpoint of a process: listens, dials, owns the trunks, holds the services. Both sides use this one type.
#pragma once

#include "async/types.hpp"
#include "circuit/limits.hpp"
#include "fragment/ids.hpp"
#include "fragment/log.hpp"
#include "peer/backoff.hpp"
#include "peer/local_peer.hpp"
#include "peer/url.hpp"
#include "transport/identity.hpp"
#include "transport/media.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

class NodeCore;

/// One open connection of a node, for programs that count, show or end connections.
struct LinkInfo {
  NodeId node;                        // of the far side, as its Hello says; see NodeOptions::identity
  std::string name;                   // of the far side, as its Hello says
  std::shared_ptr<const RemoteIdentity> identity; // what the far side has proven; null: nothing
  std::string remote;                 // the address that was dialled, or what the transport calls the far end
  std::string remote_host;            // as the transport knows it; empty where its medium has no hosts
  std::vector<std::string> addresses; // under which the far side listens and is believed
  bool dialled = false;               // by us
  bool reconnected = false;           // the node had a link before, and none when this one was opened
  bool draining = false;              // takes no new circuits
  bool ended_here = false;            // by end_link
  End end;                            // why, once it is over
  TrunkCounters counters;             // bytes, frames, the last round trip, ...
  std::shared_ptr<Trunk> trunk;
};
enum class LinkChange : std::uint8_t { opened, draining, over };

/// What a node tells the machine of a new trunk.
struct MachineSetup {
  Limits limits;
  bool dialled = false; // by us; otherwise accepted
  NodeId node_id;       // ours, as is the rest
  std::string node_name;
  std::vector<std::string> addresses; // under which others may reach this node
  std::string far_end;                // as log lines name it, for the texts of errors
  bool proof_to_come = false;         // the connection will prove who is at the far end: see Machine::prove

  MachineSetup() = default;
};

struct NodeOptions {
  std::string name;        // shown to the far side and in logs
  NodeId id;               // drawn unless given, or that of the identity; give it for a node in others' address books
  /// The key of this node and whom it trusts: with it the node has connections over TLS, and the id of its key. An id
  /// for which the far side shows no key is then not believed where others could have said it: on an address that
  /// other machines reach it is replaced by one that is drawn for the connection, and a connection that claims an id of
  /// which this node knows that it has a key is ended as error::not_proven.
  std::shared_ptr<Identity> identity;
  /// Who may open circuits to which service; anybody may everything unless given. A peer/policy.hpp is one.
  Allow allow;
  /// Addresses that other machines reach, and that nothing encrypts, may be dialled and listened on. Each is logged.
  bool allow_plaintext = false;
  Limits limits;           // of each trunk
  bool expose_errors = false; // the text of an exception that leaves a service is sent to the far side
  std::size_t trunks_max = 1024;
  std::size_t peers_max = 65536; // that far sides started and that run; only their starts are refused beyond it
  std::size_t peers_per_trunk_max = 4096; // of those, the ones that one trunk's far side started
  std::size_t handshakes_max = 256; // accepted connections that have not yet said Hello; beyond it the oldest one goes
  std::size_t handshakes_per_host_max = 64; // of those, the ones of one host, or of one /64 of IPv6
  std::chrono::milliseconds connect_deadline{10000};
  /// For how long an address is left alone after an attempt that failed, or a connection that was over within
  /// redial.initial. A dial or an open meanwhile waits for that.
  Backoff redial;
  /// Where random ids come from; the system's generator unless given.
  std::function<std::uint64_t()> random;
  /// Receives the log lines. Called while the node is dispatching events: it must not call back into the node. A line
  /// for which it throws is lost, and nothing else. Of lines that far sides cause, ten of a kind come in ten seconds.
  LogSink log;
  /// Called for each link once the far side's hello has arrived, and when it drains and ends. Called while the node is
  /// dispatching events: it must not call back into the node. What it throws is logged.
  std::function<void(LinkChange, const LinkInfo&)> on_link;
  /// Media by scheme, in addition to those of default_media() or instead of them.
  Media media;
  /// Makes the machine of each trunk, and so decides which dialect the node speaks; the native one unless given. Both
  /// sides of a trunk must speak the same.
  std::function<std::unique_ptr<Machine>(MachineSetup, Instant now)> dialect;
  /// The program promises that one thread at a time runs the node's context, although several could: an io_context
  /// that was not made with the concurrency hint 1, say. See docs/threads.md.
  bool context_has_one_thread = false;
  /// Further addresses under which others may reach this node (a proxy, say). Of 16 far sides hear, listeners first.
  std::vector<std::string> advertise;

  NodeOptions() = default;
};

struct NodeCounters {
  std::uint64_t dials = 0;
  std::uint64_t dials_held_back = 0; // waited, because an attempt had failed a moment ago: NodeOptions::redial
  std::uint64_t reconnects = 0; // links to a node whose last one was over
  std::uint64_t trunks_opened = 0; // both sides have said Hello
  std::uint64_t trunks_lost = 0;
  std::uint64_t trunks_open = 0;
  std::uint64_t circuits_refused = 0;
  std::uint64_t circuits_lost = 0; // let go by this side when they were closed, and refused or lost after that
  std::uint64_t callers_left = 0; // a handler ended because its circuit had: no failure
  std::uint64_t services_failed = 0;
  std::uint64_t opens_cancelled = 0; // by their openers, within a second and unanswered
  std::uint64_t opens_delayed = 0; // had to wait, because their node cancels more than cancelled_opens_per_second_max
  std::uint64_t reading_pauses = 0; // of a connection that says more than control_frames_per_second_max
  std::uint64_t peers_ending = 0; // now: ended for all others, but their service has not returned yet
  std::uint64_t circuits_held = 0; // now: over, but their service still has the handle: it may be stuck
  std::uint64_t connections_unrecognised = 0; // TLS, HTTP, garbage
  std::uint64_t connections_turned_away = 0; // beyond handshakes_max or trunks_max, or for want of descriptors
};

/// One endpoint of a process. Everything of it runs on one executor, whose context one thread runs; not thread safe.
/// `id` and `executor` alone may be called from any thread. Builds with assertions abort, with the name of the call,
/// when another thread than that of the context makes it.
/// Destroying it closes it: its coroutines are cancelled and end on the executor, after which io.run() returns by
/// itself.
class Node {
 public:
  /// Errors: std::invalid_argument for options that cannot be, and for an executor whose context several threads may
  /// run (NodeOptions::context_has_one_thread).
  explicit Node(Executor executor, NodeOptions options = NodeOptions());
  Node(Node&&) noexcept;
  Node& operator=(Node&&) noexcept;
  ~Node();

  /// Registers a service by name, at any time. Beyond `instances_max` (0: any number) a start is refused with the URL
  /// of an instance that runs. Errors: error::already_registered; std::invalid_argument for an empty name or function.
  void register_service(std::string name, PeerServiceFunc function, std::size_t instances_max = 0);
  /// The same with more options. Errors also: std::invalid_argument for options that cannot be.
  void register_service(std::string name, PeerServiceFunc function, ServiceOptions options);
  /// Registers a service that answers one circuit per call of `function`; at most one instance runs, started by the
  /// first circuit that asks for it (LocalPeer::join_or_start, or a PeerUrl without a peer id).
  void serve(std::string name, CircuitServiceFunc function);
  /// The same with more options; instances_max stays 1.
  void serve(std::string name, CircuitServiceFunc function, ServiceOptions options);

  /// Binds the address and accepts from now on; returns the real address ("tcp://127.0.0.1:0" gets its port). May be
  /// called for several addresses; existing trunks are not told of it. Errors: boost::system::system_error that names
  /// the address.
  std::string listen(std::string_view address);
  std::vector<std::string> addresses() const;

  /// Makes sure that there is a trunk to the address; returns whether it had to dial. Waits until the far side has said
  /// Hello. Concurrent dials to one address share one attempt; cancelling one of them does not end the attempt.
  /// Errors: error::connect_failed (NodeOptions::redial may hold a dial back for a while), error::dialled_self, what the
  /// handshake said.
  awaitable<bool> dial(std::string address);
  /// Waits until there is an open trunk to the address, and dials as often as NodeOptions::redial allows. For
  /// "node://ID" it waits until that node connects. Errors: error::timed_out after `deadline`, with the words of the
  /// last failure; error::unknown_scheme; error::node_closed and error::draining of this node, also while it waits.
  awaitable<LinkInfo> wait_for_connection(std::string address, Duration deadline = Duration::max());
  /// Dials the address, and again whenever there is no trunk to it, at the pace of NodeOptions::redial, until
  /// `stop_keeping_connected`, `drain` or `close`. NodeOptions::on_link tells of each trunk (LinkInfo::reconnected).
  /// Errors: error::unknown_scheme; error::connect_failed for "node://ID", which cannot be dialled.
  void keep_connected(std::string address);
  /// The trunk that there is stays; it is not made again when it is over.
  void stop_keeping_connected(std::string_view address);
  /// The addresses that are kept connected.
  std::vector<std::string> kept_connected() const;

  /// Starts an instance of a registered service here. Errors: error::no_service, ServiceLimitReached.
  std::shared_ptr<LocalPeer> start_local_peer(const std::string& service);
  /// Makes a peer without a service: it opens circuits and accepts none. It lives until it or the node is closed.
  /// Errors: std::invalid_argument for a name that is empty or too long.
  std::shared_ptr<LocalPeer> new_peer(std::string name);
  /// The peers of a service that run, oldest first; those of all services when `service` is empty.
  std::vector<std::shared_ptr<LocalPeer>> local_peers(std::string_view service = {}) const;

  /// Stops listening and takes no new circuits either way; waits until the running ones have ended, at most until the
  /// deadline, then resets the rest. Peers stay; `close` ends them.
  awaitable<void> drain(Duration deadline);
  /// Closes listeners, peers and trunks, and waits until all of it is gone. Idempotent. A task of one of the node's
  /// peers must not call it: it would wait for itself.
  awaitable<void> close();

  /// Reads the files of the identity again (Identity::reload) and takes the id of the key that is there now, for
  /// connections from now on; those that there are go on. Errors: error::unusable_file; then nothing has changed.
  /// std::logic_error without an identity.
  void reload_identity();

  const NodeId& id() const noexcept;
  Executor executor() const;
  NodeCounters counters() const;
  std::size_t links_count() const;
  /// The open links, in the order in which they were made.
  std::vector<LinkInfo> links() const;
  /// The link that new circuits to a node would take.
  std::optional<LinkInfo> link_with(const NodeId& node) const;
  /// Takes no new circuits on one trunk, and ends it when it has none left, at the latest after `deadline`. With a
  /// deadline of zero it ends at once, and the far side is told the reason.
  void end_link(const std::shared_ptr<Trunk>& trunk, Duration deadline, End reason);

 private:
  std::shared_ptr<NodeCore> core_;
};

} // namespace trunkline
