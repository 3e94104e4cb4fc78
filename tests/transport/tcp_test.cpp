#include "transport/tcp.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/transport/conformance.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;

class TcpUnderTest : public MediumUnderTest {
 public:
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return *medium_; }
  Medium& listening() override { return *medium_; }
  std::string address() override { return "tcp://127.0.0.1:0"; }
  std::string address_of_nobody() override { return "tcp://127.0.0.1:1"; }

 private:
  asio::io_context io_{1};
  std::shared_ptr<Medium> medium_ = make_tcp_medium();
};

class Tcp6Medium final : public TcpUnderTest {
 public:
  std::string address() override { return "tcp://[::1]:0"; }
  std::string address_of_nobody() override { return "tcp://[::1]:1"; }
};

std::string text_of_listen(const std::string& address) {
  asio::io_context io(1);
  try {
    return "listens on " + make_tcp_medium()->listen(io.get_executor(), address)->address();
  } catch (const boost::system::system_error& thrown) {
    return thrown.what();
  }
}

awaitable<std::string> text_of_dial(std::string address) {
  const auto medium = make_tcp_medium();
  try {
    const auto transport = co_await medium->dial(std::move(address));
    co_return "connected to " + transport->remote();
  } catch (const boost::system::system_error& thrown) {
    co_return thrown.what();
  }
}

} // namespace

TRUNKLINE_TRANSPORT_CONFORMS("tcp", TcpUnderTest)
TRUNKLINE_TRANSPORT_CONFORMS("tcp over IPv6", Tcp6Medium)

TEST_CASE("tcp: port 0 gives a real one") {
  CHECK(text_of_listen("tcp://127.0.0.1:0").find("listens on tcp://127.0.0.1:") == 0);
  CHECK(text_of_listen("tcp://127.0.0.1:0") != "listens on tcp://127.0.0.1:0");
  CHECK(text_of_listen("tcp://[::1]:0").find("listens on tcp://[::1]:") == 0);
  CHECK(text_of_listen("tcp://0.0.0.0:0").find("listens on tcp://0.0.0.0:") == 0);
  CHECK(text_of_listen("tcp://localhost:0").find("listens on tcp://") == 0);
}

TEST_CASE("tcp: an address of another form is refused in words") {
  CHECK(text_of_listen("tcp:/x") == "address \"tcp:/x\" is not tcp://host:port");
  CHECK(text_of_listen("tcp://127.0.0.1") == "address \"tcp://127.0.0.1\" is not tcp://host:port");
  CHECK(text_of_listen("tcp://:80") == "address \"tcp://:80\" is not tcp://host:port");
  CHECK(text_of_listen("tcp://h:1/x") == "address \"tcp://h:1/x\" is not tcp://host:port with a port from 0 to 65535");
  CHECK(text_of_listen("tcp://h:65536") ==
        "address \"tcp://h:65536\" is not tcp://host:port with a port from 0 to 65535");
  CHECK(text_of_listen("tcp://h:") == "address \"tcp://h:\" is not tcp://host:port with a port from 0 to 65535");
  CHECK(text_of_listen("tcp://::1:80") ==
        "address \"tcp://::1:80\" is not tcp://host:port; an IPv6 host is written in brackets");
}

TEST_CASE("tcp: failures say what could not be done and why") {
  CHECK(text_of_listen("tcp://192.0.2.1:0") == "cannot listen on tcp://192.0.2.1:0: Cannot assign requested address");
  CHECK(run_coroutine(text_of_dial("tcp://127.0.0.1:1")) == "cannot connect to tcp://127.0.0.1:1: Connection refused");
  CHECK(run_coroutine(text_of_dial("tcp://no.such.host.invalid:1"))
            .find("cannot connect to tcp://no.such.host.invalid:1: ") == 0);
}

namespace {

/// Takes every descriptor that the process can have, down to `left`.
class DescriptorsTaken {
 public:
  explicit DescriptorsTaken(std::size_t left) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 256;
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (int descriptor; (descriptor = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) taken_.push_back(descriptor);
    give(left);
  }
  ~DescriptorsTaken() {
    give(taken_.size());
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  void give(std::size_t count) {
    for (; count > 0; --count) {
      ::close(taken_.back());
      taken_.pop_back();
    }
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

awaitable<bool> closed_by_far_side(Transport& transport) {
  std::byte byte{};
  try {
    const std::size_t read = co_await transport.read_some(std::span(&byte, 1));
    co_return read == 0;
  } catch (const boost::system::system_error&) {
    co_return true;
  }
}

/// UBSan looks at an object of a type that is new to it through a pipe, for which there would be no descriptors: it
/// sees the types here first.
awaitable<void> show_types(Medium& medium, Listener& listener) {
  const auto both = co_await (medium.dial(listener.address()) && listener.accept());
  std::get<1>(both)->close();
  co_await closed_by_far_side(*std::get<0>(both));
  co_await sleep_for(std::chrono::milliseconds(1));
}

bool is_set(int descriptor, int level, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(descriptor, level, option, &value, &size) == 0 && value != 0;
}

/// Of this process's connections over TCP: how many there are, and how many send at once and are kept alive.
std::pair<int, int> connections_and_well_set() {
  std::pair<int, int> found;
  for (int descriptor = 0; descriptor < 1024; ++descriptor) {
    sockaddr_storage far{};
    socklen_t size = sizeof far;
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&far), &size) != 0 || far.ss_family != AF_INET) continue;
    ++found.first;
    found.second += is_set(descriptor, IPPROTO_TCP, TCP_NODELAY) && is_set(descriptor, SOL_SOCKET, SO_KEEPALIVE);
  }
  return found;
}

} // namespace

static awaitable<void> options_of_both_ends();
TEST_CASE("tcp: both ends of a connection send small writes at once and are kept alive") {
  run_coroutine(options_of_both_ends());
}
static awaitable<void> options_of_both_ends() {
  const auto medium = make_tcp_medium();
  const auto listener = medium->listen(co_await asio::this_coro::executor, "tcp://127.0.0.1:0");
  const auto before = connections_and_well_set();
  const auto both = co_await (medium->dial(listener->address()) && listener->accept());
  const auto after = connections_and_well_set();
  CHECK(after.first - before.first == 2);
  CHECK(after.second - before.second == 2);
}

static awaitable<void> dial_by_name();
TEST_CASE("tcp: a name is dialled at every address it stands for") { run_coroutine(dial_by_name()); }
static awaitable<void> dial_by_name() {
  const auto medium = make_tcp_medium();
  const auto listener = medium->listen(co_await asio::this_coro::executor, "tcp://127.0.0.1:0");
  const std::string port = listener->address().substr(listener->address().rfind(':'));
  // "localhost" may stand for ::1 first, where nobody listens.
  const auto both = co_await (medium->dial("tcp://localhost" + port) && listener->accept());
  CHECK(std::get<0>(both)->remote() == listener->address());
  CHECK(std::get<1>(both)->remote_host() == "127.0.0.1");
}

static awaitable<void> accept_without_descriptors();
TEST_CASE("tcp: accepting survives a lack of descriptors, says so, and who dialled meanwhile is told") {
  run_coroutine(accept_without_descriptors());
}
static awaitable<void> accept_without_descriptors() {
  const Executor executor = co_await asio::this_coro::executor;
  const auto medium = make_tcp_medium();
  const auto listener = medium->listen(executor, "tcp://127.0.0.1:0");
  co_await show_types(*medium, *listener);
  std::unique_ptr<Transport> accepted;
  Tasks accepting(executor);
  auto accept_one = [](Listener& from, std::unique_ptr<Transport>& into) -> awaitable<void> {
    into = co_await from.accept();
  };
  accepting.spawn(accept_one(*listener, accepted));

  Shortage seen;
  int begun = 0;
  listener->on_shortage([&](const Shortage& shortage) {
    seen = shortage;
    begun += shortage.began;
  });
  DescriptorsTaken taken(1); // one is left, for the socket that dials
  const auto shed = co_await medium->dial(listener->address());
  const bool closed = co_await closed_by_far_side(*shed);
  CHECK(closed);
  CHECK_FALSE(accepted);
  CHECK(seen.reason == boost::system::errc::too_many_files_open);
  CHECK(seen.turned_away == 1);

  taken.give(10);
  const auto served = co_await medium->dial(listener->address());
  co_await accepting.join();
  CHECK(accepted);
  CHECK_FALSE(seen.reason); // it has said that it is over
  CHECK(seen.turned_away == 1);
  CHECK(begun == 1);
}

static awaitable<void> close_without_descriptors();
TEST_CASE("tcp: a listener can be closed while it lacks descriptors") { run_coroutine(close_without_descriptors()); }
static awaitable<void> close_without_descriptors() {
  const Executor executor = co_await asio::this_coro::executor;
  const auto medium = make_tcp_medium();
  const auto listener = medium->listen(executor, "tcp://127.0.0.1:0");
  co_await show_types(*medium, *listener);
  Tasks accepting(executor);
  auto accept_one = [](Listener& from) -> awaitable<void> { co_await from.accept(); };
  accepting.spawn(accept_one(*listener));

  DescriptorsTaken taken(1);
  const auto shed = co_await medium->dial(listener->address());
  co_await closed_by_far_side(*shed);
  listener->close(); // wakes the accept from its pause
  co_await accepting.join();
}

} // namespace trunkline::test
