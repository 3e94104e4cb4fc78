// Sends messages to far nodes: in the order of the calls for each node and channel, within a deadline, with an ack if
// one is wanted.
#pragma once

#include "peer/channel/connections.hpp"
#include "peer/channel/dialler.hpp"
#include "peer/channel/lines.hpp"
#include "peer/channel/state.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace trunkline {

class Sender {
 public:
  enum class Kind : std::uint8_t { pooled, acked, one_shot };

  Sender(NetworkState& state, Lines& lines, Connections& connections, Dialler& dialler)
      : state_(state), lines_(lines), connections_(connections), dialler_(dialler) {}

  /// As Conduit::send, send_acked and write. `patient`: as Dialler::ensure_connected.
  awaitable<SendResult> send(Alive alive, std::shared_ptr<ChannelState> channel, NodeId to, Message message,
                             Duration deadline, Kind kind, bool patient = false);
  /// Returns when no send runs, at the latest at `due`.
  awaitable<void> wait_until_idle(TimePoint due);

  std::uint64_t reuses() const noexcept { return reuses_; }

 private:
  class Sending;

  std::optional<SendResult> send_now(Remote& remote, ChannelState& channel, Message& message);
  // The references live in the frame of `send`, which awaits these.
  awaitable<SendResult> send_waiting(Alive alive, std::shared_ptr<ChannelState> channel, RemotePointer remote,
                                     Message message, Kind kind, bool patient, Sending& sending);
  awaitable<SendResult> send_on_line(Alive alive, std::shared_ptr<ChannelState> channel, RemotePointer remote,
                                     Message& message, Kind kind, Sending& sending, bool& again);
  awaitable<SendResult> wait_for_ack(RemotePointer remote, std::shared_ptr<Line> line, std::int64_t number);
  void note_reuse(Remote& remote) noexcept;
  SendResult note(Remote& remote, ChannelState& channel, std::size_t bytes, SendResult result);

  NetworkState& state_;
  Lines& lines_;
  Connections& connections_;
  Dialler& dialler_;
  std::uint64_t reuses_ = 0;
  std::uint32_t running_ = 0;
  Signal idle_changed_;
};

} // namespace trunkline
