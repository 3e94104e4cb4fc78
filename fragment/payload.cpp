#include "fragment/payload.hpp"

#include <new>

namespace trunkline {
namespace {

std::shared_ptr<const void>& owner_at(std::byte* place) {
  return *std::launder(reinterpret_cast<std::shared_ptr<const void>*>(place));
}

} // namespace

Payload::Payload(std::string&& text) {
  if (text.size() <= inline_bytes_max) {
    assign(std::as_bytes(std::span(text)));
    return;
  }
  auto owner = std::make_shared<const std::string>(std::move(text));
  const auto bytes = std::as_bytes(std::span(*owner));
  *this = shared(std::move(owner), bytes);
}

Payload::Payload(std::vector<std::byte>&& bytes) {
  if (bytes.size() <= inline_bytes_max) {
    assign(bytes);
    return;
  }
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  const std::span<const std::byte> span(*owner);
  *this = shared(std::move(owner), span);
}

Payload::Payload(const Payload& other) {
  if (other.where_ == Where::shared) {
    size_ = other.size_;
    where_ = Where::shared;
    outside_.pointer = other.outside_.pointer;
    new (outside_.owner) std::shared_ptr<const void>(owner_at(const_cast<std::byte*>(other.outside_.owner)));
  } else {
    assign(other.bytes());
  }
}

Payload& Payload::operator=(const Payload& other) {
  if (this != &other) *this = Payload(other);
  return *this;
}

Payload Payload::shared(std::shared_ptr<const void> owner, std::span<const std::byte> bytes) {
  Payload payload;
  payload.size_ = bytes.size();
  payload.where_ = Where::shared;
  payload.outside_.pointer = bytes.data();
  new (payload.outside_.owner) std::shared_ptr<const void>(std::move(owner));
  return payload;
}

Payload Payload::uninitialized(std::size_t size) {
  Payload payload;
  payload.reserve(size);
  return payload;
}

Payload Payload::slice(std::size_t offset, std::size_t size) {
  if (where_ == Where::inside) return Payload(bytes().subspan(offset, size));
  if (where_ == Where::heap) {
    auto* memory = const_cast<std::byte*>(outside_.pointer);
    std::shared_ptr<const void> owner(memory, [](std::byte* bytes) { ::operator delete(bytes); });
    new (outside_.owner) std::shared_ptr<const void>(std::move(owner));
    where_ = Where::shared;
  }
  return shared(owner_at(outside_.owner), bytes().subspan(offset, size));
}

std::byte* Payload::reserve_heap(std::size_t size) {
  auto* memory = static_cast<std::byte*>(::operator new(size));
  where_ = Where::heap;
  outside_.pointer = memory;
  return memory;
}

void Payload::steal_outside(Payload& other) noexcept {
  const std::byte* pointer = other.outside_.pointer;
  if (where_ == Where::shared) {
    auto& owner = owner_at(other.outside_.owner);
    new (outside_.owner) std::shared_ptr<const void>(std::move(owner));
    owner.~shared_ptr();
  }
  outside_.pointer = pointer;
}

void Payload::release_outside() noexcept {
  if (where_ == Where::shared) {
    owner_at(outside_.owner).~shared_ptr();
  } else {
    ::operator delete(const_cast<std::byte*>(outside_.pointer));
  }
  where_ = Where::inside;
  size_ = 0;
}

} // namespace trunkline
