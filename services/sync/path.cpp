#include "services/sync/path.hpp"

#include "fragment/hex.hpp"
#include "fragment/utf8.hpp"

#include <algorithm>

namespace trunkline::sync {
namespace {

int rank(char byte) noexcept { return byte == '/' ? -1 : static_cast<unsigned char>(byte); }

/// C1 controls, and the marks that reorder or split a line on a terminal.
bool is_unprintable(std::string_view character) noexcept {
  if (character.size() == 2 && character[0] == '\xC2' && static_cast<unsigned char>(character[1]) < 0xA0) return true;
  if (character.size() != 3 || character[0] != '\xE2') return false;
  const auto second = static_cast<unsigned char>(character[1]);
  const auto third = static_cast<unsigned char>(character[2]);
  return (second == 0x80 && ((third >= 0x8E && third <= 0x8F) || (third >= 0xA8 && third <= 0xAE))) ||
         (second == 0x81 && third >= 0xA6 && third <= 0xA9);
}

void append_bytes(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) {
    out += "\\x";
    append_hex(out, static_cast<unsigned char>(byte));
  }
}

} // namespace

std::string wrong_with_path(std::string_view path) {
  if (path.empty()) return {};
  if (path.size() > path_bytes_max)
    return "has " + std::to_string(path.size()) + " bytes, more than " + std::to_string(path_bytes_max);
  if (path.find('\0') != std::string_view::npos) return "holds a zero byte";
  if (path.front() == '/') return "is absolute";
  for (std::string_view rest = path;;) {
    const std::size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    if (component.empty()) return "has an empty component";
    if (component == "." || component == "..") return "has a component \"" + std::string(component) + "\"";
    if (component.size() > name_bytes_max)
      return "has a component of " + std::to_string(component.size()) + " bytes, more than " +
             std::to_string(name_bytes_max);
    if (slash == std::string_view::npos) return {};
    rest.remove_prefix(slash + 1);
  }
}

int compare_paths(std::string_view a, std::string_view b) noexcept {
  const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (in_a == a.end()) return in_b == b.end() ? 0 : -1;
  if (in_b == b.end()) return 1;
  return rank(*in_a) - rank(*in_b);
}

bool is_below(std::string_view path, std::string_view directory) noexcept {
  if (directory.empty()) return !path.empty();
  return path.size() > directory.size() && path[directory.size()] == '/' && path.starts_with(directory);
}

std::string_view parent_of(std::string_view path) noexcept {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) noexcept {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string join(std::string_view directory, std::string_view name) {
  std::string path;
  path.reserve(directory.size() + 1 + name.size());
  path = directory;
  if (!directory.empty() && !name.empty()) path += '/';
  path += name;
  return path;
}

namespace {

std::string escaped(std::string_view text, bool backslashes) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t size = utf8_bytes(text);
    const std::string_view character = text.substr(0, size == 0 ? 1 : size);
    const char first = character.front();
    if (size == 0 || first == '\x7f' || is_unprintable(character)) {
      append_bytes(out, character);
    } else if (first == '\n') {
      out += "\\n";
    } else if (first == '\t') {
      out += "\\t";
    } else if (first == '\r') {
      out += "\\r";
    } else if (first == '\\' && backslashes) {
      out += "\\\\";
    } else if (size == 1 && static_cast<unsigned char>(first) < 0x20) {
      append_bytes(out, character);
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  return out;
}

} // namespace

std::string printable(std::string_view text) { return escaped(text, true); }

std::string printable_sentence(std::string_view text) { return escaped(text, false); }

} // namespace trunkline::sync
