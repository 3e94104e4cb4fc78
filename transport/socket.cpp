#include "transport/socket.hpp"

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "transport/failure.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/assert.hpp>

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

using boost::system::error_code;

constexpr auto as_result_tuple = asio::as_tuple(asio::use_awaitable);

error_code last_error() noexcept { return error_code(errno, boost::system::system_category()); }

bool would_block(const error_code& code) noexcept {
  return code == asio::error::would_block || code == asio::error::try_again || code == asio::error::interrupted;
}

/// How far a gathered write has come.
struct WriteCursor {
  std::span<const std::span<const std::byte>> pieces; // the first one holds what is next
  std::size_t offset = 0;                             // bytes of the first piece already written

  bool done() const noexcept { return pieces.empty(); }
  void skip_written(std::size_t bytes) noexcept {
    bytes += offset;
    while (!pieces.empty() && bytes >= pieces.front().size()) {
      bytes -= pieces.front().size();
      pieces = pieces.subspan(1);
    }
    offset = bytes;
  }
};

/// Where a read puts what it gets: into the second place when the first is full.
struct ReadInto {
  std::span<std::byte> first;
  std::span<std::byte> rest = {};

  std::size_t size() const noexcept { return first.size() + rest.size(); }
};

/// Shared by the transport and its pending reads and writes; it lives as long as any of them.
class SocketState {
 public:
  SocketState(StreamSocket socket, std::string remote) : socket_(std::move(socket)), remote_(std::move(remote)) {
    error_code ignored;
    socket_.native_non_blocking(true, ignored);
  }

  static awaitable<std::size_t> read(std::shared_ptr<SocketState> self, ReadInto into);
  static awaitable<void> write(std::shared_ptr<SocketState> self, std::span<const std::span<const std::byte>> pieces);
  std::uint64_t write_progress() const noexcept {
    return std::max(left(), left_before_wait_) - left_before_wait_; // unix sockets count their own overhead as unsent
  }
  void finish() noexcept;
  void close() noexcept;
  const std::string& remote() const noexcept { return remote_; }

 private:
  /// Bytes that the far system has acknowledged, or taken over.
  std::uint64_t left() const noexcept;
  /// Whether another operation may run without giving the executor's other coroutines a turn.
  bool may_run_on() noexcept { return ++operations_in_turn_ <= operations_in_turn_max; }
  std::size_t read_unread(std::span<std::byte> into) noexcept;
  void keep_unread(ReadInto into, std::size_t bytes);
  error_code receive_now(ReadInto into, std::size_t& received) noexcept;
  error_code send_now(WriteCursor& cursor) noexcept;

  static constexpr int operations_in_turn_max = 32;

  StreamSocket socket_;
  std::string remote_;
  bool closed_ = false;
  bool exhausted_ = false;      // the last read got less than it asked for: the next one need not try at once
  int operations_in_turn_ = 0;  // since something last waited
  std::uint64_t accepted_ = 0;  // by the system, of what was written
  std::uint64_t left_before_wait_ = 0;
  std::vector<std::byte> unread_; // arrived for a read that was cancelled before it resumed
};

awaitable<std::size_t> SocketState::read(std::shared_ptr<SocketState> self, ReadInto into) {
  BOOST_ASSERT_MSG(!into.first.empty(), "a read of no bytes could not tell its result from the end");
  if (self->closed_) throw_aborted();
  if (!self->unread_.empty()) co_return self->read_unread(into.first);

  std::size_t received = 0;
  if (!self->exhausted_ && self->may_run_on()) {
    const error_code failure = self->receive_now(into, received);
    if (!failure) co_return received;
    if (!would_block(failure)) throw_transport_error(failure, "cannot read from " + self->remote_);
  }

  const std::array buffers = {asio::buffer(into.first.data(), into.first.size()),
                              asio::buffer(into.rest.data(), into.rest.size())};
  auto [failure, bytes] = co_await self->socket_.async_read_some(buffers, as_result_tuple);
  self->operations_in_turn_ = 0;
  self->exhausted_ = bytes < into.size();
  if (self->closed_ || failure == asio::error::operation_aborted) throw_aborted();
  if (failure == asio::error::eof) co_return 0;
  if (failure) throw_transport_error(failure, "cannot read from " + self->remote_);

  // The bytes can have been on their way here when this coroutine was cancelled: the canceller does not look at
  // the result, so they belong to the next read.
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (cancellation.cancelled() != asio::cancellation_type::none) {
    self->keep_unread(into, bytes);
    throw_aborted();
  }
  co_return bytes;
}

std::size_t SocketState::read_unread(std::span<std::byte> into) noexcept {
  const std::size_t bytes = std::min(into.size(), unread_.size());
  std::memcpy(into.data(), unread_.data(), bytes);
  unread_.erase(unread_.begin(), unread_.begin() + static_cast<std::ptrdiff_t>(bytes));
  return bytes;
}

void SocketState::keep_unread(ReadInto into, std::size_t bytes) {
  const auto first = into.first.first(std::min(bytes, into.first.size()));
  const auto rest = into.rest.first(bytes - first.size());
  unread_.assign(first.begin(), first.end());
  unread_.insert(unread_.end(), rest.begin(), rest.end());
}

error_code SocketState::receive_now(ReadInto into, std::size_t& received) noexcept {
  ssize_t bytes = 0;
  if (into.rest.empty()) { // the system checks less
    bytes = ::recv(socket_.native_handle(), into.first.data(), into.first.size(), MSG_DONTWAIT);
  } else {
    std::array<iovec, 2> vectors = {iovec{into.first.data(), into.first.size()},
                                    iovec{into.rest.data(), into.rest.size()}};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = vectors.size();
    bytes = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT);
  }
  if (bytes < 0) return last_error();
  received = static_cast<std::size_t>(bytes);
  exhausted_ = received < into.size();
  return {};
}

awaitable<void> SocketState::write(std::shared_ptr<SocketState> self,
                                   std::span<const std::span<const std::byte>> pieces) {
  WriteCursor cursor{.pieces = pieces};
  cursor.skip_written(0); // leading empty pieces
  if (self->closed_) throw_aborted();
  if (!self->may_run_on()) {
    co_await asio::post(asio::use_awaitable);
    self->operations_in_turn_ = 0;
  }
  bool has_waited = false;
  while (!cursor.done()) {
    if (self->closed_) throw_aborted();
    const error_code failure = self->send_now(cursor);
    if (failure && !would_block(failure)) throw_transport_error(failure, "cannot write to " + self->remote_);
    if (cursor.done()) break;

    if (!std::exchange(has_waited, true)) self->left_before_wait_ = self->left();
    auto [waited] = co_await self->socket_.async_wait(asio::socket_base::wait_write, as_result_tuple);
    self->operations_in_turn_ = 0;
    if (waited == asio::error::operation_aborted) throw_aborted();
  }
}

/// One system call, or more while whole batches of pieces fit.
error_code SocketState::send_now(WriteCursor& cursor) noexcept {
  constexpr std::size_t pieces_max = 1024; // IOV_MAX of Linux
  std::array<iovec, pieces_max> vectors;   // on the stack of a plain function: not part of a coroutine's frame
  while (!cursor.done()) {
    std::size_t count = 0;
    std::size_t bytes = 0;
    std::size_t offset = cursor.offset;
    for (const auto piece : cursor.pieces.first(std::min(pieces_max, cursor.pieces.size()))) {
      vectors[count++] = {const_cast<std::byte*>(piece.data()) + offset, piece.size() - offset};
      bytes += piece.size() - offset;
      offset = 0;
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const ssize_t sent = count == 1 ? ::send(socket_.native_handle(), vectors[0].iov_base, vectors[0].iov_len, flags)
                                    : ::sendmsg(socket_.native_handle(), &message, flags);
    if (sent < 0) return last_error();
    accepted_ += static_cast<std::uint64_t>(sent);
    cursor.skip_written(static_cast<std::size_t>(sent));
    if (static_cast<std::size_t>(sent) < bytes) return asio::error::would_block;
  }
  return {};
}

std::uint64_t SocketState::left() const noexcept {
  int unsent = 0; // and, of TCP, what the far system has not acknowledged
  if (::ioctl(const_cast<StreamSocket&>(socket_).native_handle(), SIOCOUTQ, &unsent) != 0) unsent = 0;
  return accepted_ - std::min(accepted_, static_cast<std::uint64_t>(std::max(unsent, 0)));
}

void SocketState::finish() noexcept {
  error_code ignored;
  if (!closed_) socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void SocketState::close() noexcept {
  if (std::exchange(closed_, true)) return;
  error_code ignored;
  socket_.close(ignored); // what waits completes with operation_aborted
}

class SocketTransport final : public Transport {
 public:
  SocketTransport(StreamSocket socket, std::string remote, std::string remote_host)
      : state_(std::make_shared<SocketState>(std::move(socket), std::move(remote))),
        remote_host_(std::move(remote_host)) {}
  ~SocketTransport() override { state_->close(); }

  awaitable<std::size_t> read_some(std::span<std::byte> into) override { return SocketState::read(state_, {into}); }
  awaitable<std::size_t> read_scattered(std::span<std::byte> into, std::span<std::byte> rest) override {
    return SocketState::read(state_, {into, rest});
  }
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return SocketState::write(state_, pieces);
  }
  std::uint64_t write_progress() const noexcept override { return state_->write_progress(); }
  void finish() noexcept override { state_->finish(); }
  void close() noexcept override { state_->close(); }
  std::string remote() const override { return state_->remote(); }
  std::string remote_host() const override { return remote_host_; }

 private:
  std::shared_ptr<SocketState> state_;
  std::string remote_host_;
};

/// A descriptor held back for the moment in which the process has none left: giving it up makes room to accept one
/// connection and close it, so that its far end hears of it instead of waiting in the queue.
class ReserveDescriptor {
 public:
  ReserveDescriptor() { take(); }
  ~ReserveDescriptor() { give(); }
  ReserveDescriptor(const ReserveDescriptor&) = delete;
  ReserveDescriptor& operator=(const ReserveDescriptor&) = delete;

  void take() noexcept {
    if (descriptor_ < 0) descriptor_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  void give() noexcept {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  /// Returns whether there was one to close.
  bool shed_one_of(int listening) noexcept {
    give();
    const int shed = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (shed >= 0) ::close(shed);
    take();
    return shed >= 0;
  }

 private:
  int descriptor_ = -1;
};

/// What the listener and its pending accepts share.
class ListenerState {
 public:
  ListenerState(StreamAcceptor acceptor, ListenerPieces pieces)
      : acceptor_(std::move(acceptor)), pieces_(std::move(pieces)) {
    error_code ignored;
    acceptor_.native_non_blocking(true, ignored); // accepting and shedding must not wait for a connection
    const auto local = acceptor_.local_endpoint(ignored);
    if (!ignored) protocol_ = local.protocol();
  }

  static awaitable<std::unique_ptr<Transport>> accept(std::shared_ptr<ListenerState> self);
  void on_shortage(std::function<void(const Shortage&)> callback) { on_shortage_ = std::move(callback); }
  void close() noexcept;
  const std::string& address() const noexcept { return pieces_.address; }

 private:
  static awaitable<void> pause(std::shared_ptr<ListenerState> self, Duration duration);
  error_code accept_now(StreamSocket& into);
  void note_shortage(const error_code& reason, bool shed);

  StreamAcceptor acceptor_;
  asio::generic::stream_protocol protocol_{AF_UNSPEC, 0};
  ListenerPieces pieces_;
  std::function<void(const Shortage&)> on_shortage_;
  Shortage shortage_; // the present one
  ReserveDescriptor reserve_;
  Signal closing_;
  bool closed_ = false;
};

bool lacks_resources(const error_code& code) noexcept {
  switch (code.value()) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return true;
    default: return false;
  }
}

/// accept(2): these are about the one connection that was about to be accepted.
bool concerns_one_connection(const error_code& code) noexcept {
  switch (code.value()) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
    case EPERM: return true;
    default: return false;
  }
}

awaitable<std::unique_ptr<Transport>> ListenerState::accept(std::shared_ptr<ListenerState> self) {
  constexpr Duration pause_min = std::chrono::milliseconds(5);
  constexpr Duration pause_max = std::chrono::milliseconds(500);
  Duration pause_next = pause_min;
  for (;;) {
    if (self->closed_) throw_aborted();
    auto [waited] = co_await self->acceptor_.async_wait(asio::socket_base::wait_read, as_result_tuple);
    if (self->closed_ || waited == asio::error::operation_aborted) throw_aborted();
    if (waited) throw_transport_error(waited, "cannot accept on " + self->pieces_.address);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    throw_if_cancelled(cancellation);

    StreamSocket socket(self->acceptor_.get_executor());
    const error_code failure = self->accept_now(socket);
    if (!failure) {
      if (self->shortage_.reason) self->note_shortage({}, false);
      auto transport = self->pieces_.adopt(std::move(socket));
      if (transport) co_return transport;
    } else if (lacks_resources(failure)) {
      const bool shed = self->reserve_.shed_one_of(self->acceptor_.native_handle());
      self->note_shortage(failure, shed);
      co_await pause(self, pause_next);
      pause_next = std::min(2 * pause_next, pause_max);
    } else if (!would_block(failure) && !concerns_one_connection(failure)) {
      throw_transport_error(failure, "cannot accept on " + self->pieces_.address);
    }
  }
}

/// Asio's own accept sets close-on-exec afterwards, if at all.
error_code ListenerState::accept_now(StreamSocket& into) {
  const int descriptor = ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor < 0) return last_error();
  error_code failure;
  into.assign(protocol_, descriptor, failure);
  if (failure) ::close(descriptor);
  return failure;
}

void ListenerState::note_shortage(const error_code& reason, bool shed) {
  shortage_.began = reason && !shortage_.reason;
  if (shortage_.began) shortage_.turned_away = 0;
  shortage_.reason = reason;
  shortage_.turned_one_away = shed;
  shortage_.turned_away += shed;
  if (on_shortage_) on_shortage_(shortage_);
}

/// Ends early when the listener is closed.
awaitable<void> ListenerState::pause(std::shared_ptr<ListenerState> self, Duration duration) {
  const Executor executor = co_await asio::this_coro::executor;
  Clock& clock = Clock::of(executor);
  bool due = false;
  const auto alarm = clock.make_alarm(executor);
  alarm->set(clock.now() + duration, [&] {
    due = true;
    self->closing_.notify_all();
  });
  while (!due && !self->closed_) co_await self->closing_.wait();
}

void ListenerState::close() noexcept {
  if (std::exchange(closed_, true)) return;
  error_code ignored;
  acceptor_.close(ignored);
  reserve_.give();
  if (pieces_.on_close) pieces_.on_close();
  closing_.notify_all();
}

class SocketListener final : public Listener {
 public:
  SocketListener(StreamAcceptor acceptor, ListenerPieces pieces)
      : state_(std::make_shared<ListenerState>(std::move(acceptor), std::move(pieces))) {}
  ~SocketListener() override { state_->close(); }

  awaitable<std::unique_ptr<Transport>> accept() override { return ListenerState::accept(state_); }
  void on_shortage(std::function<void(const Shortage&)> callback) override { state_->on_shortage(std::move(callback)); }
  void close() noexcept override { state_->close(); }
  std::string address() const override { return state_->address(); }

 private:
  std::shared_ptr<ListenerState> state_;
};

void set_option(int socket, int level, int name, int value) noexcept {
  ::setsockopt(socket, level, name, &value, sizeof value); // a connection that just broke says so at its first read
}

int as_int(std::size_t bytes) noexcept {
  return static_cast<int>(std::min<std::size_t>(bytes, std::numeric_limits<int>::max()));
}

void set_keep_alive(int socket, const SocketOptions& options) noexcept {
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  if (const auto idle = options.keep_alive_idle.count(); idle > 0)
    set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(idle));
  if (const auto interval = options.keep_alive_interval.count(); interval > 0)
    set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(interval));
  if (options.keep_alive_probes > 0) set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, options.keep_alive_probes);
}

} // namespace

int new_stream_socket(int family, int protocol) noexcept {
  return ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
}

void set_options(int socket, const SocketOptions& options, bool is_tcp) noexcept {
  if (options.send_buffer_bytes > 0) set_option(socket, SOL_SOCKET, SO_SNDBUF, as_int(options.send_buffer_bytes));
  if (options.receive_buffer_bytes > 0) set_option(socket, SOL_SOCKET, SO_RCVBUF, as_int(options.receive_buffer_bytes));
  if (!is_tcp) return;
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, options.no_delay);
  if (options.keep_alive) set_keep_alive(socket, options);
  if (options.traffic_class > 0) { // of the two, a socket takes its own family's
    set_option(socket, IPPROTO_IP, IP_TOS, options.traffic_class);
    set_option(socket, IPPROTO_IPV6, IPV6_TCLASS, options.traffic_class);
  }
}

int backlog_of(const SocketOptions& options) noexcept {
  return options.listen_backlog > 0 ? options.listen_backlog : SOMAXCONN;
}

std::string host_of(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  return address.to_string();
}

std::unique_ptr<Transport> make_socket_transport(StreamSocket socket, std::string remote, std::string remote_host) {
  return std::make_unique<SocketTransport>(std::move(socket), std::move(remote), std::move(remote_host));
}

std::unique_ptr<Listener> make_socket_listener(StreamAcceptor acceptor, ListenerPieces pieces) {
  return std::make_unique<SocketListener>(std::move(acceptor), std::move(pieces));
}

} // namespace trunkline
