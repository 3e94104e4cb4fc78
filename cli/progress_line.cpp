#include "cli/progress_line.hpp"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace trunkline::cli {
namespace {

std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

} // namespace

std::string human_bytes(double bytes) {
  static constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return unit == 0 || bytes >= 99.95 ? fmt::format("{:.0f} {}", bytes, units[unit])
                                     : fmt::format("{:.1f} {}", bytes, units[unit]);
}

double ProgressLine::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
}

void ProgressLine::show(const sync::Progress& progress) {
  if (!on_terminal_) return;
  const double now = seconds();
  const double passed = now - seconds_before_;
  if (passed < 0.1) return;
  const double current = static_cast<double>(progress.bytes_done - bytes_before_) / passed;
  rate_ = bytes_before_ == 0 ? current : 0.7 * rate_ + 0.3 * current;
  seconds_before_ = now;
  bytes_before_ = progress.bytes_done;
  const std::size_t width = terminal_width();
  fmt::print(stderr, "\r\033[K{}", text(progress, width - 1));
  std::fflush(stderr);
  shown_ = true;
}

std::string ProgressLine::text(const sync::Progress& progress, std::size_t width) const {
  std::string line = fmt::format("{}/{}{} files  {}", progress.files_done, progress.files_total,
                                 progress.totals_known ? "" : "+", human_bytes(static_cast<double>(progress.bytes_done)));
  if (progress.bytes_total > 0) {
    const double part = static_cast<double>(progress.bytes_done) / static_cast<double>(progress.bytes_total);
    line += fmt::format(" of {}  {}/s", human_bytes(static_cast<double>(progress.bytes_total)), human_bytes(rate_));
    if (progress.totals_known && rate_ > 0) {
      const auto left = static_cast<long>(static_cast<double>(progress.bytes_total - progress.bytes_done) / rate_ + 0.5);
      line += left >= 3600 ? fmt::format("  {}:{:02}:{:02} left", left / 3600, left / 60 % 60, left % 60)
                           : fmt::format("  {}:{:02} left", left / 60, left % 60);
    }
    constexpr std::size_t bar_width = 20;
    if (progress.totals_known && line.size() + bar_width + 3 <= width) {
      const auto filled = std::min(bar_width, static_cast<std::size_t>(part * bar_width));
      line = fmt::format("[{}{}] {}", std::string(filled, '='), std::string(bar_width - filled, ' '), line);
    }
  } else if (!progress.totals_known) {
    line += fmt::format("  {} entries listed", progress.entries_listed);
  }
  if (line.size() > width) line.resize(width);
  return line;
}

void ProgressLine::clear() {
  if (!shown_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
  shown_ = false;
}

} // namespace trunkline::cli
