// So many lines of one kind in a while: whoever comes again and again must not fill a disk.
#pragma once

#include "async/types.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace trunkline::quarkchain {

/// One for each kind of line.
class LogRate {
 public:
  explicit LogRate(std::uint32_t lines_max = 10, Duration window = std::chrono::seconds(10))
      : lines_max_(lines_max), window_(window) {}

  /// The line as it is to be written; the first one after some were left out says how many. Nothing when it is left out
  /// itself.
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

} // namespace trunkline::quarkchain
