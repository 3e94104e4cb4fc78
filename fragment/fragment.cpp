#include "fragment/fragment.hpp"

#include <cstring>
#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

constexpr std::size_t item_bytes_max = std::size_t{1} << 30;

struct Sizes { // of one arg, before its bytes
  std::uint32_t key = 0;
  std::uint32_t value = 0;
};

Sizes sizes_at(const char* at) noexcept {
  Sizes sizes;
  std::memcpy(&sizes, at, sizeof sizes);
  return sizes;
}

} // namespace

void Args::set(std::string_view key, std::string_view value) {
  if (key.empty()) throw std::invalid_argument("args key is empty, expected a name");
  if (key.front() == '#')
    throw std::invalid_argument("args key \"" + std::string(key) + "\" begins with '#', which is the system's");
  put(key, value);
}

void Args::set_system(std::string_view key, std::string_view value) {
  std::string marked = "#";
  marked += key;
  put(marked, value);
}

std::optional<std::string_view> Args::find(std::string_view key) const noexcept {
  for (const auto& [name, value] : *this)
    if (name == key) return value;
  return std::nullopt;
}

void Args::append(std::string_view key, std::string_view value) {
  if (key.size() > item_bytes_max || value.size() > item_bytes_max) throw std::length_error("args item beyond 1 GiB");
  Sizes sizes;
  sizes.key = static_cast<std::uint32_t>(key.size());
  sizes.value = static_cast<std::uint32_t>(value.size());
  if (!packed_) packed_ = std::make_unique<Packed>();
  packed_->bytes.append(reinterpret_cast<const char*>(&sizes), sizeof sizes).append(key).append(value);
  ++packed_->count;
}

void Args::put(std::string_view key, std::string_view value) {
  if (!find(key)) return append(key, value);
  Args changed;
  for (const auto& [name, old] : *this) changed.append(name, name == key ? value : old);
  *this = std::move(changed);
}

Args::Item Args::Iterator::operator*() const noexcept {
  const Sizes sizes = sizes_at(at_);
  return {{at_ + sizeof sizes, sizes.key}, {at_ + sizeof sizes + sizes.key, sizes.value}};
}

Args::Iterator& Args::Iterator::operator++() noexcept {
  const Sizes sizes = sizes_at(at_);
  at_ += sizeof sizes + sizes.key + sizes.value;
  return *this;
}

Args::Iterator Args::Iterator::operator++(int) noexcept {
  const Iterator before = *this;
  ++*this;
  return before;
}

Fragment Fragment::error(std::string text, std::int32_t operation) {
  Fragment fragment(operation);
  fragment.err = std::move(text);
  return fragment;
}

Fragment Fragment::cancelling(std::int64_t part) {
  Fragment fragment;
  fragment.part = part;
  fragment.deadline_ = TimePoint::min();
  return fragment;
}

} // namespace trunkline
