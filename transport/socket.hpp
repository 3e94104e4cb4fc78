// Stream sockets as Transport and Listener. The media of stream sockets share this and differ only in their addresses.
// Only their .cpp files include it.
#pragma once

#include "transport/socket_options.hpp"
#include "transport/transport.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/system/error_code.hpp>

#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <string>

namespace trunkline {

using StreamSocket = asio::generic::stream_protocol::socket;
using StreamAcceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

/// Opens what Asio's `open` would, but closed on exec from its first moment: between socket() and a later fcntl another
/// thread may start a program, which then holds our port and our connections. Takes any socket or acceptor of Asio.
template <class Socket>
boost::system::error_code open_socket(Socket& socket, const typename Socket::protocol_type& protocol);
/// A descriptor of its own, for the template above: -1 and errno.
int new_stream_socket(int family, int protocol) noexcept;

/// Sets what a medium is told to set, as far as the system takes it. Buffers: before connecting or listening.
void set_options(int socket, const SocketOptions& options, bool is_tcp) noexcept;

/// For listen().
int backlog_of(const SocketOptions& options) noexcept;

/// The host that an address names: an IPv4 address that is mapped into IPv6 as the IPv4 address that it is.
std::string host_of(const asio::ip::address& address);

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

template <class Socket>
boost::system::error_code open_socket(Socket& socket, const typename Socket::protocol_type& protocol) {
  const int descriptor = new_stream_socket(protocol.family(), protocol.protocol());
  if (descriptor < 0) return boost::system::error_code(errno, boost::system::system_category());
  boost::system::error_code failure;
  socket.assign(protocol, descriptor, failure);
  if (failure) ::close(descriptor);
  return failure;
}

} // namespace trunkline
