#include "transport/tcp.hpp"

#include "async/signal.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"
#include "transport/socket.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstring>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

constexpr std::string_view tcp_scheme = "tcp";

std::string host_of(const tcp::endpoint& endpoint) {
  const asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  return address.to_string();
}

std::string address_of(const tcp::endpoint& endpoint) {
  return to_address(tcp_scheme, host_of(endpoint), endpoint.port());
}

std::unique_ptr<Transport> make_tcp_transport(StreamSocket socket, const tcp::endpoint& remote) {
  error_code ignored; // a connection that just broke says so at its first read
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  return make_socket_transport(std::move(socket), address_of(remote), host_of(remote));
}

/// The answer of the system's resolver, which cannot be interrupted: it is waited for in here, and a wait that is
/// cancelled leaves it behind.
struct Resolution {
  explicit Resolution(const Executor& executor) : resolver(executor) {}

  tcp::resolver resolver;
  Signal answered;
  bool done = false;
  error_code failure;
  std::vector<tcp::endpoint> endpoints;
};

awaitable<std::vector<tcp::endpoint>> resolve(HostPort where, std::string context) {
  error_code not_numeric;
  const auto address = asio::ip::make_address(where.host, not_numeric);
  if (!not_numeric) co_return std::vector<tcp::endpoint>(1, tcp::endpoint(address, where.port));

  const Executor executor = co_await asio::this_coro::executor;
  const auto resolution = std::make_shared<Resolution>(executor);
  resolution->resolver.async_resolve(where.host, std::to_string(where.port), tcp::resolver::numeric_service,
                                     [resolution](error_code failure, tcp::resolver::results_type results) {
                                       resolution->done = true;
                                       resolution->failure = failure;
                                       for (const auto& entry : results)
                                         resolution->endpoints.push_back(entry.endpoint());
                                       resolution->answered.notify_all();
                                     });
  while (!resolution->done) co_await resolution->answered.wait();
  if (resolution->failure) throw_transport_error(resolution->failure, context);
  co_return std::move(resolution->endpoints);
}

/// A connection to a local port without a listener can meet itself, when the port that the system picks for it
/// is the same.
bool connected_to_itself(const tcp::socket& socket) {
  error_code local_failure;
  error_code remote_failure;
  const auto local = socket.local_endpoint(local_failure);
  const auto remote = socket.remote_endpoint(remote_failure);
  return !local_failure && !remote_failure && local == remote;
}

awaitable<std::unique_ptr<Transport>> dial_tcp(std::string address) {
  const Executor executor = co_await asio::this_coro::executor;
  const std::string context = "cannot connect to " + address;
  HostPort where = parse_host_port_address(address, tcp_scheme);
  const auto endpoints = co_await resolve(std::move(where), context);

  error_code failure = asio::error::host_not_found;
  for (const tcp::endpoint& endpoint : endpoints) {
    tcp::socket socket(executor);
    socket.open(endpoint.protocol(), failure);
    if (failure) continue;
    const auto [connected] = co_await socket.async_connect(endpoint, asio::as_tuple(asio::use_awaitable));
    failure = connected;
    if (failure == asio::error::operation_aborted) throw_aborted();
    if (!failure && connected_to_itself(socket)) failure = asio::error::connection_refused;
    if (!failure) co_return make_tcp_transport(StreamSocket(std::move(socket)), endpoint);
  }
  throw_transport_error(failure, context);
}

/// The first address of the name that can be bound; blocks while a name is resolved.
std::vector<tcp::endpoint> endpoints_to_listen_on(const Executor& executor, const HostPort& where,
                                                  const std::string& context) {
  error_code failure;
  const auto address = asio::ip::make_address(where.host, failure);
  if (!failure) return {tcp::endpoint(address, where.port)};

  tcp::resolver resolver(executor);
  const auto results = resolver.resolve(where.host, std::to_string(where.port),
                                        tcp::resolver::passive | tcp::resolver::numeric_service, failure);
  if (failure) throw_transport_error(failure, context);
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : results) endpoints.push_back(entry.endpoint());
  return endpoints;
}

error_code bind_and_listen(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  error_code failure;
  acceptor.open(endpoint.protocol(), failure);
  if (!failure) acceptor.set_option(asio::socket_base::reuse_address(true), failure);
  if (!failure) acceptor.bind(endpoint, failure);
  if (!failure) acceptor.listen(asio::socket_base::max_listen_connections, failure);
  return failure;
}

std::unique_ptr<Transport> adopt_tcp(StreamSocket accepted) {
  error_code failure;
  const auto remote = accepted.remote_endpoint(failure);
  if (failure) return nullptr;
  tcp::endpoint endpoint;
  std::memcpy(endpoint.data(), remote.data(), remote.size());
  endpoint.resize(remote.size());
  return make_tcp_transport(std::move(accepted), endpoint);
}

class TcpMedium final : public Medium {
 public:
  std::string_view scheme() const noexcept override { return tcp_scheme; }
  std::string_view form() const noexcept override { return "tcp://host:port"; }
  bool has_hosts() const noexcept override { return true; }
  bool has_ports() const noexcept override { return true; }
  bool is_local() const noexcept override { return false; }

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override { return dial_tcp(std::move(address)); }

  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    const std::string context = "cannot listen on " + std::string(address);
    const HostPort where = parse_host_port_address(address, tcp_scheme);
    error_code failure = asio::error::host_not_found;
    for (const tcp::endpoint& endpoint : endpoints_to_listen_on(executor, where, context)) {
      tcp::acceptor acceptor(executor);
      failure = bind_and_listen(acceptor, endpoint);
      if (failure) continue;
      const tcp::endpoint bound = acceptor.local_endpoint();
      return make_socket_listener(StreamAcceptor(std::move(acceptor)),
                                  {.address = address_of(bound), .adopt = adopt_tcp, .on_close = {}});
    }
    throw_transport_error(failure, context);
  }
};

} // namespace

std::shared_ptr<Medium> make_tcp_medium() { return std::make_shared<TcpMedium>(); }

} // namespace trunkline
