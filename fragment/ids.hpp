// Ids: 128 random bits for peers and nodes, a number on its trunk for a circuit.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline {

/// The number of a circuit on its trunk: odd when the dialling side opened it, even otherwise, never reused.
/// 0 names the trunk itself.
using CircuitId = std::uint64_t;

/// 128 random bits, printed as 22 characters of unpadded base64url. The zero value means "none".
class RandomId {
 public:
  static constexpr std::size_t bytes_count = 16;

  RandomId() = default;
  /// Draws an id from the caller's source of random words. Never returns "none".
  static RandomId draw(const std::function<std::uint64_t()>& random);
  /// Returns nullopt unless there are exactly 16 bytes.
  static std::optional<RandomId> from_bytes(std::string_view bytes);
  /// Returns nullopt unless the text is exactly what to_string gives: each id has one text only.
  static std::optional<RandomId> parse(std::string_view text);

  std::string to_string() const;
  std::string_view bytes() const noexcept { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  bool empty() const noexcept { return *this == RandomId(); }
  friend auto operator<=>(const RandomId&, const RandomId&) = default;
  friend std::size_t hash_value(const RandomId& id) noexcept {
    std::size_t value;
    __builtin_memcpy(&value, id.bytes_.data(), sizeof value);
    return value;
  }

 private:
  std::array<std::uint8_t, bytes_count> bytes_{};
};

using PeerId = RandomId;
using NodeId = RandomId;

} // namespace trunkline

template <> struct std::hash<trunkline::RandomId> {
  std::size_t operator()(const trunkline::RandomId& id) const noexcept { return hash_value(id); }
};
