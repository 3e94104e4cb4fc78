// Connects to far nodes when they are needed: one attempt for all senders that wait, with growing pauses after
// failures.
#pragma once

#include "peer/channel/connections.hpp"
#include "peer/channel/state.hpp"

#include <cstdint>
#include <exception>
#include <optional>
#include <string>

namespace trunkline {

class Dialler {
 public:
  Dialler(NetworkState& state, Connections& connections) : state_(state), connections_(connections) {}

  /// As Network::connect.
  awaitable<NodeId> connect(Alive alive, std::string address);
  /// Waits for a connection, and returns why there is none if that fails. `patient`: at the limit of connections it
  /// waits until one can be closed.
  awaitable<SendResult> ensure_connected(Alive alive, RemotePointer remote, bool patient);

  std::uint64_t dials() const noexcept { return dials_; }

 private:
  struct Attempt {
    SendResult result;
    bool cost = false; // a resolver or a far end was asked: the next attempt has to wait
  };
  class Dialling;

  awaitable<void> attempt(Alive alive, RemotePointer remote);
  awaitable<Attempt> try_addresses(RemotePointer remote);
  SendResult dial_failed(Remote& remote, const std::exception_ptr& failure);
  bool has_new_address(const Remote& remote);
  /// The node at the far end of the connection to an address.
  std::optional<NodeId> connected_at(const std::string& address, bool also_draining);
  /// Makes room for one more connection; false when there are too many and none is idle.
  bool make_room();

  NetworkState& state_;
  Connections& connections_;
  std::uint64_t dials_ = 0;
  std::uint32_t dialling_ = 0; // in flight
};

} // namespace trunkline
