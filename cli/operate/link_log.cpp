#include "cli/operate/link_log.hpp"

#include "fragment/json_line.hpp"
#include "services/admin/link_book.hpp"

#include <string>
#include <utility>

namespace trunkline::cli {

void log_with_link(const Logger& logger, const admin::LinkBook& book, LogLevel level, std::string_view line) {
  if (!is_logged(logger, level)) return;
  const admin::LinkBook::Named* const link = book.named_in(line);
  if (!link) return log_with(logger, level, line, {});
  JsonLine members;
  members.add("remote", link->remote).add("link", link->number);
  const std::string object = members.take();
  log_with(logger, level, line, std::string_view(object).substr(1, object.size() - 2));
}

LogSink sink_of(Logger logger, std::shared_ptr<const admin::LinkBook> book) {
  return [logger = std::move(logger), book = std::move(book)](LogLevel level, std::string_view line) {
    log_with_link(logger, *book, level, line);
  };
}

} // namespace trunkline::cli
