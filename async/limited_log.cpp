#include "async/limited_log.hpp"

#include "fragment/quote.hpp"

#include <optional>
#include <string>

namespace trunkline {
namespace {

constexpr std::size_t line_bytes_max = 4096;

} // namespace

// Whoever logs is in the middle of something that has to be finished, whatever the program does with the line.
void LimitedLog::write(LogLevel level, std::string_view text) noexcept {
  if (!sink_) return;
  try {
    sink_(level, escape(text, line_bytes_max));
  } catch (...) {
    ++lost_;
  }
}

void LimitedLog::write(const char* kind, LogLevel level, std::string_view text, TimePoint now) noexcept {
  if (!sink_) return;
  try {
    LogRate& rate = rates_.try_emplace(kind, lines_max_).first->second;
    if (const std::optional<std::string> line = rate.pass(std::string(text), now)) write(level, *line);
  } catch (...) {
    ++lost_; // no memory for it
  }
}

} // namespace trunkline
