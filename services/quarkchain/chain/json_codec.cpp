#include "services/quarkchain/chain/json_codec.hpp"

#include "services/quarkchain/chain/json_fields.hpp"

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

std::string with_prefix(const std::string& name, const std::string& rest) {
  return rest.empty() || rest.front() == '[' ? name + rest : name + "." + rest;
}

std::string listed(std::span<const char* const> names) {
  std::string text;
  for (const char* name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text.empty() ? "no fields" : text;
}

} // namespace

void put_json_decimal(std::string& out, const std::string& digits) {
  out += '"';
  out += digits;
  out += '"';
}

void put_json(std::string& out, std::uint64_t value) {
  if (value <= json_number_max) out += std::to_string(value);
  else put_json_decimal(out, std::to_string(value));
}

void put_json(std::string& out, const BigUint& value) {
  if (const auto small = value.to_u64()) put_json(out, *small);
  else put_json_decimal(out, value.to_decimal());
}

void put_json(std::string& out, const TokenBalances& value) {
  const char* between = "[[";
  for (const TokenBalances::Entry& entry : value) {
    out += std::exchange(between, "], [");
    put_json(out, entry.token);
    out += ", ";
    put_json(out, entry.amount);
  }
  out += value.empty() ? "[]" : "]]";
}

void put_json_hex(std::string& out, std::span<const std::byte> bytes) {
  out += '"';
  out += to_hex(bytes);
  out += '"';
}

bool JsonReader::expected(const char* what, const Json& seen) {
  return fail(std::string("expected ") + what + ", seen " + seen.describe());
}

bool JsonReader::fail(std::string reason) {
  reason_ = std::move(reason);
  return false;
}

bool JsonReader::in_field(const char* name) {
  path_ = with_prefix(name, path_);
  return false;
}

bool JsonReader::in_element(std::size_t index) {
  path_ = with_prefix("[" + std::to_string(index) + "]", path_);
  return false;
}

std::string JsonReader::take_error(const char* type) {
  in_field(type);
  return path_ + ": " + reason_;
}

bool take_json_digits(const Json& json, std::string_view& digits) {
  digits = json.text;
  return (json.kind == Json::Kind::number || json.kind == Json::Kind::text) && !digits.empty() &&
         digits.find_first_not_of("0123456789") == std::string_view::npos;
}

bool take_json_number(JsonReader& in, const Json& json, std::uint64_t max, std::uint64_t& into) {
  std::string_view digits;
  if (take_json_digits(json, digits)) {
    const auto number = BigUint::from_decimal(digits);
    const auto small = number ? number->to_u64() : std::nullopt;
    if (small && *small <= max) {
      into = *small;
      return true;
    }
  }
  return in.expected(("an integer of 0 to " + std::to_string(max)).c_str(), json);
}

bool take_json_hex(JsonReader& in, const Json& json, std::span<std::byte> into) {
  if (json.kind == Json::Kind::text && from_hex(json.text, into)) return true;
  const std::string what = std::to_string(into.size()) + " bytes in hexadecimal";
  if (json.kind != Json::Kind::text || json.text.size() % 2 != 0 || json.text.size() / 2 == into.size())
    return in.expected(what.c_str(), json);
  return in.fail("expected " + what + ", seen " + std::to_string(json.text.size() / 2));
}

bool take_json(JsonReader& in, const Json& json, bool& into) {
  if (json.kind != Json::Kind::boolean) return in.expected("true or false", json);
  into = json.boolean;
  return true;
}

bool take_json(JsonReader& in, const Json& json, BigUint& into) {
  std::string_view digits;
  auto number = take_json_digits(json, digits) ? BigUint::from_decimal(digits) : std::nullopt;
  if (!number) return in.expected("an integer of at most 255 bytes", json);
  into = *std::move(number);
  return true;
}

bool take_json(JsonReader& in, const Json& json, std::string& into) {
  auto bytes = json.kind == Json::Kind::text ? from_hex(json.text) : std::nullopt;
  if (!bytes) return in.expected("bytes in hexadecimal", json);
  into = *std::move(bytes);
  return true;
}

bool take_json(JsonReader& in, const Json& json, TokenBalances& into) {
  if (!take_json_list(in, json)) return false;
  for (std::size_t index = 0; index < json.items.size(); ++index) {
    const Json& pair = json.items[index];
    BigUint token;
    BigUint amount;
    if (!take_json_pair(in, pair) || !take_json(in, pair.items[0], token) || !take_json(in, pair.items[1], amount))
      return in.in_element(index);
    into.set(token, amount);
  }
  return true;
}

bool take_json_pair(JsonReader& in, const Json& json) {
  return (json.kind == Json::Kind::list && json.items.size() == 2) || in.expected("[key, value]", json);
}

bool take_json_list(JsonReader& in, const Json& json) {
  return json.kind == Json::Kind::list || in.expected("a list", json);
}

bool check_json_names(JsonReader& in, const Json& json, std::span<const char* const> names) {
  if (json.kind != Json::Kind::object) return in.expected("an object", json);
  for (const char* name : names)
    if (!json.find(name)) return in.fail("field " + std::string(name) + " is missing");
  for (const JsonMember& member : json.members)
    if (std::find(names.begin(), names.end(), std::string_view(member.name)) == names.end())
      return in.fail("no field \"" + member.name + "\"; there are " + listed(names));
  return true;
}

} // namespace trunkline::quarkchain
