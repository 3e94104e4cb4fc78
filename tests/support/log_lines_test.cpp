#include "tests/support/log_lines.hpp"

#include <doctest/doctest.h>

#include <sstream>

using namespace trunkline;
using namespace trunkline::test;

TEST_CASE("log lines: a line is found by a part of it, with the name of who logged it") {
  LogLines log;
  const auto here = log.sink("here");
  const auto there = log.sink("there");
  const auto nameless = log.sink();

  here(LogLevel::warning, "refused: no service");
  there(LogLevel::info, "refused: no room");
  nameless(LogLevel::info, "quiet");

  CHECK(log.has_line("here: refused: no service"));
  CHECK_FALSE(log.has_line("there: refused: no service"));
  CHECK(log.count("refused") == 2);
  CHECK(log.lines().back() == "quiet");
}

TEST_CASE("log lines: what is looked for and not found is printed with all lines") {
  LogLines log;
  log.add("one");
  log.add("other");
  std::ostringstream printed;
  printed << log.has_line("third");
  CHECK(printed.str() == "\"third\" in 2 lines:\n    one\n    other");
}

TEST_CASE("log lines: a sink may log after the lines are gone") {
  std::function<void(LogLevel, std::string_view)> late;
  {
    LogLines log;
    late = log.sink("late");
  }
  late(LogLevel::info, "still here");
}
