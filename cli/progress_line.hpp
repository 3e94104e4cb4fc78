// One line that says how far a sync is, on a terminal rewritten in place.
#pragma once

#include "services/sync/report.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace trunkline::cli {

/// "1.4 MB": three figures at most, powers of ten.
std::string human_bytes(double bytes);

class ProgressLine {
 public:
  explicit ProgressLine(bool on_terminal) : on_terminal_(on_terminal), begun_(std::chrono::steady_clock::now()) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// At most ten times a second; does nothing where standard error is no terminal.
  void show(const sync::Progress& progress);
  /// Before anything else is printed.
  void clear();
  double seconds() const;

 private:
  std::string text(const sync::Progress& progress, std::size_t width) const;

  bool on_terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point begun_;
  double rate_ = 0; // bytes per second, smoothed
  double seconds_before_ = 0;
  std::uint64_t bytes_before_ = 0;
};

} // namespace trunkline::cli
