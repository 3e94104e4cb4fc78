// The bodies of codec.hpp, for the files that instantiate them: codec_core.cpp, codec_cluster.cpp, codec_p2p.cpp.
#pragma once

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/core_types.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

// Reading. Every function says whether it succeeded; the first that does not says why, and its callers prepend where.

class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> bytes) : begin_(bytes.data()), at_(begin_), end_(begin_ + bytes.size()) {}

  std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  std::size_t offset() const noexcept { return static_cast<std::size_t>(at_ - begin_); }
  /// `count` bytes, or null.
  const std::byte* take(std::size_t count) {
    if (count > left()) [[unlikely]]
      return needs(count);
    const std::byte* const taken = at_;
    at_ += count;
    return taken;
  }
  template <class Number> bool number(Number& into) {
    const std::byte* const bytes = take(sizeof(Number));
    if (!bytes) return false;
    into = get_big<Number>(bytes);
    return true;
  }
  /// Says why, at a place that may lie behind.
  bool fail(std::size_t offset, std::string reason);
  /// Called on the way out, innermost first.
  bool in_field(const char* name);
  bool in_element(std::size_t index);
  DecodeError take_error(const char* type);

 private:
  const std::byte* needs(std::size_t count);

  const std::byte* begin_;
  const std::byte* at_;
  const std::byte* end_;
  DecodeError error_;
};

template <Structure T> bool read(Decoder& in, T& into);

template <std::unsigned_integral T> bool read(Decoder& in, T& into) { return in.number(into); }

inline bool read(Decoder& in, bool& into) {
  std::uint8_t byte = 0;
  if (!in.number(byte)) return false;
  into = byte != 0;
  return true;
}

template <std::uint32_t Value> bool read(Decoder& in, Always<Value>&) { return in.take(4) != nullptr; }

template <std::size_t Size> bool read(Decoder& in, FixedBytes<Size>& into) {
  const std::byte* const bytes = in.take(Size);
  if (!bytes) return false;
  std::memcpy(into.bytes.data(), bytes, Size);
  return true;
}

template <std::size_t Size> bool read(Decoder& in, FixedUint<Size>& into) {
  const std::byte* const bytes = in.take(Size);
  if (!bytes) return false;
  std::memcpy(into.writable().data(), bytes, Size);
  return true;
}

inline bool read(Decoder& in, BigUint& into) {
  std::uint8_t size = 0;
  if (!in.number(size)) return false;
  const std::byte* const bytes = in.take(size);
  if (!bytes) return false;
  into = *BigUint::from_bytes({bytes, size});
  return true;
}

template <class Prefix> bool read_bytes(Decoder& in, std::string& into) {
  Prefix size = 0;
  if (!in.number(size)) return false;
  const std::byte* const bytes = in.take(size);
  if (!bytes) return false;
  into.assign(reinterpret_cast<const char*>(bytes), size);
  return true;
}

inline bool read(Decoder& in, std::string& into) { return read_bytes<std::uint32_t>(in, into); }
inline bool read(Decoder& in, Bytes1& into) { return read_bytes<std::uint8_t>(in, into); }
inline bool read(Decoder& in, Bytes2& into) { return read_bytes<std::uint16_t>(in, into); }

/// A count of elements that the bytes behind it could hold.
template <class Prefix> bool read_count(Decoder& in, std::size_t bytes_min, Prefix& count) {
  const std::size_t offset = in.offset();
  if (!in.number(count)) return false;
  if (count <= in.left() / bytes_min) return true;
  return in.fail(offset, std::to_string(count) + " elements of at least " + std::to_string(bytes_min) + " bytes, " +
                             std::to_string(in.left()) + " bytes are left");
}

template <class Prefix, class Item> bool read_list(Decoder& in, std::vector<Item>& into) {
  static_assert(Minimum<Item>::bytes > 0);
  Prefix count = 0;
  if (!read_count(in, Minimum<Item>::bytes, count)) return false;
  // Elements are often larger here than on the wire; beyond twice the bytes that came, memory follows what was really
  // read.
  into.reserve(std::min<std::size_t>(count, in.left() * 2 / sizeof(Item) + 1));
  for (std::size_t index = 0; index < count; ++index)
    if (!read(in, into.emplace_back())) return in.in_element(index);
  return true;
}

template <class Item> bool read(Decoder& in, std::vector<Item>& into) { return read_list<std::uint32_t>(in, into); }
template <class Item> bool read(Decoder& in, List1<Item>& into) { return read_list<std::uint8_t>(in, into); }

/// In any order; of equal keys the last counts.
template <class Key, class Value> bool read(Decoder& in, std::map<Key, Value>& into) {
  std::uint32_t count = 0;
  if (!read_count(in, Minimum<Key>::bytes + Minimum<Value>::bytes, count)) return false;
  for (std::size_t index = 0; index < count; ++index) {
    Key key;
    Value value;
    if (!(read(in, key) || in.in_field("key"))) return in.in_element(index);
    if (!(read(in, value) || in.in_field("value"))) return in.in_element(index);
    into.insert_or_assign(into.end(), std::move(key), std::move(value));
  }
  return true;
}

bool read(Decoder& in, TokenBalances& into);

template <class T> bool read(Decoder& in, std::optional<T>& into) {
  bool present = false;
  if (!read(in, present)) return false;
  return !present || read(in, into.emplace());
}

bool check_transaction_type(Decoder& in);

template <Structure T> bool read(Decoder& in, T& into) {
  if constexpr (std::is_same_v<T, TypedTransaction>)
    if (!check_transaction_type(in)) return in.in_field("tx");
  return T::visit_fields(into, [&](const char* name, auto& field) { return read(in, field) || in.in_field(name); });
}

// The size of what will be written, which is also where a value that cannot be written is refused.

class Sizer {
 public:
  std::size_t bytes = 0;

  /// Bytes or elements, behind a count of `prefix_bytes` bytes.
  void counted(std::size_t count, unsigned prefix_bytes) {
    if (prefix_bytes < 8 && count >> (8 * prefix_bytes) != 0) [[unlikely]]
      too_many(count, prefix_bytes);
    bytes += prefix_bytes;
  }
  bool in_field(const char* name);
  bool in_element(std::size_t index);
  /// Says why; the callers prepend where.
  void fail(std::string reason);
  bool failed() const noexcept { return !reason_.empty(); }
  [[noreturn]] void throw_failure(const char* type);

 private:
  void too_many(std::size_t count, unsigned prefix_bytes);

  std::string path_;
  std::string reason_;
};

template <Structure T> void measure(Sizer& out, const T& value);

template <class T>
  requires(std::unsigned_integral<T>)
void measure(Sizer& out, T) {
  out.bytes += sizeof(T);
}
template <std::uint32_t Value> void measure(Sizer& out, Always<Value>) { out.bytes += 4; }
template <std::size_t Size> void measure(Sizer& out, const FixedBytes<Size>&) { out.bytes += Size; }
template <std::size_t Size> void measure(Sizer& out, const FixedUint<Size>&) { out.bytes += Size; }
inline void measure(Sizer& out, const BigUint& value) { out.bytes += 1 + value.bytes().size(); }

inline void measure(Sizer& out, const std::string& value) {
  out.counted(value.size(), 4);
  out.bytes += value.size();
}
template <unsigned Prefix> void measure(Sizer& out, const ShortBytes<Prefix>& value) {
  out.counted(value.size(), Prefix);
  out.bytes += value.size();
}

template <class Item> void measure_list(Sizer& out, const std::vector<Item>& value, unsigned prefix_bytes) {
  out.counted(value.size(), prefix_bytes);
  if (out.failed()) [[unlikely]]
    return;
  if constexpr (std::unsigned_integral<Item>) {
    out.bytes += value.size() * sizeof(Item);
  } else {
    for (std::size_t index = 0; index < value.size(); ++index) {
      measure(out, value[index]);
      if (out.failed()) [[unlikely]] {
        out.in_element(index);
        return;
      }
    }
  }
}
template <class Item> void measure(Sizer& out, const std::vector<Item>& value) { measure_list(out, value, 4); }
template <class Item> void measure(Sizer& out, const List1<Item>& value) { measure_list(out, value, 1); }

template <class Key, class Value> void measure(Sizer& out, const std::map<Key, Value>& value) {
  out.counted(value.size(), 4);
  std::size_t index = 0;
  for (const auto& [key, item] : value) {
    measure(out, key);
    measure(out, item);
    if (out.failed()) [[unlikely]] {
      out.in_element(index);
      return;
    }
    ++index;
  }
}
inline void measure(Sizer& out, const TokenBalances& value) {
  out.counted(value.size(), 4);
  for (const TokenBalances::Entry& entry : value) {
    measure(out, entry.token);
    measure(out, entry.amount);
  }
}
template <class T> void measure(Sizer& out, const std::optional<T>& value) {
  out.bytes += 1;
  if (value) measure(out, *value);
}

void check_transaction_type(Sizer& out, const SerializedEvmTransaction& tx);

template <Structure T> void measure(Sizer& out, const T& value) {
  if constexpr (std::is_same_v<T, TypedTransaction>) check_transaction_type(out, value.tx);
  T::visit_fields(value, [&](const char* name, const auto& field) {
    measure(out, field);
    return !out.failed() || out.in_field(name);
  });
}

// Writing, into room that was measured before.

class Writer {
 public:
  explicit Writer(std::byte* at) : at_(at) {}

  template <class Number> void number(Number value) { at_ = put_big(at_, value); }
  void bytes(const void* from, std::size_t count) {
    if (count > 0) std::memcpy(at_, from, count);
    at_ += count;
  }
  const std::byte* end() const noexcept { return at_; }

 private:
  std::byte* at_;
};

template <Structure T> void write(Writer& out, const T& value);

template <class T>
  requires(std::unsigned_integral<T>)
void write(Writer& out, T value) {
  if constexpr (std::is_same_v<T, bool>) out.number<std::uint8_t>(value ? 1 : 0);
  else out.number(value);
}
template <std::uint32_t Value> void write(Writer& out, Always<Value>) { out.number(Value); }
template <std::size_t Size> void write(Writer& out, const FixedBytes<Size>& value) {
  out.bytes(value.bytes.data(), Size);
}
template <std::size_t Size> void write(Writer& out, const FixedUint<Size>& value) {
  out.bytes(value.bytes().data(), Size);
}
inline void write(Writer& out, const BigUint& value) {
  out.number(static_cast<std::uint8_t>(value.bytes().size()));
  out.bytes(value.bytes().data(), value.bytes().size());
}
inline void write_count(Writer& out, std::size_t count, unsigned prefix_bytes) {
  if (prefix_bytes == 1) out.number(static_cast<std::uint8_t>(count));
  else if (prefix_bytes == 2) out.number(static_cast<std::uint16_t>(count));
  else out.number(static_cast<std::uint32_t>(count));
}
inline void write(Writer& out, const std::string& value) {
  write_count(out, value.size(), 4);
  out.bytes(value.data(), value.size());
}
template <unsigned Prefix> void write(Writer& out, const ShortBytes<Prefix>& value) {
  write_count(out, value.size(), Prefix);
  out.bytes(value.data(), value.size());
}
template <class Item> void write(Writer& out, const std::vector<Item>& value) {
  write_count(out, value.size(), 4);
  for (const Item& item : value) write(out, item);
}
template <class Item> void write(Writer& out, const List1<Item>& value) {
  write_count(out, value.size(), 1);
  for (const Item& item : value) write(out, item);
}
template <class Key, class Value> void write(Writer& out, const std::map<Key, Value>& value) {
  write_count(out, value.size(), 4);
  for (const auto& [key, item] : value) {
    write(out, key);
    write(out, item);
  }
}
inline void write(Writer& out, const TokenBalances& value) {
  write_count(out, value.size(), 4);
  for (const TokenBalances::Entry& entry : value) {
    write(out, entry.token);
    write(out, entry.amount);
  }
}
template <class T> void write(Writer& out, const std::optional<T>& value) {
  out.number<std::uint8_t>(value ? 1 : 0);
  if (value) write(out, *value);
}
template <Structure T> void write(Writer& out, const T& value) {
  T::visit_fields(value, [&](const char*, const auto& field) {
    write(out, field);
    return true;
  });
}

// What codec.hpp declares.

template <class T> bool decode(std::span<const std::byte> bytes, T& into, DecodeError& error, std::size_t* consumed) {
  Decoder in(bytes);
  if (!read(in, into)) {
    error = in.take_error(T::type_name);
    return false;
  }
  if (consumed) *consumed = in.offset();
  return true;
}

template <class T> std::size_t encoded_bytes(const T& value) {
  Sizer sizer;
  measure(sizer, value);
  if (sizer.failed()) sizer.throw_failure(T::type_name);
  return sizer.bytes;
}

template <class T> void encode(const T& value, ByteBuffer& into) {
  const std::size_t size = encoded_bytes(value);
  if (size == 0) return;
  Writer out(into.prepare(size));
  write(out, value);
  into.commit(size);
}

template <class T> Payload encoded(const T& value) {
  Payload payload = Payload::uninitialized(encoded_bytes(value));
  Writer out(payload.writable().data());
  write(out, value);
  return payload;
}

#define QUARKCHAIN_INSTANTIATE_CODEC(TYPE)                                             \
  template bool read(Decoder&, TYPE&);                                                 \
  template void measure(Sizer&, const TYPE&);                                          \
  template void write(Writer&, const TYPE&);                                           \
  template bool decode(std::span<const std::byte>, TYPE&, DecodeError&, std::size_t*); \
  template std::size_t encoded_bytes(const TYPE&);                                     \
  template void encode(const TYPE&, ByteBuffer&);                                      \
  template Payload encoded(const TYPE&);

#define QUARKCHAIN_EXTERN_CODEC(TYPE)                \
  extern template bool read(Decoder&, TYPE&);        \
  extern template void measure(Sizer&, const TYPE&); \
  extern template void write(Writer&, const TYPE&);

} // namespace trunkline::quarkchain
