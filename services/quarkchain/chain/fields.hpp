// How a structure describes itself: one line names its fields in the order in which they travel. Encoding, decoding,
// JSON both ways, the smallest size and equality all come from that line.
//
//   struct Pong {
//     std::string id;
//     std::vector<std::uint32_t> full_shard_id_list;
//     QUARKCHAIN_FIELDS(Pong, id, full_shard_id_list)
//   };
#pragma once

#include "services/quarkchain/chain/bytes.hpp"
#include "services/quarkchain/chain/number.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace trunkline::quarkchain {

/// A u32 that is written as `Value` whatever was read.
template <std::uint32_t Value> struct Always {
  static constexpr std::uint32_t value = Value;
  friend bool operator==(const Always&, const Always&) = default;
};

template <class T>
concept Structure = requires { T::type_name; };

/// The fewest bytes that a value takes on the wire: what a count is checked against before anything is allocated.
template <class T> struct Minimum;

template <Structure T> struct Minimum<T> {
  static constexpr std::size_t bytes = T::bytes_min();
};
template <std::unsigned_integral T> struct Minimum<T> {
  static constexpr std::size_t bytes = sizeof(T);
};
template <> struct Minimum<bool> {
  static constexpr std::size_t bytes = 1;
};
template <std::uint32_t Value> struct Minimum<Always<Value>> {
  static constexpr std::size_t bytes = 4;
};
template <> struct Minimum<BigUint> {
  static constexpr std::size_t bytes = 1;
};
template <std::size_t Size> struct Minimum<FixedUint<Size>> {
  static constexpr std::size_t bytes = Size;
};
template <std::size_t Size> struct Minimum<FixedBytes<Size>> {
  static constexpr std::size_t bytes = Size;
};
template <> struct Minimum<std::string> {
  static constexpr std::size_t bytes = 4;
};
template <unsigned Prefix> struct Minimum<ShortBytes<Prefix>> {
  static constexpr std::size_t bytes = Prefix;
};
template <class Item> struct Minimum<std::vector<Item>> {
  static constexpr std::size_t bytes = 4;
};
template <class Item> struct Minimum<List1<Item>> {
  static constexpr std::size_t bytes = 1;
};
template <class Key, class Value> struct Minimum<std::map<Key, Value>> {
  static constexpr std::size_t bytes = 4;
};
template <class T> struct Minimum<std::optional<T>> {
  static constexpr std::size_t bytes = 1;
};

} // namespace trunkline::quarkchain

// Applies MACRO to each of up to 64 further arguments.
#define QUARKCHAIN_PARENTHESES ()
#define QUARKCHAIN_EXPAND(...) \
  QUARKCHAIN_EXPAND3(QUARKCHAIN_EXPAND3(QUARKCHAIN_EXPAND3(QUARKCHAIN_EXPAND3(__VA_ARGS__))))
#define QUARKCHAIN_EXPAND3(...) \
  QUARKCHAIN_EXPAND2(QUARKCHAIN_EXPAND2(QUARKCHAIN_EXPAND2(QUARKCHAIN_EXPAND2(__VA_ARGS__))))
#define QUARKCHAIN_EXPAND2(...) \
  QUARKCHAIN_EXPAND1(QUARKCHAIN_EXPAND1(QUARKCHAIN_EXPAND1(QUARKCHAIN_EXPAND1(__VA_ARGS__))))
#define QUARKCHAIN_EXPAND1(...) __VA_ARGS__
#define QUARKCHAIN_EACH(MACRO, ...) __VA_OPT__(QUARKCHAIN_EXPAND(QUARKCHAIN_EACH_STEP(MACRO, __VA_ARGS__)))
#define QUARKCHAIN_EACH_STEP(MACRO, FIRST, ...) \
  MACRO(FIRST) __VA_OPT__(QUARKCHAIN_EACH_AGAIN QUARKCHAIN_PARENTHESES(MACRO, __VA_ARGS__))
#define QUARKCHAIN_EACH_AGAIN() QUARKCHAIN_EACH_STEP

#define QUARKCHAIN_VISIT(FIELD) &&visit(#FIELD, self.FIELD)
#define QUARKCHAIN_MINIMUM(FIELD) +::trunkline::quarkchain::Minimum<decltype(FIELD)>::bytes
#define QUARKCHAIN_COUNT(FIELD) +1

/// The last line of a structure. `visit_fields` calls visit(name, field) for each field until one says false, and says
/// whether none did.
#define QUARKCHAIN_FIELDS(TYPE, ...)                                                                               \
  static constexpr const char* type_name = #TYPE;                                                                  \
  static constexpr std::size_t fields_count = 0 QUARKCHAIN_EACH(QUARKCHAIN_COUNT, __VA_ARGS__);                    \
  static constexpr std::size_t bytes_min() noexcept { return 0 QUARKCHAIN_EACH(QUARKCHAIN_MINIMUM, __VA_ARGS__); } \
  template <class Self, class Visit>                                                                               \
  static bool visit_fields([[maybe_unused]] Self& self, [[maybe_unused]] Visit&& visit) {                          \
    return true QUARKCHAIN_EACH(QUARKCHAIN_VISIT, __VA_ARGS__);                                                    \
  }                                                                                                                \
  friend bool operator==(const TYPE&, const TYPE&) = default;
