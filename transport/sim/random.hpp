// The random numbers of a simulated world: the same on every compiler and standard library.
#pragma once

#include <cstdint>
#include <string_view>

namespace trunkline::sim {

/// A seeded source (splitmix64). Every value is drawn with integer arithmetic only.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t operator()() noexcept {
    std::uint64_t value = (state_ += 0x9E3779B97F4A7C15u);
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
  }

  /// Uniform in [0, bound); 0 for a bound of 0. The bias is below 2^-32 for the bounds used in simulations.
  std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : (*this)() % bound; }
  /// Uniform in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) noexcept { return low + below(high - low + 1); }
  bool one_in(std::uint64_t count) noexcept { return below(count) == 0; }
  /// True with a probability of `per_million` in a million.
  bool chance(std::uint32_t per_million) noexcept { return below(1'000'000) < per_million; }
  /// In [1, max] with every order of magnitude (of two) about as likely as any other.
  std::uint64_t magnitude(std::uint64_t max) noexcept {
    int bits = 0;
    while (bits < 63 && (max >> (bits + 1)) != 0) ++bits;
    const std::uint64_t top = std::uint64_t{1} << between(0, static_cast<std::uint64_t>(bits));
    const std::uint64_t value = top + below(top);
    return value < max ? value : max;
  }
  /// Another source, whose values depend on this one's seed and the name but on nothing that was drawn.
  static Random derived(std::uint64_t seed, std::string_view name, std::uint64_t number = 0) noexcept {
    std::uint64_t hash = 0xCBF29CE484222325u ^ seed;
    for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001B3u;
    Random mixed((hash ^ number) * 0xD6E8FEB86659FD93u);
    return Random(mixed());
  }

 private:
  std::uint64_t state_;
};

} // namespace trunkline::sim
