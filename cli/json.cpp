#include "cli/json.hpp"

#include "services/sync/path.hpp"

#include <fmt/format.h>

#include <utility>

namespace trunkline::cli {
namespace {

/// Leaves UTF-8 as it is, one byte at a time otherwise.
std::size_t character_bytes(std::string_view text) {
  for (std::size_t size = 1; size <= 4 && size <= text.size(); ++size)
    if (sync::is_utf8(text.substr(0, size))) return size;
  return 0;
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t size = character_bytes(text);
    const char first = text.front();
    if (size == 0) {
      out += "\\ufffd";
    } else if (first == '"' || first == '\\') {
      out += '\\';
      out += first;
    } else if (static_cast<unsigned char>(first) < 0x20 || first == '\x7f') {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(first)));
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  out += '"';
}

} // namespace

void JsonLine::add_key(std::string_view key) {
  if (text_.size() > 1) text_ += ", ";
  append_quoted(text_, key);
  text_ += ": ";
}

JsonLine& JsonLine::add(std::string_view key, std::string_view text) {
  add_key(key);
  append_quoted(text_, text);
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

JsonLine& JsonLine::add_path(std::string_view path) {
  add("path", path);
  if (sync::is_utf8(path)) return *this;
  std::string hexadecimal;
  for (const char byte : path)
    hexadecimal += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  return add("path_bytes", hexadecimal);
}

std::string JsonLine::take() {
  text_ += '}';
  return std::exchange(text_, "{");
}

} // namespace trunkline::cli
