// The links of a node as they open and end, kept until a task looks at them: the node reports them while it dispatches
// events, when it must not be called back. Shared with the node, which may live longer than the network.
#pragma once

#include "async/signal.hpp"
#include "peer/node.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <utility>

namespace trunkline {

class LinkChanges {
 public:
  using Change = std::pair<LinkChange, LinkInfo>;

  /// Options of a node that reports its links to `changes`, and to the callback that `options` has already.
  static NodeOptions reporting_to(std::shared_ptr<LinkChanges> changes, NodeOptions options);

  /// The oldest change that was not taken yet.
  std::optional<Change> next();
  /// Returns when there is a change to take.
  awaitable<void> wait();
  /// Later changes are not kept.
  void stop() noexcept { is_stopped_ = true; }

 private:
  std::deque<Change> pending_;
  bool is_stopped_ = false;
  Signal changed_;
};

} // namespace trunkline
