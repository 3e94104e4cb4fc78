// Stream sockets as Transport and Listener. The media of stream sockets share this and differ only in their addresses.
// Only their .cpp files include it.
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

/// Makes a transport of a connected socket, on the socket's executor.
std::unique_ptr<Transport> make_socket_transport(StreamSocket socket, std::string remote, std::string remote_host);

/// The parts of a socket listener that depend on its medium.
struct ListenerPieces {
  std::string address;
  /// Makes a transport of an accepted socket; null when the far end has gone already.
  std::function<std::unique_ptr<Transport>(StreamSocket)> adopt;
  /// Frees what the address holds beside the socket, a file for instance; called once.
  std::function<void()> on_close;
};

/// Makes a listener of a socket that is bound and listens.
std::unique_ptr<Listener> make_socket_listener(StreamAcceptor acceptor, ListenerPieces pieces);

} // namespace trunkline
