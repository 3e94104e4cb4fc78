// How long to wait before the next attempt, after attempts that failed.
#pragma once

#include "async/types.hpp"

#include <chrono>
#include <cstdint>
#include <functional>

namespace trunkline {

/// Grows with each failure in a row up to a maximum, and has a random share, so that those who lost the same far side
/// at once do not come back at once.
struct Backoff {
  std::chrono::milliseconds initial{100}; // after one failure; zero: no backoff at all
  std::chrono::milliseconds maximum{10000};
  double multiplier = 2;             // with each further failure
  std::uint32_t jitter_percent = 25; // by how much it may be longer, at random

  Backoff() = default;

  /// Errors: std::invalid_argument, which names the field as one of `name`.
  void check(const char* name) const;
  /// The wait after `failures` failures in a row, at least one. `random` draws 64 bits.
  Duration after(std::uint32_t failures, const std::function<std::uint64_t()>& random) const;
};

} // namespace trunkline
