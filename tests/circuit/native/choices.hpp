// Where the random decisions of a test come from: a seed, or the bytes of a fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <span>

namespace trunkline::test {

class Choices {
 public:
  virtual ~Choices() = default;
  /// A number in [0, n); n is at least 1.
  virtual std::uint32_t below(std::uint32_t n) = 0;
  /// False when nothing is left to choose from: what runs on choices ends then.
  virtual bool more() const = 0;

  bool one_in(std::uint32_t n) { return below(n) == 0; }
  template <class Container> auto& any_of(Container& from) {
    return from[below(static_cast<std::uint32_t>(std::size(from)))];
  }
};

class SeededChoices final : public Choices {
 public:
  explicit SeededChoices(std::uint64_t seed) : random_(seed) {}
  std::uint32_t below(std::uint32_t n) override { return static_cast<std::uint32_t>(random_() % n); }
  bool more() const override { return true; }

 private:
  std::mt19937_64 random_;
};

/// Takes one byte for a choice of up to 256, two for a larger one; zeros after the last byte.
class ByteChoices final : public Choices {
 public:
  explicit ByteChoices(std::span<const std::uint8_t> bytes) : left_(bytes) {}
  std::uint32_t below(std::uint32_t n) override {
    std::uint32_t value = next();
    if (n > 256) value = value << 8 | next();
    if (n > 65536) value = value << 8 | next();
    return value % n;
  }
  bool more() const override { return !left_.empty(); }

 private:
  std::uint32_t next() {
    if (left_.empty()) return 0;
    const std::uint32_t byte = left_.front();
    left_ = left_.subspan(1);
    return byte;
  }

  std::span<const std::uint8_t> left_;
};

} // namespace trunkline::test
