#include "tests/sim/sim_node.hpp"

#include "tests/sim/drivers.hpp"
#include "tests/sim/services.hpp"

#include <exception>
#include <string_view>
#include <utility>

namespace trunkline::sim {

SimNode::SimNode(Stage& stage, std::string host, SimNodeOptions options)
    : stage_(stage),
      host_(std::move(host)),
      options_(std::move(options)),
      network_(plant(options_.bug, stage.world.network(host_), stage.world.random("bug at " + host_))) {
  stage_.world.on_crash(host_, [this] { crash(); });
  stage_.world.on_restart(host_, [this] { boot(); });
  boot();
}

void SimNode::boot() {
  NodeOptions options;
  options.name = host_;
  options.limits = options_.limits;
  options.random = stage_.world.random(host_);
  options.networks["sim"] = network_;
  if (options_.log)
    options.log = [this](LogLevel, std::string_view text) {
      options_.log(to_text(stage_.world.now()) + " " + host_ + ": " + std::string(text));
    };
  node_ = std::make_shared<Node>(stage_.world.executor(), std::move(options));
  register_services(*node_, stage_);
  node_->listen("sim://" + host_);

  // What leaves a driver is none of the failures that it expects.
  drivers_ = std::make_unique<Tasks>(stage_.world.executor(), [this](std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& thrown) {
      stage_.violations.report("a driver on " + host_ + " failed: " + thrown.what());
    }
  });
  for (std::uint64_t i = 0; i < options_.drivers; ++i) {
    const std::uint64_t seed = stage_.world.random("driver at " + host_)();
    drivers_->spawn(drive(Driver(host_, node_, node_->new_peer("driver")), stage_, Random(seed)));
  }
}

void SimNode::crash() {
  drivers_.reset();
  node_.reset();
}

awaitable<void> SimNode::shut(std::shared_ptr<SimNode> self, Random random) {
  const EndingChecker::Running running(self->stage_.endings, "shutting down " + self->host_);
  const std::shared_ptr<Node> node = std::exchange(self->node_, nullptr);
  const std::uint64_t way = random.below(3);
  if (way == 0) co_await node->drain(std::chrono::seconds(5));
  if (way != 2) co_await node->close();
}

} // namespace trunkline::sim
