// Addresses that refuse are those of loopback where nobody listens; one that says nothing is a listener whose queue is
// full: the system drops what comes.
#include "transport/connect_race.hpp"

#include "async/within.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/names.hpp"
#include "transport/tcp.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;

std::vector<asio::ip::address> addresses(const std::vector<const char*>& texts) {
  std::vector<asio::ip::address> all;
  for (const char* const text : texts) all.push_back(asio::ip::make_address(text));
  return all;
}

/// Every name stands for these.
std::shared_ptr<Names> all_are(const std::vector<const char*>& texts) {
  return std::make_shared<Names>([found = addresses(texts)](const std::string&) {
    Names::Answer answer;
    answer.addresses = found;
    return answer;
  });
}

/// Listens on a host and never answers further connections.
class Silent {
 public:
  Silent(asio::io_context& io, const char* host) : acceptor_(io), queued_(io) {
    const tcp::endpoint any(asio::ip::make_address(host), 0);
    acceptor_.open(any.protocol());
    acceptor_.bind(any);
    acceptor_.listen(0); // one connection fits, and is here
    queued_.connect(acceptor_.local_endpoint());
  }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  tcp::acceptor acceptor_;
  tcp::socket queued_;
};

TcpOptions next_after(std::chrono::milliseconds delay) {
  TcpOptions options;
  options.next_address_delay = delay;
  return options;
}

std::string url(const char* host, std::uint16_t port) {
  return "tcp://" + std::string(host) + ":" + std::to_string(port);
}

awaitable<std::string> tried_of(std::vector<const char*> hosts) {
  const auto race = std::make_shared<ConnectRace>(addresses(hosts), 1, next_after(1h));
  const std::optional<tcp::socket> winner = co_await ConnectRace::run(race);
  CHECK_FALSE(winner);
  co_return race->tried(false);
}

awaitable<std::string> give_up(std::shared_ptr<Medium> medium, std::string address) {
  std::string text;
  try {
    co_await within(50ms, [](std::shared_ptr<Medium> with, std::string to, std::string& into) -> awaitable<void> {
      try {
        co_await with->dial(std::move(to));
      } catch (const boost::system::system_error& thrown) {
        into = thrown.what();
        throw;
      }
    }(medium, std::move(address), text));
  } catch (const boost::system::system_error& thrown) {
    CHECK(thrown.code() == error::timed_out);
  }
  co_return text;
}

} // namespace

TEST_CASE("tcp: the two families of a host take turns, the system's first one first") {
  CHECK(run_coroutine(tried_of({"127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"})) ==
        "127.0.0.2: Connection refused; ::1: Connection refused; 127.0.0.3: Connection refused; "
        "127.0.0.4: Connection refused");
  CHECK(run_coroutine(tried_of({"::1", "127.0.0.2"})) == "::1: Connection refused; 127.0.0.2: Connection refused");
}

TEST_CASE("tcp: of very many addresses that were tried, the text names eight") {
  const std::string text = run_coroutine(tried_of(std::vector<const char*>(20, "127.0.0.2")));
  CHECK(text.ends_with("; and 12 more"));
}

static awaitable<void> pass_one_that_refuses();
TEST_CASE("tcp: an address that refuses is passed at once") { run_coroutine(pass_one_that_refuses()); }
static awaitable<void> pass_one_that_refuses() {
  const auto medium = make_tcp_medium(next_after(1h), all_are({"127.0.0.2", "127.0.0.3"}));
  const auto listener = medium->listen(co_await asio::this_coro::executor, "tcp://127.0.0.3:0");
  const std::string port = listener->address().substr(listener->address().rfind(':'));
  const auto transport = co_await medium->dial("tcp://name.test" + port);
  CHECK(transport->remote() == listener->address());
}

static awaitable<void> pass_one_that_is_silent(asio::io_context& io);
TEST_CASE("tcp: an address that says nothing is passed after next_address_delay") {
  asio::io_context io(1);
  run_coroutine(io, pass_one_that_is_silent(io));
}
static awaitable<void> pass_one_that_is_silent(asio::io_context& io) {
  const Silent silent(io, "127.0.0.2");
  const auto medium = make_tcp_medium(next_after(1ms), all_are({"127.0.0.2", "127.0.0.3"}));
  const std::string here = url("127.0.0.3", silent.port());
  const auto listener = medium->listen(io.get_executor(), here);
  const auto transport = co_await medium->dial(url("name.test", silent.port()));
  CHECK(transport->remote() == here);
}

TEST_CASE("tcp: the text of a failed dial names the addresses that were tried") {
  const auto dial = [](std::shared_ptr<Names> names) -> awaitable<std::string> {
    const auto medium = make_tcp_medium(next_after(1h), std::move(names));
    std::string text;
    try {
      co_await medium->dial("tcp://name.test:1");
    } catch (const boost::system::system_error& thrown) {
      text = thrown.what();
    }
    co_return text;
  };
  CHECK(run_coroutine(dial(all_are({"127.0.0.2", "::1"}))) ==
        "cannot connect to tcp://name.test:1: 127.0.0.2: Connection refused; ::1: Connection refused");
}

TEST_CASE("tcp: a dial that is given up says how far it had come") {
  asio::io_context io(1);
  const Silent silent(io, "127.0.0.2");
  const auto medium = make_tcp_medium(next_after(1ms), all_are({"127.0.0.2"}));
  CHECK(run_coroutine(io, give_up(medium, url("name.test", silent.port()))) == "127.0.0.2: no answer");
}

} // namespace trunkline::test
