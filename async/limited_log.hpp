// The log of one owner: lines that a far side can cause at will are limited in rate, each kind by itself, and a sink
// that throws costs its line and nothing else.
#pragma once

#include "async/log_rate.hpp"
#include "async/types.hpp"
#include "fragment/log.hpp"

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

namespace trunkline {

/// Not thread safe. The text is escaped, so it may hold what a far side said.
class LimitedLog {
 public:
  explicit LimitedLog(LogSink sink, std::uint32_t lines_max = LogRate::lines_max_default)
      : sink_(std::move(sink)), lines_max_(lines_max) {}

  /// A line that only this side's own doings cause.
  void write(LogLevel level, std::string_view text) noexcept;
  /// A line that a far side can cause as often as it likes. `kind` is what is counted: a literal, because it is kept.
  /// Not a name that a far side can choose.
  void write(const char* kind, LogLevel level, std::string_view text, TimePoint now) noexcept;

  /// Lines whose sink threw.
  std::uint64_t lost() const noexcept { return lost_; }

 private:
  LogSink sink_;
  std::uint32_t lines_max_;
  std::map<std::string_view, LogRate> rates_; // by kind
  std::uint64_t lost_ = 0;
};

} // namespace trunkline
