// A hash of everything that happened in a simulated world, to compare two runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace trunkline::sim {

/// A running hash; the order of what is mixed in matters.
class TraceHash {
 public:
  std::uint64_t value() const noexcept { return hash_; }

  void mix(std::uint64_t word) noexcept {
    hash_ = (hash_ ^ word) * 0x9FB21C651E98DF25u;
    hash_ ^= hash_ >> 32;
  }
  void mix(std::span<const std::byte> bytes) noexcept {
    mix(bytes.size());
    while (bytes.size() >= sizeof(std::uint64_t)) {
      mix(word_of(bytes.first<sizeof(std::uint64_t)>()));
      bytes = bytes.subspan(sizeof(std::uint64_t));
    }
    if (!bytes.empty()) mix(word_of(bytes));
  }
  void mix(std::string_view text) noexcept { mix(std::as_bytes(std::span(text))); }

 private:
  static std::uint64_t word_of(std::span<const std::byte> bytes) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), bytes.size());
    return word;
  }

  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

} // namespace trunkline::sim
