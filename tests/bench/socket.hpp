// Blocking POSIX sockets on loopback, for the two peers that bring none of their own: raw and nghttp2. With BENCH_TLS
// each speaks TLS 1.3 through OpenSSL alone, as both ends of `openssl s_client` and `s_server` do: the ceiling of TLS.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef BENCH_TLS
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#endif

#include <cerrno>
#include <cstdint>
#include <memory>
#include <stdexcept>
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
#ifdef BENCH_TLS
  Socket(Socket&& other) noexcept
      : ssl_(std::move(other.ssl_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
#else
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
#endif
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

#ifdef BENCH_TLS
  void secure(bool dialled) {
    ssl_.reset(SSL_new(tls_context()), SSL_free);
    SSL_set_fd(ssl_.get(), descriptor_);
    const int result = dialled ? SSL_connect(ssl_.get()) : SSL_accept(ssl_.get());
    if (result != 1) throw std::runtime_error("no TLS handshake");
  }
#endif

  static Socket dial(std::uint16_t port) {
    Socket socket(static_cast<int>(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")));
    sockaddr_in address = loopback(port);
    checked(::connect(socket.descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
    socket.no_delay();
#ifdef BENCH_TLS
    socket.secure(true);
#endif
    return socket;
  }

  Socket accept() const {
    Socket socket(static_cast<int>(checked(::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC), "accept")));
    socket.no_delay();
#ifdef BENCH_TLS
    socket.secure(false);
#endif
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
#ifdef BENCH_TLS
    const int got = SSL_read(ssl_.get(), data, static_cast<int>(bytes));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
#endif
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
#ifdef BENCH_TLS
    if (bytes > 0 && SSL_write(ssl_.get(), data, static_cast<int>(bytes)) != static_cast<int>(bytes))
      throw std::runtime_error("SSL_write");
    return;
#endif
    while (bytes > 0) {
      const auto sent = static_cast<std::size_t>(checked(::send(descriptor_, data, bytes, MSG_NOSIGNAL), "send"));
      data += sent;
      bytes -= sent;
    }
  }

  /// Gathers; uses up `pieces`.
  void write_all(iovec* pieces, std::size_t count) const {
#ifdef BENCH_TLS
    for (; count > 0; ++pieces, --count) write_all(static_cast<const char*>(pieces->iov_base), pieces->iov_len);
    return;
#endif
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

#ifdef BENCH_TLS
  /// A key made for this run, shown and demanded on both sides, and trusted whatever it is.
  static SSL_CTX* tls_context() {
    static SSL_CTX* const context = [] {
      SSL_CTX* const made = SSL_CTX_new(TLS_method());
      SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
      SSL_CTX_set_num_tickets(made, 0);
      SSL_CTX_set_mode(made, SSL_MODE_AUTO_RETRY);
      EVP_PKEY* const key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      X509* const certificate = X509_new();
      X509_set_version(certificate, X509_VERSION_3);
      X509_set_pubkey(certificate, key);
      X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
      X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
      X509_sign(certificate, key, nullptr);
      SSL_CTX_use_certificate(made, certificate);
      SSL_CTX_use_PrivateKey(made, key);
      X509_free(certificate);
      EVP_PKEY_free(key);
      SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, [](int, X509_STORE_CTX*) { return 1; });
      return made;
    }();
    return context;
  }

  std::shared_ptr<SSL> ssl_;
#endif
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
