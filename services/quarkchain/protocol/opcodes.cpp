#include "services/quarkchain/protocol/opcodes.hpp"

#include "services/quarkchain/chain/codec.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>

namespace trunkline::quarkchain {
namespace {

/// The name of an enumerator as pyquarkchain writes it.
template <std::size_t Size> struct UpperCase {
  char letters[Size];

  consteval UpperCase(const char (&from)[Size]) : letters() {
    for (std::size_t i = 0; i < Size; ++i)
      letters[i] = from[i] >= 'a' && from[i] <= 'z' ? static_cast<char>(from[i] - 'a' + 'A') : from[i];
  }
};

template <UpperCase Name> constexpr std::string_view upper_case{Name.letters, sizeof Name.letters - 1};

template <class Reply> Payload fallback(std::uint32_t error_code) {
  Reply reply;
  if constexpr (SaysError<Reply>) reply.error_code = error_code;
  return encoded(reply);
}

template <class Reply, Unserved unserved> consteval auto fallback_for() -> Payload (*)(std::uint32_t) {
  static_assert(unserved != Unserved::error || SaysError<Reply>, "an error needs a field to be said in");
  static_assert(unserved != Unserved::empty || !SaysError<Reply>, "say error, not nothing");
  static_assert(unserved != Unserved::ignore, "a request that is ignored leaves its sender waiting for ever");
  return unserved == Unserved::close ? nullptr : &fallback<Reply>;
}

#define QUARKCHAIN_REQUEST(CODE, NAME, MESSAGE, REPLY, SENDERS, UNSERVED, WHO) \
  OpInfo{CODE,                                                                 \
         upper_case<#NAME>,                                                    \
         #MESSAGE,                                                             \
         OpClass::request,                                                     \
         static_cast<std::uint8_t>(Op::REPLY),                                 \
         SENDERS,                                                              \
         Unserved::UNSERVED,                                                   \
         fallback_for<Rpc<MESSAGE>::Reply, Unserved::UNSERVED>()},
#define QUARKCHAIN_REPLY(CODE, NAME, MESSAGE) \
  OpInfo{CODE, upper_case<#NAME>, #MESSAGE, OpClass::reply, 0, nobody, Unserved::close, nullptr},
#define QUARKCHAIN_COMMAND(CODE, NAME, MESSAGE, SENDERS, UNSERVED, WHO) \
  OpInfo{CODE, upper_case<#NAME>, #MESSAGE, OpClass::command, 0, SENDERS, Unserved::UNSERVED, nullptr},

template <OpTable table> struct Table;

template <> struct Table<OpTable::cluster> {
  using Op = ClusterOp;
  static constexpr OpInfo rows[] = {QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_REQUEST, QUARKCHAIN_REPLY, QUARKCHAIN_COMMAND)};
};
template <> struct Table<OpTable::command> {
  using Op = CommandOp;
  static constexpr OpInfo rows[] = {QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_REQUEST, QUARKCHAIN_REPLY, QUARKCHAIN_COMMAND)};
};

/// Where the row of a code is, counted from 1; 0 for a code without one.
template <OpTable table> consteval std::array<std::uint8_t, 256> make_places() {
  std::array<std::uint8_t, 256> places{};
  std::uint8_t place = 0;
  for (const OpInfo& row : Table<table>::rows) {
    if (place > 0 && Table<table>::rows[place - 1].code >= row.code) throw "opcodes must ascend";
    places[row.code] = ++place;
  }
  return places;
}

template <OpTable table> constexpr std::array<std::uint8_t, 256> places = make_places<table>();

template <OpTable table> const OpInfo* find(std::uint8_t code) noexcept {
  const std::uint8_t place = places<table>[code];
  return place == 0 ? nullptr : &Table<table>::rows[place - 1];
}

bool same_letters(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::toupper(x) == std::toupper(y); });
}

} // namespace

std::span<const OpInfo> ops(OpTable table) noexcept {
  if (table == OpTable::cluster) return Table<OpTable::cluster>::rows;
  return Table<OpTable::command>::rows;
}

const OpInfo* find_op(OpTable table, std::uint8_t code) noexcept {
  return table == OpTable::cluster ? find<OpTable::cluster>(code) : find<OpTable::command>(code);
}

const OpInfo* find_op(OpTable table, std::string_view name) noexcept {
  for (const OpInfo& row : ops(table))
    if (same_letters(row.name, name)) return &row;
  return nullptr;
}

std::string_view to_string(OpTable table) noexcept { return table == OpTable::cluster ? "ClusterOp" : "CommandOp"; }

std::string_view to_string(OpClass op_class) noexcept {
  switch (op_class) {
    case OpClass::request: return "request";
    case OpClass::reply: return "reply";
    case OpClass::command: return "command";
  }
  return "unknown";
}

std::string_view to_string(Unserved unserved) noexcept {
  switch (unserved) {
    case Unserved::error: return "error";
    case Unserved::empty: return "empty";
    case Unserved::ignore: return "ignore";
    case Unserved::close: return "close";
  }
  return "unknown";
}

} // namespace trunkline::quarkchain
