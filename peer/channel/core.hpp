// The parts of one network, put together, and its life. Each coroutine that runs for a network keeps it alive.
#pragma once

#include "peer/channel/broadcast.hpp"
#include "peer/channel/connections.hpp"
#include "peer/channel/dialler.hpp"
#include "peer/channel/lines.hpp"
#include "peer/channel/network.hpp"
#include "peer/channel/operators.hpp"
#include "peer/channel/receiver.hpp"
#include "peer/channel/sender.hpp"
#include "peer/channel/state.hpp"

#include <memory>
#include <string>
#include <vector>

namespace trunkline {

class NetworkCore : public std::enable_shared_from_this<NetworkCore> {
 public:
  NetworkCore(Executor executor, NetworkOptions options);

  void start();
  static awaitable<void> stop(std::shared_ptr<NetworkCore> core);
  /// For a network that is stopped before it has started.
  void close_unstarted() noexcept;

  // As the functions of Network and Conduit with the same names.
  Conduit register_processor(const std::string& channel, Processor processor);
  void unregister(const std::shared_ptr<ChannelState>& channel) noexcept { channel->processor = nullptr; }
  awaitable<NodeId> connect(std::string address);
  awaitable<SendResult> send(std::shared_ptr<ChannelState> channel, NodeId to, Message message, Duration deadline,
                             Sender::Kind kind);
  awaitable<std::vector<SendResult>> broadcast(std::shared_ptr<ChannelState> channel, std::vector<NodeId> to,
                                               Message message, BroadcastOptions options);
  NetworkMetrics metrics() const;
  Node& node() noexcept { return state_.node(); }
  AddressBook& book() noexcept { return state_.book(); }

 private:
  NetworkState state_;
  Lines lines_;
  Connections connections_;
  Dialler dialler_;
  Sender sender_;
  Receiver receiver_;
  Operators operators_;
};

} // namespace trunkline
