#include "peer/channel/conduit.hpp"

#include "peer/channel/core.hpp"
#include "fragment/quote.hpp"

namespace trunkline {

std::string_view to_string(SendError error) noexcept {
  switch (error) {
    case SendError::none: return "none";
    case SendError::unknown_node: return "unknown node";
    case SendError::itself: return "itself";
    case SendError::connect_failed: return "connect failed";
    case SendError::wrong_node: return "wrong node";
    case SendError::connection_limit: return "connection limit";
    case SendError::timed_out: return "timed out";
    case SendError::unknown_channel: return "unknown channel";
    case SendError::connection_lost: return "connection lost";
    case SendError::too_large: return "too large";
    case SendError::queue_full: return "queue full";
    case SendError::closed: return "closed";
  }
  return "unknown";
}

ProcessorAlreadyRegistered::ProcessorAlreadyRegistered(const std::string& channel)
    : system_error(make_error_code(error::already_registered), "channel " + quote(channel) + " has a processor"),
      channel_(channel) {}

Conduit& Conduit::operator=(Conduit&& other) noexcept {
  if (this != &other) {
    close();
    core_ = std::move(other.core_);
    state_ = std::move(other.state_);
  }
  return *this;
}

void Conduit::close() noexcept {
  if (state_) core_->unregister(state_);
  state_.reset();
  core_.reset();
}

const std::string& Conduit::channel() const noexcept {
  static const std::string none;
  return state_ ? state_->name : none;
}

namespace {

SendResult no_channel() { return {SendError::closed, "the conduit is closed"}; }

awaitable<SendResult> refuse() { co_return no_channel(); }

awaitable<std::vector<SendResult>> refuse_all(std::size_t count) {
  co_return std::vector<SendResult>(count, no_channel());
}

} // namespace

awaitable<SendResult> Conduit::send(NodeId to, Message message, Duration deadline) const {
  if (!state_) return refuse();
  return core_->send(state_, to, std::move(message), deadline, Sender::Kind::pooled);
}

awaitable<SendResult> Conduit::send_acked(NodeId to, Message message, Duration deadline) const {
  if (!state_) return refuse();
  return core_->send(state_, to, std::move(message), deadline, Sender::Kind::acked);
}

awaitable<SendResult> Conduit::write(NodeId to, Message message, Duration deadline) const {
  if (!state_) return refuse();
  return core_->send(state_, to, std::move(message), deadline, Sender::Kind::one_shot);
}

awaitable<std::vector<SendResult>> Conduit::broadcast(std::vector<NodeId> to, Message message,
                                                      BroadcastOptions options) const {
  if (!state_) return refuse_all(to.size());
  return core_->broadcast(state_, std::move(to), std::move(message), std::move(options));
}

} // namespace trunkline
