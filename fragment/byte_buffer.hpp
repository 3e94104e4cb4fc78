// A growing run of bytes for encoders: unlike a vector it leaves new bytes uninitialised.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

namespace trunkline {

class ByteBuffer {
 public:
  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return capacity_; }
  bool empty() const noexcept { return size_ == 0; }
  const std::byte* data() const noexcept { return bytes_.get(); }
  operator std::span<const std::byte>() const noexcept { return {bytes_.get(), size_}; }
  void clear() noexcept { size_ = 0; }

  /// Room for `count` more bytes at the returned place; they count once they are committed.
  std::byte* prepare(std::size_t count) {
    if (count > capacity_ - size_) grow(count);
    return bytes_.get() + size_;
  }
  void commit(std::size_t count) noexcept { size_ += count; }
  void append(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
    size_ += bytes.size();
  }

 private:
  void grow(std::size_t count) {
    const std::size_t capacity = std::max({capacity_ * 2, size_ + count, std::size_t{256}});
    auto bytes = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (size_ > 0) std::memcpy(bytes.get(), bytes_.get(), size_);
    bytes_ = std::move(bytes);
    capacity_ = capacity;
  }

  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

} // namespace trunkline
