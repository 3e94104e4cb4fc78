// The bytes of a fragment. Small payloads are stored inside the value, so that a stream of small fragments does not
// allocate. Large ones are owned or shared memory, which the trunk writes without copying it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

/// A run of bytes. Moving is cheap; copying copies the bytes, or shares them where they are shared already.
/// `bytes`, `text` and `data` are views: they are valid until the payload is changed, moved or destroyed.
class Payload {
 public:
  static constexpr std::size_t inline_bytes_max = 80;

  Payload() noexcept {}
  Payload(std::string_view text) { assign(std::as_bytes(std::span(text))); }
  Payload(const char* text) : Payload(std::string_view(text)) {}
  Payload(const std::string& text) : Payload(std::string_view(text)) {}
  /// Takes the string's memory over when it is larger than the inline space.
  Payload(std::string&& text);
  Payload(std::span<const std::byte> bytes) { assign(bytes); }
  Payload(std::vector<std::byte>&& bytes);
  Payload(const Payload& other);
  Payload(Payload&& other) noexcept { steal(other); }
  Payload& operator=(const Payload& other);
  Payload& operator=(Payload&& other) noexcept {
    if (this != &other) {
      release();
      steal(other);
    }
    return *this;
  }
  ~Payload() { release(); }

  /// Refers to memory that `owner` keeps alive. The memory must not change any more: the trunk reads it whenever it
  /// gets to write it.
  static Payload shared(std::shared_ptr<const void> owner, std::span<const std::byte> bytes);
  /// Makes `size` bytes that are not initialised, to be written through `writable()`.
  static Payload uninitialized(std::size_t size);

  /// Returns a part of this payload that shares its memory; a small payload is copied instead. Neither may be changed
  /// through `writable()` afterwards.
  Payload slice(std::size_t offset, std::size_t size);

  /// Copies a payload of at most inline_bytes_max bytes. `into` must have room for inline_bytes_max, all of which may
  /// be written.
  void copy_inline(std::byte* into) const noexcept {
    if (where_ == Where::inside) {
      std::memcpy(into, inside_, inline_bytes_max);
    } else {
      std::memcpy(into, outside_.pointer, size_);
    }
  }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const std::byte* data() const noexcept { return where_ == Where::inside ? inside_ : outside_.pointer; }
  std::span<const std::byte> bytes() const noexcept { return {data(), size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data()), size_}; }
  /// The bytes, for writing. Not for a payload that is shared.
  std::span<std::byte> writable() noexcept {
    return {where_ == Where::inside ? inside_ : const_cast<std::byte*>(outside_.pointer), size_};
  }
  friend bool operator==(const Payload& a, const Payload& b) noexcept { return a.text() == b.text(); }

 private:
  enum class Where : std::uint8_t { inside, heap, shared };

  void assign(std::span<const std::byte> bytes) {
    std::byte* into = reserve(bytes.size());
    if (!bytes.empty()) std::memcpy(into, bytes.data(), bytes.size());
  }
  std::byte* reserve(std::size_t size) {
    size_ = size;
    if (size <= inline_bytes_max) {
      where_ = Where::inside;
      return inside_;
    }
    return reserve_heap(size);
  }
  std::byte* reserve_heap(std::size_t size);
  void steal(Payload& other) noexcept {
    where_ = other.where_;
    size_ = other.size_;
    if (where_ == Where::inside) {
      std::memcpy(inside_, other.inside_, inline_bytes_max); // a constant size is a few moves, no call
    } else {
      steal_outside(other);
    }
    other.where_ = Where::inside;
    other.size_ = 0;
  }
  void steal_outside(Payload& other) noexcept;
  void release() noexcept {
    if (where_ != Where::inside) release_outside();
  }
  void release_outside() noexcept;

  std::size_t size_ = 0;
  Where where_ = Where::inside;
  struct Outside {
    const std::byte* pointer;
    alignas(std::shared_ptr<const void>) std::byte owner[sizeof(std::shared_ptr<const void>)];
  };
  union {
    std::byte inside_[inline_bytes_max];
    Outside outside_;
  };
};

} // namespace trunkline
