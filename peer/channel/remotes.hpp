// The far nodes that a network remembers, by id. When there are too many, records without a current use are dropped.
#pragma once

#include "async/clock.hpp"
#include "peer/channel/remote.hpp"
#include "peer/node.hpp"

#include <cstdint>
#include <map>
#include <memory>

namespace trunkline {

using RemotePointer = std::shared_ptr<Remote>;

class Remotes {
 public:
  Remotes(const Node& node, Clock& clock, std::uint32_t remembered_max)
      : node_(node), clock_(clock), remembered_max_(remembered_max) {}

  /// The record of a node, made when there is none.
  RemotePointer get(const NodeId& id);
  /// Null when there is no record.
  RemotePointer find(const NodeId& id) const;
  const std::map<NodeId, RemotePointer>& all() const noexcept { return remotes_; }
  /// Resumes everything that waits for a node to be connected.
  void wake_all();

 private:
  void forget_some();

  const Node& node_;
  Clock& clock_;
  std::uint32_t remembered_max_;
  std::map<NodeId, RemotePointer> remotes_;
};

} // namespace trunkline
