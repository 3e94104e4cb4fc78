// The trunks of one node, and under which names each is found: the address that was dialled, the addresses that the
// far side claims and is believed, and the far side's node id. Decides which of two trunks to one node is used.
#pragma once

#include "async/signal.hpp"
#include "circuit/trunk.hpp"
#include "fragment/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

class NodeCore;

/// One trunk as its node knows it.
struct Link final : Trunk::Owner, std::enable_shared_from_this<Link> {
  /// Each is entered once, in this order; over may come from any of them.
  enum class Phase : std::uint8_t { connecting, handshaking, open, over };

  void on_event(TrunkEvent& event) override;
  void on_opened_here(TrunkCircuit& circuit) override;

  std::weak_ptr<NodeCore> core; // weak: a circuit's handle may keep the trunk when the node is gone
  std::shared_ptr<Trunk> live;
  Phase phase = Phase::connecting;
  bool dialled = false;        // by us
  std::string dialled_address; // empty when it was accepted
  std::string remote;          // for logs: the dialled address, or what the transport calls the far end
  std::string remote_host;     // as the transport knows it; empty where it has none
  NodeId node_id;              // of the far side, from its Hello
  std::vector<std::string> addresses; // that the far side claims and is believed
  bool draining = false;       // not used for new circuits any more
  bool ended_here = false;     // by end_link
  End end;                     // why it is over
  std::set<PeerId> peers;      // ours that the far side has heard of
  std::size_t peers_started = 0; // ours that the far side started and that run
  Signal changed;              // phase
  bool abandoned = false;      // connecting: not wanted any more
  Signal abandon;
};

/// Finds trunks by name. Invariant: of the trunks in phase open that do not drain, those to one node have one that is
/// preferred, and every name of that node leads to it.
class TrunkTable {
 public:
  explicit TrunkTable(NodeId own) : own_(own) {}

  /// Takes in a trunk that was dialled or accepted just now.
  void add(std::shared_ptr<Link> trunk);
  /// The far side has said who it is: the trunk is open. Claimed addresses are believed where the connection itself
  /// vouches for them; `ours` are never believed. Returns the trunks that we dialled and that are not preferred any
  /// more: they shall drain.
  std::vector<std::shared_ptr<Link>> identify(const std::shared_ptr<Link>& trunk, const RemoteNode& remote,
                                              const std::vector<std::string>& ours);
  /// Not for new circuits from now on.
  void set_draining(const std::shared_ptr<Link>& trunk);
  /// The trunk is over: it has no names any more, and stays in `all` until it is erased.
  void set_over(const std::shared_ptr<Link>& trunk);
  void erase(const std::shared_ptr<Link>& trunk);

  /// The trunk to use for an address ("tcp://...", "node://ID"); null when there is none.
  std::shared_ptr<Link> find(std::string_view address) const;
  /// The preferred trunk to a node; null when there is none.
  std::shared_ptr<Link> find(const NodeId& node) const;
  /// In the order in which they came.
  const std::vector<std::shared_ptr<Link>>& all() const noexcept { return all_; }
  std::size_t size() const noexcept { return all_.size(); }

 private:
  bool is_usable(const Link& trunk) const noexcept;
  bool is_better(const Link& newer, const Link& older) const noexcept;
  void take_names(const std::shared_ptr<Link>& trunk);
  std::string believed(const Link& trunk, std::string_view claim, const std::vector<std::string>& ours) const;

  NodeId own_;
  std::vector<std::shared_ptr<Link>> all_;
  std::map<std::string, std::shared_ptr<Link>, std::less<>> by_address_;
  std::map<NodeId, std::shared_ptr<Link>> by_node_; // the preferred ones
};

} // namespace trunkline
