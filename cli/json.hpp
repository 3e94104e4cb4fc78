// One JSON object on one line, written key by key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::cli {

class JsonLine {
 public:
  JsonLine& add(std::string_view key, std::string_view text);
  JsonLine& add(std::string_view key, const char* text) { return add(key, std::string_view(text)); }
  JsonLine& add(std::string_view key, std::uint64_t number);
  JsonLine& add(std::string_view key, double number);
  JsonLine& add(std::string_view key, bool value);
  /// A path: as "path" with every byte that is not UTF-8 as U+FFFD, and then also as "path_bytes", in hexadecimal.
  JsonLine& add_path(std::string_view path);

  std::string take();

 private:
  void add_key(std::string_view key);

  std::string text_ = "{";
};

} // namespace trunkline::cli
