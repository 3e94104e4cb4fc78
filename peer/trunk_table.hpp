// The trunks of one node, and under which names each is found: the address that was dialled, the addresses that the
// far side claims and is believed, and the far side's node id. Decides which of two trunks to one node is used.
#pragma once

#include "fragment/ids.hpp"
#include "peer/node_link.hpp"
#include "transport/media.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// Finds trunks by name. Invariant: among the open trunks to one node that do not drain, one is preferred, and every
/// name of that node leads to it.
class TrunkTable {
 public:
  /// `media` says which claims a connection can vouch for; it must outlive the table.
  TrunkTable(NodeId own, const Media& media) : own_(own), media_(media) {}
  /// Our key is another one now.
  void set_own(const NodeId& own) noexcept { own_ = own; }

  /// Adds a trunk that was just dialled or accepted.
  void add(std::shared_ptr<NodeLink> trunk);
  /// The far side's hello has arrived: the trunk is open. Claimed addresses are believed where the connection itself
  /// vouches for them; `ours` are never believed. Returns the trunks that we dialled and that are not preferred any
  /// more: the caller drains them.
  std::vector<std::shared_ptr<NodeLink>> identify(const std::shared_ptr<NodeLink>& trunk, const RemoteNode& remote,
                                                  const std::vector<std::string>& ours);
  /// The trunk takes no new circuits from now on.
  void set_draining(const std::shared_ptr<NodeLink>& trunk);
  /// The trunk is over, for this reason: it has no names any more, and stays in `all` until it is erased.
  void set_over(const std::shared_ptr<NodeLink>& trunk, End reason = {});
  void erase(const std::shared_ptr<Link>& trunk);

  /// The trunk to use for an address ("tcp://...", "node://ID"); null when there is none.
  std::shared_ptr<NodeLink> find(std::string_view address) const;
  /// The preferred trunk to a node; null when there is none.
  std::shared_ptr<NodeLink> find(const NodeId& node) const;
  /// In the order in which they were added.
  const std::vector<std::shared_ptr<NodeLink>>& all() const noexcept { return all_; }
  std::size_t size() const noexcept { return all_.size(); }

 private:
  bool is_usable(const NodeLink& trunk) const noexcept;
  bool is_better(const NodeLink& newer, const NodeLink& older) const noexcept;
  void take_names(const std::shared_ptr<NodeLink>& trunk);
  static bool is_own_pin(const NodeLink& trunk, std::string_view claim);
  std::string believed(const NodeLink& trunk, std::string_view claim, const std::vector<std::string>& ours) const;

  NodeId own_;
  const Media& media_;
  std::vector<std::shared_ptr<NodeLink>> all_;
  std::map<std::string, std::shared_ptr<NodeLink>, std::less<>> by_address_;
  std::map<NodeId, std::shared_ptr<NodeLink>> by_node_; // the preferred ones
};

} // namespace trunkline
