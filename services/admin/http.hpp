// A small HTTP port for operators, on any medium: one request a connection, answered at once. And its client.
#pragma once

#include "async/types.hpp"
#include "transport/medium.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline::admin {

/// What came: GET or HEAD, everything else was answered already.
struct HttpRequest {
  std::string path;  // "/links"
  std::string query; // what is behind '?'
  std::string host;  // the field Host, without a port

  /// The value of KEY in KEY=VALUE&...; empty when there is none.
  std::string_view parameter(std::string_view key) const noexcept;
};

struct HttpAnswer {
  unsigned status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string content;

  HttpAnswer() = default;
  HttpAnswer(unsigned code, std::string text) : status(code), content(std::move(text)) {}
};

struct HttpLimits {
  std::size_t header_bytes_max = 16 << 10;
  std::chrono::milliseconds deadline{5000}; // of a connection, from its first byte to its last
  std::size_t connections_max = 64;         // beyond it the oldest goes; the same of one host
  std::size_t connections_per_host_max = 32;

  HttpLimits() = default;
};

/// Listens until it is closed or gone. One executor; not thread safe.
class HttpPort {
 public:
  using Respond = std::function<HttpAnswer(const HttpRequest&)>;

  /// What `respond` throws is an answer 500 with its text.
  HttpPort(Executor executor, std::unique_ptr<Listener> listener, Respond respond, HttpLimits limits = HttpLimits());
  ~HttpPort();
  HttpPort(const HttpPort&) = delete;
  HttpPort& operator=(const HttpPort&) = delete;

  std::string address() const;
  void close();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Asks for one path. Errors: those of the medium's dial; error::cannot_decode for what is no answer of HTTP;
/// error::timed_out.
awaitable<HttpAnswer> http_get(std::shared_ptr<Medium> medium, std::string address, std::string target,
                               std::chrono::milliseconds deadline);

} // namespace trunkline::admin
