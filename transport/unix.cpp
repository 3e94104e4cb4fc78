#include "transport/unix.hpp"

#include "fragment/error.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"
#include "transport/socket.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

namespace trunkline {
namespace {

using asio::local::stream_protocol;
using boost::system::error_code;

constexpr std::string_view prefix = "unix:";
constexpr std::string_view form_of_address = "unix:/path";
constexpr std::size_t path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;

std::string parse_path(std::string_view address) {
  std::string path(parse_after(address, prefix, form_of_address));
  if (path.size() > path_bytes_max)
    throw_transport_text(make_error_code(error::bad_url), "unix socket path of " + std::to_string(path.size()) +
                                                              " bytes exceeds the system's " +
                                                              std::to_string(path_bytes_max) + ": " + path);
  return path;
}

/// Which file a path stands for now.
struct FileIdentity {
  dev_t device;
  ino_t inode;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

std::optional<FileIdentity> socket_file_at(const std::string& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return std::nullopt;
  return FileIdentity{.device = status.st_dev, .inode = status.st_ino};
}

/// True when the path is a socket file whose listener is gone.
bool is_stale(const Executor& executor, const std::string& path) {
  if (!socket_file_at(path)) return false;
  stream_protocol::socket probe(executor); // never blocks: a live listener's queue may be full
  if (open_socket(probe, stream_protocol())) return false;
  const stream_protocol::endpoint endpoint(path);
  const int connected = ::connect(probe.native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size()));
  return connected != 0 && errno == ECONNREFUSED;
}

error_code bind_and_listen(stream_protocol::acceptor& acceptor, const std::string& path, const SocketOptions& options) {
  const stream_protocol::endpoint endpoint(path);
  error_code failure = open_socket(acceptor, endpoint.protocol());
  if (failure) return failure;
  set_options(acceptor.native_handle(), options, false);
  acceptor.bind(endpoint, failure);
  if (failure == asio::error::address_in_use && is_stale(acceptor.get_executor(), path)) {
    ::unlink(path.c_str());
    acceptor.bind(endpoint, failure);
  }
  if (failure) return failure;
  acceptor.listen(backlog_of(options), failure);
  return failure;
}

/// A client of a socket file has no address; its process id is better than nothing.
std::string remote_of(StreamSocket& accepted, const std::string& address) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(accepted.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return address;
  return address + " (pid " + std::to_string(credentials.pid) + ")";
}

awaitable<std::unique_ptr<Transport>> dial_unix(std::string address, SocketOptions options) {
  const Executor executor = co_await asio::this_coro::executor;
  const stream_protocol::endpoint endpoint(parse_path(address));
  stream_protocol::socket socket(executor);
  const error_code unopened = open_socket(socket, endpoint.protocol());
  if (unopened) throw_transport_error(unopened, "cannot connect to " + address);
  set_options(socket.native_handle(), options, false);
  const auto [failure] = co_await socket.async_connect(endpoint, asio::as_tuple(asio::use_awaitable));
  if (failure == asio::error::operation_aborted) throw_aborted();
  if (failure) throw_transport_error(failure, "cannot connect to " + address);
  co_return make_socket_transport(StreamSocket(std::move(socket)), std::move(address), {});
}

class UnixMedium final : public Medium {
 public:
  explicit UnixMedium(SocketOptions options) : options_(options) {}

  std::string_view scheme() const noexcept override { return scheme_of(prefix); }
  std::string_view form() const noexcept override { return form_of_address; }
  bool has_hosts() const noexcept override { return false; }
  bool has_ports() const noexcept override { return false; }
  bool is_local() const noexcept override { return true; }

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    return dial_unix(std::move(address), options_);
  }

  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view where) override {
    const std::string address(where);
    const std::string path = parse_path(address);
    stream_protocol::acceptor acceptor(executor);
    const error_code failure = bind_and_listen(acceptor, path, options_);
    if (failure) throw_transport_error(failure, "cannot listen on " + address);

    auto adopt = [address, options = options_](StreamSocket accepted) {
      set_options(accepted.native_handle(), options, false);
      std::string remote = remote_of(accepted, address);
      return make_socket_transport(std::move(accepted), std::move(remote), {});
    };
    auto remove = [path, ours = socket_file_at(path)] {
      if (ours && socket_file_at(path) == ours) ::unlink(path.c_str());
    };
    return make_socket_listener(StreamAcceptor(std::move(acceptor)),
                                {.address = address, .adopt = std::move(adopt), .on_close = std::move(remove)});
  }

 private:
  SocketOptions options_;
};

} // namespace

std::shared_ptr<Medium> make_unix_medium(SocketOptions options) { return std::make_shared<UnixMedium>(options); }

} // namespace trunkline
