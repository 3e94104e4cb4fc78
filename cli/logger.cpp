#include "cli/logger.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

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

} // namespace

Logger make_logger(LogLevel least) {
  auto logger = std::make_shared<spdlog::logger>("trunkline", std::make_shared<spdlog::sinks::stderr_sink_st>());
  logger->set_pattern("%Y-%m-%d %H:%M:%S %v");
  logger->set_level(level_of(least));
  logger->flush_on(spdlog::level::trace);
  return logger;
}

std::function<void(LogLevel, std::string_view)> sink_of(Logger logger) {
  return [logger = std::move(logger)](LogLevel level, std::string_view line) { logger->log(level_of(level), line); };
}

} // namespace trunkline::cli
