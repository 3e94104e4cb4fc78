#include "cli/logger.hpp"

#include "async/log_rate.hpp"
#include "fragment/json_line.hpp"
#include "services/sync/disk.hpp"

#include <CLI/CLI.hpp>
#include <spdlog/details/null_mutex.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

namespace trunkline::cli {
namespace {

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string_view name_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug: return "debug";
    case spdlog::level::info: return "info";
    case spdlog::level::warn: return "warning";
    default: return "error";
  }
}

/// As sd-daemon(3) has them.
char priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug: return '7';
    case spdlog::level::info: return '6';
    case spdlog::level::warn: return '4';
    default: return '3';
  }
}

/// Whether standard error leads to the journal, which has said so in the environment.
bool is_journal() {
  const char* const said = std::getenv("JOURNAL_STREAM");
  struct stat stream{};
  if (!said || ::fstat(STDERR_FILENO, &stream) != 0) return false;
  return said == std::to_string(stream.st_dev) + ":" + std::to_string(stream.st_ino);
}

int open_log(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (file < 0) throw sync::FileError("open", path, errno);
  return file;
}

/// The text of one line in one line.
std::string in_one_line(std::string_view text) {
  std::string line(text);
  for (char& letter : line)
    if (letter == '\n' || letter == '\r') letter = ' ';
  return line;
}

/// The one limit of repeated lines: equal ones, however many different ones come between them.
class Repeats {
 public:
  std::optional<std::string> pass(std::string line, std::chrono::steady_clock::time_point now) {
    if (rates_.size() >= lines_max) rates_.clear(); // all of them may come again, which costs ten lines each
    return rates_.try_emplace(line).first->second.pass(line, now);
  }

 private:
  static constexpr std::size_t lines_max = 256;
  std::map<std::string, LogRate> rates_;
};

/// One thread writes lines, that of the context.
class LogOutput final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit LogOutput(const LogOptions& options)
      : path_(options.file), file_(path_.empty() ? STDERR_FILENO : open_log(path_)), is_json_(options.format == "json") {}
  LogOutput(const LogOutput&) = delete;
  LogOutput& operator=(const LogOutput&) = delete;
  ~LogOutput() override {
    if (!path_.empty()) ::close(file_);
  }

  bool reopen() {
    if (path_.empty()) return false;
    go_on_in(path_);
    return true;
  }
  void go_on_in(const std::string& path) {
    const int opened = path.empty() ? STDERR_FILENO : open_log(path);
    if (!path_.empty()) ::close(file_);
    path_ = path;
    file_ = opened;
    to_journal_ = path_.empty() && is_journal();
  }
  void set_format(const std::string& format) { is_json_ = format == "json"; }
  void set_members(std::string_view members) { members_ = members; }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view payload(message.payload.data(), message.payload.size());
    const auto text = repeats_.pass(in_one_line(payload), std::chrono::steady_clock::now());
    if (text) write(line_of(message, *text));
  }
  void flush_() override {}

 private:
  std::string line_of(const spdlog::details::log_msg& message, const std::string& text) {
    std::string line = to_journal_ ? std::string{'<', priority_of(message.level), '>'} : std::string();
    if (is_json_) {
      JsonLine object;
      object.add("time", time_of(message)).add("level", name_of(message.level)).add("text", text).add_members(members_);
      line += object.take();
    } else if (to_journal_) { // it has the time
      line += text;
    } else {
      std::string level(name_of(message.level));
      level.resize(7, ' ');
      line += time_of(message) + " " + level + " " + text;
    }
    return line + "\n";
  }

  std::string time_of(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t time;
    time_.format(message, time);
    return std::string(time.data(), time.size());
  }

  /// In one call, so that lines of several programs in one file stay whole. What cannot be written is lost.
  void write(const std::string& line) const {
    std::string_view left = line;
    while (!left.empty()) {
      const ssize_t count = ::write(file_, left.data(), left.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;
      left.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  std::string path_; // empty: standard error
  int file_;
  bool is_json_;
  bool to_journal_ = path_.empty() && is_journal();
  std::string members_; // of the line that is being written
  Repeats repeats_;
  spdlog::pattern_formatter time_{"%Y-%m-%dT%H:%M:%S.%e%z", spdlog::pattern_time_type::local, ""};
};

LogOutput& output_of(const Logger& logger) { return static_cast<LogOutput&>(*logger->sinks().front()); }

} // namespace

void add_log_options(CLI::App& command, LogOptions& options) {
  constexpr const char* group = "Log";
  command.add_option("--log-level", options.level, "What is logged: debug, info, warning or error")
      ->type_name("LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->group(group);
  command.add_option("--log-format", options.format, "text, or json: an object on each line")
      ->type_name("FORMAT")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "json"}))
      ->group(group);
  command.add_option("--log-file", options.file, "Append to this file, which SIGUSR1 opens again; otherwise to standard error")
      ->type_name("FILE")
      ->group(group);
}

LogLevel least_level(const LogOptions& options, LogLevel otherwise) {
  if (options.level == "debug") return LogLevel::debug;
  if (options.level == "info") return LogLevel::info;
  if (options.level == "warning") return LogLevel::warning;
  return options.level == "error" ? LogLevel::error : otherwise;
}

Logger make_logger(LogLevel least, const LogOptions& options) {
  auto logger = std::make_shared<spdlog::logger>("trunkline", std::make_shared<LogOutput>(options));
  set_log_level(logger, least);
  return logger;
}

void set_log_level(const Logger& logger, LogLevel least) { logger->set_level(level_of(least)); }

bool is_logged(const Logger& logger, LogLevel level) { return logger->should_log(level_of(level)); }

void set_log_format(const Logger& logger, const std::string& format) { output_of(logger).set_format(format); }

void set_log_file(const Logger& logger, const std::string& path) { output_of(logger).go_on_in(path); }

void log_with(const Logger& logger, LogLevel level, std::string_view text, std::string_view members) {
  LogOutput& output = output_of(logger);
  output.set_members(members);
  logger->log(level_of(level), text);
  output.set_members({});
}

bool reopen_log(const Logger& logger) { return output_of(logger).reopen(); }

LogSink sink_of(Logger logger) {
  return [logger = std::move(logger)](LogLevel level, std::string_view line) { logger->log(level_of(level), line); };
}

} // namespace trunkline::cli
