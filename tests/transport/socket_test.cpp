// What a program that ours starts would inherit: every descriptor that the media open is closed on exec.
#include "tests/support/coroutine.hpp"
#include "transport/media.hpp"
#include "transport/tcp.hpp"
#include "transport/unix.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;

constexpr int descriptors_max = 1024;

std::set<int> open_descriptors() {
  std::set<int> open;
  for (int descriptor = 0; descriptor < descriptors_max; ++descriptor)
    if (::fcntl(descriptor, F_GETFD) >= 0) open.insert(descriptor);
  return open;
}

/// Of those that were opened since: how many there are, and how many an exec would keep.
std::pair<std::size_t, std::size_t> opened_and_inherited(const std::set<int>& before) {
  std::size_t opened = 0;
  std::size_t inherited = 0;
  for (const int descriptor : open_descriptors()) {
    if (before.contains(descriptor)) continue;
    ++opened;
    inherited += (::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) == 0;
  }
  return {opened, inherited};
}

awaitable<void> talk(Medium& medium, std::string address, const std::set<int>& before) {
  const auto listener = medium.listen(co_await asio::this_coro::executor, address);
  const auto both = co_await (medium.dial(listener->address()) && listener->accept());
  const auto [opened, inherited] = opened_and_inherited(before);
  CHECK(opened >= 3); // one listens, two are connected; and what the context and the listener keep
  CHECK(inherited == 0);
  CHECK(std::get<0>(both)->remote() == listener->address());
}

std::string socket_path() { return "/tmp/trunkline-descriptors-" + std::to_string(::getpid()) + ".sock"; }

int option_of(int descriptor, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(descriptor, level, name, &value, &size);
  return value;
}

} // namespace

TEST_CASE("sockets: everything that tcp opens, dialled and accepted, is closed on exec") {
  for (const char* address : {"tcp://127.0.0.1:0", "tcp://[::1]:0"}) {
    const std::set<int> before = open_descriptors();
    asio::io_context io(1);
    const auto medium = make_tcp_medium();
    run_coroutine(io, talk(*medium, address, before));
  }
}

TEST_CASE("sockets: everything that unix opens, also to probe a stale file, is closed on exec") {
  const std::set<int> before = open_descriptors();
  asio::io_context io(1);
  {
    asio::local::stream_protocol::acceptor dead(io, asio::local::stream_protocol::endpoint(socket_path()));
  } // its file stays
  const auto medium = make_unix_medium();
  run_coroutine(io, talk(*medium, "unix:" + socket_path(), before));
}

static awaitable<void> options_of_both_ends(const std::set<int>& before);
TEST_CASE("sockets: the options of a medium are those of each of its connections") {
  const std::set<int> before = open_descriptors();
  run_coroutine(options_of_both_ends(before));
}
static awaitable<void> options_of_both_ends(const std::set<int>& before) {
  TcpOptions options;
  options.sockets.no_delay = false;
  options.sockets.keep_alive_idle = std::chrono::seconds(77);
  options.sockets.keep_alive_interval = std::chrono::seconds(7);
  options.sockets.keep_alive_probes = 3;
  options.sockets.send_buffer_bytes = 64 << 10;
  options.sockets.receive_buffer_bytes = 96 << 10;
  options.sockets.traffic_class = 0x20;
  const auto medium = make_tcp_medium(options);
  const auto listener = medium->listen(co_await asio::this_coro::executor, "tcp://127.0.0.1:0");
  const auto both = co_await (medium->dial(listener->address()) && listener->accept());
  int connections = 0;
  for (const int descriptor : open_descriptors()) {
    sockaddr_storage far{};
    socklen_t size = sizeof far;
    if (before.contains(descriptor) || ::getpeername(descriptor, reinterpret_cast<sockaddr*>(&far), &size) != 0 ||
        far.ss_family != AF_INET)
      continue;
    ++connections;
    CHECK(option_of(descriptor, IPPROTO_TCP, TCP_NODELAY) == 0);
    CHECK(option_of(descriptor, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option_of(descriptor, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
    CHECK(option_of(descriptor, IPPROTO_TCP, TCP_KEEPINTVL) == 7);
    CHECK(option_of(descriptor, IPPROTO_TCP, TCP_KEEPCNT) == 3);
    CHECK(option_of(descriptor, SOL_SOCKET, SO_SNDBUF) == 2 * (64 << 10)); // the system doubles it, for its own needs
    CHECK(option_of(descriptor, SOL_SOCKET, SO_RCVBUF) == 2 * (96 << 10));
    CHECK(option_of(descriptor, IPPROTO_IP, IP_TOS) == 0x20);
  }
  CHECK(connections == 2);
  CHECK(std::get<1>(both)->remote_host() == "127.0.0.1");
}

} // namespace trunkline::test
