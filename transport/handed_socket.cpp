#include "transport/handed_socket.hpp"

#include "transport/address.hpp"
#include "transport/failure.hpp"
#include "transport/socket.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <sys/socket.h>

#include <cstring>
#include <utility>

namespace trunkline {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

std::unique_ptr<Transport> adopt(StreamSocket accepted, const std::string& address, const SocketOptions& options) {
  const std::string scheme(scheme_of(address));
  const bool is_tcp = scheme != "unix";
  set_options(accepted.native_handle(), options, is_tcp);
  if (!is_tcp) return make_socket_transport(std::move(accepted), address, {});
  error_code failure;
  const auto remote = accepted.remote_endpoint(failure);
  if (failure) return nullptr; // it has gone already
  tcp::endpoint endpoint;
  std::memcpy(endpoint.data(), remote.data(), remote.size());
  endpoint.resize(remote.size());
  const std::string host = host_of(endpoint.address());
  return make_socket_transport(std::move(accepted), to_address(scheme, host, endpoint.port()), host);
}

} // namespace

std::unique_ptr<Listener> adopt_listening_socket(const Executor& executor, int descriptor, std::string address,
                                                 const SocketOptions& options) {
  int family = 0;
  socklen_t size = sizeof family;
  error_code failure;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0)
    failure = error_code(errno, boost::system::system_category());
  StreamAcceptor acceptor(executor);
  if (!failure) acceptor.assign(asio::generic::stream_protocol(family, family == AF_UNIX ? 0 : IPPROTO_TCP), descriptor, failure);
  if (!failure) acceptor.non_blocking(true, failure);
  if (failure) throw_transport_error(failure, "cannot take the socket of " + address);
  auto make = [address, options](StreamSocket accepted) { return adopt(std::move(accepted), address, options); };
  return make_socket_listener(std::move(acceptor), {.address = address, .adopt = std::move(make), .on_close = {}});
}

} // namespace trunkline
