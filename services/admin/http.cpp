#include "services/admin/http.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "async/within.hpp"
#include "fragment/deadline.hpp"
#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/newcomers.hpp"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <array>
#include <exception>
#include <optional>
#include <span>
#include <utility>

namespace trunkline::admin {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t answer_bytes_max = 64 << 20;

/// Whoever asks is a program of the operator or a page of this very port.
constexpr std::string_view fields =
    "Server: trunkline\r\n"
    "Connection: close\r\n"
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

std::string head_of(const HttpAnswer& answer) {
  return fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}\r\n", answer.status,
                     std::string_view(http::obsolete_reason(static_cast<http::status>(answer.status))), answer.type,
                     answer.content.size(), answer.status == 405 ? "Allow: GET, HEAD\r\n" : "", fields);
}

std::string host_in(std::string_view authority) {
  if (authority.starts_with('[')) return std::string(authority.substr(1, authority.find(']') - 1));
  return std::string(authority.substr(0, authority.find(':')));
}

/// Feeds a parser of Beast until it has what it wants; the end of the far side's sending where it comes first.
template <class Parser> awaitable<error_code> read_into(Parser& parser, Transport& transport, std::size_t bytes_max) {
  boost::beast::flat_buffer buffer(bytes_max);
  std::array<std::byte, 8192> read;
  for (;;) {
    const std::size_t count = co_await transport.read_some(read);
    error_code failure;
    if (count == 0) {
      if (!parser.got_some()) co_return http::make_error_code(http::error::end_of_stream);
      parser.put_eof(failure);
      co_return failure;
    }
    if (buffer.size() + count > buffer.max_size()) co_return http::make_error_code(http::error::header_limit);
    buffer.commit(asio::buffer_copy(buffer.prepare(count), asio::buffer(read.data(), count)));
    while (buffer.size() > 0 && !parser.is_done()) {
      const std::size_t used = parser.put(buffer.data(), failure);
      buffer.consume(used);
      if (failure == http::error::need_more) break;
      if (failure) co_return failure;
      if (used == 0) break;
    }
    if (parser.is_header_done() && parser.is_done()) co_return error_code();
  }
}

} // namespace

std::string_view HttpRequest::parameter(std::string_view key) const noexcept {
  for (std::string_view left = query; !left.empty();) {
    const std::string_view pair = left.substr(0, left.find('&'));
    left.remove_prefix(std::min(left.size(), pair.size() + 1));
    if (pair.starts_with(key) && pair.substr(key.size()).starts_with('=')) return pair.substr(key.size() + 1);
  }
  return {};
}

struct HttpPort::State : std::enable_shared_from_this<State> {
  State(Executor on, std::unique_ptr<Listener> from, Respond how, HttpLimits within)
      : executor(std::move(on)), listener(std::move(from)), respond(std::move(how)), limits(within),
        visitors(limits.connections_max, limits.connections_per_host_max), tasks(executor) {}

  static awaitable<void> receive(std::shared_ptr<State> self);
  void begin(std::shared_ptr<Transport> visitor);
  static awaitable<void> attend(std::shared_ptr<State> self, std::shared_ptr<Transport> visitor);
  static awaitable<void> serve(std::shared_ptr<State> self, std::shared_ptr<Transport> visitor);
  HttpAnswer answer(const http::request<http::empty_body>& request) const;
  void let_in(Transport& visitor);
  void close() {
    listener->close();
    tasks.cancel();
  }

  Executor executor;
  std::unique_ptr<Listener> listener;
  Respond respond;
  HttpLimits limits;
  Newcomers visitors;
  Tasks tasks; // last: they use the others
};

awaitable<void> HttpPort::State::receive(std::shared_ptr<State> self) {
  try {
    for (;;) {
      std::shared_ptr<Transport> visitor = co_await self->listener->accept();
      self->begin(std::move(visitor));
    }
  } catch (const boost::system::system_error&) {} // it was closed, or is of no more use
}

/// No memory for one connection costs that one.
void HttpPort::State::begin(std::shared_ptr<Transport> visitor) {
  try {
    tasks.spawn(attend(shared_from_this(), std::move(visitor)));
  } catch (const std::exception&) {
    // It was closed on its way.
  }
}

/// A connection that says nothing keeps out none that asks.
void HttpPort::State::let_in(Transport& visitor) {
  const TimePoint now = Clock::of(executor).now();
  if (const Newcomers::Who oldest = visitors.who_goes(visitor.remote_host(), now)) {
    visitors.erase(oldest);
    static_cast<Transport*>(const_cast<void*>(oldest))->close();
  }
  visitors.add(&visitor, visitor.remote_host(), now);
}

awaitable<void> HttpPort::State::attend(std::shared_ptr<State> self, std::shared_ptr<Transport> visitor) {
  // The visitors point at it, so it leaves them whatever ends this.
  const auto leave = [self](Transport* gone) {
    self->visitors.erase(gone);
    gone->close();
  };
  const std::unique_ptr<Transport, decltype(leave)> stay(visitor.get(), leave);
  try {
    self->let_in(*visitor);
    co_await within(in_nanoseconds(self->limits.deadline), serve(self, visitor));
  } catch (...) {
    // It is gone, or was too slow, or there is no memory for it: nothing was promised to it.
  }
}

awaitable<void> HttpPort::State::serve(std::shared_ptr<State> self, std::shared_ptr<Transport> visitor) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(self->limits.header_bytes_max));
  parser.body_limit(0);
  const error_code failure = co_await read_into(parser, *visitor, self->limits.header_bytes_max + 1024);
  if (failure == http::error::end_of_stream) co_return;
  HttpAnswer answer;
  bool is_head = false;
  if (failure == http::error::header_limit) {
    answer = HttpAnswer(431, "the header of the request exceeds " + std::to_string(self->limits.header_bytes_max) + " bytes\n");
  } else if (failure) {
    answer = HttpAnswer(400, "what came is no request of HTTP without a body: " + failure.message() + "\n");
  } else {
    is_head = parser.get().method() == http::verb::head;
    answer = self->answer(parser.get());
  }
  const std::string head = head_of(answer);
  std::array<std::span<const std::byte>, 2> pieces{std::as_bytes(std::span(head))};
  if (!is_head) pieces[1] = std::as_bytes(std::span(answer.content));
  co_await visitor->write(pieces);
  visitor->finish();
  // An end with unread input would destroy the answer on its way.
  std::array<std::byte, 1024> ignored;
  std::size_t discarded = 0;
  for (std::size_t count = 1; count > 0 && discarded < answer_bytes_max; discarded += count)
    count = co_await visitor->read_some(ignored);
}

HttpAnswer HttpPort::State::answer(const http::request<http::empty_body>& message) const {
  if (message.method() != http::verb::get && message.method() != http::verb::head)
    return HttpAnswer(405, "this port answers GET and HEAD\n");
  const std::string_view target = message.target();
  HttpRequest request;
  request.path = target.substr(0, target.find('?'));
  if (request.path.size() < target.size()) request.query = target.substr(request.path.size() + 1);
  request.host = host_in(message[http::field::host]);
  try {
    return respond(request);
  } catch (const std::exception& thrown) {
    return HttpAnswer(500, escape(text_of(thrown)) + "\n");
  }
}

HttpPort::HttpPort(Executor executor, std::unique_ptr<Listener> listener, Respond respond, HttpLimits limits)
    : state_(std::make_shared<State>(std::move(executor), std::move(listener), std::move(respond), limits)) {
  state_->tasks.spawn(State::receive(state_));
}

HttpPort::~HttpPort() { close(); }

std::string HttpPort::address() const { return state_->listener->address(); }

void HttpPort::close() { state_->close(); }

namespace {

awaitable<HttpAnswer> ask(std::shared_ptr<Medium> medium, std::string address, std::string target) {
  const std::unique_ptr<Transport> transport = co_await medium->dial(address);
  const std::size_t slashes = address.find("//");
  const std::string host = medium->has_ports() && slashes != std::string::npos ? address.substr(slashes + 2) : "localhost";
  const std::string request = fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target, host);
  const std::array<std::span<const std::byte>, 1> pieces{std::as_bytes(std::span(request))};
  co_await transport->write(pieces);
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(answer_bytes_max);
  const error_code failure = co_await read_into(parser, *transport, 1 << 20);
  transport->close();
  if (failure) throw_error(error::cannot_decode, "what " + address + " says is no answer of HTTP: " + failure.message());
  HttpAnswer answer(parser.get().result_int(), std::move(parser.get().body()));
  answer.type = std::string(parser.get()[http::field::content_type]);
  co_return answer;
}

} // namespace

awaitable<HttpAnswer> http_get(std::shared_ptr<Medium> medium, std::string address, std::string target,
                               std::chrono::milliseconds deadline) {
  co_return co_await within(in_nanoseconds(deadline), ask(std::move(medium), std::move(address), std::move(target)));
}

} // namespace trunkline::admin
