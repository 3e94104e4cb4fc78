// The link of one trunk, with what its node knows about it.
#pragma once

#include "fragment/ids.hpp"
#include "peer/links.hpp"

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace trunkline {

class NodeCore;

/// Dialled or accepted. Passes the events of its trunk to the node.
class NodeLink final : public Link {
 public:
  NodeLink(std::weak_ptr<NodeCore> core, std::string dialled_address);
  NodeLink(std::weak_ptr<NodeCore> core, std::string remote, std::string remote_host);

  void on_event(TrunkEvent& event) override;
  void on_opened_here(TrunkCircuit& circuit) override;

  /// The connection has proven who is at the far end.
  bool is_proven() const noexcept { return trunk() && trunk()->remote_identity(); }

  NodeId node_id;                     // of the far side, from its Hello
  std::vector<std::string> addresses; // that the far side claims and is believed
  bool draining = false;              // not used for new circuits any more
  bool ended_here = false;            // by end_link
  TimePoint opened_at;                // when its Hello came
  bool reconnected = false;           // see LinkInfo
  std::set<PeerId> peers;             // ours that the far side has heard of
  std::size_t peers_started = 0;      // ours that the far side started and that run

 private:
  std::string kind() const override { return "trunk"; }
  std::shared_ptr<NodeLink> shared() { return std::static_pointer_cast<NodeLink>(shared_from_this()); }

  std::weak_ptr<NodeCore> core_; // weak: a circuit's handle may keep the trunk when the node is gone
};

} // namespace trunkline
