// What a port of WebSockets answers to far sides that do not keep to the rules: raw bytes go in over memory, and what
// comes back is compared, as is what the transport of such a far side says to its reader.
#include "transport/web_socket.hpp"

#include "async/clock.hpp"
#include "tests/support/breakpoints.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/memory.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <new>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;
using namespace std::string_literals;

constexpr std::string_view good_fields = "Host: 127.0.0.1:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                         "Sec-WebSocket-Version: 13\r\n";
const std::string good_request =
    "GET / HTTP/1.1\r\n" + std::string(good_fields) + "Sec-WebSocket-Protocol: trunkline\r\n\r\n";

/// A port over memory, and a far side that says bytes to it.
class Port {
 public:
  explicit Port(const Executor& executor, WebSocketOptions options = WebSocketOptions())
      : memory_(std::make_shared<MemoryMedium>(64 << 10)),
        medium_(make_web_socket_medium(std::move(options), memory_, "ws")),
        listener_(medium_->listen(executor, "ws://port")) {}

  awaitable<std::unique_ptr<Transport>> connect() { return memory_->dial("mem://port"); }
  Listener& listener() { return *listener_; }
  Medium& medium() { return *medium_; }

 private:
  std::shared_ptr<MemoryMedium> memory_;
  std::shared_ptr<Medium> medium_;
  std::unique_ptr<Listener> listener_;
};

awaitable<void> say(Transport& to, std::string bytes) {
  const std::span<const std::byte> piece = std::as_bytes(std::span(bytes));
  co_await to.write(std::span(&piece, 1));
}

/// Everything that comes, to the end or to a failure.
awaitable<std::string> hear(Transport& from) {
  std::string heard;
  std::vector<std::byte> bytes(4096);
  try {
    for (;;) {
      const std::size_t count = co_await from.read_some(bytes);
      if (count == 0) break;
      heard.append(reinterpret_cast<const char*>(bytes.data()), count);
    }
  } catch (const boost::system::system_error&) {
    // It was cut off; what came before is what counts.
  }
  co_return heard;
}

/// An answer without content.
awaitable<std::string> hear_answer(Transport& from) {
  std::string heard;
  std::byte byte{};
  while (!heard.ends_with("\r\n\r\n")) {
    const std::size_t count = co_await from.read_some(std::span(&byte, 1));
    if (count == 0) break;
    heard += static_cast<char>(byte);
  }
  co_return heard;
}

/// One that the far side refuses to hear to its end is no failure of the test.
awaitable<void> try_to_say(Transport& to, std::string bytes) {
  try {
    co_await say(to, std::move(bytes));
  } catch (const boost::system::system_error&) {
  }
}

/// What the port answers to a request.
awaitable<std::string> answer_to(WebSocketOptions options, std::string request) {
  Port port(co_await asio::this_coro::executor, std::move(options));
  const std::unique_ptr<Transport> far = co_await port.connect();
  co_await say(*far, std::move(request));
  std::string answer = co_await hear(*far);
  co_return answer;
}

std::string answer(std::string request, WebSocketOptions options = WebSocketOptions()) {
  return run_coroutine(answer_to(std::move(options), std::move(request)));
}

std::string first_line(const std::string& answer) { return answer.substr(0, answer.find("\r\n")); }
std::string content(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? std::string() : answer.substr(end + 4);
}

std::string request(std::string_view fields, std::string_view line = "GET / HTTP/1.1") {
  return std::string(line) + "\r\n" + std::string(fields) + "\r\n";
}

enum Opcode : unsigned char { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

std::string frame(unsigned char opcode, std::string_view payload, bool fin = true) {
  constexpr std::string_view mask = "\x11\x22\x33\x44";
  std::string bytes(1, static_cast<char>((fin ? 0x80 : 0) | opcode));
  if (payload.size() < 126) {
    bytes += static_cast<char>(0x80 | payload.size());
  } else {
    bytes += "\xFE"s + static_cast<char>(payload.size() >> 8) + static_cast<char>(payload.size() & 0xFF);
  }
  bytes += mask;
  for (std::size_t i = 0; i < payload.size(); ++i) bytes += static_cast<char>(payload[i] ^ mask[i % 4]);
  return bytes;
}

/// What an accepted transport gave its reader: the bytes, and behind '!' why it ended unless in order.
awaitable<std::string> read_out(Listener& listener) {
  const std::unique_ptr<Transport> accepted = co_await listener.accept();
  std::string heard;
  std::vector<std::byte> bytes(4096);
  std::string failure;
  try {
    for (;;) {
      const std::size_t count = co_await accepted->read_some(bytes);
      if (count == 0) break;
      heard.append(reinterpret_cast<const char*>(bytes.data()), count);
    }
  } catch (const boost::system::system_error& thrown) {
    failure = thrown.what();
  }
  co_return failure.empty() ? heard : heard + "!" + failure;
}

struct Outcome {
  std::string read; // by the port's owner
  int code = 0;     // of the Close that came back; 0: none
  std::string heard; // by the far side, after the handshake
};

awaitable<Outcome> outcome_of_frames(std::string frames, bool ends) {
  Port port(co_await asio::this_coro::executor);
  const std::unique_ptr<Transport> far = co_await port.connect();
  auto say_all = [](Transport& to, std::string bytes, bool finishes) -> awaitable<void> {
    co_await try_to_say(to, std::move(bytes));
    if (finishes) to.finish();
  };
  co_await say(*far, good_request);
  const std::string answered = co_await hear_answer(*far);
  REQUIRE(first_line(answered) == "HTTP/1.1 101 Switching Protocols");
  auto all = co_await (say_all(*far, std::move(frames), ends) && read_out(port.listener()) && hear(*far));
  Outcome outcome;
  outcome.read = std::move(std::get<0>(all));
  outcome.heard = std::move(std::get<1>(all));
  const std::size_t at = outcome.heard.rfind("\x88");
  if (at != std::string::npos && outcome.heard.size() >= at + 4) {
    outcome.code = static_cast<unsigned char>(outcome.heard[at + 2]) << 8 |
                   static_cast<unsigned char>(outcome.heard[at + 3]);
  }
  co_return outcome;
}

Outcome after(std::string frames, bool ends = false) {
  return run_coroutine(outcome_of_frames(std::move(frames), ends));
}

bool is_refused(const Outcome& outcome) { return outcome.read.find('!') != std::string::npos; }

WebSocketOptions with_page() {
  WebSocketOptions options;
  auto pages = std::make_shared<WebPages>();
  pages->add("index.html", "<p>here");
  pages->add("page.js", "1");
  options.pages = std::move(pages);
  return options;
}

} // namespace

// Requests.

TEST_CASE("ws: bytes that are no request are answered in HTTP with one line") {
  for (const std::string& bytes : {"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"s + std::string(64, 'x'),
                                   "TRNK\x01\x00\x00\x00"s + std::string(64, '\0'), "hello\r\n\r\n"s}) {
    const std::string said = answer(bytes);
    CHECK(first_line(said) == "HTTP/1.1 400 Bad Request");
    CHECK(content(said).find("this is a port of HTTP and WebSocket, and what came is no request") == 0);
    CHECK(content(said).find('\n') == content(said).size() - 1);
  }
}

TEST_CASE("ws: a request for something else is answered with one line") {
  const std::string plain = answer(request("Host: x\r\n"));
  CHECK(first_line(plain) == "HTTP/1.1 426 Upgrade Required");
  CHECK(content(plain) == "this port gives trunks by WebSocket (subprotocol trunkline), and no pages\n");
  const std::string post = answer(request("Host: x\r\nContent-Length: 3\r\n", "POST / HTTP/1.1") + "abc");
  CHECK(first_line(post) == "HTTP/1.1 405 Method Not Allowed");
  CHECK(post.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
}

TEST_CASE("ws: the port gives its pages, and nothing beside them") {
  const std::string page = answer(request("Host: x\r\n"), with_page());
  CHECK(first_line(page) == "HTTP/1.1 200 OK");
  CHECK(content(page) == "<p>here");
  CHECK(page.find("\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 7\r\n") != std::string::npos);
  CHECK(page.find("\r\nContent-Security-Policy: default-src 'none';") != std::string::npos);
  CHECK(content(answer(request("Host: x\r\n", "GET /page.js?v=2 HTTP/1.1"), with_page())) == "1");
  CHECK(content(answer(request("Host: x\r\n", "HEAD / HTTP/1.1"), with_page())).empty());
  for (const char* const target : {"/../etc/passwd", "/%2e%2e/etc/passwd", "/page.js/", "//", "/.", "*", "http://x/"}) {
    const std::string other = answer(request("Host: x\r\n", "GET " + std::string(target) + " HTTP/1.1"), with_page());
    CHECK(first_line(other) == "HTTP/1.1 404 Not Found");
  }
}

TEST_CASE("ws: a header beyond header_bytes_max is refused, and as much is kept of it") {
  const std::string said = answer(request("Host: x\r\nCookie: " + std::string(40'000, 'c') + "\r\n"));
  CHECK(first_line(said) == "HTTP/1.1 431 Request Header Fields Too Large");
  CHECK(content(said) == "the header of the request exceeds header_bytes_max 16384\n");
}

TEST_CASE("ws: a request for a WebSocket that is not one of ours is refused with what was expected") {
  struct Row {
    std::string fields;
    std::string_view line;
    std::string_view status;
  };
  const std::string fields(good_fields);
  const std::string protocol = "Sec-WebSocket-Protocol: trunkline\r\n";
  std::string old_version = fields + protocol;
  old_version.replace(old_version.find(": 13"), 4, ": 8");
  std::string no_key = fields + protocol;
  no_key.erase(no_key.find("Sec-WebSocket-Key"), no_key.find("Sec-WebSocket-Version") - no_key.find("Sec-WebSocket-Key"));
  const Row rows[] = {
      {fields, "GET / HTTP/1.1", "HTTP/1.1 400 Bad Request"}, // no subprotocol
      {fields + "Sec-WebSocket-Protocol: chat, mqtt\r\n", "GET / HTTP/1.1", "HTTP/1.1 400 Bad Request"},
      {old_version, "GET / HTTP/1.1", "HTTP/1.1 426 Upgrade Required"},
      {fields + protocol, "GET / HTTP/1.0", "HTTP/1.1 426 Upgrade Required"},
      {fields + protocol, "POST / HTTP/1.1", "HTTP/1.1 426 Upgrade Required"},
      {no_key, "GET / HTTP/1.1", "HTTP/1.1 400 Bad Request"},
      {fields + protocol + "Origin: http://elsewhere.example\r\n", "GET / HTTP/1.1", "HTTP/1.1 403 Forbidden"},
      {fields + protocol + "Origin: http://127.0.0.1:2\r\n", "GET / HTTP/1.1", "HTTP/1.1 403 Forbidden"},
      {fields + protocol + "Origin: null\r\n", "GET / HTTP/1.1", "HTTP/1.1 403 Forbidden"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.fields);
    CHECK(first_line(answer(request(row.fields, row.line))) == row.status);
  }
}

TEST_CASE("ws: a page that has brought another name to this port is refused, and allowed by its name") {
  std::string fields = std::string(good_fields) + "Sec-WebSocket-Protocol: trunkline\r\nOrigin: http://evil.example\r\n";
  fields.replace(fields.find("127.0.0.1:1"), 11, "evil.example");
  const std::string refused = answer(request(fields));
  CHECK(first_line(refused) == "HTTP/1.1 403 Forbidden");
  CHECK(content(refused).find("that name is not one that the operator has allowed") != std::string::npos);

  WebSocketOptions allowing;
  allowing.origins = {"http://evil.example"};
  allowing.handshake_deadline = std::chrono::milliseconds(100);
  // The far side never ends, so that what is answered is a WebSocket that stays.
  auto connect = [](WebSocketOptions options, std::string asked) -> awaitable<std::string> {
    Port port(co_await asio::this_coro::executor, std::move(options));
    const std::unique_ptr<Transport> far = co_await port.connect();
    co_await say(*far, std::move(asked));
    const std::unique_ptr<Transport> accepted = co_await port.listener().accept();
    std::vector<std::byte> bytes(4096);
    const std::size_t count = co_await far->read_some(bytes);
    co_return std::string(reinterpret_cast<const char*>(bytes.data()), count);
  };
  CHECK(first_line(run_coroutine(connect(allowing, request(fields)))) == "HTTP/1.1 101 Switching Protocols");
  const std::string own = std::string(good_fields) + "Sec-WebSocket-Protocol: x, trunkline\r\n"
                                                     "Origin: http://127.0.0.1:1\r\n";
  const std::string accepted = run_coroutine(connect(WebSocketOptions(), request(own)));
  CHECK(accepted.find("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != std::string::npos);
  CHECK(accepted.find("\r\nSec-WebSocket-Protocol: trunkline\r\n") != std::string::npos);
}

TEST_CASE("ws: what follows a request for a WebSocket before its answer is refused") {
  CHECK(first_line(answer(good_request + frame(binary, "early"))) == "HTTP/1.1 400 Bad Request");
}

static awaitable<void> slow_and_silent();
TEST_CASE("ws: one that is silent, or says a byte now and then, is closed at handshake_deadline") {
  run_coroutine(slow_and_silent());
}
static awaitable<void> slow_and_silent() {
  WebSocketOptions options;
  options.handshake_deadline = std::chrono::milliseconds(50);
  Port port(co_await asio::this_coro::executor, std::move(options));
  const std::unique_ptr<Transport> silent = co_await port.connect();
  const std::unique_ptr<Transport> slow = co_await port.connect();
  auto say_slowly = [](Transport& to) -> awaitable<void> {
    try {
      co_await say(to, "GET / HTTP/1.1\r\n");
      for (;;) {
        co_await say(to, "X: y\r\n");
        co_await sleep_for(std::chrono::milliseconds(5));
      }
    } catch (const boost::system::system_error&) { // closed
    }
  };
  const auto all = co_await (say_slowly(*slow) && hear(*silent) && hear(*slow));
  CHECK(std::get<0>(all).empty());
  CHECK(std::get<1>(all).empty());
}

static awaitable<void> too_many();
TEST_CASE("ws: beyond visitors_max the oldest that has said nothing gives way, and one that speaks is heard") {
  run_coroutine(too_many());
}
static awaitable<void> too_many() {
  WebSocketOptions options;
  options.visitors_max = 4;
  Port port(co_await asio::this_coro::executor, std::move(options));
  std::vector<std::unique_ptr<Transport>> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(co_await port.connect());
  const std::unique_ptr<Transport> speaks = co_await port.connect();
  co_await say(*speaks, good_request);
  const std::unique_ptr<Transport> accepted = co_await port.listener().accept();
  for (int i = 0; i < 16; ++i) {
    const std::string heard = co_await hear(*silent[static_cast<std::size_t>(i)]);
    CHECK(heard.empty());
  }
}

static awaitable<void> throwing_listener();
TEST_CASE("ws: on_refused that throws costs its line, and neither the answer nor the visitors after it") {
  run_coroutine(throwing_listener());
}
static awaitable<void> throwing_listener() {
  WebSocketOptions options;
  options.visitors_max = 4;
  int heard_of = 0;
  options.on_refused = [&heard_of](const std::string&, const std::string&) {
    ++heard_of;
    throw std::runtime_error("no disk");
  };
  Port port(co_await asio::this_coro::executor, std::move(options));
  for (int i = 0; i < 20; ++i) {
    const std::unique_ptr<Transport> refused = co_await port.connect();
    co_await say(*refused, "nonsense\r\n\r\n");
    const std::string answered = co_await hear(*refused);
    CHECK(first_line(answered) == "HTTP/1.1 400 Bad Request");
  }
  CHECK(heard_of == 10); // of many it hears of some
  const std::unique_ptr<Transport> speaks = co_await port.connect();
  co_await say(*speaks, good_request);
  const std::unique_ptr<Transport> accepted = co_await port.listener().accept();
  CHECK(accepted);
}

namespace {

/// Whose listener breaks as no listener should.
class BrokenMedium final : public Medium {
 public:
  std::string_view scheme() const noexcept override { return "mem"; }
  std::string_view form() const noexcept override { return "mem://name"; }
  bool has_hosts() const noexcept override { return false; }
  bool has_ports() const noexcept override { return false; }
  bool is_local() const noexcept override { return true; }
  awaitable<std::unique_ptr<Transport>> dial(std::string) override { throw std::bad_alloc(); }
  std::unique_ptr<Listener> listen(const Executor&, std::string_view) override {
    return std::make_unique<BrokenListener>();
  }

 private:
  class BrokenListener final : public Listener {
   public:
    awaitable<std::unique_ptr<Transport>> accept() override { throw std::bad_alloc(); }
    void close() noexcept override {}
    std::string address() const override { return "mem://broken"; }
  };
};

} // namespace

static awaitable<void> broken_below();
TEST_CASE("ws: whatever ends the listening below is told to those who accept") { run_coroutine(broken_below()); }
static awaitable<void> broken_below() {
  const auto medium = make_web_socket_medium(WebSocketOptions(), std::make_shared<BrokenMedium>(), "ws");
  const std::unique_ptr<Listener> listener = medium->listen(co_await asio::this_coro::executor, "ws://broken");
  bool is_told = false;
  try {
    co_await listener->accept();
  } catch (const std::bad_alloc&) {
    is_told = true;
  }
  CHECK(is_told);
}

static awaitable<void> never_pinged();
TEST_CASE("ws: the longest ping_interval is never") {
  sim::World world(1);
  world.run(never_pinged());
}
static awaitable<void> never_pinged() {
  WebSocketOptions options;
  options.ping_interval = std::chrono::milliseconds::max();
  Port port(co_await asio::this_coro::executor, std::move(options));
  const std::unique_ptr<Transport> far = co_await port.connect();
  co_await say(*far, good_request);
  const std::string answered = co_await hear_answer(*far);
  CHECK(first_line(answered) == "HTTP/1.1 101 Switching Protocols");
  auto say_late = [](Transport& to) -> awaitable<void> {
    co_await sleep_for(std::chrono::hours(1));
    co_await say(to, frame(binary, "late"));
    to.finish();
  };
  const auto all = co_await (say_late(*far) && read_out(port.listener()) && hear(*far));
  CHECK(std::get<0>(all).starts_with("late"));
  CHECK(std::get<1>(all).find(static_cast<char>(0x80 | ping)) == std::string::npos);
}

// Frames.

TEST_CASE("ws: binary messages, however they are cut into frames, are the bytes of the transport") {
  const Outcome whole = after(frame(binary, "one") + frame(binary, "") + frame(binary, "t", false) +
                                  frame(ping, "!") + frame(continuation, "", false) + frame(continuation, "wo"),
                              true);
  CHECK(whole.read == "onetwo");
  CHECK(whole.heard == "\x8A\x01!");
}

TEST_CASE("ws: a far side that breaks the rules of frames is told which kind of rule it was") {
  struct Row {
    std::string what;
    std::string frames;
    int code;
  };
  const std::string unmasked = "\x82\x03"
                               "abc";
  const Row rows[] = {
      {"a text message", frame(text, "hello"), 1003},
      {"an unmasked frame", unmasked, 1002},
      {"a reserved bit", "\xC2"s + frame(binary, "x").substr(1), 1002},
      {"a reserved opcode", frame(3, "x"), 1002},
      {"a reserved control opcode", frame(11, "x"), 1002},
      {"a continuation of nothing", frame(continuation, "x"), 1002},
      {"a message within a message", frame(binary, "x", false) + frame(binary, "y"), 1002},
      {"a fragmented ping", frame(ping, "x", false), 1002},
      {"a ping of 126 bytes", frame(ping, std::string(126, 'p')), 1002},
      {"a Close of one byte", frame(close, "x"), 1002},
      {"a Close with a code that is none", frame(close, "\x03\xE7"), 1002},
      {"a length with more bytes than it needs", "\x82\xFE\x00\x05\x11\x22\x33\x44"s, 1002},
      {"a length of 64 bits with the highest set", "\x82\xFF\x80\x00\x00\x00\x00\x00\x00\x00\x11\x22\x33\x44"s, 1009},
      {"a message of 4 EiB", "\x82\xFF\x40\x00\x00\x00\x00\x00\x00\x00\x11\x22\x33\x44"s, 1009},
      {"a message of a byte more than message_bytes_max",
       "\x82\xFF\x00\x00\x00\x00\x00\x10\x00\x01\x11\x22\x33\x44"s, 1009},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Outcome outcome = after(row.frames);
    CHECK(is_refused(outcome));
    CHECK(outcome.code == row.code);
  }
  CHECK(after(frame(text, "hello")).read == "!a text message from ws://port, expected binary ones");
}

TEST_CASE("ws: a Close is answered and ends the transport in order") {
  const Outcome outcome = after(frame(binary, "last") + frame(close, "\x03\xE8"));
  CHECK(outcome.read == "last");
  CHECK(outcome.code == 1000);
}

TEST_CASE("ws: a flood of pings is answered one by one, and costs the bytes behind it nothing") {
  std::string flood;
  for (int i = 0; i < 20'000; ++i) flood += frame(ping, "12345678");
  const Outcome outcome = after(flood + frame(binary, "behind"), true);
  CHECK(outcome.read == "behind");
  CHECK(outcome.heard.size() == 20'000 * 10);
}

TEST_CASE("ws: a far side that ends after any byte leaves what it has said, and nothing else") {
  const std::string frames = frame(binary, "abcdefgh") + frame(ping, "p") + frame(binary, std::string(300, 'z'));
  const std::string payload = "abcdefgh" + std::string(300, 'z');
  std::size_t longest = 0;
  split_at_each(std::span<const char>(frames), [&](std::span<const char> first, std::span<const char>) {
    const Outcome outcome = after(std::string(first.data(), first.size()), true);
    CHECK(payload.starts_with(outcome.read));
    CHECK(outcome.read.size() >= longest); // never less of more
    longest = outcome.read.size();
  });
  CHECK(longest == payload.size());
  split_at_each(std::span<const char>(good_request), [&](std::span<const char> first, std::span<const char> rest) {
    if (rest.empty()) return;
    auto say_and_end = [](std::string bytes) -> awaitable<std::string> {
      Port port(co_await asio::this_coro::executor);
      const std::unique_ptr<Transport> far = co_await port.connect();
      co_await say(*far, std::move(bytes));
      far->finish();
      std::string heard = co_await hear(*far);
      co_return heard;
    };
    CHECK(run_coroutine(say_and_end(std::string(first.data(), first.size()))).empty());
  });
}

} // namespace trunkline::test
