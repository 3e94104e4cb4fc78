// One node of a simulated run with its drivers: boots, reboots, crashes, comes back, shuts down.
#pragma once

#include "async/tasks.hpp"
#include "peer/node.hpp"
#include "tests/sim/planted.hpp"
#include "tests/sim/stage.hpp"

#include <functional>
#include <memory>
#include <string>

namespace trunkline::sim {

struct SimNodeOptions {
  Limits limits;
  Bug bug = Bug::none;
  std::uint64_t drivers = 2;
  std::function<void(const std::string&)> log;
};

class SimNode {
 public:
  /// Boots it, and lets the world crash and restart it.
  SimNode(Stage& stage, std::string host, SimNodeOptions options);
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;

  std::size_t drivers_running() const noexcept { return drivers_ ? drivers_->running() : 0; }
  NodeCounters counters() const { return node_ ? node_->counters() : NodeCounters(); }

  /// Now and then closes the node in an orderly way, drained or not, and makes a new one, until the stage is stopping.
  static awaitable<void> keep_rebooting(std::shared_ptr<SimNode> self, Random random);
  /// Ends the node in one of the ways that there are: drained and closed, closed, or dropped.
  static awaitable<void> shut(std::shared_ptr<SimNode> self, Random random);

 private:
  void boot();
  void crash();
  static awaitable<void> reboot(std::shared_ptr<SimNode> self, bool drained);

  Stage& stage_;
  std::string host_;
  SimNodeOptions options_;
  std::shared_ptr<Medium> medium_;
  std::shared_ptr<Node> node_;
  std::unique_ptr<Tasks> drivers_;
  std::uint64_t boots_ = 0; // and crashes, so far
};

} // namespace trunkline::sim
