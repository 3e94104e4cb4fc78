// The state of one node, kept alive by everything that still runs for it; Node is the handle that ends it.
#pragma once

#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "circuit/circuit.hpp"
#include "peer/local_peer.hpp"
#include "peer/node.hpp"
#include "peer/registry.hpp"
#include "peer/trunk_table.hpp"
#include "transport/transport.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

class NodeCore final : public std::enable_shared_from_this<NodeCore> {
 public:
  /// Each is entered once, in this order; draining may be left out.
  enum class Phase : std::uint8_t { running, draining, closing };

  NodeCore(Executor executor, NodeOptions options);

  // node_core.cpp: what a Node offers. Coroutines keep the core alive, so they are static and take it by value.
  std::string listen(std::string_view address);
  const std::vector<std::string>& addresses() const noexcept { return addresses_; }
  static awaitable<bool> dial(std::shared_ptr<NodeCore> core, std::string address);
  static awaitable<RemotePeer> start_remote_peer(std::shared_ptr<NodeCore> core, std::string service,
                                                 std::string address, Duration wait_up_to);
  static awaitable<void> drain(std::shared_ptr<NodeCore> core, Duration deadline);
  static awaitable<void> close(std::shared_ptr<NodeCore> core);
  /// Everything of `close` that does not wait.
  void begin_close();

  const Executor& executor() const noexcept { return executor_; }
  const NodeOptions& options() const noexcept { return options_; }
  const NodeId& id() const noexcept { return id_; }
  /// What it is called in texts: its name, or its id where it has none.
  const std::string& name() const noexcept { return name_; }
  Registry& registry() noexcept { return registry_; }
  NodeCounters counters() const;
  std::size_t links_count() const noexcept { return trunks_.size(); }
  std::vector<LinkInfo> links() const;
  std::optional<LinkInfo> link_with(const NodeId& node) const;
  void end_link(const std::shared_ptr<Trunk>& trunk, Duration deadline, End reason);
  void log(LogLevel level, std::string_view text) const;

  // peers.cpp: instances of services, how they start and how they end.
  /// Either a running peer, or why there is none.
  struct Answer {
    std::shared_ptr<LocalPeer> peer;
    error reason = error::none;
    std::string text;
    std::string existing_url; // of an instance that could be joined instead
  };
  /// `starter`: the trunk whose far side asks for it; null when this side does.
  Answer start(const std::string& service, PeerId id, const std::shared_ptr<Link>& starter = nullptr);
  std::shared_ptr<LocalPeer> new_peer(std::string name);
  PeerId draw_id() { return PeerId::draw(options_.random); }
  std::string base_address() const;
  /// `failed`: its service threw. Its circuits are then reset, and closed otherwise.
  void end_peer(LocalPeer& peer, End reason, bool failed);
  void set_metadata(LocalPeer& peer);
  std::size_t circuits_count(const LocalPeer& peer) const;
  std::size_t peers_ending() const;
  /// An exception that left a service, or its handler of one circuit; returns how what it served ends.
  End handler_failed(const LocalPeer& peer, const CircuitNames* circuit, std::exception_ptr failure);

  // connections.cpp: trunks and what happens on them.
  /// Opens a circuit over the trunk to an address, which is dialled where there is none. Throws only where this side
  /// will not: closing, draining.
  Circuit open(const std::string& address, OpenRequest request, std::optional<Fragment> first, const LocalPeer* peer);

 private:
  friend struct Link;
  using TrunkPointer = std::shared_ptr<Link>;

  // node_core.cpp
  static awaitable<void> accept_all(std::shared_ptr<NodeCore> core, std::shared_ptr<Listener> listener);
  static awaitable<void> trunks_gone(std::shared_ptr<NodeCore> core);
  void check_running() const;
  void close_listeners();

  // peers.cpp
  static awaitable<void> run_service(std::shared_ptr<LocalPeer> peer, PeerServiceFunc function);
  std::shared_ptr<LocalPeer> make_peer(std::string service, PeerId id, bool takes_circuits);
  std::shared_ptr<const PeerName> make_name(std::string service, PeerId id) const;
  void rename_peers();
  Answer find_or_start(const TrunkPointer& trunk, const OpenRequest& open);
  std::string peers_limit_reached(const Link& starter) const;
  void answer(const TrunkPointer& trunk, TrunkCircuit& circuit, const OpenRequest& open);
  static void introduce(Link& trunk, const LocalPeer& peer);

  // connections.cpp
  TrunkPointer make_trunk(std::string dialled_address, std::string remote);
  TrunkPointer trunk_to(const std::string& address, bool& dialled);
  std::shared_ptr<Medium> medium_for(std::string_view address) const;
  void accepted(std::unique_ptr<Transport> transport);
  static void set_connected(Link& trunk, const Transport& transport);
  static awaitable<void> run_dialled(std::shared_ptr<NodeCore> core, TrunkPointer trunk);
  static awaitable<void> run_connected(std::shared_ptr<NodeCore> core, TrunkPointer trunk,
                                       std::unique_ptr<Transport> transport);
  void forget(const TrunkPointer& trunk);
  void abandon(const TrunkPointer& trunk, End reason);
  void on_event(const TrunkPointer& trunk, TrunkEvent& event);
  void on_opened_here(Link& trunk, TrunkCircuit& circuit);
  void on_hello(const TrunkPointer& trunk);
  void on_closed(const TrunkPointer& trunk, End reason);
  void set_draining(const TrunkPointer& trunk);
  static LinkInfo view_of(const Link& trunk);
  void tell(LinkChange change, const Link& trunk) const;

  Executor executor_;
  NodeOptions options_;
  NodeId id_;
  std::string name_;
  Phase phase_ = Phase::running;
  Registry registry_;
  std::size_t peers_of_others_ = 0; // that run here and were started from the far side of a trunk
  std::vector<std::weak_ptr<LocalPeer>> ending_peers_; // not in the registry any more, tasks perhaps still running
  std::size_t ending_peers_swept_ = 0; // how many of them were left when those that are gone were taken out
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::string> addresses_; // of the listeners
  TrunkTable trunks_;                  // those that are over, too, until their connection is gone
  std::vector<std::weak_ptr<Trunk>> lost_trunks_; // gone, but somebody still had a circuit of theirs
  Signal trunk_gone_;
  std::size_t handshakes_count_ = 0; // accepted, no Hello yet
  NodeCounters counters_;
  Tasks tasks_; // listeners and connections
};

} // namespace trunkline
