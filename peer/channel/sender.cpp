#include "peer/channel/sender.hpp"

#include "async/first_of.hpp"
#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "peer/channel/wire.hpp"


#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>

namespace trunkline {
namespace {

std::size_t bytes_of(const Args& metadata) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : metadata) bytes += key.size() + value.size();
  return bytes;
}

} // namespace

using boost::system::system_error;

/// A send that waits, as it is counted in the queues of its node and its channel.
class Sender::Sending {
 public:
  Sending(Sender& sender, RemotePointer remote, std::shared_ptr<ChannelState> channel, std::size_t bytes, Kind kind)
      : sender_(sender), remote_(std::move(remote)), channel_(std::move(channel)), bytes_(bytes),
        outbox_(remote_->outboxes.try_emplace(channel_->name).first) {
    place_.emplace(outbox_->second, bytes, kind != Kind::one_shot);
    ++sender_.running_;
    ++remote_->busy;
    for (Traffic* const traffic : traffic_of(*remote_, *channel_)) {
      traffic->queue_bytes += bytes;
      ++traffic->queue_messages;
    }
  }
  Sending(const Sending&) = delete;
  Sending& operator=(const Sending&) = delete;
  ~Sending() {
    handed_over();
    --remote_->busy;
    --sender_.running_;
    sender_.idle_changed_.notify_all();
  }

  Outbox::Place& place() noexcept { return *place_; }
  /// The message has left the queue; its sender may still wait for the ack.
  void handed_over() noexcept {
    if (!place_) return;
    place_.reset();
    if (outbox_->second.messages() == 0) remote_->outboxes.erase(outbox_);
    for (Traffic* const traffic : traffic_of(*remote_, *channel_)) {
      traffic->queue_bytes -= bytes_;
      --traffic->queue_messages;
    }
  }

 private:
  Sender& sender_;
  RemotePointer remote_;
  std::shared_ptr<ChannelState> channel_;
  std::size_t bytes_;
  std::map<std::string, Outbox>::iterator outbox_;
  std::optional<Outbox::Place> place_;
};

awaitable<SendResult> Sender::send(Alive alive, std::shared_ptr<ChannelState> channel, NodeId to, Message message,
                                   Duration deadline, Kind kind, bool patient) {
  if (!state_.is_running())
    co_return SendResult(SendError::closed, state_.phase() == NetworkState::Phase::idle ? "this network is not started"
                                                                                        : "this network stops");
  if (to == state_.node().id() || to.empty())
    co_return SendResult(to.empty() ? SendError::unknown_node : SendError::itself,
                         node_text(to) + " cannot be sent to");
  const RemotePointer remote = state_.remotes().get(to);
  const std::size_t bytes = message.payload.size();
  const auto before = remote->outboxes.find(channel->name);
  const std::size_t waiting = before == remote->outboxes.end() ? 0 : before->second.messages();
  if (kind == Kind::pooled && waiting == 0) {
    std::optional<SendResult> sent = send_now(*remote, *channel, message);
    if (sent) co_return note(*remote, *channel, bytes, std::move(*sent));
  }

  const std::size_t weight = bytes + bytes_of(message.metadata);
  const std::size_t queued = waiting == 0 ? 0 : before->second.bytes();
  if (waiting > 0 && queued + weight > state_.options().queue_bytes_max)
    co_return note(
        *remote, *channel, bytes,
        SendResult(SendError::queue_full,
                   fmt::format("{}: {} bytes wait already on channel {}, and {} more exceed queue_bytes_max {}",
                               node_text(to), queued, quote(channel->name), weight, state_.options().queue_bytes_max)));
  if (kind != Kind::one_shot) {
    remote->one_shot = false;
  } else if (!remote->connecting && !state_.node().link_with(to)) {
    remote->one_shot = true;
  }
  if (state_.node().link_with(to)) note_reuse(*remote);
  if (deadline <= Duration::zero()) deadline = in_nanoseconds(state_.options().send_deadline);
  const TimePoint due = after(state_.now(), deadline);
  Sending sending(*this, remote, channel, weight, kind);
  SendResult result;
  try {
    result =
        co_await within(deadline, send_waiting(alive, channel, remote, std::move(message), kind, patient, sending));
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) {
      if (kind == Kind::one_shot) connections_.end_one_shot(*remote, 1);
      throw;
    }
    result = state_.failure_of(*remote, thrown);
  }
  if (kind == Kind::one_shot) {
    const std::shared_ptr<Trunk> ending = connections_.end_one_shot(*remote, 1);
    if (ending) co_await connections_.wait_until_over(ending, due);
  }
  co_return note(*remote, *channel, bytes, std::move(result));
}

/// Most messages find their circuit open and with credit: then nothing waits, and no timer is set. Without a result the
/// message is untouched and has to wait.
std::optional<SendResult> Sender::send_now(Remote& remote, ChannelState& channel, Message& message) {
  const std::shared_ptr<Line> line = lines_.usable(remote, channel);
  if (!line || line->circuit().congested()) return std::nullopt;
  Fragment fragment(op_message);
  fragment.payload = std::move(message.payload);
  fragment.args = std::move(message.metadata);
  SendOutcome outcome = SendOutcome::no_credit;
  try {
    outcome = line->circuit().send_one_way(fragment);
  } catch (const system_error& thrown) {
    return state_.failure_of(remote, thrown);
  }
  if (outcome == SendOutcome::queued) {
    line->note_unacked();
    note_reuse(remote);
    return SendResult();
  }
  message.payload = std::move(fragment.payload);
  message.metadata = std::move(fragment.args);
  return std::nullopt;
}

awaitable<SendResult> Sender::send_waiting(Alive alive, std::shared_ptr<ChannelState> channel, RemotePointer remote,
                                           Message message, Kind kind, bool patient, Sending& sending) {
  for (;;) {
    while (!sending.place().is_next(lines_.usable(*remote, *channel).get())) co_await sending.place().changed();
    SendResult result = co_await dialler_.ensure_connected(alive, remote, patient);
    if (!result) co_return result;
    if (kind == Kind::one_shot) {
      result = co_await lines_.write_once(remote, channel, std::move(message));
      co_return result;
    }
    bool again = false;
    result = co_await send_on_line(alive, channel, remote, message, kind, sending, again);
    if (!again) co_return result;
  }
}

/// Sets `again` when nothing was sent, because another connection or an earlier message comes first.
awaitable<SendResult> Sender::send_on_line(Alive alive, std::shared_ptr<ChannelState> channel, RemotePointer remote,
                                           Message& message, Kind kind, Sending& sending, bool& again) {
  std::shared_ptr<Line> line = lines_.usable(*remote, *channel);
  if (!sending.place().is_next(line.get())) { // the connection was another one meanwhile
    again = true;
    co_return SendResult();
  }
  if (!line) {
    const auto found = remote->lines.find(channel->name);
    if (found != remote->lines.end()) lines_.retire(remote, std::shared_ptr<Line>(found->second));
    const auto before = remote->retiring.find(channel->name);
    if (before != remote->retiring.end()) {
      // What was sent on the circuit before comes first.
      const std::shared_ptr<Line> retiring = before->second;
      while (!retiring->has_ended()) co_await retiring->changed();
      again = true;
      co_return SendResult();
    }
  }
  SendResult result;
  std::int64_t number = 0;
  struct Expecting {
    std::shared_ptr<Line> line;
    std::int64_t number = 0;
    ~Expecting() {
      if (line) line->forget(number);
    }
  } expecting;
  try {
    if (!line) line = lines_.open(alive, remote, channel);
    if (kind == Kind::acked) {
      if (line->acks_outstanding() >= state_.options().acks_outstanding_max)
        co_return SendResult(SendError::queue_full,
                             fmt::format("{}: acks_outstanding_max {} messages wait for their ack",
                                         node_text(remote->id), state_.options().acks_outstanding_max));
      number = line->expect_ack();
      expecting.line = line;
      expecting.number = number;
    } else {
      line->note_unacked();
    }
    Fragment fragment = fragment_of(kind == Kind::acked ? op_acked : op_message, number, message);
    sending.place().enter(line.get());
    co_await line->circuit().send(std::move(fragment));
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    sending.place().enter(nullptr);
    result = state_.failure_of(*remote, thrown);
    again = result.error == SendError::connection_lost;
    if (again && line) line->retire();
    co_return result;
  }
  sending.handed_over();
  message = Message();
  if (kind == Kind::acked) result = co_await wait_for_ack(remote, line, number);
  co_return result;
}

awaitable<SendResult> Sender::wait_for_ack(RemotePointer remote, std::shared_ptr<Line> line, std::int64_t number) {
  for (;;) {
    if (line->is_acked(number)) co_return SendResult();
    if (line->has_ended()) {
      const bool unknown = line->end().code == error::no_service;
      co_return SendResult(!state_.is_running() ? SendError::closed
                           : unknown            ? SendError::unknown_channel
                                                : SendError::connection_lost,
                           unknown ? node_text(remote->id) + ": " + line->end().words()
                                   : fmt::format("{}: no ack: {}", node_text(remote->id), line->end().to_string()));
    }
    co_await line->changed();
  }
}

awaitable<void> Sender::wait_until_idle(TimePoint due) {
  while (running_ > 0 && state_.now() < due) co_await first_of(idle_changed_.wait(), sleep_until(due));
}

void Sender::note_reuse(Remote& remote) noexcept {
  ++reuses_;
  ++remote.metrics.reuses;
}

SendResult Sender::note(Remote& remote, ChannelState& channel, std::size_t bytes, SendResult result) {
  for (Traffic* const traffic : traffic_of(remote, channel)) {
    if (result) {
      ++traffic->messages_sent;
      traffic->bytes_sent += bytes;
    } else {
      ++traffic->send_failures[static_cast<std::size_t>(result.error)];
    }
  }
  remote.used = state_.now();
  return result;
}

} // namespace trunkline
