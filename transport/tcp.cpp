#include "transport/tcp.hpp"

#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "transport/address.hpp"
#include "transport/connect_race.hpp"
#include "transport/failure.hpp"
#include "transport/socket.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

std::string address_of(const std::string& scheme, const tcp::endpoint& endpoint) {
  return to_address(scheme, host_of(endpoint.address()), endpoint.port());
}

std::unique_ptr<Transport> make_tcp_transport(StreamSocket socket, const std::string& scheme,
                                              const tcp::endpoint& remote) {
  return make_socket_transport(std::move(socket), address_of(scheme, remote), host_of(remote.address()));
}

/// What a dial or a listen is about; in the frame of a dial, because the medium may go while it runs.
struct Request {
  std::string context; // of its error texts
  HostPort where;
  TcpOptions options;
  std::shared_ptr<Names> names;
  std::string scheme;
};

std::optional<asio::ip::address> as_number(const std::string& host) {
  error_code not_numeric;
  const auto address = asio::ip::make_address(host, not_numeric);
  if (not_numeric) return std::nullopt;
  return address;
}

std::string unresolved(const Request& request, const Names::Answer& answer) {
  std::string text = fmt::format("{}: the name {} was not resolved within resolve_deadline {} ms", request.context,
                                 quote(request.where.host), request.options.resolve_deadline.count());
  if (answer.queued) text += fmt::format(", {} other names had no answer either", request.names->lookups_running());
  return text;
}

awaitable<std::vector<asio::ip::address>> resolve(Request& request) {
  Names::Answer answer = co_await request.names->look_up(request.where.host, in_nanoseconds(request.options.resolve_deadline));
  if (answer.failure == asio::error::timed_out) throw_transport_text(answer.failure, unresolved(request, answer));
  if (answer.failure) throw_transport_error(answer.failure, request.context);
  co_return std::move(answer.addresses);
}

awaitable<std::unique_ptr<Transport>> connect(Request& request, std::string& progress) {
  std::vector<asio::ip::address> addresses;
  const std::optional<asio::ip::address> number = as_number(request.where.host);
  if (number) {
    addresses.push_back(*number);
  } else {
    progress = fmt::format("the name {} is not resolved yet", quote(request.where.host));
    addresses = co_await resolve(request);
  }
  const bool alone = number.has_value();
  const auto race = std::make_shared<ConnectRace>(addresses, request.where.port, request.options);
  std::optional<tcp::socket> socket;
  try {
    socket = co_await ConnectRace::run(race);
  } catch (...) {
    progress = alone ? std::string() : race->tried(false);
    throw;
  }
  if (!socket) throw_transport_text(race->failure(), request.context + ": " + race->tried(alone));
  co_return make_tcp_transport(StreamSocket(std::move(*socket)), request.scheme, race->winner());
}

awaitable<std::unique_ptr<Transport>> dial_tcp(std::string address, TcpOptions options, std::shared_ptr<Names> names,
                                               std::string scheme) {
  Request request{.context = "cannot connect to " + address,
                  .where = parse_host_port_address(address, scheme),
                  .options = options,
                  .names = names ? std::move(names) : Names::system(),
                  .scheme = std::move(scheme)};
  std::string progress; // for whoever gives the dial up
  try {
    co_return co_await connect(request, progress);
  } catch (const boost::system::system_error& thrown) {
    if (thrown.code() != asio::error::operation_aborted || progress.empty()) throw;
    throw_transport_text(thrown.code(), progress);
  }
}

/// The first address of the name that can be bound; blocks while a name is resolved.
std::vector<asio::ip::address> addresses_to_listen_on(const Request& request) {
  if (const auto number = as_number(request.where.host)) return {*number};
  Names::Answer answer = request.names->look_up_blocking(request.where.host, in_nanoseconds(request.options.resolve_deadline));
  if (answer.failure == asio::error::timed_out) throw_transport_text(answer.failure, unresolved(request, answer));
  if (answer.failure) throw_transport_error(answer.failure, request.context);
  return std::move(answer.addresses);
}

error_code bind_and_listen(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, const SocketOptions& options) {
  error_code failure = open_socket(acceptor, endpoint.protocol());
  if (failure) return failure;
  set_options(acceptor.native_handle(), options, true);
  acceptor.set_option(asio::socket_base::reuse_address(true), failure);
  if (!failure) acceptor.bind(endpoint, failure);
  if (!failure) acceptor.listen(backlog_of(options), failure);
  return failure;
}

std::unique_ptr<Transport> adopt_tcp(StreamSocket accepted, const std::string& scheme, const SocketOptions& options) {
  set_options(accepted.native_handle(), options, true);
  error_code failure;
  const auto remote = accepted.remote_endpoint(failure);
  if (failure) return nullptr;
  tcp::endpoint endpoint;
  std::memcpy(endpoint.data(), remote.data(), remote.size());
  endpoint.resize(remote.size());
  return make_tcp_transport(std::move(accepted), scheme, endpoint);
}

class TcpMedium final : public Medium {
 public:
  TcpMedium(TcpOptions options, std::shared_ptr<Names> names, std::string_view scheme)
      : options_(options), names_(std::move(names)), scheme_(scheme), form_(scheme_ + "://host:port") {}

  std::string_view scheme() const noexcept override { return scheme_; }
  std::string_view form() const noexcept override { return form_; }
  bool has_hosts() const noexcept override { return true; }
  bool has_ports() const noexcept override { return true; }
  bool is_local() const noexcept override { return false; }

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    return dial_tcp(std::move(address), options_, names_, scheme_);
  }

  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    const Request request{.context = "cannot listen on " + std::string(address),
                          .where = parse_host_port_address(address, scheme_),
                          .options = options_,
                          .names = names_ ? names_ : Names::system(),
                          .scheme = scheme_};
    error_code failure = asio::error::host_not_found;
    for (const asio::ip::address& number : addresses_to_listen_on(request)) {
      tcp::acceptor acceptor(executor);
      failure = bind_and_listen(acceptor, tcp::endpoint(number, request.where.port), options_.sockets);
      if (failure) continue;
      const tcp::endpoint bound = acceptor.local_endpoint();
      const auto adopt = [options = options_.sockets, scheme = scheme_](StreamSocket accepted) {
        return adopt_tcp(std::move(accepted), scheme, options);
      };
      return make_socket_listener(StreamAcceptor(std::move(acceptor)),
                                  {.address = address_of(scheme_, bound), .adopt = adopt, .on_close = {}});
    }
    throw_transport_error(failure, request.context);
  }

 private:
  TcpOptions options_;
  std::shared_ptr<Names> names_; // null: the system's
  std::string scheme_;
  std::string form_;
};

} // namespace

std::shared_ptr<Medium> make_tcp_medium(TcpOptions options, std::shared_ptr<Names> names, std::string_view scheme) {
  return std::make_shared<TcpMedium>(options, std::move(names), scheme);
}

} // namespace trunkline
