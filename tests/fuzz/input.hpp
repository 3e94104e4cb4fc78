// The bytes of a fuzzer, read from their beginning; zeros when they are used up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {

class FuzzInput {
 public:
  explicit FuzzInput(std::span<const std::uint8_t> bytes) : left_(bytes) {}

  bool more() const { return !left_.empty(); }
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t value = left_.front();
    left_ = left_.subspan(1);
    return value;
  }
  /// Two bytes' worth of a number in [0, limit); 0 when that is empty.
  std::size_t below(std::size_t limit) {
    std::size_t value = byte();
    value = value << 8 | byte();
    return limit == 0 ? 0 : value % limit;
  }
  /// So many bytes, or what is left.
  std::string text(std::size_t count) {
    count = std::min(count, left_.size());
    std::string text(reinterpret_cast<const char*>(left_.data()), count);
    left_ = left_.subspan(count);
    return text;
  }
  std::vector<std::byte> rest() {
    const auto bytes = std::as_bytes(std::exchange(left_, {}));
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::span<const std::uint8_t> left_;
};

} // namespace trunkline::test
