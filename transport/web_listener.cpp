#include "transport/web_listener.hpp"

#include "async/clock.hpp"
#include "async/log_rate.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/within.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "transport/failure.hpp"
#include "transport/newcomers.hpp"
#include "transport/transport_stream.hpp"
#include "transport/web_request.hpp"
#include "transport/web_socket_transport.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/system/system_error.hpp>

#include <array>
#include <deque>
#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace trunkline {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t ready_max = 128; // handshakes that are done and not accepted; then no more are begun

/// One accepted connection until it is a transport or answered.
struct Visit {
  std::shared_ptr<CarriedTransport> carried; // empty when it is a transport
  std::string remote; // as this medium writes it
  std::string host;
};

/// What a listener and its coroutines share.
class Door : public std::enable_shared_from_this<Door> {
 public:
  Door(const Executor& executor, std::unique_ptr<Listener> below, std::string address,
       std::shared_ptr<const WebSocketOptions> options)
      : executor_(executor), below_(std::move(below)), address_(std::move(address)), options_(std::move(options)),
        newcomers_(options_->visitors_max, options_->visitors_per_host_max), tasks_(executor) {}

  void open() { tasks_.spawn(receive(shared_from_this())); }
  static awaitable<std::unique_ptr<Transport>> accept(std::shared_ptr<Door> self);
  void close() noexcept;
  Listener& below() noexcept { return *below_; }
  const std::string& address() const noexcept { return address_; }

 private:
  static awaitable<void> receive(std::shared_ptr<Door> self);
  void begin(std::unique_ptr<Transport> from);
  static awaitable<void> attend(std::shared_ptr<Door> self, std::unique_ptr<Transport> from);
  static awaitable<bool> secure(std::shared_ptr<Door> self, std::shared_ptr<Visit> visit);
  static awaitable<void> serve(std::shared_ptr<Door> self, std::shared_ptr<Visit> visit);
  static awaitable<void> give(std::shared_ptr<Door> self, std::shared_ptr<Visit> visit, WebAnswer answer);
  void let_in(const std::shared_ptr<Visit>& visit);
  void let_go(const Visit& visit) noexcept;
  void note_refused(const Visit& visit, const std::string& why) noexcept;
  /// In the scheme of this medium.
  std::string named(std::string_view below) const;

  Executor executor_;
  std::unique_ptr<Listener> below_;
  std::string address_;
  std::shared_ptr<const WebSocketOptions> options_;
  Newcomers newcomers_;
  LogRate refusals_;
  std::deque<std::unique_ptr<Transport>> ready_;
  std::exception_ptr failure_; // of accepting below
  bool closed_ = false;
  Signal changed_; // something is ready or was taken, or it failed or closed
  Tasks tasks_;    // last: they use the others
};

std::string Door::named(std::string_view below) const {
  const std::string_view scheme = std::string_view(address_).substr(0, address_.find(':'));
  return std::string(scheme) + std::string(below.substr(below.find(':')));
}

awaitable<std::unique_ptr<Transport>> Door::accept(std::shared_ptr<Door> self) {
  for (;;) {
    if (self->closed_) throw_aborted();
    if (!self->ready_.empty()) break;
    if (self->failure_) std::rethrow_exception(self->failure_);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    co_await self->changed_.wait();
    throw_if_cancelled(cancellation);
  }
  std::unique_ptr<Transport> transport = std::move(self->ready_.front());
  self->ready_.pop_front();
  self->changed_.notify_all();
  co_return transport;
}

awaitable<void> Door::receive(std::shared_ptr<Door> self) {
  try {
    for (;;) {
      while (self->ready_.size() >= ready_max) co_await self->changed_.wait();
      std::unique_ptr<Transport> from = co_await self->below_->accept();
      self->begin(std::move(from));
    }
  } catch (...) {
    self->failure_ = std::current_exception(); // where it was cancelled the door is closed, and nobody asks
  }
  self->changed_.notify_all();
}

/// No memory for one connection costs that one.
void Door::begin(std::unique_ptr<Transport> from) {
  try {
    tasks_.spawn(attend(shared_from_this(), std::move(from)));
  } catch (const std::exception&) {
    // It was closed on its way.
  }
}

awaitable<void> Door::attend(std::shared_ptr<Door> self, std::unique_ptr<Transport> from) {
  const auto visit = std::make_shared<Visit>();
  visit->remote = self->named(from->remote());
  visit->host = from->remote_host();
  visit->carried = std::make_shared<CarriedTransport>(std::move(from));
  // The newcomers point at the visit, so it leaves them whatever ends this.
  const auto leave = [self](Visit* gone) { self->let_go(*gone); };
  const std::unique_ptr<Visit, decltype(leave)> stay(visit.get(), leave);
  self->let_in(visit);
  try {
    co_await within(in_nanoseconds(self->options_->handshake_deadline), serve(self, visit));
  } catch (...) {
    // It is gone, or was too slow, or there is no memory for it: nothing was promised to it.
  }
}

void Door::let_go(const Visit& visit) noexcept {
  newcomers_.erase(&visit);
  visit.carried->close();
}

/// Silent connections cost their far side nothing, so they keep out none that speaks.
void Door::let_in(const std::shared_ptr<Visit>& visit) {
  const TimePoint now = Clock::of(executor_).now();
  if (const Newcomers::Who oldest = newcomers_.who_goes(visit->host, now)) {
    newcomers_.erase(oldest);
    static_cast<Visit*>(const_cast<void*>(oldest))->carried->close();
  }
  newcomers_.add(visit.get(), visit->host, now);
}

/// The handshake of what is below. Returns false when that has refused the far side, or it this port.
awaitable<bool> Door::secure(std::shared_ptr<Door> self, std::shared_ptr<Visit> visit) {
  Transport& below = *visit->carried->below;
  if (!below.needs_handshake()) co_return true;
  std::string why;
  try {
    co_await below.handshake();
    visit->remote = self->named(below.remote()); // which now names the node
  } catch (const boost::system::system_error& failure) {
    why = text_of(failure);
    if (failure.code() == asio::error::operation_aborted) throw; // it gave way to another one, or was too slow
  }
  if (why.empty()) co_return true;
  self->note_refused(*visit, why);
  co_return false;
}

awaitable<void> Door::serve(std::shared_ptr<Door> self, std::shared_ptr<Visit> visit) {
  const bool is_secure = co_await secure(self, visit);
  if (!is_secure) co_return;
  const WebSocketOptions& options = *self->options_;
  TransportStream stream(self->executor_, visit->carried);
  boost::beast::flat_buffer buffer(options.header_bytes_max + 1024);
  http::request_parser<http::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(options.header_bytes_max));
  const auto [failure, bytes] =
      co_await http::async_read_header(stream, buffer, parser, asio::as_tuple(asio::use_awaitable));
  if (failure == http::error::end_of_stream || failure == http::error::partial_message) co_return;
  if (failure.category() == http::make_error_code(http::error::end_of_stream).category()) {
    const bool too_large = failure == http::error::header_limit || failure == http::error::buffer_overflow;
    WebAnswer answer(too_large ? http::status::request_header_fields_too_large : http::status::bad_request,
                     too_large ? "the header of the request exceeds header_bytes_max " +
                                     std::to_string(options.header_bytes_max)
                               : "this is a port of HTTP and WebSocket, and what came is no request: " +
                                     failure.message());
    self->note_refused(*visit, answer.line);
    co_await give(self, visit, std::move(answer));
    co_return;
  }
  if (failure) co_return; // of the connection

  WebRequest request = parser.release();
  if (!asks_for_web_socket(request)) {
    co_await give(self, visit, answer_request(request, options));
    co_return;
  }
  WebAnswer refusal = check_web_socket_request(request, options);
  if (refusal.status == http::status::ok && (buffer.size() > 0 || !parser.is_done()))
    refusal = WebAnswer(http::status::bad_request, "nothing may follow a request for a WebSocket before its answer");
  if (refusal.status != http::status::ok) {
    self->note_refused(*visit, refusal.line);
    co_await give(self, visit, std::move(refusal));
    co_return;
  }
  WebSocketEnds ends;
  ends.remote = visit->remote;
  ends.remote_host = visit->host;
  ends.message_bytes_max = options.message_bytes_max;
  ends.ping_interval = options.ping_interval;
  self->newcomers_.erase(visit.get());
  std::unique_ptr<Transport> ready =
      co_await accept_web_socket_on(std::move(visit->carried->below), std::move(ends), std::move(request));
  if (self->closed_) co_return;
  self->ready_.push_back(std::move(ready));
  self->changed_.notify_all();
}

/// Writes the answer, and waits until the far side has it: an end with unread input would destroy it on its way.
awaitable<void> Door::give(std::shared_ptr<Door> self, std::shared_ptr<Visit> visit, WebAnswer answer) {
  constexpr std::size_t discarded_max = 256 << 10;
  const std::string head = answer.head();
  std::array<std::span<const std::byte>, 2> pieces{std::as_bytes(std::span(head))};
  if (!answer.without_content) pieces[1] = std::as_bytes(std::span(answer.page));
  co_await visit->carried->below->write(pieces);
  visit->carried->below->finish();
  std::array<std::byte, 4096> ignored;
  std::size_t discarded = 0;
  std::size_t count = 1;
  while (count > 0 && discarded < discarded_max) {
    count = co_await visit->carried->below->read_some(ignored);
    discarded += count;
  }
}

void Door::note_refused(const Visit& visit, const std::string& why) noexcept {
  if (!options_->on_refused) return;
  try {
    const std::optional<std::string> line = refusals_.pass(why, Clock::of(executor_).now());
    if (line) options_->on_refused(visit.remote, *line);
  } catch (...) {
    // It hears of it and decides nothing: that costs it this line.
  }
}

void Door::close() noexcept {
  if (std::exchange(closed_, true)) return;
  below_->close();
  const auto unaccepted = std::exchange(ready_, {});
  tasks_.cancel();
  changed_.notify_all();
}

class WebListener final : public Listener {
 public:
  explicit WebListener(std::shared_ptr<Door> door) : door_(std::move(door)) { door_->open(); }
  ~WebListener() override { door_->close(); }

  awaitable<std::unique_ptr<Transport>> accept() override { return Door::accept(door_); }
  void on_shortage(std::function<void(const Shortage&)> callback) override {
    door_->below().on_shortage(std::move(callback));
  }
  void close() noexcept override { door_->close(); }
  std::string address() const override { return door_->address(); }

 private:
  std::shared_ptr<Door> door_;
};

} // namespace

std::unique_ptr<Listener> make_web_listener(const Executor& executor, std::unique_ptr<Listener> below,
                                            std::string address, std::shared_ptr<const WebSocketOptions> options) {
  return std::make_unique<WebListener>(
      std::make_shared<Door>(executor, std::move(below), std::move(address), std::move(options)));
}

} // namespace trunkline
