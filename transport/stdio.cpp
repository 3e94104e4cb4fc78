#include "transport/stdio.hpp"

#include "async/signal.hpp"
#include "fragment/error.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <span>
#include <utility>

namespace trunkline {
namespace {

using asio::posix::stream_descriptor;
using boost::system::error_code;

constexpr std::string_view prefix = "stdio:";
constexpr std::string_view form_of_address = "stdio:name";

error_code last_error() noexcept { return error_code(errno, boost::system::system_category()); }

bool would_block(const error_code& code) noexcept {
  return code == asio::error::would_block || code == asio::error::try_again || code == asio::error::interrupted;
}

/// While it lives, a pipe without a reader raises no signal in this thread: a program may not expect SIGPIPE, which ends
/// it. Only of sockets can that be asked call by call.
class PipeSignalBlock {
 public:
  PipeSignalBlock() noexcept {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    sigset_t pending;
    if (sigismember(&before_, SIGPIPE) == 1 && ::sigpending(&pending) == 0)
      was_pending_ = sigismember(&pending, SIGPIPE) == 1; // it is the program's own
  }
  PipeSignalBlock(const PipeSignalBlock&) = delete;
  PipeSignalBlock& operator=(const PipeSignalBlock&) = delete;
  ~PipeSignalBlock() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  /// After a write that has failed with EPIPE.
  void take_signal() const noexcept {
    constexpr timespec at_once = {};
    while (!was_pending_ && ::sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {}
  }

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_ = false;
};

/// Shared by the transport and its pending reads and writes; it lives as long as any of them.
struct DescriptorState {
  DescriptorState(const Executor& executor, int from, int to, std::string its_remote)
      : in(executor, from), out(executor, to), remote(std::move(its_remote)) {
    error_code ignored;
    in.native_non_blocking(true, ignored);
    out.native_non_blocking(true, ignored);
    struct stat status = {};
    if (::fstat(to, &status) != 0) return;
    if (S_ISFIFO(status.st_mode)) unread_request = FIONREAD; // of a pipe both ends tell what is in it
    is_socket = S_ISSOCK(status.st_mode);
    if (is_socket) unread_request = SIOCOUTQ;
  }

  /// Bytes that the far program has read. Counts what a pipe holds as not read.
  std::uint64_t taken() noexcept {
    int unread = 0;
    if (unread_request == 0 || ::ioctl(out.native_handle(), unread_request, &unread) != 0 || unread < 0) return accepted;
    return accepted - std::min(accepted, static_cast<std::uint64_t>(unread)); // a socket counts its own overhead, too
  }

  stream_descriptor in;
  stream_descriptor out;
  const std::string remote;
  bool closed = false;
  bool finished = false;
  bool is_socket = false; // `out` is one
  unsigned long unread_request = 0; // which ioctl asks for what was written and not read; none: nobody knows
  std::uint64_t accepted = 0; // bytes that the system took, of what was written
  std::uint64_t taken_before_wait = 0;
};

/// Waits until something is there and reads it then, so that a read which is cancelled has taken nothing.
awaitable<std::size_t> read(std::shared_ptr<DescriptorState> self, std::span<std::byte> into) {
  for (;;) {
    if (self->closed) throw_aborted();
    const ssize_t count = ::read(self->in.native_handle(), into.data(), into.size());
    if (count >= 0) co_return static_cast<std::size_t>(count);
    const error_code failure = last_error();
    if (!would_block(failure)) throw_transport_error(failure, "cannot read from " + self->remote);
    const auto [waited] =
        co_await self->in.async_wait(stream_descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
    if (self->closed || waited == asio::error::operation_aborted) throw_aborted();
    if (waited) throw_transport_error(waited, "cannot read from " + self->remote);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) throw_aborted();
  }
}

ssize_t write_pieces(const DescriptorState& self, int descriptor, iovec* vectors, std::size_t count) noexcept {
  if (self.is_socket) {
    msghdr message = {};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    return ::sendmsg(descriptor, &message, MSG_NOSIGNAL);
  }
  const PipeSignalBlock block;
  const ssize_t written = ::writev(descriptor, vectors, static_cast<int>(count));
  if (written < 0 && errno == EPIPE) {
    block.take_signal();
    errno = EPIPE;
  }
  return written;
}

/// One system call for as many pieces as it takes; what was written is taken off the front.
error_code write_now(DescriptorState& self, std::span<const std::span<const std::byte>>& pieces,
                     std::size_t& offset) noexcept {
  constexpr std::size_t pieces_max = 64;
  std::array<iovec, pieces_max> vectors;
  std::size_t count = 0;
  std::size_t skipped = offset;
  for (const auto piece : pieces.first(std::min(pieces_max, pieces.size()))) {
    vectors[count++] = {const_cast<std::byte*>(piece.data()) + skipped, piece.size() - skipped};
    skipped = 0;
  }
  const ssize_t written = write_pieces(self, self.out.native_handle(), vectors.data(), count);
  if (written < 0) return last_error();
  self.accepted += static_cast<std::uint64_t>(written);
  std::size_t bytes = static_cast<std::size_t>(written) + offset;
  while (!pieces.empty() && bytes >= pieces.front().size()) {
    bytes -= pieces.front().size();
    pieces = pieces.subspan(1);
  }
  offset = bytes;
  return {};
}

awaitable<void> write(std::shared_ptr<DescriptorState> self, std::span<const std::span<const std::byte>> pieces) {
  std::size_t offset = 0;
  bool has_waited = false;
  while (!pieces.empty()) {
    if (self->closed || self->finished) throw_aborted();
    if (pieces.front().empty()) {
      pieces = pieces.subspan(1);
      continue;
    }
    const error_code failure = write_now(*self, pieces, offset);
    if (!failure) continue;
    if (!would_block(failure)) throw_transport_error(failure, "cannot write to " + self->remote);
    if (!std::exchange(has_waited, true)) self->taken_before_wait = self->taken();
    const auto [waited] =
        co_await self->out.async_wait(stream_descriptor::wait_write, asio::as_tuple(asio::use_awaitable));
    if (waited == asio::error::operation_aborted) throw_aborted();
  }
}

class DescriptorTransport final : public Transport {
 public:
  explicit DescriptorTransport(std::shared_ptr<DescriptorState> state) : state_(std::move(state)) {}
  ~DescriptorTransport() override { close(); }

  awaitable<std::size_t> read_some(std::span<std::byte> into) override { return read(state_, into); }
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return trunkline::write(state_, pieces);
  }
  std::uint64_t write_progress() const noexcept override {
    const std::uint64_t taken = state_->taken();
    return taken - std::min(taken, state_->taken_before_wait);
  }
  void finish() noexcept override {
    if (std::exchange(state_->finished, true)) return;
    error_code ignored;
    state_->out.close(ignored);
  }
  void close() noexcept override {
    if (std::exchange(state_->closed, true)) return;
    error_code ignored;
    state_->in.close(ignored);
    state_->out.close(ignored);
  }
  std::string remote() const override { return state_->remote; }
  std::string remote_host() const override { return {}; }

 private:
  std::shared_ptr<DescriptorState> state_;
};

/// The one connection that a program has with whoever started it.
class StdioListener final : public Listener {
 public:
  explicit StdioListener(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}

  awaitable<std::unique_ptr<Transport>> accept() override { return accept_of(ended_, &transport_, &closed_); }
  void close() noexcept override {
    closed_ = true;
    transport_ = nullptr;
    ended_->notify_all();
  }
  std::string address() const override { return std::string(prefix); }

 private:
  static awaitable<std::unique_ptr<Transport>> accept_of(std::shared_ptr<Signal> ended,
                                                         std::unique_ptr<Transport>* transport, const bool* closed) {
    if (*closed) throw_aborted();
    if (*transport) co_return std::move(*transport);
    co_await ended->wait();
    throw_aborted(); // the listener may be gone by now
  }

  std::unique_ptr<Transport> transport_; // until somebody accepts it
  bool closed_ = false;
  std::shared_ptr<Signal> ended_ = std::make_shared<Signal>();
};

/// Both ends of a pipe, of which no program that is started later inherits one.
struct Pipe {
  explicit Pipe(const std::string& context) {
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_transport_error(last_error(), context);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    for (const int end : ends)
      if (end >= 0) ::close(end);
  }
  int take(int which) noexcept { return std::exchange(ends[which], -1); }

  int ends[2] = {-1, -1};
};

/// Between fork and exec: nothing that takes a lock or allocates.
[[noreturn]] void become(char* const* arguments, int in, int out) noexcept {
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  std::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvp(arguments[0], arguments);
  constexpr std::string_view words = ": cannot be started\n";
  if (::write(STDERR_FILENO, arguments[0], std::strlen(arguments[0])) > 0 &&
      ::write(STDERR_FILENO, words.data(), words.size()) > 0) {}
  ::_exit(127);
}

/// The command is nobody's child who would have to wait for it: it ends when its standard input does.
void start(std::vector<std::string>& command, int in, int out, const std::string& context) {
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const pid_t first = ::fork();
  if (first < 0) throw_transport_error(last_error(), context);
  if (first == 0) {
    const pid_t second = ::fork();
    if (second == 0) become(arguments.data(), in, out);
    ::_exit(second < 0 ? 1 : 0);
  }
  int status = 0;
  while (::waitpid(first, &status, 0) < 0 && errno == EINTR) {}
  if (status != 0) throw_transport_error(error_code(EAGAIN, boost::system::system_category()), context);
}

} // namespace

std::unique_ptr<Transport> make_descriptor_transport(const Executor& executor, int in, int out, std::string remote) {
  return std::make_unique<DescriptorTransport>(std::make_shared<DescriptorState>(executor, in, out, std::move(remote)));
}

std::string StdioMedium::own_address() { return std::string(prefix); }

std::string StdioMedium::add_command(std::string name, std::vector<std::string> command) {
  std::string address = std::string(prefix) + name;
  commands_.insert_or_assign(std::move(name), std::move(command));
  return address;
}

std::string_view StdioMedium::scheme() const noexcept { return scheme_of(prefix); }

std::string_view StdioMedium::form() const noexcept { return form_of_address; }

awaitable<std::unique_ptr<Transport>> StdioMedium::dial(std::string address) {
  const Executor executor = co_await asio::this_coro::executor;
  const std::string context = "cannot connect to " + address;
  const auto found = commands_.find(parse_after(address, prefix, form_of_address));
  if (found == commands_.end()) throw_transport_error(error_code(ENOENT, boost::system::system_category()), context);
  std::vector<std::string> command = found->second;
  Pipe to(context);
  Pipe from(context);
  start(command, to.ends[0], from.ends[1], context);
  const int in = from.take(0);
  const int out = to.take(1);
  co_return make_descriptor_transport(executor, in, out, std::move(address));
}

std::unique_ptr<Listener> StdioMedium::listen(const Executor& executor, std::string_view address) {
  const std::string context = "cannot listen on " + std::string(address);
  if (address != prefix)
    throw_transport_text(make_error_code(error::bad_url),
                         "address \"" + std::string(address) + "\" is not " + std::string(prefix));
  const int in = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  const int out = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (in < 0 || out < 0) {
    const error_code failure = last_error();
    if (in >= 0) ::close(in);
    if (out >= 0) ::close(out);
    throw_transport_error(failure, context);
  }
  // From here on the connection has them alone, so that its end can be seen at the other side.
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing >= 0) {
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(nothing, STDOUT_FILENO);
    ::close(nothing);
  }
  return std::make_unique<StdioListener>(make_descriptor_transport(executor, in, out, std::string(prefix)));
}

} // namespace trunkline
