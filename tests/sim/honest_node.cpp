#include "tests/sim/honest_node.hpp"

#include "async/clock.hpp"
#include "tests/sim/honest_acts.hpp"
#include "tests/sim/honest_services.hpp"
#include "tests/sim/old_side.hpp"

#include <chrono>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace trunkline::sim {

HonestNode::HonestNode(HonestStage& stage, std::string host, std::function<void(const std::string&)> log)
    : stage_(stage), host_(std::move(host)), log_(std::move(log)),
      moods_(std::make_shared<Random>(Random::derived(stage.world.seed(), host_ + " moods"))) {
  if (moods_->one_in(2)) id_ = NodeId::draw(stage_.world.random(host_ + " id"));
  boot();
}

void HonestNode::boot() {
  NodeOptions options;
  options.name = host_;
  options.limits = stage_.ledger.limits_of(host_); // those that everybody has, mostly
  options.random = stage_.world.random(host_);
  options.id = id_; // drawn anew for each unless it is to outlive them
  options.media["sim"] = stage_.world.medium(host_);
  if (stage_.old_hosts.contains(host_)) options.media["sim"] = of_old_side(options.media["sim"]);
  options.on_link = [this](LinkChange change, const LinkInfo& link) {
    if (change == LinkChange::over) stage_.ledger.link_over(host_, link);
    if (moods_->one_in(3)) throw std::runtime_error("the program throws");
  };
  options.log = [log = log_, moods = moods_, host = host_, &world = stage_.world](LogLevel, std::string_view text) {
    if (log) log(to_text(world.now()) + " " + host + ": " + std::string(text));
    if (moods->one_in(10)) throw std::runtime_error("the disk is full");
  };
  node_ = std::make_shared<Node>(stage_.world.executor(), std::move(options));
  stage_.node_ids[host_] = node_->id();
  register_honest_services(*node_, stage_);
  node_->listen("sim://" + host_);
  for (const std::string& other : stage_.hosts)
    if (other != host_ && moods_->one_in(4)) node_->keep_connected("sim://" + other);
  peer_ = node_->new_peer("program");
  acts_ = std::make_unique<Tasks>(stage_.world.executor(), [this](std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& thrown) {
      stage_.violations.report("an act on " + host_ + " failed: " + thrown.what());
    }
  });
}

void HonestNode::check_failures() {
  const std::uint64_t failed = failures_ + (node_ ? node_->counters().services_failed : 0);
  const std::uint64_t thrown = stage_.ledger.throws_at(host_);
  if (failed > thrown)
    stage_.violations.report("node " + host_ + " counts " + std::to_string(failed) + " services that failed, and " +
                             std::to_string(thrown) + " threw");
}

awaitable<void> HonestNode::keep_acting(std::shared_ptr<HonestNode> self, Random random) {
  constexpr std::size_t acts_max = 12;
  while (!self->stage_.stopping) {
    if (self->node_ && self->acts_->running() < acts_max)
      self->acts_->spawn(act(Actor(self->host_, self->node_, self->peer_), self->stage_, Random(random())));
    co_await sleep_for(std::chrono::microseconds(random.magnitude(5'000'000)));
  }
}

awaitable<void> HonestNode::keep_rebooting(std::shared_ptr<HonestNode> self, Random random) {
  while (!self->stage_.stopping) {
    co_await sleep_for(std::chrono::milliseconds(random.magnitude(90'000)));
    if (self->stage_.stopping) co_return;
    const EndingChecker::Running running(self->stage_.endings, "rebooting " + self->host_);
    const std::shared_ptr<Node> node = std::exchange(self->node_, nullptr);
    const std::unique_ptr<Tasks> acts = std::move(self->acts_);
    self->peer_.reset();
    self->stage_.ledger.closes(self->host_);
    if (random.one_in(2)) co_await node->drain(std::chrono::seconds(10)); // the acts go on, and are told
    acts->cancel();
    co_await acts->join();
    co_await node->close();
    self->failures_ += node->counters().services_failed;
    self->stage_.ledger.runs(self->host_);
    self->boot();
  }
}

awaitable<void> HonestNode::shut(std::shared_ptr<HonestNode> self, Random random) {
  const EndingChecker::Running running(self->stage_.endings, "shutting down " + self->host_);
  const std::shared_ptr<Node> node = std::exchange(self->node_, nullptr);
  self->peer_.reset();
  self->stage_.ledger.closes(self->host_);
  const std::uint64_t way = random.below(3);
  if (way == 0) co_await node->drain(std::chrono::seconds(5));
  if (way != 2) co_await node->close();
}

} // namespace trunkline::sim
