#include "tests/sim/sim_node.hpp"

#include "async/clock.hpp"
#include "tests/sim/drivers.hpp"
#include "tests/sim/services.hpp"

#include <chrono>
#include <exception>
#include <string_view>
#include <utility>

namespace trunkline::sim {

SimNode::SimNode(Stage& stage, std::string host, SimNodeOptions options)
    : stage_(stage), host_(std::move(host)), options_(std::move(options)),
      medium_(plant(options_.bug, stage.world.medium(host_), stage.world.random("bug at " + host_))) {
  stage_.world.on_crash(host_, [this] { crash(); });
  stage_.world.on_restart(host_, [this] { boot(); });
  boot();
}

void SimNode::boot() {
  ++boots_;
  NodeOptions options;
  options.name = host_;
  options.limits = options_.limits;
  options.random = stage_.world.random(host_);
  options.media["sim"] = medium_;
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
  ++boots_;
  drivers_.reset();
  node_.reset();
}

awaitable<void> SimNode::keep_rebooting(std::shared_ptr<SimNode> self, Random random) {
  while (!self->stage_.stopping) {
    co_await sleep_for(std::chrono::milliseconds(random.magnitude(60'000)));
    const bool drained = random.one_in(2);
    if (self->node_ && !self->stage_.stopping) co_await reboot(self, drained);
  }
}

/// A crash in the middle of it makes it the world's business to boot again.
awaitable<void> SimNode::reboot(std::shared_ptr<SimNode> self, bool drained) {
  const EndingChecker::Running running(self->stage_.endings, "rebooting " + self->host_);
  const std::uint64_t boots = self->boots_;
  const std::shared_ptr<Node> node = std::exchange(self->node_, nullptr);
  const std::unique_ptr<Tasks> drivers = std::move(self->drivers_);
  if (drained) co_await node->drain(std::chrono::seconds(3)); // the drivers go on, and are told
  drivers->cancel();
  co_await drivers->join();
  co_await node->close();
  if (self->boots_ == boots) self->boot();
}

awaitable<void> SimNode::shut(std::shared_ptr<SimNode> self, Random random) {
  const EndingChecker::Running running(self->stage_.endings, "shutting down " + self->host_);
  const std::shared_ptr<Node> node = std::exchange(self->node_, nullptr);
  const std::uint64_t way = random.below(3);
  if (way == 0) co_await node->drain(std::chrono::seconds(5));
  if (way != 2) co_await node->close();
}

} // namespace trunkline::sim
