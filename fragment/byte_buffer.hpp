// A growing buffer of bytes for encoders. Unlike a vector it does not initialise new bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

namespace trunkline {

/// Views of it are valid until the next `prepare` or `append`.
class ByteBuffer {
 public:
  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return capacity_; }
  bool empty() const noexcept { return size_ == 0; }
  const std::byte* data() const noexcept { return bytes_.get(); }
  operator std::span<const std::byte>() const noexcept { return {bytes_.get(), size_}; }
  void clear() noexcept { size_ = 0; }

  /// Makes room for `count` more bytes and returns where they go. They are part of the buffer once they are committed.
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
