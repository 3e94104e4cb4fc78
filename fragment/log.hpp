// Where log lines go.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace trunkline {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// Receives the log lines of a node or a cluster; may be empty. Called while the caller is in the middle of something:
/// it must not call back.
using LogSink = std::function<void(LogLevel, std::string_view)>;

} // namespace trunkline
