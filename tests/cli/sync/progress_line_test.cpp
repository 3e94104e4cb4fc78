#include "cli/sync/progress_line.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace trunkline;
using namespace trunkline::cli;

TEST_CASE("progress line: bytes and times are short") {
  CHECK(in_bytes(0) == "0 B");
  CHECK(in_bytes(1023) == "1023 B");
  CHECK(in_bytes(1536) == "1.5 KiB");
  CHECK(in_bytes((1 << 20) - 1) == "1.0 MiB");
  CHECK(in_bytes(~std::uint64_t{0}) == "16.0 EiB");
  CHECK(in_minutes(0) == "0:00");
  CHECK(in_minutes(74.2) == "1:15");
  CHECK(in_minutes(3600) == "1:00:00");
  CHECK(in_minutes(1e300) == "99:59:59");
}

TEST_CASE("progress line: it fits any width and says what matters most") {
  sync::Progress progress;
  progress.files_done = 1234;
  progress.files_total = 20'000;
  progress.bytes_done = 50 << 20;
  progress.bytes_total = 200 << 20;
  progress.totals_known = true;

  for (std::size_t width = 0; width < 200; ++width) {
    CAPTURE(width);
    CHECK(progress_line(progress, 10 << 20, width).size() <= width);
  }
  CHECK(progress_line(progress, 10 << 20, 100) ==
        " 25% [=======>                    ]  1234/20000 files  50.0/200.0 MiB  10.0 MiB/s  0:15 left");
  CHECK(progress_line(progress, 10 << 20, 62) == " 25%  1234/20000 files  50.0/200.0 MiB  10.0 MiB/s  0:15 left");
  CHECK(progress_line(progress, 10 << 20, 4) == " 25%");
}

TEST_CASE("progress line: before the totals are known there is neither a share nor an end") {
  sync::Progress progress;
  progress.entries_listed = 42;
  CHECK(progress_line(progress, 0, 80) == "42 entries listed");

  progress.files_total = 10;
  progress.bytes_total = 500;
  progress.bytes_done = 100;
  CHECK(progress_line(progress, 50, 80) == "   ?  0/10+ files  100/500 B  50 B/s");
}

TEST_CASE("progress line: nothing but empty files is a share of files") {
  sync::Progress progress;
  progress.files_total = 4;
  progress.files_done = 3;
  progress.totals_known = true;

  CHECK(progress_line(progress, 0, 40).substr(0, 4) == " 75%");
}

TEST_CASE("rate: it follows within seconds and does not go below zero") {
  Rate rate;
  rate.update(1, 1000);
  CHECK(rate.bytes_per_second() == doctest::Approx(1000));

  for (int second = 2; second < 30; ++second) rate.update(second, 1000 + static_cast<std::uint64_t>(second - 1) * 5000);
  CHECK(rate.bytes_per_second() == doctest::Approx(5000).epsilon(0.01));
  rate.update(30, 0);
  CHECK(rate.bytes_per_second() > 0);
}
