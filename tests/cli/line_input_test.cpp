#include "cli/line_input.hpp"

#include "tests/support/coroutine.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::test {
namespace {

/// Takes the place of the process's standard input for as long as it lives.
class StandardInput {
 public:
  explicit StandardInput(int descriptor) : before_(::dup(STDIN_FILENO)) {
    ::dup2(descriptor, STDIN_FILENO);
    ::close(descriptor);
  }
  StandardInput(const StandardInput&) = delete;
  StandardInput& operator=(const StandardInput&) = delete;
  ~StandardInput() {
    ::dup2(before_, STDIN_FILENO);
    ::close(before_);
  }

 private:
  int before_;
};

void type(int descriptor, std::string_view text) {
  REQUIRE(::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

awaitable<void> nothing() { co_return; }

awaitable<void> a_read_that_loses(int typist) {
  using namespace asio::experimental::awaitable_operators;
  LineInput input(co_await asio::this_coro::executor);
  type(typist, "first\nsecond\r\nthird");
  const auto won = co_await (nothing() || input.next());
  CHECK(won.index() == 0);
  ::close(typist);
  for (const char* line : {"first", "second", "third"}) {
    const std::optional<std::string> next = co_await input.next();
    CHECK(next == line);
  }
  const std::optional<std::string> end = co_await input.next();
  CHECK_FALSE(end);
}

awaitable<void> no_more_lines() {
  LineInput input(co_await asio::this_coro::executor);
  const std::optional<std::string> end = co_await input.next();
  CHECK_FALSE(end);
}

} // namespace

TEST_CASE("line input: a line that was read for a wait that was cancelled is there for the next one") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const StandardInput input(ends[0]);
  run_coroutine(a_read_that_loses(ends[1]));
}

TEST_CASE("line input: a named pipe whose writer has gone is at its end, and stops nobody") {
  char folder[] = "/tmp/trunkline-line-input-XXXXXX";
  REQUIRE(::mkdtemp(folder));
  const std::string path = std::string(folder) + "/fifo";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const int writer = ::open(path.c_str(), O_RDWR);
  const int reader = ::open(path.c_str(), O_RDONLY);
  ::close(writer);
  {
    const StandardInput input(reader);
    run_coroutine(no_more_lines());
  }
  ::unlink(path.c_str());
  ::rmdir(folder);
}

} // namespace trunkline::test
