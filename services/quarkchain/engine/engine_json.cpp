#include "services/quarkchain/engine/engine_json.hpp"

#include "services/quarkchain/execution/executor.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain::engine_json {
namespace {

[[noreturn]] void unexpected(const char* what, const char* expected, const Json& seen) {
  throw ExecutorDown(fmt::format("{}: expected {}, seen {}", what, expected, seen.describe()));
}

bool is_hex(const Json& value) {
  return value.kind == Json::Kind::text && value.text.starts_with("0x");
}

} // namespace

std::string quantity(const BigUint& number) {
  const std::string digits = to_hex(number.bytes());
  if (digits.empty()) return "\"0x0\"";
  return "\"0x" + digits.substr(digits.front() == '0' ? 1 : 0) + "\"";
}

std::string digits(std::string_view bytes) { return "\"0x" + to_hex(bytes) + "\""; }

const Json& member(const Json& of, const char* name, const char* what) {
  const Json* const found = of.kind == Json::Kind::object ? of.find(name) : nullptr;
  if (!found) throw ExecutorDown(fmt::format("{}: expected a member {}, seen {}", what, name, of.describe()));
  return *found;
}

BigUint number(const Json& value, const char* what) {
  if (!is_hex(value)) unexpected(what, "a number as 0x and digits", value);
  std::string digits = value.text.substr(2);
  if (digits.size() % 2 != 0) digits.insert(0, "0");
  const auto read = from_hex(digits);
  const auto big = read ? BigUint::from_bytes(bytes_of(*read)) : std::nullopt;
  if (!big) unexpected(what, "a number as 0x and digits", value);
  return *big;
}

std::uint64_t small_number(const Json& value, const char* what) {
  const auto small = number(value, what).to_u64();
  if (!small) unexpected(what, "at most 64 bits", value);
  return *small;
}

std::string bytes(const Json& value, const char* what) {
  auto read = is_hex(value) ? from_hex(std::string_view(value.text).substr(2)) : std::nullopt;
  if (!read) unexpected(what, "bytes as 0x and digits", value);
  return std::move(*read);
}

Hash256 hash(const Json& value, const char* what) {
  const auto read = is_hex(value) ? Hash256::from_hex(std::string_view(value.text).substr(2)) : std::nullopt;
  if (!read) unexpected(what, "32 bytes as 0x and digits", value);
  return *read;
}

const std::vector<Json>& list(const Json& value, const char* what) {
  if (value.kind != Json::Kind::list) unexpected(what, "a list", value);
  return value.items;
}

const std::string& word(const Json& value, const char* what) {
  if (value.kind != Json::Kind::text) unexpected(what, "a text", value);
  return value.text;
}

} // namespace trunkline::quarkchain::engine_json
