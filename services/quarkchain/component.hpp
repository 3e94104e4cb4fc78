// A slave and a master as components, for processes in which they live beside others.
#pragma once

#include "async/component/component.hpp"
#include "services/quarkchain/master/master_node.hpp"
#include "services/quarkchain/slave/slave_node.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace trunkline::quarkchain {

/// Ready when it listens, done when it is closed. The loss of the master, where the slave does not wait for a new one,
/// is irrecoverable; that somebody stops the slave is not.
class SlaveComponent final : public Component {
 public:
  SlaveComponent(Executor executor, std::string name, std::shared_ptr<SlaveNode> node,
                 std::chrono::milliseconds stop_deadline = std::chrono::seconds(2));

  SlaveNode& node() noexcept { return *node_; }
  /// The real one, once it is ready.
  const std::string& address() const noexcept { return address_; }

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;

 private:
  std::shared_ptr<SlaveNode> node_;
  std::chrono::milliseconds stop_deadline_;
  std::string address_;
};

/// Ready when the cluster is booted, which waits for its slaves as long as it takes; done when it is closed. A
/// BootFailure is irrecoverable, and so is the loss of a slave where the master ends with it.
class MasterComponent final : public Component {
 public:
  MasterComponent(Executor executor, std::string name, std::shared_ptr<MasterNode> node,
                  std::chrono::milliseconds stop_deadline = std::chrono::seconds(2));

  MasterNode& node() noexcept { return *node_; }

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;

 private:
  std::shared_ptr<MasterNode> node_;
  std::chrono::milliseconds stop_deadline_;
};

} // namespace trunkline::quarkchain
