#include "transport/web_socket_transport.hpp"

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "fragment/deadline.hpp"
#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/failure.hpp"
#include "transport/transport_stream.hpp"
#include "transport/web_socket.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/assert.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

constexpr auto as_result_tuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t read_bytes_min = 4 << 10;
constexpr std::size_t read_bytes_max = 128 << 10;
constexpr std::size_t masked_bytes = 64 << 10; // of a write that are copied at a time, to be masked
constexpr int quiet_reads_max = 4;
constexpr int silent_intervals_max = 3;
/// Said by both sides of a handshake that can read on when the other side has ended its direction.
constexpr std::string_view half_close_field = "Trunkline-Half-Close";

/// Pieces as a buffer sequence that is cheap to copy.
class Buffers {
 public:
  using value_type = asio::const_buffer;
  using const_iterator = const asio::const_buffer*;

  explicit Buffers(std::span<const asio::const_buffer> buffers) : buffers_(buffers) {}
  const_iterator begin() const noexcept { return buffers_.data(); }
  const_iterator end() const noexcept { return buffers_.data() + buffers_.size(); }

 private:
  std::span<const asio::const_buffer> buffers_;
};

/// Cuts pieces into messages.
class MessageCutter {
 public:
  MessageCutter(std::span<const std::span<const std::byte>> pieces, std::size_t message_bytes_max)
      : pieces_(pieces), message_bytes_max_(message_bytes_max) {}

  /// The buffers of the next message; none at the end. Valid until the next call.
  std::span<const asio::const_buffer> next() {
    buffers_.clear();
    std::size_t left = message_bytes_max_;
    while (!pieces_.empty() && left > 0) {
      const auto piece = pieces_.front().subspan(offset_);
      const std::size_t count = std::min(piece.size(), left);
      if (count > 0) buffers_.emplace_back(piece.data(), count);
      left -= count;
      offset_ += count;
      if (offset_ < pieces_.front().size()) continue;
      pieces_ = pieces_.subspan(1);
      offset_ = 0;
    }
    return buffers_;
  }

 private:
  std::span<const std::span<const std::byte>> pieces_;
  std::size_t message_bytes_max_;
  std::size_t offset_ = 0; // of the first piece
  std::vector<asio::const_buffer> buffers_;
};

/// Shared by the transport and its pending operations; it lives as long as any of them.
///
/// A read of Beast's cannot be cancelled without the end of its stream, so each reads into the buffer here, and a read
/// of the transport takes from that: one that is cancelled leaves it to the next.
class WebSocketState : public std::enable_shared_from_this<WebSocketState> {
 public:
  WebSocketState(const Executor& executor, std::unique_ptr<Transport> below, WebSocketEnds ends)
      : carried_(std::make_shared<CarriedTransport>(std::move(below))), ends_(std::move(ends)),
        stream_(TransportStream(executor, carried_)), clock_(Clock::of(executor)),
        alarm_(clock_.make_alarm(executor)) {
    stream_.set_option(websocket::stream_base::timeout{
        websocket::stream_base::none(), websocket::stream_base::none(), false}); // ours run on the context's clock
    stream_.read_message_max(ends_.message_bytes_max);
    stream_.binary(true);
    stream_.auto_fragment(false); // what goes out unmasked is written from where it lies
  }

  static awaitable<void> ask(std::shared_ptr<WebSocketState> self, std::string host, std::string context);
  static awaitable<void> answer(std::shared_ptr<WebSocketState> self, WebRequest request);
  static awaitable<std::size_t> read(std::shared_ptr<WebSocketState> self, std::span<std::byte> into,
                                     std::span<std::byte> rest);
  static awaitable<void> write(std::shared_ptr<WebSocketState> self,
                               std::span<const std::span<const std::byte>> pieces);
  std::uint64_t write_progress() const noexcept { return carried_->write_progress(); }
  void finish() noexcept;
  void close() noexcept;
  const WebSocketEnds& ends() const noexcept { return ends_; }
  const Transport& below() const noexcept { return *carried_->below; }

 private:
  using Stream = websocket::stream<TransportStream, false>; // no compression

  void open();
  void start_read();
  void on_read(error_code failure, std::size_t bytes);
  std::string words_of_read(error_code failure) const;
  void fail(error_code failure, std::string text);
  void refuse_text();
  void say_close(websocket::close_code code);
  void adapt(std::size_t filled) noexcept;
  std::size_t take(std::span<std::byte> into) noexcept;
  void watch_silence();
  void on_silence();

  std::shared_ptr<CarriedTransport> carried_;
  WebSocketEnds ends_;
  Stream stream_;
  Clock& clock_;
  std::unique_ptr<Alarm> alarm_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0; // begin_ <= end_ <= buffer_.size(): what has arrived and is not taken
  std::size_t end_ = 0;
  std::size_t buffer_bytes_ = read_bytes_min; // of the next read
  int quiet_reads_ = 0;
  int silent_intervals_ = 0; // since something arrived
  bool reading_ = false;
  bool ended_ = false;    // the far side has closed in order
  bool finished_ = false; // by us
  bool closing_ = false;  // our Close is said, or about to be
  bool closed_ = false;   // by us
  bool pinging_ = false;  // a ping is being written
  error_code failure_;    // of reading
  std::string failure_text_;
};

awaitable<void> WebSocketState::ask(std::shared_ptr<WebSocketState> self, std::string host, std::string context) {
  self->stream_.write_buffer_bytes(masked_bytes);
  self->stream_.set_option(websocket::stream_base::decorator([](websocket::request_type& request) {
    request.set(http::field::sec_websocket_protocol, web_socket_protocol);
    request.set(http::field::user_agent, "trunkline");
    request.set(half_close_field, "1");
  }));
  websocket::response_type response;
  const auto [failure] = co_await self->stream_.async_handshake(response, host, "/", as_result_tuple);
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  throw_if_cancelled(cancellation);
  if (failure == websocket::error::upgrade_declined) {
    const std::string_view body = response.body();
    std::string text = fmt::format("{}: the answer is {} {}", context, response.result_int(),
                                   escape(std::string_view(response.reason()), 64));
    if (!body.empty()) text += ": " + escape(body.substr(0, body.find_first_of("\r\n")), 256);
    throw_transport_text(asio::error::connection_refused, std::move(text));
  }
  if (failure == asio::error::eof || failure == http::error::end_of_stream)
    throw_transport_text(failure, context + ": the far side has ended the connection without an answer");
  if (failure.category() == trunkline_category()) throw_transport_text(failure, self->carried_->failure_text);
  if (failure) throw_transport_error(failure, context);
  if (response[http::field::sec_websocket_protocol] != web_socket_protocol) {
    throw_transport_text(asio::error::connection_refused,
                         fmt::format("{}: a WebSocket is there, but without the subprotocol {}", context,
                                     web_socket_protocol));
  }
  self->ends_.half_closes = response[half_close_field] == "1";
  self->open();
}

awaitable<void> WebSocketState::answer(std::shared_ptr<WebSocketState> self, WebRequest request) {
  self->ends_.half_closes = request[half_close_field] == "1";
  self->stream_.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
    if (response.result() == http::status::switching_protocols) {
      response.set(http::field::sec_websocket_protocol, web_socket_protocol);
      response.set(half_close_field, "1");
    }
    response.set(http::field::server, "trunkline");
  }));
  const auto [failure] = co_await self->stream_.async_accept(request, as_result_tuple); // lint-allow: no descriptor
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  throw_if_cancelled(cancellation);
  if (failure) throw_transport_error(failure, "no WebSocket with " + self->ends_.remote);
  self->open();
}

void WebSocketState::open() {
  carried_->keeps_end = true;
  watch_silence();
}

awaitable<std::size_t> WebSocketState::read(std::shared_ptr<WebSocketState> self, std::span<std::byte> into,
                                            std::span<std::byte> rest) {
  BOOST_ASSERT_MSG(!into.empty(), "a read of no bytes could not tell its result from the end");
  for (;;) {
    if (self->closed_) throw_aborted();
    if (self->begin_ < self->end_) break;
    if (self->failure_) throw_transport_text(self->failure_, self->failure_text_);
    if (self->ended_ || self->carried_->ended) co_return 0;
    if (!self->reading_) {
      self->start_read();
      continue; // it may have met the end at once
    }
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    co_await self->carried_->changed.wait();
    throw_if_cancelled(cancellation);
  }
  const std::size_t first = self->take(into);
  const std::size_t second = first == into.size() && !rest.empty() ? self->take(rest) : 0;
  co_return first + second;
}

std::size_t WebSocketState::take(std::span<std::byte> into) noexcept {
  const std::size_t bytes = std::min(into.size(), end_ - begin_);
  if (bytes > 0) std::memcpy(into.data(), buffer_.data() + begin_, bytes);
  begin_ += bytes;
  return bytes;
}

void WebSocketState::start_read() {
  reading_ = true;
  begin_ = end_ = 0;
  if (buffer_.size() != buffer_bytes_) buffer_ = std::vector<std::byte>(buffer_bytes_);
  stream_.async_read_some(asio::buffer(buffer_.data(), buffer_.size()),
                          [self = shared_from_this()](error_code failure, std::size_t bytes) {
                            self->on_read(failure, bytes);
                          });
}

void WebSocketState::on_read(error_code failure, std::size_t bytes) {
  reading_ = false;
  silent_intervals_ = 0;
  if (!closed_) {
    if (bytes > 0 && stream_.got_text()) {
      refuse_text();
    } else {
      end_ = bytes;
      adapt(bytes);
    }
    // An end that we have begun in order ends a read of Beast's as if it were cancelled.
    if (failure == websocket::error::closed || (closing_ && failure == asio::error::operation_aborted)) ended_ = true;
    else if (failure && !failure_) fail(failure, words_of_read(failure));
  }
  carried_->changed.notify_all();
}

/// What is below has words of its own where the code is ours.
std::string WebSocketState::words_of_read(error_code failure) const {
  if (failure.category() == trunkline_category()) return carried_->failure_text;
  return "cannot read from " + ends_.remote + ": " + failure.message();
}

void WebSocketState::fail(error_code failure, std::string text) {
  failure_ = failure;
  failure_text_ = std::move(text);
}

void WebSocketState::refuse_text() {
  fail(error_code(websocket::error::bad_opcode),
       "a text message from " + ends_.remote + ", expected binary ones");
  say_close(websocket::close_code::unknown_data);
}

void WebSocketState::say_close(websocket::close_code code) {
  if (std::exchange(closing_, true)) return;
  stream_.async_close(code, [self = shared_from_this()](error_code) {
    self->ended_ = true;
    self->carried_->changed.notify_all();
  });
}

/// Small for a quiet connection, large while reads fill it.
void WebSocketState::adapt(std::size_t filled) noexcept {
  if (filled == buffer_bytes_) buffer_bytes_ = std::min(buffer_bytes_ * 4, read_bytes_max);
  quiet_reads_ = filled <= buffer_bytes_ / 16 ? quiet_reads_ + 1 : 0;
  if (quiet_reads_ >= quiet_reads_max) buffer_bytes_ = read_bytes_min;
}

awaitable<void> WebSocketState::write(std::shared_ptr<WebSocketState> self,
                                      std::span<const std::span<const std::byte>> pieces) {
  if (self->closed_ || self->finished_) throw_aborted();
  self->carried_->begin_write();
  MessageCutter cutter(pieces, self->ends_.message_bytes_max);
  for (;;) {
    const std::span<const asio::const_buffer> message = cutter.next();
    if (message.empty()) co_return;
    const auto [failure, bytes] = co_await self->stream_.async_write(Buffers(message), as_result_tuple);
    if (self->closed_) throw_aborted();
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    throw_if_cancelled(cancellation);
    // Beast says so of a stream that the far side has closed, too.
    if (failure == asio::error::operation_aborted)
      throw_transport_text(asio::error::broken_pipe, "cannot write to " + self->ends_.remote + ": it is closed there");
    if (failure) throw_transport_error(failure, "cannot write to " + self->ends_.remote);
  }
}

/// WebSocket's own closing ends both directions. Between two nodes of this library the end of the connection below ends
/// one of them.
void WebSocketState::finish() noexcept {
  if (closed_ || std::exchange(finished_, true)) return;
  if (ends_.half_closes) return carried_->below->finish();
  try {
    say_close(websocket::close_code::normal);
  } catch (...) {
    carried_->below->finish(); // no memory
  }
}

void WebSocketState::close() noexcept {
  if (closed_) return;
  try {
    // To all others an end without a Close is an accident. It is written at once, or not at all.
    if (carried_->keeps_end && !ends_.half_closes && !ended_ && !carried_->ended) say_close(websocket::close_code::normal);
  } catch (...) { // no memory
  }
  closed_ = true;
  alarm_->cancel();
  carried_->close();
}

void WebSocketState::watch_silence() {
  if (ends_.ping_interval.count() <= 0) return;
  alarm_->set(after(clock_.now(), ends_.ping_interval), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_silence();
  });
}

void WebSocketState::on_silence() {
  if (closed_ || failure_ || ended_) return;
  if (++silent_intervals_ > silent_intervals_max) {
    fail(asio::error::timed_out,
         fmt::format("nothing from {} for {} ms", ends_.remote, silent_intervals_max * ends_.ping_interval.count()));
    carried_->changed.notify_all();
    return;
  }
  if (!pinging_ && !closing_) {
    pinging_ = true;
    stream_.async_ping({}, [self = shared_from_this()](error_code) { self->pinging_ = false; });
  }
  watch_silence();
}

class WebSocketTransport final : public Transport {
 public:
  explicit WebSocketTransport(std::shared_ptr<WebSocketState> state) : state_(std::move(state)) {}
  ~WebSocketTransport() override { state_->close(); }

  awaitable<std::size_t> read_some(std::span<std::byte> into) override { return WebSocketState::read(state_, into, {}); }
  awaitable<std::size_t> read_scattered(std::span<std::byte> into, std::span<std::byte> rest) override {
    return WebSocketState::read(state_, into, rest);
  }
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return WebSocketState::write(state_, pieces);
  }
  std::uint64_t write_progress() const noexcept override { return state_->write_progress(); }
  void finish() noexcept override { state_->finish(); }
  void close() noexcept override { state_->close(); }
  bool proves_identity() const noexcept override { return state_->below().proves_identity(); }
  const ChannelProof* proof() const noexcept override { return state_->below().proof(); }
  std::string remote() const override { return state_->ends().remote; }
  std::string remote_host() const override { return state_->ends().remote_host; }

 private:
  std::shared_ptr<WebSocketState> state_;
};

} // namespace

awaitable<std::unique_ptr<Transport>> dial_web_socket_on(std::unique_ptr<Transport> below, WebSocketEnds ends,
                                                         std::string host, std::string context) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto state = std::make_shared<WebSocketState>(executor, std::move(below), std::move(ends));
  auto transport = std::make_unique<WebSocketTransport>(state); // closes it when this throws
  co_await WebSocketState::ask(state, std::move(host), std::move(context));
  co_return transport;
}

awaitable<std::unique_ptr<Transport>> accept_web_socket_on(std::unique_ptr<Transport> below, WebSocketEnds ends,
                                                           WebRequest request) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto state = std::make_shared<WebSocketState>(executor, std::move(below), std::move(ends));
  auto transport = std::make_unique<WebSocketTransport>(state);
  co_await WebSocketState::answer(state, std::move(request));
  co_return transport;
}

} // namespace trunkline
