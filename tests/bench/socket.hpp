// Blocking POSIX sockets on loopback, for the two peers that bring none of their own: raw and nghttp2.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

namespace bench {

inline long checked(long result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  static Socket listen() {
    Socket socket(static_cast<int>(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")));
    sockaddr_in address = loopback(0);
    checked(::bind(socket.descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
    checked(::listen(socket.descriptor_, 128), "listen");
    return socket;
  }

  static Socket dial(std::uint16_t port) {
    Socket socket(static_cast<int>(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")));
    sockaddr_in address = loopback(port);
    checked(::connect(socket.descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
    socket.no_delay();
    return socket;
  }

  Socket accept() const {
    Socket socket(static_cast<int>(checked(::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC), "accept")));
    socket.no_delay();
    return socket;
  }

  std::uint16_t port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    checked(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
    return ntohs(address.sin_port);
  }

  /// What one read brings; 0 at the end.
  std::size_t read_some(char* data, std::size_t bytes) const {
    return static_cast<std::size_t>(checked(::read(descriptor_, data, bytes), "read"));
  }

  /// What is there without waiting; false if nothing is.
  bool read_ready(char* data, std::size_t bytes, std::size_t& got) const {
    const ssize_t result = ::recv(descriptor_, data, bytes, MSG_DONTWAIT);
    if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    got = static_cast<std::size_t>(checked(result, "recv"));
    return true;
  }

  void read_exactly(char* data, std::size_t bytes) const {
    while (bytes > 0) {
      const std::size_t got = read_some(data, bytes);
      if (got == 0) throw std::runtime_error("connection ended, expected " + std::to_string(bytes) + " bytes more");
      data += got;
      bytes -= got;
    }
  }

  void write_all(const char* data, std::size_t bytes) const {
    while (bytes > 0) {
      const auto sent = static_cast<std::size_t>(checked(::send(descriptor_, data, bytes, MSG_NOSIGNAL), "send"));
      data += sent;
      bytes -= sent;
    }
  }

  /// Gathers; uses up `pieces`.
  void write_all(iovec* pieces, std::size_t count) const {
    while (count > 0) {
      msghdr message{};
      message.msg_iov = pieces;
      message.msg_iovlen = count;
      auto sent = static_cast<std::size_t>(checked(::sendmsg(descriptor_, &message, MSG_NOSIGNAL), "sendmsg"));
      while (count > 0 && sent >= pieces->iov_len) {
        sent -= pieces->iov_len;
        ++pieces;
        --count;
      }
      if (sent > 0) {
        pieces->iov_base = static_cast<char*>(pieces->iov_base) + sent;
        pieces->iov_len -= sent;
      }
    }
  }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  void no_delay() const {
    const int on = 1;
    checked(::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
  }

  int descriptor_;
};

/// Lets this process hold `count` connections.
inline void allow_descriptors(std::uint64_t count) {
  rlimit limit{};
  checked(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  if (limit.rlim_cur >= count + 64) return;
  limit.rlim_cur = count + 64;
  if (limit.rlim_max < limit.rlim_cur) limit.rlim_max = limit.rlim_cur;
  checked(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

}  // namespace bench
