#include "services/quarkchain/engine/http_connection.hpp"

#include "async/within.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/execution/executor.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace trunkline::quarkchain {
namespace {

namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;

} // namespace

struct HttpConnection::Stream {
  explicit Stream(const trunkline::Executor& executor) : socket(executor) {}
  Tcp::socket socket;
  boost::beast::flat_buffer buffer;
  bool used = false; // by a request that was answered
};

HttpConnection::HttpConnection(std::uint16_t port) : port_(port) {}
HttpConnection::~HttpConnection() = default;

void HttpConnection::close() noexcept {
  closed_ = true;
  boost::system::error_code ignored;
  if (stream_) stream_->socket.close(ignored);
}

awaitable<HttpReply> HttpConnection::post(std::string body, std::string authorization, Duration deadline) {
  std::string why;
  try {
    co_return co_await within(deadline, exchange(this, std::move(body), std::move(authorization)));
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == asio::error::operation_aborted && !closed_) throw; // whoever asked was cancelled
    if (failure.code() == error::timed_out)
      why = fmt::format("no answer within {} ms",
                        std::chrono::duration_cast<std::chrono::milliseconds>(deadline).count());
    else if (failure.code() == http::error::body_limit)
      why = fmt::format("its answer has more than {} bytes", body_bytes_max);
    else why = trunkline::text_of(failure);
  }
  stream_.reset();
  if (closed_) why = "given up while it was asked";
  throw ExecutorDown(fmt::format("127.0.0.1:{}: {}", port_, why));
}

awaitable<void> HttpConnection::dial(HttpConnection* self) {
  if (self->closed_) throw boost::system::system_error(asio::error::operation_aborted);
  const trunkline::Executor executor = co_await asio::this_coro::executor;
  self->stream_ = std::make_unique<Stream>(executor);
  const Tcp::endpoint server(asio::ip::address_v4::loopback(), self->port_);
  co_await self->stream_->socket.async_connect(server, asio::use_awaitable);
  self->stream_->socket.set_option(Tcp::no_delay(true));
}

awaitable<HttpReply> HttpConnection::exchange(HttpConnection* self, std::string body, std::string authorization) {
  http::request<http::string_body> request(http::verb::post, "/", 11);
  request.set(http::field::host, fmt::format("127.0.0.1:{}", self->port_));
  request.set(http::field::content_type, "application/json");
  if (!authorization.empty()) request.set(http::field::authorization, authorization);
  request.body() = std::move(body);
  request.prepare_payload();
  for (;;) {
    if (!self->stream_) co_await dial(self);
    Stream& stream = *self->stream_;
    http::response_parser<http::string_body> parser;
    parser.body_limit(body_bytes_max);
    boost::system::error_code failure;
    auto token = asio::redirect_error(asio::use_awaitable, failure);
    co_await http::async_write(stream.socket, request, token);
    if (!failure) co_await http::async_read(stream.socket, stream.buffer, parser, token);
    if (failure && failure != asio::error::operation_aborted && stream.used && !parser.got_some()) {
      self->stream_.reset(); // closed while nobody asked anything
      continue;
    }
    if (failure) throw boost::system::system_error(failure);
    HttpReply reply;
    reply.status = parser.get().result_int();
    reply.body = std::move(parser.get().body());
    stream.used = true;
    if (!parser.keep_alive()) self->stream_.reset();
    co_return reply;
  }
}

} // namespace trunkline::quarkchain
