#include "fragment/json_line.hpp"

#include "fragment/hex.hpp"
#include "fragment/json_text.hpp"
#include "fragment/utf8.hpp"

#include <fmt/format.h>

#include <utility>

namespace trunkline {

void JsonLine::add_key(std::string_view key) {
  if (text_.size() > 1) text_ += ", ";
  append_json_text(text_, key);
  text_ += ": ";
}

JsonLine& JsonLine::add(std::string_view key, std::string_view text) {
  add_key(key);
  append_json_text(text_, text);
  return *this;
}

JsonLine& JsonLine::add(std::string_view key, std::uint64_t number) {
  add_key(key);
  text_ += std::to_string(number);
  return *this;
}

JsonLine& JsonLine::add(std::string_view key, double number) {
  add_key(key);
  text_ += fmt::format("{:.3f}", number);
  return *this;
}

JsonLine& JsonLine::add(std::string_view key, bool value) {
  add_key(key);
  text_ += value ? "true" : "false";
  return *this;
}

JsonLine& JsonLine::add_null(std::string_view key) { return add_json(key, "null"); }

JsonLine& JsonLine::add_json(std::string_view key, std::string_view json) {
  add_key(key);
  text_ += json;
  return *this;
}

JsonLine& JsonLine::add_members(std::string_view members) {
  if (members.empty()) return *this;
  if (text_.size() > 1) text_ += ", ";
  text_ += members;
  return *this;
}

JsonLine& JsonLine::add_path(std::string_view path) {
  add("path", path);
  if (is_utf8(path)) return *this;
  return add("path_bytes", to_hex(path));
}

std::string JsonLine::take() {
  text_ += '}';
  return std::exchange(text_, "{");
}

JsonList& JsonList::add(std::string_view text) {
  std::string literal;
  append_json_text(literal, text);
  return add_json(literal);
}

JsonList& JsonList::add(std::uint64_t number) { return add_json(std::to_string(number)); }

JsonList& JsonList::add_json(std::string_view json) {
  if (text_.size() > 1) text_ += ", ";
  text_ += json;
  return *this;
}

std::string JsonList::take() {
  text_ += ']';
  return std::exchange(text_, "[");
}

} // namespace trunkline
