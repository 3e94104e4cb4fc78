// One message to many nodes: at once to those that are connected, and to the others with a limited number of
// connections in the making.
#pragma once

#include "peer/channel/sender.hpp"
#include "peer/channel/state.hpp"

#include <cstddef>
#include <memory>
#include <vector>

namespace trunkline {

class Broadcast {
 public:
  Broadcast(Alive alive, NetworkState& state, Sender& sender, std::shared_ptr<ChannelState> channel,
            std::vector<NodeId> to, Message message, BroadcastOptions options);

  /// Runs a broadcast to its end; as Conduit::broadcast. Cancelled: so are the sends that run.
  static awaitable<std::vector<SendResult>> run(std::shared_ptr<Broadcast> broadcast);

 private:
  static awaitable<void> send_some(std::shared_ptr<Broadcast> broadcast);
  static awaitable<void> send_one(std::shared_ptr<Broadcast> broadcast, std::size_t place);

  Alive alive_;
  NetworkState& state_;
  Sender& sender_;
  std::shared_ptr<ChannelState> channel_;
  std::vector<NodeId> to_;
  Message message_;
  BroadcastOptions options_;
  TimePoint due_{};
  std::vector<SendResult> results_; // in the order of `to_`
  std::vector<std::size_t> unconnected_; // places in `to_`
  std::size_t next_ = 0; // in `unconnected_`
};

} // namespace trunkline
