#include "peer/channel/broadcast.hpp"

#include "fragment/deadline.hpp"

#include <algorithm>
#include <utility>

namespace trunkline {

Broadcast::Broadcast(Alive alive, NetworkState& state, Sender& sender, std::shared_ptr<ChannelState> channel,
                     std::vector<NodeId> to, Message message, BroadcastOptions options)
    : alive_(std::move(alive)), state_(state), sender_(sender), channel_(std::move(channel)), to_(std::move(to)),
      message_(std::move(message)), options_(options), results_(to_.size()) {
  if (options_.deadline <= Duration::zero()) options_.deadline = in_nanoseconds(state_.options().send_deadline);
  if (options_.concurrency == 0)
    options_.concurrency = std::max<std::size_t>(1, state_.options().broadcast_concurrency);
}

awaitable<std::vector<SendResult>> Broadcast::run(std::shared_ptr<Broadcast> broadcast) {
  broadcast->due_ = after(broadcast->state_.now(), broadcast->options_.deadline);
  Tasks tasks(broadcast->state_.executor()); // cancels the sends when this is cancelled
  for (std::size_t place = 0; place < broadcast->to_.size(); ++place) {
    // Connected nodes are sent to at once; there are at most as many as connections.
    if (broadcast->state_.node().link_with(broadcast->to_[place])) tasks.spawn(send_one(broadcast, place));
    else broadcast->unconnected_.push_back(place);
  }
  for (std::size_t i = 0; i < std::min(broadcast->options_.concurrency, broadcast->unconnected_.size()); ++i)
    tasks.spawn(send_some(broadcast));
  co_await tasks.join();
  co_return std::move(broadcast->results_);
}

awaitable<void> Broadcast::send_some(std::shared_ptr<Broadcast> broadcast) {
  Broadcast& all = *broadcast;
  while (all.next_ < all.unconnected_.size()) {
    const std::size_t place = all.unconnected_[all.next_++];
    co_await send_one(broadcast, place);
  }
}

/// Waits at the limit of connections until one gives way: most targets of a large broadcast are idle before its
/// deadline.
awaitable<void> Broadcast::send_one(std::shared_ptr<Broadcast> broadcast, std::size_t place) {
  Broadcast& all = *broadcast;
  const Duration left = all.due_ - all.state_.now();
  if (left <= Duration::zero()) { // which Sender would take for no deadline of its own
    all.results_[place] =
        SendResult(SendError::timed_out, node_text(all.to_[place]) + ": the deadline passed before its turn");
    ++all.channel_->traffic.send_failures[static_cast<std::size_t>(SendError::timed_out)];
    co_return;
  }
  Message copy(all.message_.payload.slice(0, all.message_.payload.size()), all.message_.metadata);
  const Sender::Kind kind = all.options_.acked ? Sender::Kind::acked : Sender::Kind::pooled;
  all.results_[place] = co_await all.sender_.send(all.alive_, all.channel_, all.to_[place], std::move(copy),
                                                  left, kind, true);
}

} // namespace trunkline
