// SHA-256 of a file's content, piece by piece.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace trunkline::sync {

/// A whole digest, always: there is no shorter one to compare by accident.
class Digest {
 public:
  static constexpr std::size_t bytes_count = 32;

  /// Nothing but exactly bytes_count bytes is a digest.
  static bool from_bytes(std::string_view bytes, Digest& into) noexcept;
  std::string_view bytes() const noexcept { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  friend bool operator==(const Digest&, const Digest&) = default;

 private:
  friend class Digester;

  std::array<unsigned char, bytes_count> bytes_{};
};

class Digester {
 public:
  Digester();
  ~Digester();
  Digester(const Digester&) = delete;
  Digester& operator=(const Digester&) = delete;

  void add(std::span<const std::byte> bytes);
  /// Once, at the end.
  Digest take();

 private:
  struct State;

  std::unique_ptr<State> state_;
};

} // namespace trunkline::sync
