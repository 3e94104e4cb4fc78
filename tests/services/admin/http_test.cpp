// A port on a memory medium, and a far side that speaks to it byte by byte where that matters.
#include "services/admin/http.hpp"

#include "async/within.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/memory.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace trunkline::test {
namespace {

using admin::HttpAnswer;
using admin::HttpLimits;
using admin::HttpPort;
using admin::HttpRequest;

constexpr const char* address = "mem://admin";

HttpAnswer respond(const HttpRequest& request) {
  if (request.path == "/throws") throw std::runtime_error("no luck");
  if (request.path == "/throws-a-number") throw 7;
  return HttpAnswer(200, request.path + "|" + request.query + "|" + request.host + "|" + std::string(request.parameter("b")));
}

struct Place {
  explicit Place(const HttpLimits& limits = HttpLimits())
      : port(io.get_executor(), memory->listen(io.get_executor(), address), respond, limits) {}

  asio::io_context io{1};
  std::shared_ptr<MemoryMedium> memory = std::make_shared<MemoryMedium>();
  HttpPort port;
};

awaitable<void> write(Transport& transport, std::string_view text) {
  const std::array<std::span<const std::byte>, 1> pieces{std::as_bytes(std::span(text))};
  co_await transport.write(pieces);
}

awaitable<std::string> read_all(Transport& transport) {
  std::string all;
  std::array<std::byte, 1000> bytes;
  for (;;) {
    const std::size_t count = co_await transport.read_some(bytes);
    if (count == 0) break;
    all.append(reinterpret_cast<const char*>(bytes.data()), count);
  }
  co_return all;
}

awaitable<std::string> answer_to(Place& place, std::string request) {
  const auto transport = co_await place.memory->dial(address);
  co_await write(*transport, request);
  std::string all = co_await read_all(*transport);
  transport->close();
  co_return all;
}

bool begins(const std::string& text, std::string_view with) { return text.starts_with(with); }

} // namespace

static awaitable<void> in_pieces(Place& place);
TEST_CASE("http: a request that comes in two pieces is answered wherever it was cut") {
  Place place;
  run_coroutine(place.io, in_pieces(place));
}
static awaitable<void> in_pieces(Place& place) {
  const std::string request = "GET /links?a=1&b=two HTTP/1.1\r\nHost: localhost:9464\r\nAccept: */*\r\n\r\n";
  for (std::size_t at = 1; at < request.size(); ++at) {
    const auto transport = co_await place.memory->dial(address);
    co_await write(*transport, std::string_view(request).substr(0, at));
    co_await write(*transport, std::string_view(request).substr(at));
    const std::string answer = co_await read_all(*transport);
    CHECK_MESSAGE(begins(answer, "HTTP/1.1 200 OK\r\n"), at);
    CHECK_MESSAGE(answer.ends_with("\r\n\r\n/links|a=1&b=two|localhost|two"), answer);
    transport->close();
  }
  place.port.close();
}

static awaitable<void> more_failures_than_places(Place& place);
TEST_CASE("http: a visitor whose answer ends in something else than an exception takes its place with it") {
  HttpLimits limits;
  limits.connections_max = limits.connections_per_host_max = 3;
  Place place(limits);
  run_coroutine(place.io, more_failures_than_places(place));
}
static awaitable<void> more_failures_than_places(Place& place) {
  for (int i = 0; i < 10; ++i) CHECK(co_await answer_to(place, "GET /throws-a-number HTTP/1.1\r\n\r\n") == "");
  CHECK(begins(co_await answer_to(place, "GET /x HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK\r\n"));
  place.port.close();
}

static awaitable<void> odd_requests(Place& place);
TEST_CASE("http: what is no request for a page is refused in words") {
  HttpLimits limits;
  limits.header_bytes_max = 2000;
  Place place(limits);
  run_coroutine(place.io, odd_requests(place));
}
static awaitable<void> odd_requests(Place& place) {
  CHECK(begins(co_await answer_to(place, "TRNK\1\2\3\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\n"));
  CHECK(begins(co_await answer_to(place, "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), "HTTP/1.1 400 "));
  const std::string posted = co_await answer_to(place, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  CHECK(begins(posted, "HTTP/1.1 405 "));
  CHECK(posted.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
  CHECK(begins(co_await answer_to(place, "GET / HTTP/1.1\r\nX: " + std::string(2500, 'x') + "\r\n\r\n"), "HTTP/1.1 431 "));
  const std::string head = co_await answer_to(place, "HEAD /x HTTP/1.0\r\n\r\n");
  CHECK(begins(head, "HTTP/1.1 200 "));
  CHECK(head.find("\r\nContent-Length: 5\r\n") != std::string::npos);
  CHECK(head.ends_with("\r\n\r\n"));
  const std::string failed = co_await answer_to(place, "GET /throws HTTP/1.1\r\n\r\n");
  CHECK(begins(failed, "HTTP/1.1 500 "));
  CHECK(failed.ends_with("no luck\n"));
  place.port.close();
}

static awaitable<void> silent_ones(Place& place);
TEST_CASE("http: a connection that says nothing ends, and keeps out none that asks") {
  HttpLimits limits;
  limits.connections_max = 2;
  limits.connections_per_host_max = 2;
  limits.deadline = std::chrono::milliseconds(100);
  Place place(limits);
  run_coroutine(place.io, silent_ones(place));
}
static awaitable<void> silent_ones(Place& place) {
  const auto first = co_await place.memory->dial(address);
  const auto second = co_await place.memory->dial(address);
  const std::string answer = co_await answer_to(place, "GET /x HTTP/1.1\r\n\r\n");
  CHECK(begins(answer, "HTTP/1.1 200 "));
  std::array<std::byte, 10> bytes;
  // Either end of a connection is fine: it is over.
  const auto first_read = co_await as_result(first->read_some(bytes));
  CHECK((first_read.has_error() || *first_read == 0));
  const auto second_read = co_await as_result(second->read_some(bytes));
  CHECK((second_read.has_error() || *second_read == 0));
  place.port.close();
}

static awaitable<void> asked(Place& place);
TEST_CASE("http: the client gets status, type and content") {
  Place place;
  run_coroutine(place.io, asked(place));
}
static awaitable<void> asked(Place& place) {
  const HttpAnswer answer = co_await admin::http_get(place.memory, address, "/top?b=3", std::chrono::seconds(20));
  CHECK(answer.status == 200);
  CHECK(answer.type == "text/plain; charset=utf-8");
  CHECK(answer.content == "/top|b=3|localhost|3");
  CHECK((co_await admin::http_get(place.memory, address, "/throws", std::chrono::seconds(20))).status == 500);
  place.port.close();
}

} // namespace trunkline::test
