// Lines of a node's log with the link that they are about, as members of JSON.
#pragma once

#include "cli/logger.hpp"

#include <memory>
#include <string_view>

namespace trunkline::admin {
class LinkBook;
}

namespace trunkline::cli {

/// Writes a line; where it names the far end of a link, `remote` and `link` are its members.
void log_with_link(const Logger& logger, const admin::LinkBook& book, LogLevel level, std::string_view line);
/// As the libraries take it.
LogSink sink_of(Logger logger, std::shared_ptr<const admin::LinkBook> book);

} // namespace trunkline::cli
