#include "fragment/fragment.hpp"

#include <algorithm>
#include <stdexcept>

namespace trunkline {

void Args::set(std::string_view key, std::string_view value) {
  if (key.empty()) throw std::invalid_argument("args key is empty, expected a name");
  if (key.front() == '#')
    throw std::invalid_argument("args key \"" + std::string(key) + "\" begins with '#', which is the system's");
  put(std::string(key), value);
}

void Args::set_system(std::string_view key, std::string_view value) { put('#' + std::string(key), value); }

const std::string* Args::find(std::string_view key) const noexcept {
  const auto found = std::ranges::find(items_, key, &Item::first);
  return found == items_.end() ? nullptr : &found->second;
}

void Args::put(std::string key, std::string_view value) {
  const auto found = std::ranges::find(items_, key, &Item::first);
  if (found == items_.end()) {
    items_.emplace_back(std::move(key), std::string(value));
  } else {
    found->second = value;
  }
}

Fragment Fragment::error(std::string text, std::int32_t operation) {
  Fragment fragment(operation);
  fragment.err = std::move(text);
  return fragment;
}

} // namespace trunkline
