#include "async/limited_log.hpp"

#include "tests/support/log_lines.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>

namespace trunkline::test {

using namespace std::chrono_literals;

TEST_CASE("limited log: each kind of line has a rate of its own, and our own lines have none") {
  LogLines lines;
  LimitedLog log(lines.sink(), 2);
  const TimePoint now{1h};
  for (int i = 0; i < 5; ++i) {
    log.write("lost", LogLevel::warning, "a link is lost", now);
    log.write("refused", LogLevel::warning, "a circuit is refused", now);
    log.write(LogLevel::info, "listening");
  }
  log.write("lost", LogLevel::warning, "a link is lost", now + 10s);
  CHECK(lines.count("a link is lost") == 3);
  CHECK(lines.has_line("a link is lost (after 3 more like it)"));
  CHECK(lines.count("a circuit is refused") == 2);
  CHECK(lines.count("listening") == 5);
}

TEST_CASE("limited log: a sink that throws costs its line and nothing else") {
  int calls = 0;
  LimitedLog log([&](LogLevel, std::string_view) {
    if (++calls == 1) throw std::runtime_error("no space left on device");
    if (calls == 2) throw calls;
  });
  log.write(LogLevel::info, "first");
  log.write("kind", LogLevel::info, "second", TimePoint{1h});
  log.write(LogLevel::info, "third");
  CHECK(calls == 3);
  CHECK(log.lost() == 2);
}

TEST_CASE("limited log: what a far side said cannot write control characters or endless lines") {
  LogLines lines;
  LimitedLog log(lines.sink());
  log.write(LogLevel::info, "name \x1b[2J\n" + std::string(100000, 'x'));
  CHECK(lines.has_line("name \\x1b[2J\\x0a"));
  CHECK(lines.lines().front().size() <= 4096 + 64);
}

} // namespace trunkline::test
