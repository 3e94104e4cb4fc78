// One node of the honest program: it acts on others, serves them, and now and then ends and comes back.
#pragma once

#include "async/tasks.hpp"
#include "peer/node.hpp"
#include "tests/sim/honest_stage.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace trunkline::sim {

class HonestNode {
 public:
  HonestNode(HonestStage& stage, std::string host, std::function<void(const std::string&)> log);
  HonestNode(const HonestNode&) = delete;
  HonestNode& operator=(const HonestNode&) = delete;

  std::size_t acts_running() const noexcept { return acts_ ? acts_->running() : 0; }
  /// Services that failed and were not to.
  void check_failures();

  /// Acts at its own rate until the stage is stopping.
  static awaitable<void> keep_acting(std::shared_ptr<HonestNode> self, Random random);
  /// Drains, closes and comes back, until the stage is stopping.
  static awaitable<void> keep_rebooting(std::shared_ptr<HonestNode> self, Random random);
  static awaitable<void> shut(std::shared_ptr<HonestNode> self, Random random);

 private:
  void boot();

  HonestStage& stage_;
  std::string host_;
  std::function<void(const std::string&)> log_;
  std::shared_ptr<Random> moods_; // when its callbacks throw, and whom it stays connected with
  NodeId id_; // of all nodes of this host; none when each draws its own
  std::shared_ptr<Node> node_;
  std::shared_ptr<LocalPeer> peer_;
  std::unique_ptr<Tasks> acts_;
  std::uint64_t failures_ = 0; // of services of earlier nodes
};

} // namespace trunkline::sim
