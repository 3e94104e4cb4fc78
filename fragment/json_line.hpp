// Writes JSON objects and arrays on one line. All code that writes JSON by its keys uses this.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline {

/// One object, written key by key.
class JsonLine {
 public:
  JsonLine& add(std::string_view key, std::string_view text);
  JsonLine& add(std::string_view key, const char* text) { return add(key, std::string_view(text)); }
  JsonLine& add(std::string_view key, std::uint64_t number);
  JsonLine& add(std::string_view key, std::uint32_t number) { return add(key, std::uint64_t{number}); }
  JsonLine& add(std::string_view key, double number);
  JsonLine& add(std::string_view key, bool value);
  JsonLine& add_null(std::string_view key);
  /// A value that is JSON already: an object, an array, a number.
  JsonLine& add_json(std::string_view key, std::string_view json);
  /// What is between the braces of an object that is JSON already.
  JsonLine& add_members(std::string_view members);
  /// A path: as "path" with every byte that is not UTF-8 as U+FFFD, and then also as "path_bytes", in hexadecimal.
  JsonLine& add_path(std::string_view path);

  std::string take();

 private:
  void add_key(std::string_view key);

  std::string text_ = "{";
};

/// One array, written item by item.
class JsonList {
 public:
  JsonList& add(std::string_view text);
  JsonList& add(std::uint64_t number);
  /// An item that is JSON already.
  JsonList& add_json(std::string_view json);

  std::string take();

 private:
  std::string text_ = "[";
};

} // namespace trunkline
