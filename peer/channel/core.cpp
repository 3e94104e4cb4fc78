#include "peer/channel/core.hpp"

#include "circuit/trunk.hpp"
#include "fragment/quote.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

/// The node tells of its trunks in the middle of things; a task looks at it later.
NodeOptions with_changes(NodeOptions options, std::shared_ptr<TrunkChanges> changes) {
  options.on_link = [changes = std::move(changes), theirs = options.on_link](LinkChange change, const LinkInfo& view) {
    if (theirs) theirs(change, view);
    if (!changes->wanted) return;
    changes->pending.emplace_back(change, view);
    changes->changed.notify_all();
  };
  return options;
}

NetworkOptions with_random(NetworkOptions options) {
  if (!options.node.random) {
    const auto device = std::make_shared<std::random_device>();
    options.node.random = [device] { return std::uint64_t{(*device)()} << 32 | (*device)(); };
  }
  return options;
}

} // namespace

std::uint64_t Traffic::failures() const noexcept {
  return std::accumulate(send_failures.begin(), send_failures.end(), std::uint64_t{0});
}

NetworkCore::NetworkCore(Executor executor, NetworkOptions options)
    : executor_(std::move(executor)), clock_(Clock::of(executor_)), options_(with_random(std::move(options))),
      node_(executor_, with_changes(options_.node, trunk_changes_)),
      tasks_(executor_, [this](std::exception_ptr failure) {
        log(LogLevel::error, "a task of the network threw: " + words_of(failure));
      }) {}

void NetworkCore::log(LogLevel level, const std::string& text) const {
  if (options_.node.log) options_.node.log(level, escape(text, 4096));
}

// Registration.

Conduit NetworkCore::register_processor(const std::string& channel, Processor processor) {
  if (phase_ == Phase::stopping || phase_ == Phase::closed)
    throw_error(error::node_closed, fmt::format("channel {} comes too late: the network has stopped", quote(channel)));
  const std::size_t name_bytes_max = options_.node.limits.name_bytes_max;
  if (channel.empty() || channel.size() > name_bytes_max || channel.front() == '#')
    throw std::invalid_argument(fmt::format("channel {} is not a name of 1 to {} bytes that does not begin with #",
                                            quote(channel), name_bytes_max));
  if (!processor) throw std::invalid_argument("channel " + quote(channel) + " needs a processor");
  std::shared_ptr<ChannelState>& state = channels_[channel];
  if (!state) {
    state = std::make_shared<ChannelState>();
    state->name = channel;
  }
  if (state->processor) throw ProcessorAlreadyRegistered(channel);
  state->processor = std::make_shared<const Processor>(std::move(processor));
  return {shared_from_this(), state};
}

void NetworkCore::unregister(const std::shared_ptr<ChannelState>& channel) noexcept { channel->processor = nullptr; }

// Life.

void NetworkCore::start() {
  node_.register_service(
      network_service,
      [weak = weak_from_this()](LocalPeer& peer, CircuitInbox& inbox) { return serve(weak, peer, inbox); }, 1);
  if (options_.answers_operators)
    node_.serve(operator_service,
                [weak = weak_from_this()](Circuit circuit) { return answer_operator(weak, std::move(circuit)); });
  peer_ = node_.start_local_peer(network_service);
  tasks_.spawn(watch_trunks(shared_from_this()));
  tasks_.spawn(watch_idle(shared_from_this()));
  phase_ = Phase::running;
  for (const std::string& address : options_.listen) node_.listen(address);
}

void NetworkCore::close_unstarted() noexcept {
  phase_ = Phase::closed;
  trunk_changes_->wanted = false;
}

awaitable<void> NetworkCore::stop(std::shared_ptr<NetworkCore> core) {
  using namespace asio::experimental::awaitable_operators;
  const auto wake_everybody = [&core] {
    for (const auto& [id, remote] : core->remotes_) remote->changed.notify_all();
  };
  core->phase_ = Phase::stopping;
  wake_everybody(); // those who wait for a connection
  const TimePoint due = core->now() + core->options_.stop_deadline;

  Tasks draining(core->executor_);
  draining.spawn(core->node_.drain(core->options_.stop_deadline)); // the ports are free from its beginning
  while (core->sends_running_ > 0 && core->now() < due)
    co_await (core->sends_changed_.wait() || sleep_until(due)); // on connections that are there
  for (const auto& [id, remote] : core->remotes_)
    for (const auto& [name, line] : std::map(remote->lines)) core->retire(remote, line);
  co_await draining.join();

  core->phase_ = Phase::closed;
  core->trunk_changes_->wanted = false;
  wake_everybody();
  core->tasks_.cancel();
  co_await core->node_.close();
  co_await core->tasks_.join();
  core->peer_.reset();
}

// Far nodes.

NetworkCore::RemotePointer NetworkCore::remote(const NodeId& id) {
  RemotePointer& entry = remotes_[id];
  if (!entry) {
    entry = std::make_shared<Remote>(id);
    entry->used = now();
    const RemotePointer made = entry;
    if (remotes_.size() > options_.nodes_remembered_max) forget_some_remotes();
    return made;
  }
  return entry;
}

/// Half of those that are of no use now, the longest unused first: so that it is not done for each new one.
void NetworkCore::forget_some_remotes() {
  std::vector<RemotePointer> unused;
  for (const auto& [id, entry] : remotes_)
    if (entry.use_count() == 1 && entry->busy == 0 && entry->circuits_in == 0 && !entry->connecting &&
        entry->lines.empty() && entry->retiring.empty() && !node_.link_with(id))
      unused.push_back(entry);
  std::sort(unused.begin(), unused.end(), [](const auto& one, const auto& other) { return one->used < other->used; });
  unused.resize((unused.size() + 1) / 2);
  for (const RemotePointer& entry : unused) remotes_.erase(entry->id);
}

NetworkMetrics NetworkCore::metrics() const {
  NetworkMetrics metrics;
  for (const auto& [name, channel] : channels_) {
    metrics.channels.emplace(name, channel->traffic);
    metrics.processor_failures += channel->traffic.processor_failures;
    metrics.queue_bytes += channel->traffic.queue_bytes;
    metrics.queue_messages += channel->traffic.queue_messages;
  }
  for (const auto& [id, entry] : remotes_) metrics.peers.emplace(id, entry->metrics);
  for (const LinkInfo& view : node_.links()) {
    ++(view.dialled ? metrics.connections_outbound : metrics.connections_inbound);
    PeerMetrics& peer = metrics.peers[view.node];
    peer.connected = true;
    peer.dialled = view.dialled;
    peer.remote = view.remote;
    peer.name = view.name;
  }
  metrics.acks = acks_;
  for (const auto& [id, entry] : remotes_)
    for (const auto& [name, line] : entry->lines) metrics.acks.waiting += line->waiting.size();
  metrics.dials = dials_;
  metrics.reuses = reuses_;
  metrics.drops_unknown_channel = drops_unknown_channel_;
  metrics.evictions = evictions_;
  metrics.connections_turned_away = turned_away_;
  return metrics;
}

} // namespace trunkline
