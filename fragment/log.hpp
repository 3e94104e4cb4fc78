// The levels and the receiver of log lines.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace trunkline {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// Receives the log lines of a node or a cluster; may be empty. Called while the node or the cluster is dispatching
/// events: it must not call back into it.
using LogSink = std::function<void(LogLevel, std::string_view)>;

} // namespace trunkline
