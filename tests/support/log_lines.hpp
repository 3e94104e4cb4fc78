// Remembers what was logged, for tests that look for a line.
//
//   LogLines log;
//   options.log = log.sink("here");
//   ...
//   CHECK(log.has_line("refused: no service")); // a failure prints all lines
//
// With TRUNKLINE_TEST_LOG set, each line is also printed at once.
#pragma once

#include "peer/node.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::test {

class LogLines {
 public:
  /// The answer of has_line: a bool that knows what was searched. Refers to both, so use it at once.
  class Found {
   public:
    Found(std::string_view text, const std::vector<std::string>& lines) : text_(text), lines_(lines) {}
    explicit operator bool() const {
      return std::any_of(lines_.begin(), lines_.end(),
                         [&](const std::string& line) { return line.find(text_) != std::string::npos; });
    }
    friend std::ostream& operator<<(std::ostream& out, const Found& found) { return found.print_to(out); }

   private:
    std::ostream& print_to(std::ostream& out) const { return print(out << '"' << text_ << "\" in ", lines_); }

    std::string_view text_;
    const std::vector<std::string>& lines_;
  };

  LogLines() = default;
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;

  /// What to log to. Its lines begin with "WHO: "; without a name they are as logged. May outlive this object.
  std::function<void(LogLevel, std::string_view)> sink(std::string who = {}) {
    return [lines = lines_, who = std::move(who)](LogLevel, std::string_view line) {
      keep(*lines, who.empty() ? std::string(line) : who + ": " + std::string(line));
    };
  }
  /// The same with a name that is asked for with each line, such as one that tells the time.
  std::function<void(LogLevel, std::string_view)> sink(std::function<std::string()> who) {
    return [lines = lines_, who = std::move(who)](LogLevel, std::string_view line) {
      keep(*lines, who() + ": " + std::string(line));
    };
  }
  void add(std::string line) { keep(*lines_, std::move(line)); }

  Found has_line(std::string_view text) const { return Found(text, *lines_); }
  std::size_t count(std::string_view text) const {
    return static_cast<std::size_t>(std::count_if(
        lines_->begin(), lines_->end(), [&](const std::string& line) { return line.find(text) != std::string::npos; }));
  }
  const std::vector<std::string>& lines() const { return *lines_; }
  friend std::ostream& operator<<(std::ostream& out, const LogLines& log) { return print(out, *log.lines_); }

 private:
  static std::ostream& print(std::ostream& out, const std::vector<std::string>& lines) {
    out << lines.size() << " lines:";
    for (const std::string& line : lines) out << "\n    " << line;
    return out;
  }
  static void keep(std::vector<std::string>& lines, std::string line) {
    if (std::getenv("TRUNKLINE_TEST_LOG") != nullptr) std::fprintf(stderr, "%s\n", line.c_str());
    lines.push_back(std::move(line));
  }

  std::shared_ptr<std::vector<std::string>> lines_ = std::make_shared<std::vector<std::string>>();
};

} // namespace trunkline::test
