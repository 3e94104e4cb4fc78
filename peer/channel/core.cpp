#include "peer/channel/core.hpp"

#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "peer/channel/wire.hpp"

#include <fmt/format.h>

#include <numeric>
#include <utility>

namespace trunkline {

std::uint64_t Traffic::failures() const noexcept {
  return std::accumulate(send_failures.begin(), send_failures.end(), std::uint64_t{0});
}

NetworkCore::NetworkCore(Executor executor, NetworkOptions options)
    : state_(std::move(executor), std::move(options)), lines_(state_), connections_(state_, lines_),
      dialler_(state_, connections_), sender_(state_, lines_, connections_, dialler_), receiver_(state_),
      operators_(state_, [this] { return metrics(); }) {}

Conduit NetworkCore::register_processor(const std::string& channel, Processor processor) {
  if (state_.phase() == NetworkState::Phase::stopping || state_.phase() == NetworkState::Phase::closed)
    throw_error(error::node_closed, fmt::format("channel {} comes too late: the network has stopped", quote(channel)));
  std::shared_ptr<ChannelState> added =
      state_.channels().add(channel, std::move(processor), state_.options().node.limits.name_bytes_max);
  return {shared_from_this(), std::move(added)};
}

void NetworkCore::start() {
  const std::shared_ptr<NetworkCore> self = shared_from_this();
  const std::weak_ptr<Receiver> receiver = std::shared_ptr<Receiver>(self, &receiver_);
  const std::weak_ptr<Operators> operators = std::shared_ptr<Operators>(self, &operators_);
  ServiceOptions receiving(1);
  receiving.runs_on = true; // what has arrived over a connection that is lost is processed all the same
  node().register_service(
      network_service,
      [receiver](LocalPeer& peer, CircuitInbox& inbox) { return Receiver::serve(receiver, peer, inbox); }, receiving);
  if (state_.options().answers_operators)
    node().serve(operator_service,
                 [operators](Circuit circuit) { return Operators::answer(operators, std::move(circuit)); });
  lines_.start();
  state_.tasks().spawn(connections_.watch(self));
  state_.tasks().spawn(connections_.watch_idle(self));
  state_.enter(NetworkState::Phase::running);
  for (const std::string& address : state_.options().listen) node().listen(address);
}

void NetworkCore::close_unstarted() noexcept {
  state_.enter(NetworkState::Phase::closed);
  state_.link_changes().stop();
}

awaitable<void> NetworkCore::stop(std::shared_ptr<NetworkCore> core) {
  NetworkState& state = core->state_;
  state.enter(NetworkState::Phase::stopping);
  state.remotes().wake_all(); // senders that wait for a connection give up
  const Duration deadline = in_nanoseconds(state.options().stop_deadline);
  const TimePoint due = after(state.now(), deadline);

  Tasks draining(state.executor());
  draining.spawn(state.node().drain(deadline)); // the ports are free from its beginning
  co_await core->sender_.wait_until_idle(due); // sends on open connections
  for (const auto& [id, remote] : state.remotes().all()) core->lines_.retire_all(remote, nullptr);
  co_await draining.join();

  state.enter(NetworkState::Phase::closed);
  state.link_changes().stop();
  state.remotes().wake_all();
  state.tasks().cancel();
  co_await state.node().close();
  co_await state.tasks().join();
  core->lines_.stop();
}

awaitable<NodeId> NetworkCore::connect(std::string address) {
  return dialler_.connect(shared_from_this(), std::move(address));
}

awaitable<SendResult> NetworkCore::send(std::shared_ptr<ChannelState> channel, NodeId to, Message message,
                                        Duration deadline, Sender::Kind kind) {
  return sender_.send(shared_from_this(), std::move(channel), to, std::move(message), deadline, kind);
}

awaitable<std::vector<SendResult>> NetworkCore::broadcast(std::shared_ptr<ChannelState> channel, std::vector<NodeId> to,
                                                          Message message, BroadcastOptions options) {
  return Broadcast::run(std::make_shared<Broadcast>(shared_from_this(), state_, sender_, std::move(channel),
                                                    std::move(to), std::move(message), options));
}

NetworkMetrics NetworkCore::metrics() const {
  NetworkMetrics metrics;
  state_.channels().add_to(metrics);
  for (const auto& [id, remote] : state_.remotes().all()) metrics.peers.emplace(id, remote->metrics);
  connections_.add_to(metrics);
  metrics.acks = lines_.acks();
  metrics.dials = dialler_.dials();
  metrics.reuses = sender_.reuses();
  metrics.drops_unknown_channel = receiver_.drops_unknown_channel();
  return metrics;
}

} // namespace trunkline
