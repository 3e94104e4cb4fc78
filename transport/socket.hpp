// Connected and listening stream sockets as Transport and Listener. tcp and unix differ in their addresses only, so
// both hand their sockets over here. Included by the .cpp files of the socket transports alone.
#pragma once

#include "transport/transport.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include <functional>
#include <memory>
#include <string>

namespace trunkline {

using StreamSocket = asio::generic::stream_protocol::socket;
using StreamAcceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

/// A connected socket as a transport; its executor is the socket's.
std::unique_ptr<Transport> make_socket_transport(StreamSocket socket, std::string remote, std::string remote_host);

/// What a listener needs beyond its socket.
struct ListenerPieces {
  std::string address;
  /// Makes a transport of an accepted socket, or null when the far end has gone already.
  std::function<std::unique_ptr<Transport>(StreamSocket)> adopt;
  /// Frees what the address holds beyond the socket; called once.
  std::function<void()> on_close;
};

/// A bound and listening socket as a listener.
std::unique_ptr<Listener> make_socket_listener(StreamAcceptor acceptor, ListenerPieces pieces);

} // namespace trunkline
