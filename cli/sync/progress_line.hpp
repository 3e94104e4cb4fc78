// How far a sync is, in one line of a given width.
#pragma once

#include "services/sync/report.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace trunkline::cli {

/// 1536 as "1.5 KiB".
std::string in_bytes(std::uint64_t bytes);
/// 75 as "1:15".
std::string in_minutes(double seconds);

/// The rate of late, which follows changes within a few seconds.
class Rate {
 public:
  void update(double seconds, std::uint64_t bytes);
  double bytes_per_second() const noexcept { return rate_; }

 private:
  double last_seconds_ = 0;
  std::uint64_t last_bytes_ = 0;
  double rate_ = 0;
};

/// At most `width` columns: what matters less is left out where there is no room.
std::string progress_line(const sync::Progress& progress, double bytes_per_second, std::size_t width);

} // namespace trunkline::cli
