// Where programs that run for long write what happens: a line each with time, zone and level, as text or as JSON.
#pragma once

#include "fragment/log.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace CLI {
class App;
}
namespace spdlog {
class logger;
}

namespace trunkline::cli {

using Logger = std::shared_ptr<spdlog::logger>;

struct LogOptions {
  std::string level;           // empty: as the program decides
  std::string format = "text"; // or "json"
  std::string file;            // empty: standard error
};

/// Adds --log-level, --log-format and --log-file.
void add_log_options(CLI::App& command, LogOptions& options);
/// What --log-level says; `otherwise` where it says nothing.
LogLevel least_level(const LogOptions& options, LogLevel otherwise);

/// Shows what is at least as grave as `least`; every line is written at once, and to the journal of systemd in its own
/// way. Of equal lines ten are written in ten seconds. Errors: sync::FileError for a file that cannot be written.
Logger make_logger(LogLevel least, const LogOptions& options = LogOptions());
void set_log_level(const Logger& logger, LogLevel least);
/// "text" or "json".
void set_log_format(const Logger& logger, const std::string& format);
/// Goes on in this file; empty: on standard error. Errors: sync::FileError; the lines go on to where they went.
void set_log_file(const Logger& logger, const std::string& path);
bool is_logged(const Logger& logger, LogLevel level);
/// Writes a line with further members, `"remote": "tcp://...", "link": 3`, which JSON shows and text does not.
void log_with(const Logger& logger, LogLevel level, std::string_view text, std::string_view members);
/// Opens the file again, after somebody has moved it. False: the log is no file. Errors: sync::FileError; the lines go
/// on to where they went.
bool reopen_log(const Logger& logger);

/// As the libraries take it.
LogSink sink_of(Logger logger);

} // namespace trunkline::cli
