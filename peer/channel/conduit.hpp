// One end of a channel: sends to any node by its id. Finds or makes the connection as needed.
#pragma once

#include "async/types.hpp"
#include "fragment/error.hpp"
#include "fragment/fragment.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

class NetworkCore;
struct ChannelState;

/// What a channel carries: bytes, and metadata about them.
struct Message {
  Payload payload;
  Args metadata;

  Message() = default;
  Message(Payload bytes) : payload(std::move(bytes)) {}
  Message(std::string_view text) : payload(text) {}
  Message(const char* text) : payload(text) {}
  Message(std::string text) : payload(std::move(text)) {}
  Message(Payload bytes, Args about) : payload(std::move(bytes)), metadata(std::move(about)) {}
};

/// Why a message was not sent. No error is final: the next message may be sent.
enum class SendError : std::uint8_t {
  none,
  unknown_node,     // no address is known
  itself,           // the node is this one
  connect_failed,   // none of its addresses could be dialled, or it is not yet time to try again
  wrong_node,       // another node answered at its address
  connection_limit, // as many connections as there may be, and none of them idle
  timed_out,        // the deadline passed
  unknown_channel,  // the far node has no processor of this channel
  connection_lost,  // whether the message was taken is unknown
  too_large,
  queue_full,       // the backlog of this node is full
  closed,           // this side stops or has stopped
};
inline constexpr std::size_t send_errors_count = 12;

/// The enumerator in words.
std::string_view to_string(SendError error) noexcept;

/// The result of a send; true when the message was sent.
struct SendResult {
  SendError error = SendError::none;
  std::string text; // of an error: the node, and what happened

  SendResult() = default;
  SendResult(SendError why, std::string details) : error(why), text(std::move(details)) {}
  explicit operator bool() const noexcept { return error == SendError::none; }
};

/// Receives the messages of a channel, one call each. The origin is the node at the far end of the connection, not one
/// that the message names. Messages of one origin come one after another, those of several origins concurrently. A slow
/// processor slows this channel only. It may send messages itself. An exception is counted and drops that message only.
using Processor = std::function<awaitable<void>(NodeId origin, Message message)>;

/// Thrown by Network::register_processor.
class ProcessorAlreadyRegistered : public boost::system::system_error {
 public:
  explicit ProcessorAlreadyRegistered(const std::string& channel);
  const std::string& channel() const noexcept { return channel_; }

 private:
  std::string channel_;
};

struct BroadcastOptions {
  Duration deadline = Duration::zero(); // of the whole broadcast; zero: NetworkOptions::send_deadline
  std::size_t concurrency = 0; // connections to make at the same time; zero: NetworkOptions::broadcast_concurrency
  bool acked = false; // as send_acked to each

  BroadcastOptions() = default;
};

/// The handle of a registered processor, and the way to send on its channel. Dropping it unregisters the processor:
/// running calls go on, later messages find no processor. Move only; one executor; not thread safe.
class Conduit {
 public:
  Conduit() = default;
  Conduit(Conduit&&) noexcept = default;
  Conduit& operator=(Conduit&& other) noexcept;
  ~Conduit() { close(); }

  /// Empty once it is closed.
  const std::string& channel() const noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }
  /// Unregisters now. Waiting sends go on; later ones get SendError::closed. Idempotent.
  void close() noexcept;

  // Each waits at most until the deadline (zero: NetworkOptions::send_deadline). Expected failures are results.
  // Cancelled: throws operation_aborted, and the message may have been sent.
  /// Hands the message to the connection, which is found or made and kept. Messages to one node arrive in the order of
  /// the calls. True does not mean that it was received.
  awaitable<SendResult> send(NodeId to, Message message, Duration deadline = Duration::zero()) const;
  /// As `send`, and waits until the far processor has taken the message: until its call has returned.
  awaitable<SendResult> send_acked(NodeId to, Message message, Duration deadline = Duration::zero()) const;
  /// One shot: connects, sends, waits until the far side has it, and closes the connection if there was none before.
  awaitable<SendResult> write(NodeId to, Message message, Duration deadline = Duration::zero()) const;
  /// As `send` to each, to connected nodes at once. At the limit of connections it waits until some are idle and can be
  /// closed. The results are in the order of `to`; none is later than the deadline.
  awaitable<std::vector<SendResult>> broadcast(std::vector<NodeId> to, Message message,
                                               BroadcastOptions options = BroadcastOptions()) const;

 private:
  friend class NetworkCore;
  Conduit(std::shared_ptr<NetworkCore> core, std::shared_ptr<ChannelState> state)
      : core_(std::move(core)), state_(std::move(state)) {}

  std::shared_ptr<NetworkCore> core_;
  std::shared_ptr<ChannelState> state_;
};

} // namespace trunkline
