// A Node as a component, for processes that use nodes but no channels.
#pragma once

#include "async/component/component.hpp"
#include "peer/node.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace trunkline {

/// Ready when it listens on all addresses, done when the node is closed. Register services before the start.
class NodeComponent final : public Component {
 public:
  NodeComponent(std::string name, Node node, std::vector<std::string> listen,
                std::chrono::milliseconds stop_deadline = std::chrono::seconds(2))
      : Component(node.executor(), std::move(name)), node_(std::move(node)), listen_(std::move(listen)),
        stop_deadline_(stop_deadline) {}

  Node& node() noexcept { return node_; }

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;

 private:
  Node node_;
  std::vector<std::string> listen_;
  std::chrono::milliseconds stop_deadline_;
};

} // namespace trunkline
