#include "cli/sync/progress_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace trunkline::cli {
namespace {

constexpr std::size_t bar_columns_max = 30;
constexpr std::size_t bar_columns_min = 8;
constexpr double seconds_remembered = 3;

/// Both in the unit of the larger one: "1.2/34.5 MiB".
std::string bytes_of(std::uint64_t done, std::uint64_t total) {
  const std::string whole = in_bytes(total);
  const std::string_view unit = std::string_view(whole).substr(whole.find(' ') + 1);
  double scale = 1;
  for (const std::string_view step : {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}) {
    if (unit == step) break;
    scale *= 1024;
  }
  if (scale == 1) return fmt::format("{}/{}", done, whole);
  return fmt::format("{:.1f}/{}", static_cast<double>(done) / scale, whole);
}

std::string bar(double share, std::size_t columns) {
  const auto full = static_cast<std::size_t>(share * static_cast<double>(columns - 2));
  std::string text(columns - 2, ' ');
  std::fill_n(text.begin(), full, '=');
  if (full < text.size()) text[full] = '>';
  return '[' + text + ']';
}

} // namespace

std::string in_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}) {
    if (value < 1023.95) break; // what would be printed as 1024.0
    value /= 1024;
    unit = next;
  }
  return fmt::format("{:.1f} {}", value, unit);
}

std::string in_minutes(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::ceil(std::clamp(seconds, 0.0, 359'999.0)));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

void Rate::update(double seconds, std::uint64_t bytes) {
  const double passed = seconds - last_seconds_;
  if (passed <= 0) return;
  const double now = bytes > last_bytes_ ? static_cast<double>(bytes - last_bytes_) / passed : 0;
  const double weight = last_seconds_ == 0 ? 1 : 1 - std::exp(-passed / seconds_remembered);
  rate_ += weight * (now - rate_);
  last_seconds_ = seconds;
  last_bytes_ = bytes;
}

std::string progress_line(const sync::Progress& progress, double bytes_per_second, std::size_t width) {
  if (progress.files_total == 0) return fmt::format("{} entries listed", progress.entries_listed).substr(0, width);
  const double share =
      progress.bytes_total > 0
          ? std::min(1.0, static_cast<double>(progress.bytes_done) / static_cast<double>(progress.bytes_total))
          : std::min(1.0, static_cast<double>(progress.files_done) / static_cast<double>(progress.files_total));
  const std::string percent = progress.totals_known ? fmt::format("{:3.0f}%", std::floor(share * 100)) : "   ?";
  const std::string files =
      fmt::format("{}/{}{} files", progress.files_done, progress.files_total, progress.totals_known ? "" : "+");
  const std::string bytes = bytes_of(progress.bytes_done, progress.bytes_total);
  const std::string rate = in_bytes(static_cast<std::uint64_t>(bytes_per_second)) + "/s";
  std::string left;
  if (progress.totals_known && bytes_per_second >= 1 && progress.bytes_total >= progress.bytes_done)
    left = in_minutes(static_cast<double>(progress.bytes_total - progress.bytes_done) / bytes_per_second) + " left";

  // In the order of importance: without room, what is last goes first, and the bar before everything.
  const std::string* const shown[] = {&percent, &files, &bytes, &rate, &left};
  for (std::size_t count = 5; count > 0; --count) {
    std::string line;
    for (std::size_t i = 0; i < count; ++i) {
      if (shown[i]->empty()) continue;
      if (!line.empty()) line += "  ";
      line += *shown[i];
    }
    if (line.size() > width) continue;
    const std::size_t room = width - line.size();
    if (progress.totals_known && room >= bar_columns_min + 1)
      line.insert(percent.size(), ' ' + bar(share, std::min(room - 1, bar_columns_max)));
    return line;
  }
  return std::string(width, '.');
}

} // namespace trunkline::cli
