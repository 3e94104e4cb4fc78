// Accepts the circuits of far nodes and gives their messages to the processors, one message at a time for each far node
// and channel.
#pragma once

#include "peer/channel/state.hpp"
#include "peer/local_peer.hpp"

#include <cstdint>
#include <memory>
#include <set>
#include <string>

namespace trunkline {

class Receiver {
 public:
  explicit Receiver(NetworkState& state) : state_(state) {}

  /// The service of all channels. It ends with its peer, or at the next circuit after the network is gone.
  static awaitable<void> serve(std::weak_ptr<Receiver> weak, LocalPeer& peer, CircuitInbox& inbox);

  /// Messages for channels without a processor.
  std::uint64_t drops_unknown_channel() const noexcept { return drops_unknown_channel_; }

 private:
  class Counted;
  class DeliveryTurn;

  awaitable<void> receive(Alive alive, RemotePointer remote, Circuit circuit);
  awaitable<void> receive_all(RemotePointer remote, Circuit& circuit);
  awaitable<void> process(RemotePointer remote, std::shared_ptr<ChannelState> channel, Circuit& circuit,
                          Fragment fragment);
  void note_unknown_channel(Remote& remote, const std::string& name);

  NetworkState& state_;
  std::set<std::string> unknown_channels_logged_;
  std::uint64_t drops_unknown_channel_ = 0;
};

} // namespace trunkline
