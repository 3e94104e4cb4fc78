// A Node as a component, for processes that use nodes but no channels.
#pragma once

#include "async/component/component.hpp"
#include "peer/node.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace trunkline {

/// Ready when it listens on all addresses, whether or not there is a connection to those of `keep_connected` yet; done when the node is closed. Register services before the start.
class NodeComponent final : public Component {
 public:
  NodeComponent(std::string name, Node node, std::vector<std::string> listen,
                std::chrono::milliseconds stop_deadline = std::chrono::seconds(2),
                std::vector<std::string> keep_connected = {})
      : Component(node.executor(), std::move(name)), node_(std::move(node)), listen_(std::move(listen)),
        stop_deadline_(stop_deadline), keep_connected_(std::move(keep_connected)) {}

  Node& node() noexcept { return node_; }

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;

 private:
  Node node_;
  std::vector<std::string> listen_;
  std::chrono::milliseconds stop_deadline_;
  std::vector<std::string> keep_connected_;
};

} // namespace trunkline
