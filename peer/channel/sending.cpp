// The part of a network that sends: order, deadlines, acks, broadcasts.
#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "peer/channel/core.hpp"
#include "fragment/quote.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline {
namespace {

using namespace asio::experimental::awaitable_operators;
using boost::system::system_error;

constexpr std::size_t taken_recently_max = 256;

std::size_t bytes_of(const Args& metadata) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : metadata) bytes += key.size() + value.size();
  return bytes;
}

} // namespace

bool is_aborted(const system_error& thrown) { return thrown.code() == asio::error::operation_aborted; }

std::string node_text(const NodeId& node) { return "node " + node.to_string(); }

Fragment fragment_of(std::int32_t op, std::int64_t number, Message& message) {
  Fragment fragment(op);
  fragment.part = number;
  fragment.payload = message.payload.slice(0, message.payload.size());
  fragment.args = message.metadata;
  return fragment;
}

// Results.

SendResult NetworkCore::note(Remote& remote, ChannelState& channel, std::size_t bytes, SendResult result) {
  for (Traffic* const traffic : {static_cast<Traffic*>(&remote.metrics), &channel.traffic}) {
    if (result) {
      ++traffic->messages_sent;
      traffic->bytes_sent += bytes;
    } else {
      ++traffic->send_failures[static_cast<std::size_t>(result.error)];
    }
  }
  remote.used = now();
  return result;
}

SendResult NetworkCore::failure_of(const Remote& remote, const system_error& thrown) const {
  const std::string text = node_text(remote.id) + ": " + trunkline::text_of(thrown);
  if (phase_ != Phase::running) return {SendError::closed, "this network stops; " + text};
  if (thrown.code() == error::fragment_too_large) return {SendError::too_large, text};
  if (thrown.code() == error::no_service) return {SendError::unknown_channel, text};
  if (thrown.code() == error::circuit_limit_reached) return {SendError::connection_limit, text};
  if (thrown.code() == error::timed_out) return {SendError::timed_out, text};
  return {SendError::connection_lost, text};
}

// Sending.

/// A send that waits, in all figures that show it.
class NetworkCore::Sending {
 public:
  Sending(CorePointer core, RemotePointer remote, std::shared_ptr<ChannelState> channel, std::size_t bytes, Kind kind)
      : core_(std::move(core)), remote_(std::move(remote)), channel_(std::move(channel)), bytes_(bytes),
        outbox_(remote_->outboxes.try_emplace(channel_->name).first) {
    place_.emplace(outbox_->second, bytes, kind != Kind::one_shot);
    ++core_->sends_running_;
    ++remote_->busy;
    for (Traffic* const traffic : {static_cast<Traffic*>(&remote_->metrics), &channel_->traffic}) {
      traffic->queue_bytes += bytes;
      ++traffic->queue_messages;
    }
  }
  Sending(const Sending&) = delete;
  Sending& operator=(const Sending&) = delete;
  ~Sending() {
    handed_over();
    --remote_->busy;
    --core_->sends_running_;
    core_->sends_changed_.notify_all();
  }

  Outbox::Place& place() noexcept { return *place_; }
  /// It waits no longer, but for its ack perhaps.
  void handed_over() noexcept {
    if (!place_) return;
    place_.reset();
    if (outbox_->second.messages() == 0) remote_->outboxes.erase(outbox_);
    for (Traffic* const traffic : {static_cast<Traffic*>(&remote_->metrics), &channel_->traffic}) {
      traffic->queue_bytes -= bytes_;
      --traffic->queue_messages;
    }
  }

 private:
  CorePointer core_;
  RemotePointer remote_;
  std::shared_ptr<ChannelState> channel_;
  std::size_t bytes_;
  std::map<std::string, Outbox>::iterator outbox_;
  std::optional<Outbox::Place> place_;
};

awaitable<SendResult> NetworkCore::send(CorePointer core, std::shared_ptr<ChannelState> channel, NodeId to,
                                        Message message, Duration deadline, Kind kind, bool patient) {
  if (core->phase_ != Phase::running)
    co_return SendResult(SendError::closed,
                         core->phase_ == Phase::idle ? "this network is not started" : "this network stops");
  if (to == core->node_.id() || to.empty())
    co_return SendResult(to.empty() ? SendError::unknown_node : SendError::itself,
                         node_text(to) + " cannot be sent to");
  const RemotePointer remote = core->remote(to);
  const std::size_t bytes = message.payload.size();
  const auto before = remote->outboxes.find(channel->name);
  const std::size_t waiting = before == remote->outboxes.end() ? 0 : before->second.messages();

  // Most messages find their circuit open and with credit: nothing waits, and no timer is set.
  if (const std::shared_ptr<Line> line =
          kind == Kind::pooled && waiting == 0 ? core->usable_line(*remote, *channel) : nullptr;
      line && !line->circuit.congested()) {
    Fragment fragment(op_message);
    fragment.payload = std::move(message.payload);
    fragment.args = std::move(message.metadata);
    SendResult result;
    SendOutcome outcome = SendOutcome::no_credit;
    try {
      outcome = line->circuit.send_one_way(fragment);
    } catch (const system_error& thrown) {
      result = core->failure_of(*remote, thrown);
    }
    if (outcome == SendOutcome::queued) {
      line->carried_unacked = true;
      ++core->reuses_;
      ++remote->metrics.reuses;
    }
    if (outcome == SendOutcome::queued || !result) co_return core->note(*remote, *channel, bytes, std::move(result));
    message.payload = std::move(fragment.payload);
    message.metadata = std::move(fragment.args);
  }

  const std::size_t weight = bytes + bytes_of(message.metadata);
  const std::size_t queued = waiting == 0 ? 0 : before->second.bytes();
  if (waiting > 0 && queued + weight > core->options_.queue_bytes_max)
    co_return core->note(
        *remote, *channel, bytes,
        SendResult(SendError::queue_full,
                   fmt::format("{}: {} bytes wait already on channel {}, and {} more exceed queue_bytes_max {}",
                               node_text(to), queued, quote(channel->name), weight, core->options_.queue_bytes_max)));
  if (kind != Kind::one_shot) {
    remote->one_shot = false;
  } else if (!remote->connecting && !core->node_.link_with(to)) {
    remote->one_shot = true;
  }
  if (core->node_.link_with(to)) {
    ++core->reuses_;
    ++remote->metrics.reuses;
  }
  if (deadline <= Duration::zero()) deadline = core->options_.send_deadline;
  const TimePoint due = core->now() + deadline;
  Sending sending(core, remote, channel, weight, kind);
  SendResult result;
  try {
    result = co_await within(deadline, send_waiting(core, channel, remote, std::move(message), kind, patient, sending));
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) {
      if (kind == Kind::one_shot) core->end_one_shot(*remote, 1);
      throw;
    }
    result = core->failure_of(*remote, thrown);
  }
  if (kind == Kind::one_shot) {
    const std::shared_ptr<Trunk> ending = core->end_one_shot(*remote, 1);
    if (ending) co_await wait_until_over(core, ending, due);
  }
  co_return core->note(*remote, *channel, bytes, std::move(result));
}

awaitable<SendResult> NetworkCore::send_waiting(CorePointer core, std::shared_ptr<ChannelState> channel,
                                                RemotePointer remote, Message message, Kind kind, bool patient,
                                                Sending& sending) {
  for (;;) {
    while (!sending.place().is_next(core->usable_line(*remote, *channel).get())) co_await sending.place().changed();
    SendResult result = co_await ensure_connected(core, remote, patient);
    if (!result) co_return result;
    if (kind == Kind::one_shot) {
      result = co_await write_once(core, channel, remote, std::move(message));
      co_return result;
    }
    bool again = false;
    result = co_await send_on_line(core, channel, remote, message, kind, sending, again);
    if (!again) co_return result;
  }
}

/// Sets `again` when nothing was sent and another connection, or somebody else's turn, comes first.
awaitable<SendResult> NetworkCore::send_on_line(CorePointer core, std::shared_ptr<ChannelState> channel,
                                                RemotePointer remote, Message& message, Kind kind, Sending& sending,
                                                bool& again) {
  std::shared_ptr<Line> line = core->usable_line(*remote, *channel);
  if (!sending.place().is_next(line.get())) { // the connection was another one meanwhile
    again = true;
    co_return SendResult();
  }
  if (!line) {
    const auto found = remote->lines.find(channel->name);
    if (found != remote->lines.end()) core->retire(remote, std::shared_ptr<Line>(found->second));
    const auto before = remote->retiring.find(channel->name);
    if (before != remote->retiring.end()) {
      // What was sent on the circuit before comes first.
      const std::shared_ptr<Line> retiring = before->second;
      while (!retiring->ended) co_await retiring->changed.wait();
      again = true;
      co_return SendResult();
    }
  }
  SendResult result;
  std::int64_t number = 0;
  struct Waiting {
    std::shared_ptr<Line> line;
    std::int64_t number = 0;
    ~Waiting() {
      if (line) line->waiting.erase(number);
    }
  } waiting;
  try {
    if (!line) line = core->open_line(remote, channel);
    if (kind == Kind::acked) {
      if (line->waiting.size() >= core->options_.acks_outstanding_max)
        co_return SendResult(SendError::queue_full,
                             fmt::format("{}: acks_outstanding_max {} messages wait for their ack",
                                         node_text(remote->id), core->options_.acks_outstanding_max));
      number = ++line->number_last;
      line->waiting.emplace(number, false);
      waiting.line = line;
      waiting.number = number;
    } else {
      line->carried_unacked = true;
    }
    Fragment fragment = fragment_of(kind == Kind::acked ? op_acked : op_message, number, message);
    sending.place().enter(line.get());
    co_await line->circuit.send(std::move(fragment));
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    sending.place().enter(nullptr);
    result = core->failure_of(*remote, thrown);
    again = result.error == SendError::connection_lost;
    if (again && line) line->over = true;
    co_return result;
  }
  sending.handed_over();
  message = Message();
  if (kind == Kind::acked) result = co_await wait_for_ack(core, remote, line, number);
  co_return result;
}

awaitable<SendResult> NetworkCore::wait_for_ack(CorePointer core, RemotePointer remote, std::shared_ptr<Line> line,
                                                std::int64_t number) {
  for (;;) {
    if (line->waiting[number]) co_return SendResult();
    if (line->ended) {
      const bool unknown = line->end.code == error::no_service;
      const bool stops = core->phase_ != Phase::running;
      co_return SendResult(stops     ? SendError::closed
                           : unknown ? SendError::unknown_channel
                                     : SendError::connection_lost,
                           unknown ? node_text(remote->id) + ": " + line->end.text
                                   : fmt::format("{}: no ack: {}", node_text(remote->id), line->end.to_string()));
    }
    co_await line->changed.wait();
  }
}

void NetworkCore::on_ack(Line& line, std::int64_t number) {
  const auto found = line.waiting.find(number);
  if (found != line.waiting.end() && !found->second) {
    found->second = true;
    ++acks_.taken;
    line.taken_recently.push_back(number);
    if (line.taken_recently.size() > taken_recently_max) line.taken_recently.pop_front();
    line.changed.notify_all();
  } else if (std::find(line.taken_recently.begin(), line.taken_recently.end(), number) != line.taken_recently.end()) {
    ++acks_.duplicate;
  } else if (number >= 1 && number <= line.number_last) {
    ++acks_.late;
  } else {
    ++acks_.unknown;
  }
}

// Broadcasts.

struct NetworkCore::Broadcast {
  std::shared_ptr<ChannelState> channel;
  std::vector<NodeId> to;
  Message message;
  Kind kind;
  TimePoint due;
  std::vector<SendResult> results;
  std::vector<std::size_t> unconnected; // their places in `to`
  std::size_t next = 0; // of those
};

awaitable<std::vector<SendResult>> NetworkCore::broadcast(CorePointer core, std::shared_ptr<ChannelState> channel,
                                                          std::vector<NodeId> to, Message message,
                                                          BroadcastOptions options) {
  if (options.deadline <= Duration::zero()) options.deadline = core->options_.send_deadline;
  if (options.concurrency == 0) options.concurrency = std::max<std::size_t>(1, core->options_.broadcast_concurrency);
  const auto all = std::make_shared<Broadcast>();
  all->channel = std::move(channel);
  all->results.resize(to.size());
  all->to = std::move(to);
  all->message = std::move(message);
  all->kind = options.acked ? Kind::acked : Kind::pooled;
  all->due = core->now() + options.deadline;
  Tasks tasks(core->executor_); // goes when this is cancelled, and they with it
  for (std::size_t i = 0; i < all->to.size(); ++i) {
    // Those who are connected wait for nobody who is not, and there are no more of them than connections.
    if (core->node_.link_with(all->to[i])) tasks.spawn(broadcast_to(core, all, i));
    else all->unconnected.push_back(i);
  }
  for (std::size_t i = 0; i < std::min(options.concurrency, all->unconnected.size()); ++i)
    tasks.spawn(broadcast_some(core, all));
  co_await tasks.join();
  co_return std::move(all->results);
}

awaitable<void> NetworkCore::broadcast_some(CorePointer core, std::shared_ptr<Broadcast> all) {
  while (all->next < all->unconnected.size()) {
    const std::size_t mine = all->unconnected[all->next++];
    const Duration left = all->due - core->now();
    if (left <= Duration::zero()) {
      all->results[mine] =
          SendResult(SendError::timed_out, node_text(all->to[mine]) + ": the deadline passed before its turn");
      ++all->channel->traffic.send_failures[static_cast<std::size_t>(SendError::timed_out)];
      continue;
    }
    co_await broadcast_to(core, all, mine);
  }
}

/// Waits for a connection that may give way, too: most targets of a large broadcast will be idle before its deadline.
awaitable<void> NetworkCore::broadcast_to(CorePointer core, std::shared_ptr<Broadcast> all, std::size_t mine) {
  Message copy(all->message.payload.slice(0, all->message.payload.size()), all->message.metadata);
  all->results[mine] =
      co_await send(core, all->channel, all->to[mine], std::move(copy), all->due - core->now(), all->kind, true);
}

} // namespace trunkline
