// HTTP/1.1 with one server on this machine: one request at a time, over a connection that is kept from one to the next.
#pragma once

#include "async/types.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace trunkline::quarkchain {

struct HttpReply {
  unsigned status = 0;
  std::string body;
};

class HttpConnection {
 public:
  /// Nothing that is asked for here is larger.
  static constexpr std::size_t body_bytes_max = std::size_t{64} << 20;

  explicit HttpConnection(std::uint16_t port);
  ~HttpConnection();

  /// Dials where there is no connection. A kept one that the server has closed meanwhile is dialled again once, so the
  /// body must bear being sent twice. Errors: ExecutorDown, after which there is no connection.
  awaitable<HttpReply> post(std::string body, std::string authorization, Duration deadline);
  /// For ever: whatever is under way fails with ExecutorDown.
  void close() noexcept;

 private:
  struct Stream; // Beast is known to one file
  static awaitable<HttpReply> exchange(HttpConnection* self, std::string body, std::string authorization);
  static awaitable<void> dial(HttpConnection* self);

  std::uint16_t port_;
  std::unique_ptr<Stream> stream_;
  bool closed_ = false;
};

} // namespace trunkline::quarkchain
