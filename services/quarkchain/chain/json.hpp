// JSON as a tree in which numbers stay as they are written: amounts exceed 64 bits, and a double would round them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

/// "JSON at byte 17: ...".
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct JsonMember;

struct Json {
  enum class Kind : std::uint8_t { null, boolean, number, text, list, object };

  static constexpr std::size_t depth_max = 64;

  Kind kind = Kind::null;
  bool boolean = false;
  std::string text;                // of a text its characters, of a number its digits as they are written
  std::vector<Json> items;         // of a list
  std::vector<JsonMember> members; // of an object, in their order; a repeated name stays repeated

  /// The whole of `text`, of at most depth_max levels. Errors: JsonError.
  static Json parse(std::string_view text);

  bool is_null() const noexcept { return kind == Kind::null; }
  /// The last member of this name, as Python has it, or null.
  const Json* find(std::string_view name) const noexcept;
  /// For error messages: "the number 12", "an object", at most about 60 characters.
  std::string describe() const;
};

struct JsonMember {
  std::string name;
  Json value;
};

} // namespace trunkline::quarkchain
