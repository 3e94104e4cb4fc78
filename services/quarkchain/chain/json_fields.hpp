// The bodies of json_codec.hpp, for the files that instantiate them: json_core.cpp, json_cluster.cpp, json_p2p.cpp.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/chain/json_codec.hpp"

#include <array>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

// Writing.

/// The largest integer that every reader of JSON keeps exactly.
inline constexpr std::uint64_t json_number_max = std::uint64_t{1} << 53;

void put_json(std::string& out, std::uint64_t value);
void put_json(std::string& out, const BigUint& value);
void put_json(std::string& out, const TokenBalances& value);
void put_json_decimal(std::string& out, const std::string& digits);
void put_json_hex(std::string& out, std::span<const std::byte> bytes);

template <Structure T> void put_json(std::string& out, const T& value) { append_json(out, value); }
template <class T>
  requires(std::unsigned_integral<T> && !std::is_same_v<T, std::uint64_t>)
void put_json(std::string& out, T value) {
  if constexpr (std::is_same_v<T, bool>) out += value ? "true" : "false";
  else put_json(out, static_cast<std::uint64_t>(value));
}
template <std::uint32_t Value> void put_json(std::string& out, Always<Value>) { put_json(out, std::uint64_t{Value}); }
template <std::size_t Size> void put_json(std::string& out, const FixedBytes<Size>& value) {
  put_json_hex(out, value.bytes);
}
template <std::size_t Size> void put_json(std::string& out, const FixedUint<Size>& value) {
  if (const auto small = value.to_u64()) put_json(out, *small);
  else put_json_decimal(out, value.to_decimal());
}
inline void put_json(std::string& out, const std::string& value) { put_json_hex(out, bytes_of(value)); }
template <class Item> void put_json(std::string& out, const std::vector<Item>& value) {
  out += '[';
  for (std::size_t index = 0; index < value.size(); ++index) {
    if (index > 0) out += ", ";
    put_json(out, value[index]);
  }
  out += ']';
}
template <class Key, class Value> void put_json(std::string& out, const std::map<Key, Value>& value) {
  const char* between = "[[";
  for (const auto& [key, item] : value) {
    out += std::exchange(between, "], [");
    put_json(out, key);
    out += ", ";
    put_json(out, item);
  }
  out += value.empty() ? "[]" : "]]";
}
template <class T> void put_json(std::string& out, const std::optional<T>& value) {
  if (value) put_json(out, *value);
  else out += "null";
}

template <class T> void append_json(std::string& out, const T& value) {
  out += '{';
  bool first = true;
  T::visit_fields(value, [&](const char* name, const auto& field) {
    if (!std::exchange(first, false)) out += ", ";
    out += '"';
    out += name;
    out += "\": ";
    put_json(out, field);
    return true;
  });
  out += '}';
}

// Reading.

class JsonReader {
 public:
  /// Says why; the callers prepend where.
  bool expected(const char* what, const Json& seen);
  bool fail(std::string reason);
  bool in_field(const char* name);
  bool in_element(std::size_t index);
  std::string take_error(const char* type);

 private:
  std::string path_;
  std::string reason_;
};

/// A number, or a text of digits.
bool take_json_digits(const Json& json, std::string_view& digits);
bool take_json_number(JsonReader& in, const Json& json, std::uint64_t max, std::uint64_t& into);
bool take_json_hex(JsonReader& in, const Json& json, std::span<std::byte> into);
bool take_json(JsonReader& in, const Json& json, bool& into);
bool take_json(JsonReader& in, const Json& json, BigUint& into);
bool take_json(JsonReader& in, const Json& json, std::string& into);
bool take_json(JsonReader& in, const Json& json, TokenBalances& into);
/// A list of [key, value].
bool take_json_pair(JsonReader& in, const Json& json);
bool take_json_list(JsonReader& in, const Json& json);
bool check_json_names(JsonReader& in, const Json& json, std::span<const char* const> names);

template <Structure T> bool take_json(JsonReader& in, const Json& json, T& into);

template <std::unsigned_integral T> bool take_json(JsonReader& in, const Json& json, T& into) {
  std::uint64_t number = 0;
  if (!take_json_number(in, json, std::numeric_limits<T>::max(), number)) return false;
  into = static_cast<T>(number);
  return true;
}
template <std::uint32_t Value> bool take_json(JsonReader& in, const Json& json, Always<Value>&) {
  std::uint32_t forgotten = 0;
  return take_json(in, json, forgotten);
}
template <std::size_t Size> bool take_json(JsonReader& in, const Json& json, FixedBytes<Size>& into) {
  return take_json_hex(in, json, into.bytes);
}
template <std::size_t Size> bool take_json(JsonReader& in, const Json& json, FixedUint<Size>& into) {
  std::string_view digits;
  const auto number = take_json_digits(json, digits) ? FixedUint<Size>::from_decimal(digits) : std::nullopt;
  if (!number) return in.expected(("an integer of at most " + std::to_string(Size * 8) + " bits").c_str(), json);
  into = *number;
  return true;
}
template <class Item> bool take_json(JsonReader& in, const Json& json, std::vector<Item>& into) {
  if (!take_json_list(in, json)) return false;
  for (std::size_t index = 0; index < json.items.size(); ++index)
    if (!take_json(in, json.items[index], into.emplace_back())) return in.in_element(index);
  return true;
}
template <class Key, class Value> bool take_json(JsonReader& in, const Json& json, std::map<Key, Value>& into) {
  if (!take_json_list(in, json)) return false;
  for (std::size_t index = 0; index < json.items.size(); ++index) {
    const Json& pair = json.items[index];
    Key key;
    Value value;
    if (!take_json_pair(in, pair) || !take_json(in, pair.items[0], key) || !take_json(in, pair.items[1], value))
      return in.in_element(index);
    into.insert_or_assign(std::move(key), std::move(value));
  }
  return true;
}
template <class T> bool take_json(JsonReader& in, const Json& json, std::optional<T>& into) {
  return json.is_null() || take_json(in, json, into.emplace());
}

template <Structure T> bool take_json(JsonReader& in, const Json& json, T& into) {
  std::array<const char*, T::fields_count + 1> names{};
  std::size_t count = 0;
  T::visit_fields(into, [&](const char* name, auto&) {
    names[count++] = name;
    return true;
  });
  if (!check_json_names(in, json, {names.data(), count})) return false;
  return T::visit_fields(
      into, [&](const char* name, auto& field) { return take_json(in, *json.find(name), field) || in.in_field(name); });
}

template <class T> bool from_json(const Json& json, T& into, std::string& why) {
  JsonReader in;
  if (take_json(in, json, into)) return true;
  why = in.take_error(T::type_name);
  return false;
}

// By name.

template <class T> bool type_to_json(std::span<const std::byte> bytes, std::string& fields, ByteBuffer& encoded_again,
                                     DecodeError& error) {
  T value;
  if (!decode(bytes, value, error)) return false;
  append_json(fields, value);
  encode(value, encoded_again);
  return true;
}
template <class T> bool type_from_json(const Json& fields, ByteBuffer& into, std::string& why) {
  T value;
  if (!from_json(fields, value, why)) return false;
  try {
    encode(value, into);
  } catch (const EncodeFailure& failure) {
    why = failure.what();
    return false;
  }
  return true;
}
template <class T> bool type_check(std::span<const std::byte> bytes, DecodeError& error) {
  T value;
  return decode(bytes, value, error);
}

template <class T> void type_blank(std::string& fields) { append_json(fields, T()); }

#define QUARKCHAIN_TYPE_INFO(TYPE) \
  TypeInfo{#TYPE, TYPE::bytes_min(), &type_to_json<TYPE>, &type_from_json<TYPE>, &type_check<TYPE>, &type_blank<TYPE>},

#define QUARKCHAIN_INSTANTIATE_JSON(TYPE)                    \
  template void append_json(std::string&, const TYPE&);      \
  template bool from_json(const Json&, TYPE&, std::string&); \
  template bool take_json(JsonReader&, const Json&, TYPE&);

#define QUARKCHAIN_EXTERN_JSON(TYPE)                                \
  extern template void append_json(std::string&, const TYPE&);      \
  extern template bool from_json(const Json&, TYPE&, std::string&); \
  extern template bool take_json(JsonReader&, const Json&, TYPE&);

std::span<const TypeInfo> core_types();

} // namespace trunkline::quarkchain
