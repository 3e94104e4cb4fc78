// The digest of a file's content, piece by piece: XXH3, 128 bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace trunkline::sync {

/// A whole digest, always: there is no shorter one to compare by accident.
class Digest {
 public:
  static constexpr std::size_t bytes_count = 16;

  /// Nothing but exactly bytes_count bytes is a digest.
  static bool from_bytes(std::string_view bytes, Digest& into) noexcept;
  /// The digest that a Digester makes of these bytes.
  static Digest of(std::span<const std::byte> bytes, std::uint64_t seed) noexcept;
  std::string_view bytes() const noexcept { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  friend bool operator==(const Digest&, const Digest&) = default;

 private:
  std::array<unsigned char, bytes_count> bytes_{};
};

/// Digests are comparable only with the same seed. With one that is drawn for a sync, nobody who writes files can make
/// two that have the same digest: docs/decisions/0080-sync-deltas.md.
class Digester {
 public:
  explicit Digester(std::uint64_t seed);
  ~Digester();
  Digester(const Digester&) = delete;
  Digester& operator=(const Digester&) = delete;

  void add(std::span<const std::byte> bytes);
  Digest take() const;

 private:
  struct State;

  std::unique_ptr<State> state_;
};

} // namespace trunkline::sync
