#include "transport/sim/link.hpp"

#include "fragment/deadline.hpp"

#include <algorithm>

namespace trunkline::sim {

std::size_t Link::cut(std::size_t bytes, Random& random) const noexcept {
  const std::size_t most = std::max<std::size_t>(1, std::min(bytes, options.delivery_bytes_max));
  switch (options.split) {
    case Split::never: return most;
    case Split::every_byte: return 1;
    case Split::random: break;
  }
  return random.magnitude(most);
}

TimePoint Link::arrival(std::size_t bytes, TimePoint now, Random& random) noexcept {
  busy_until_ = std::max(busy_until_, now);
  if (options.bytes_per_second != 0)
    busy_until_ += std::chrono::nanoseconds(bytes * 1'000'000'000u / options.bytes_per_second);
  return after(busy_until_, draw_delay(random));
}

Duration Link::draw_delay(Random& random) const noexcept {
  if (options.jitter <= Duration::zero()) return options.delay;
  const Duration more(random.below(static_cast<std::uint64_t>(options.jitter.count()) + 1));
  return more < Duration::max() - options.delay ? options.delay + more : Duration::max();
}

} // namespace trunkline::sim
