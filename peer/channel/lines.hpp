// Opens, reads and retires the circuits on which this side sends: one per far node and channel, and one for each
// one-shot write.
#pragma once

#include "peer/channel/line.hpp"
#include "peer/channel/state.hpp"
#include "peer/local_peer.hpp"

#include <cstddef>
#include <memory>

namespace trunkline {

class Lines {
 public:
  explicit Lines(NetworkState& state) : state_(state) {}

  /// Starts the peer from which all circuits are opened.
  void start();
  void stop() noexcept { peer_.reset(); }

  /// The open line of a node and channel; null when there is none that can be sent on.
  std::shared_ptr<Line> usable(const Remote& remote, const ChannelState& channel) const;
  /// Opens a line and spawns its reader. It replaces the one before.
  std::shared_ptr<Line> open(const Alive& alive, const RemotePointer& remote,
                             const std::shared_ptr<ChannelState>& channel);
  /// Finishes a line, if it is still sent on. Messages sent before still arrive; its reader sees the far side finish
  /// too.
  void retire(const RemotePointer& remote, const std::shared_ptr<Line>& line);
  /// Finishes the lines of one connection, or with null all lines of the node.
  void retire_all(const RemotePointer& remote, const Trunk* trunk);

  /// Opens a circuit for one message and returns when the far side has taken it. An error of the circuit is returned as
  /// the result.
  awaitable<SendResult> write_once(RemotePointer remote, std::shared_ptr<ChannelState> channel, Message message);

  /// The counters of acks, including those outstanding now.
  AckMetrics acks() const;

 private:
  awaitable<void> read(Alive alive, RemotePointer remote, std::shared_ptr<ChannelState> channel,
                       std::shared_ptr<Line> line);

  NetworkState& state_;
  std::shared_ptr<LocalPeer> peer_; // null while the network does not run
  AckMetrics acks_;
};

} // namespace trunkline
