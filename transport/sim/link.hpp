// The way from one host to another: how long bytes take, how they are cut, and whether they pass at all.
#pragma once

#include "async/types.hpp"
#include "transport/sim/random.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace trunkline::sim {

/// How the byte stream is cut into deliveries; a read never returns bytes of two deliveries.
enum class Split : std::uint8_t {
  never,      // one delivery per write, up to delivery_bytes_max
  random,     // of any size from one byte to delivery_bytes_max, small ones as likely as large ones
  every_byte, // one byte each
};

/// The properties of one direction of a link.
struct LinkOptions {
  Duration delay = std::chrono::milliseconds(1);
  Duration jitter = Duration::zero();       // up to this much more for each delivery; the order is kept
  std::uint64_t bytes_per_second = 0;       // shared by all connections; 0 is unlimited
  Split split = Split::random;
  std::size_t delivery_bytes_max = 64 * 1024;
  std::size_t buffer_bytes_max = 256 * 1024; // of a connection: written and not yet read; then writing waits

  LinkOptions() = default;
};

/// One direction of a link.
class Link {
 public:
  LinkOptions options;

  /// How many of `bytes` the next delivery carries; at least one.
  std::size_t cut(std::size_t bytes, Random& random) const noexcept;
  /// When `bytes` that are sent now arrive. The link is busy with them until then, less the delay.
  TimePoint arrival(std::size_t bytes, TimePoint now, Random& random) noexcept;
  Duration draw_delay(Random& random) const noexcept;

  bool partitioned = false;
  TimePoint stalled_until{}; // nothing arrives before
  bool passes(TimePoint now) const noexcept { return !partitioned && stalled_until <= now; }

 private:
  TimePoint busy_until_{};
};

} // namespace trunkline::sim
