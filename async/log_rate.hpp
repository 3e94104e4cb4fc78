// A rate limit for repeated log lines, so that a persistent client cannot fill the disk.
#pragma once

#include "async/types.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace trunkline {

/// Limits one kind of line to `lines_max` lines in each `window`.
class LogRate {
 public:
  static constexpr std::uint32_t lines_max_default = 10;

  explicit LogRate(std::uint32_t lines_max = lines_max_default, Duration window = std::chrono::seconds(10))
      : lines_max_(lines_max), window_(window) {}

  /// Returns the line as it is to be written, or nullopt when it is to be left out. The first line after omitted ones
  /// says how many were omitted.
  std::optional<std::string> pass(std::string line, TimePoint now) {
    if (lines_ == 0 || now - begin_ >= window_) {
      begin_ = now;
      lines_ = 0;
    }
    if (lines_ >= lines_max_) {
      ++left_out_;
      return std::nullopt;
    }
    ++lines_;
    if (left_out_ > 0) line += " (after " + std::to_string(left_out_) + " more like it)";
    left_out_ = 0;
    return line;
  }

 private:
  std::uint32_t lines_max_;
  Duration window_;
  TimePoint begin_{};
  std::uint32_t lines_ = 0; // in this window
  std::uint64_t left_out_ = 0;
};

} // namespace trunkline
