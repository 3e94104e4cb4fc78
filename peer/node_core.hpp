// The state of one node, kept alive by everything that still runs for it; Node is the handle that ends it.
#pragma once

#include "async/clock.hpp"
#include "async/home_thread.hpp"
#include "circuit/circuit.hpp"
#include "peer/links.hpp"
#include "peer/local_peer.hpp"
#include "peer/node.hpp"
#include "peer/peers.hpp"
#include "peer/redialler.hpp"
#include "peer/trunk_table.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// What a Node does, and what happens on its links. The peers are in Peers, the connections in Links, the names of the
/// trunks in TrunkTable, and when an address is dialled again in Redialler.
class NodeCore final : public std::enable_shared_from_this<NodeCore>, private Links::Owner {
 public:
  /// Each is entered once, in this order; draining may be left out.
  enum class Phase : std::uint8_t { running, draining, closing };

  NodeCore(Executor executor, NodeOptions options);

  const Executor& executor() const noexcept { return links_.executor(); }
  const NodeOptions& options() const noexcept { return options_; }
  const NodeId& id() const noexcept { return id_; }
  /// The node's name in texts: the given name, or the id when it has none.
  const std::string& name() const noexcept { return name_; }
  Phase phase() const noexcept { return phase_; }
  Peers& peers() noexcept { return peers_; }
  const TrunkTable& trunks() const noexcept { return trunks_; }
  Redialler& redialler() noexcept { return redialler_; }
  HomeThread& home() const noexcept { return *home_; }
  TimePoint now() const { return Clock::of(executor()).now(); }
  PeerId draw_id() { return PeerId::draw(options_.random); }
  /// Where far sides reach it: a listening address, or "node://ID".
  std::string base_address() const;
  std::shared_ptr<const PeerName> make_name(std::string service, PeerId id) const;
  void log(LogLevel level, std::string_view text) noexcept { links_.log(level, text); }
  /// A line that a far side can cause as often as it likes; see LimitedLog.
  void log(const char* kind, LogLevel level, std::string_view text) noexcept { links_.log(kind, level, text); }

  // What a Node offers. Coroutines keep the core alive, so they are static and take it by value.
  std::string listen(std::string_view address);
  const std::vector<std::string>& addresses() const noexcept { return links_.addresses(); }
  static awaitable<bool> dial(std::shared_ptr<NodeCore> core, std::string address);
  static awaitable<void> drain(std::shared_ptr<NodeCore> core, Duration deadline);
  static awaitable<void> close(std::shared_ptr<NodeCore> core);
  /// Everything of `close` that does not wait.
  void begin_close();
  NodeCounters counters() const;
  std::vector<LinkInfo> links() const;
  std::optional<LinkInfo> link_with(const NodeId& node) const;
  void end_link(const std::shared_ptr<Trunk>& trunk, Duration deadline, End reason);

  void reload_identity();

  // For Redialler.
  /// Throws when this side is closing or draining.
  void check_running() const;
  /// The trunk to an address, which is dialled where there is none.
  std::shared_ptr<NodeLink> link_to(const std::string& address, bool& dialled);
  static LinkInfo info_of(const NodeLink& link);
  void spawn(awaitable<void> task) { links_.spawn(std::move(task)); }

  // For LocalPeer.
  /// Opens a circuit over the trunk to an address, which is dialled where there is none. Throws only when this side is
  /// closing or draining.
  Circuit open(const std::string& address, OpenRequest request, std::optional<Fragment> first, const LocalPeer* peer);

  /// The trunk that a circuit to an address would take, when there is no room for it there now, or nobody knows yet how
  /// much there is; null otherwise. See Trunk::open_wanted.
  std::shared_ptr<Trunk> trunk_without_room(const std::string& address) const;

  // For its links. Called while a trunk dispatches events: nothing here waits, and the trunk takes calls.
  void on_event(const std::shared_ptr<NodeLink>& link, TrunkEvent& event);
  void on_opened_here(NodeLink& link, TrunkCircuit& circuit);
  void on_lost(const NodeLink& link, const TrunkCircuit& circuit);

 private:
  std::shared_ptr<void> keep() override { return shared_from_this(); }
  std::string limit_reached(const Transport& transport) const override;
  void check_dial(const Link& link) override;
  TimePoint dial_at(const Link& link) override;
  void on_gone(const std::shared_ptr<Link>& link) override;

  std::unique_ptr<Machine> make_machine(const NodeLink& link) const;
  void accepted(std::unique_ptr<Transport> transport);
  void on_hello(const std::shared_ptr<NodeLink>& link);
  bool believe(const NodeLink& link, RemoteNode& remote);
  bool has_key(const NodeId& id) const;
  void note_proven(const NodeLink& link);
  void check_exposed(std::string_view address, const char* verb);
  void on_closed(const std::shared_ptr<NodeLink>& link, End reason);
  void set_draining(const std::shared_ptr<NodeLink>& link);
  void tell(LinkChange change, const NodeLink& link) noexcept;

  NodeOptions options_;
  NodeId id_;
  std::string name_;
  Phase phase_ = Phase::running;
  Peers peers_;
  TrunkTable trunks_; // including those that are over, until their connection is gone
  std::vector<std::weak_ptr<Trunk>> lost_trunks_; // gone, but a handle still had a circuit of theirs
  NodeCounters counters_;
  std::deque<NodeId> proven_; // ids of keys that far sides have shown, the latest ones
  Redialler redialler_{*this};
  Links links_;
  std::shared_ptr<HomeThread> home_;
};

} // namespace trunkline
