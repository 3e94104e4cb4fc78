// Pipes as a connection: the bytes and ends of every transport, over descriptors that a test medium pairs; and commands
// that are started, or not.
#include "transport/stdio.hpp"

#include "fragment/error.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/transport/conformance.hpp"
#include "transport/failure.hpp"
#include "transport/media.hpp"
#include "transport/memory.hpp"

#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace trunkline::test {
namespace {

/// What a memory medium does, with the bytes in two pipes instead: whoever accepts gets the other ends.
class PipeMedium final : public Medium {
 public:
  explicit PipeMedium(MemoryMedium& names) : names_(names) {}

  std::string_view scheme() const noexcept override { return names_.scheme(); }
  std::string_view form() const noexcept override { return names_.form(); }
  bool has_hosts() const noexcept override { return false; }
  bool has_ports() const noexcept override { return false; }
  bool is_local() const noexcept override { return true; }

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    const Executor executor = co_await asio::this_coro::executor;
    std::unique_ptr<Transport> knock = co_await names_.dial(address);
    std::array<int, 2> there{};
    std::array<int, 2> back{};
    REQUIRE(::pipe2(there.data(), O_CLOEXEC) == 0);
    REQUIRE(::pipe2(back.data(), O_CLOEXEC) == 0);
    const std::array<int, 2> ends = {there[0], back[1]};
    const std::span<const std::byte> bytes = std::as_bytes(std::span(ends));
    co_await knock->write(std::span(&bytes, 1));
    knock->finish();
    co_return make_descriptor_transport(executor, back[0], there[1], std::move(address));
  }

  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    return std::make_unique<PipeListener>(names_.listen(executor, address));
  }

 private:
  class PipeListener final : public Listener {
   public:
    explicit PipeListener(std::unique_ptr<Listener> names) : names_(std::move(names)) {}

    awaitable<std::unique_ptr<Transport>> accept() override {
      const Executor executor = co_await asio::this_coro::executor;
      std::unique_ptr<Transport> knock = co_await names_->accept();
      std::array<int, 2> ends{};
      const std::span<std::byte> into = std::as_writable_bytes(std::span(ends));
      for (std::size_t have = 0; have < into.size();) have += co_await knock->read_some(into.subspan(have));
      co_return make_descriptor_transport(executor, ends[0], ends[1], names_->address());
    }
    void close() noexcept override { names_->close(); }
    std::string address() const override { return names_->address(); }

   private:
    std::unique_ptr<Listener> names_;
  };

  MemoryMedium& names_;
};

class StdioUnderTest final : public MediumUnderTest {
 public:
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return pipes_; }
  Medium& listening() override { return pipes_; }
  std::string address() override { return "mem://pipe"; }
  std::string address_of_nobody() override { return "mem://nobody"; }

 private:
  MemoryMedium names_;
  PipeMedium pipes_{names_};
  asio::io_context io_{1};
};

awaitable<std::string> say(StdioMedium& medium, std::string address, std::string words) {
  const std::unique_ptr<Transport> transport = co_await medium.dial(std::move(address));
  const std::span<const std::byte> bytes = std::as_bytes(std::span(words));
  co_await transport->write(std::span(&bytes, 1));
  transport->finish();
  std::string heard;
  for (;;) {
    std::array<std::byte, 100> into{};
    const std::size_t count = co_await transport->read_some(into);
    if (count == 0) break;
    heard.append(reinterpret_cast<const char*>(into.data()), count);
  }
  co_return heard;
}

awaitable<void> dial_only(StdioMedium& medium, std::string address) {
  const std::unique_ptr<Transport> transport = co_await medium.dial(std::move(address));
}

} // namespace

TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "every byte arrives once and in order", check_order)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "a reader may take one byte at a time", check_reads_of_one_byte)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "a read may have two places", check_scattered_reads)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "a write takes any number of pieces", check_many_pieces)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "pieces without bytes are no bytes", check_empty_pieces)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "both directions flow at once", check_both_directions)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "a write waits for a reader that falls behind", check_backpressure)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "the end is seen after every byte before it",
                          check_end_is_seen_after_the_bytes)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "writing to a closed far side fails", check_write_to_closed_fails)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "finish ends one direction and leaves the other",
                          check_finish_ends_one_direction)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "close wakes a waiting read", check_close_wakes_read)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "close wakes a waiting write", check_close_wakes_write)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "after close every operation is aborted", check_use_after_close)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "may be destroyed while a read and a write wait",
                          check_destroyed_while_waiting)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "a cancelled read takes nothing", check_cancelled_read)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "reads cancelled at any moment lose no byte",
                          check_cancelled_reads_lose_nothing)
TRUNKLINE_TRANSPORT_CHECK("stdio", StdioUnderTest, "a cancelled write is aborted", check_cancelled_write)

TEST_CASE("stdio: a command that is dialled hears what is written to it, and its answer comes back") {
  StdioMedium medium;
  const std::string address = medium.add_command("echo", {"sh", "-c", "read line; echo \"heard $line\"; cat"});
  CHECK(address == "stdio:echo");
  asio::io_context io(1);

  CHECK(run_coroutine(io, say(medium, address, "hello\nthere")) == "heard hello\nthere");
}

TEST_CASE("stdio: a command that cannot be started is a connection that ends at once") {
  StdioMedium medium;
  const std::string address = medium.add_command("none", {"/no/such/program"});
  asio::io_context io(1);

  CHECK(run_coroutine(io, say(medium, address, "")) == "");
}

TEST_CASE("stdio: no command is started that the program has not named, whatever the address says") {
  StdioMedium medium;
  for (const char* address : {"stdio:sh", "stdio:/bin/true", "stdio:"}) {
    CAPTURE(address);
    asio::io_context io(1);
    CHECK_THROWS_AS(run_coroutine(io, dial_only(medium, address)), boost::system::system_error);
  }
}

TEST_CASE("stdio: a far program that is gone is an error of the write, also where SIGPIPE would end this one") {
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  for (const bool is_pipe : {true, false}) {
    CAPTURE(is_pipe);
    std::array<int, 2> ends{};
    if (is_pipe) REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    else REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    ::close(ends[0]);
    asio::io_context io(1);
    const auto transport = make_descriptor_transport(io.get_executor(), ::open("/dev/null", O_RDONLY | O_CLOEXEC),
                                                     ends[1], "stdio:gone");
    const std::span<const std::byte> bytes = std::as_bytes(std::span("x", 1));
    try {
      run_coroutine(io, transport->write(std::span(&bytes, 1)));
      FAIL("nobody is there");
    } catch (const boost::system::system_error& thrown) {
      CHECK(thrown.code() == asio::error::broken_pipe);
    }
    sigset_t signals;
    sigemptyset(&signals);
    ::sigpending(&signals);
    CHECK(sigismember(&signals, SIGPIPE) == 0);
    ::pthread_sigmask(SIG_BLOCK, nullptr, &signals);
    CHECK(sigismember(&signals, SIGPIPE) == 0);
  }
  std::signal(SIGPIPE, before);
}

TEST_CASE("stdio: it is local, and none of the media that a program has by itself") {
  const auto medium = std::make_shared<StdioMedium>();
  const Media media = {{std::string(medium->scheme()), medium}};

  CHECK(is_local_only(media, StdioMedium::own_address()));
  CHECK(find_medium(default_media(), StdioMedium::own_address()) == nullptr);
}

} // namespace trunkline::test
