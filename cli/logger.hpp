// Where programs that run for long write what happens: lines with a time, on the standard error.
#pragma once

#include "peer/node.hpp"

#include <functional>
#include <memory>
#include <string_view>

namespace spdlog {
class logger;
}

namespace trunkline::cli {

using Logger = std::shared_ptr<spdlog::logger>;

/// Shows what is at least as grave as `least`; every line is written at once.
Logger make_logger(LogLevel least);

/// As the libraries take it.
std::function<void(LogLevel, std::string_view)> sink_of(Logger logger);

} // namespace trunkline::cli
