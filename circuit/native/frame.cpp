#include "circuit/native/frame.hpp"

#include "fragment/deadline.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

namespace trunkline::wire {
namespace {

constexpr std::uint64_t tag_bytes(std::uint32_t field) { return field << 3 | 2; }
constexpr std::uint64_t tag_subject = tag_bytes(1);
constexpr std::uint64_t tag_arg = tag_bytes(2);
constexpr std::uint64_t tag_err = tag_bytes(3);
constexpr std::uint64_t tag_remaining_ms = 4 << 3 | 5; // of a fixed size: what it costs is known before it is written
constexpr std::uint64_t tag_cancels = 5 << 3;
constexpr std::uint64_t tag_key = tag_bytes(1);
constexpr std::uint64_t tag_value = tag_bytes(2);

std::size_t varint_size(std::uint64_t value) noexcept {
  std::size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++size;
  }
  return size;
}

std::size_t field_size(std::size_t bytes) noexcept { return bytes == 0 ? 0 : 1 + varint_size(bytes) + bytes; }

std::size_t arg_size(const Args::Item& arg) noexcept {
  return field_size(arg.first.size()) + field_size(arg.second.size());
}

void append(std::vector<std::byte>& into, std::string_view bytes) {
  const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
  into.insert(into.end(), data, data + bytes.size());
}

void append_varint(std::vector<std::byte>& into, std::uint64_t value) {
  std::byte bytes[varint_bytes_max];
  into.insert(into.end(), bytes, put_varint(bytes, value));
}

void append_field(std::vector<std::byte>& into, std::uint64_t tag, std::string_view bytes) {
  if (bytes.empty()) return;
  append_varint(into, tag);
  append_varint(into, bytes.size());
  append(into, bytes);
}

/// The fields of one protobuf message, one at a time. Lenient about the length of varints, as protobuf is.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}

  /// False at the end or when malformed.
  bool next(std::uint64_t& tag, std::string_view& value) {
    if (at_ == end_ || malformed_) return false;
    value = {};
    number_ = 0;
    if (!varint(tag) || tag >> 3 == 0) return fail();
    std::uint64_t number = 0;
    switch (tag & 7) {
      case 0: return varint(number_) || fail();
      case 1: return skip(8) || fail();
      case 2: {
        if (!varint(number)) return fail();
        const auto* start = reinterpret_cast<const char*>(at_);
        if (!skip(number)) return fail();
        value = {start, static_cast<std::size_t>(number)};
        return true;
      }
      case 5: return fixed32() || fail();
      default: return fail();
    }
  }
  /// Of a field that is a number.
  std::uint64_t number() const { return number_; }
  bool malformed() const { return malformed_; }

 private:
  bool fail() {
    malformed_ = true;
    return false;
  }
  bool varint(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70 && at_ != end_; shift += 7) {
      const auto byte = static_cast<std::uint64_t>(*at_++);
      value |= (byte & 0x7f) << (shift < 64 ? shift : 63);
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool fixed32() {
    const std::byte* const start = at_;
    if (!skip(4)) return false;
    for (int i = 0; i < 4; ++i) number_ |= static_cast<std::uint64_t>(start[i]) << (8 * i);
    return true;
  }
  bool skip(std::uint64_t count) {
    if (count > static_cast<std::uint64_t>(end_ - at_)) return false;
    at_ += count;
    return true;
  }

  const std::byte* at_;
  const std::byte* end_;
  std::uint64_t number_ = 0;
  bool malformed_ = false;
};

} // namespace

Parsed get_long_varint(const std::byte*& at, const std::byte* end, std::uint64_t& value) noexcept {
  std::uint64_t result = 0;
  const std::byte* next = at;
  for (int shift = 0; next != end; shift += 7) {
    const auto byte = static_cast<std::uint64_t>(*next++);
    if (shift == 63 && byte > 1) return Parsed::malformed; // beyond 64 bits
    result |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift != 0) return Parsed::malformed; // padded
      value = result;
      at = next;
      return Parsed::complete;
    }
  }
  return Parsed::incomplete;
}

std::byte* put_data_head(std::byte* at, const DataHead& head) noexcept {
  std::byte* const body = at + header_bytes;
  std::byte* next = put_varint(body, head.circuit);
  if (!(head.flags & flag_continues)) {
    next = put_varint(next, zigzag(head.op));
    next = put_varint(next, zigzag(head.part));
    if (head.flags & flag_first_of_more) next = put_varint(next, head.total);
    if (head.flags & flag_metadata) {
      next = put_varint(next, head.metadata.size());
      std::memcpy(next, head.metadata.data(), head.metadata.size());
      next += head.metadata.size();
    }
  }
  put_header(at, static_cast<std::size_t>(next - body) + head.payload_bytes, FrameType::data, head.flags);
  return next;
}

Parsed get_data_head(std::span<const std::byte> body, std::size_t length, std::uint8_t flags, DataHead& head,
                     std::size_t& consumed, const char*& why) noexcept {
  const std::byte* at = body.data();
  const std::byte* const end = at + body.size();
  const bool whole = body.size() == length;
  const auto number = [&](std::uint64_t& value, const char* name) {
    const Parsed parsed = get_varint(at, end, value);
    if (parsed == Parsed::complete) return parsed;
    why = name;
    // What is missing from a whole body never comes.
    return parsed == Parsed::incomplete && !whole ? Parsed::incomplete : Parsed::malformed;
  };
  head = DataHead();
  head.flags = flags;
  if (const Parsed parsed = number(head.circuit, "circuit number of a data frame"); parsed != Parsed::complete)
    return parsed;
  if (!(flags & flag_continues)) {
    std::uint64_t op = 0;
    std::uint64_t part = 0;
    if (const Parsed parsed = number(op, "op of a data frame"); parsed != Parsed::complete) return parsed;
    if (op > std::numeric_limits<std::uint32_t>::max()) {
      why = "op of a data frame beyond 32 bits";
      return Parsed::malformed;
    }
    if (const Parsed parsed = number(part, "part of a data frame"); parsed != Parsed::complete) return parsed;
    head.op = static_cast<std::int32_t>(unzigzag(op));
    head.part = unzigzag(part);
    if (flags & flag_first_of_more)
      if (const Parsed parsed = number(head.total, "total of a data frame"); parsed != Parsed::complete) return parsed;
    if (flags & flag_metadata) {
      std::uint64_t size = 0;
      if (const Parsed parsed = number(size, "metadata size of a data frame"); parsed != Parsed::complete)
        return parsed;
      const auto before = static_cast<std::size_t>(at - body.data());
      if (size > length - before) {
        why = "metadata of a data frame beyond its end";
        return Parsed::malformed;
      }
      if (size > static_cast<std::uint64_t>(end - at)) return Parsed::incomplete;
      head.metadata = {at, static_cast<std::size_t>(size)};
      at += size;
    }
  }
  consumed = static_cast<std::size_t>(at - body.data());
  head.payload_bytes = length - consumed;
  return Parsed::complete;
}

std::size_t metadata_bytes(const Fragment& fragment) noexcept {
  if (fragment.subject.empty() && fragment.args.empty() && fragment.err.empty() && !fragment.says_deadline()) return 0;
  std::size_t size = field_size(fragment.subject.size()) + field_size(fragment.err.size());
  for (const auto& arg : fragment.args) {
    const std::size_t inner = arg_size(arg);
    size += 1 + varint_size(inner) + inner;
  }
  if (fragment.says_deadline()) size += fragment.cancels() ? 2 : 5;
  return size;
}

std::uint32_t remaining_ms(std::chrono::steady_clock::time_point deadline,
                           std::chrono::steady_clock::time_point now) noexcept {
  if (deadline <= now) return 1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<std::uint32_t>(std::min<std::int64_t>(left, std::numeric_limits<std::uint32_t>::max()));
}

void put_metadata(std::vector<std::byte>& into, const Fragment& fragment, std::chrono::steady_clock::time_point now) {
  append_field(into, tag_subject, fragment.subject);
  for (const auto& arg : fragment.args) {
    append_varint(into, tag_arg);
    append_varint(into, arg_size(arg));
    append_field(into, tag_key, arg.first);
    append_field(into, tag_value, arg.second);
  }
  append_field(into, tag_err, fragment.err);
  if (fragment.cancels()) {
    append_varint(into, tag_cancels);
    append_varint(into, 1);
  } else if (fragment.says_deadline()) {
    append_varint(into, tag_remaining_ms);
    const std::uint32_t left = remaining_ms(*fragment.deadline(), now);
    for (int i = 0; i < 4; ++i) into.push_back(static_cast<std::byte>(left >> (8 * i)));
  }
}

bool get_metadata(std::span<const std::byte> bytes, Fragment& fragment, std::chrono::steady_clock::time_point now) {
  Fields fields(bytes);
  std::uint64_t tag = 0;
  std::string_view value;
  bool cancels = false;
  while (fields.next(tag, value)) {
    if (tag == tag_subject) {
      fragment.subject = value;
    } else if (tag == tag_err) {
      fragment.err = value;
    } else if (tag == tag_remaining_ms) {
      // More than a clock can count means that there is none.
      const std::uint64_t left = std::min<std::uint64_t>(fields.number(), std::numeric_limits<std::int64_t>::max());
      if (left != 0) fragment.set_deadline(after(now, std::chrono::milliseconds(left)));
    } else if (tag == tag_cancels) {
      cancels = fields.number() != 0;
    } else if (tag == tag_arg) {
      Fields inner(std::as_bytes(std::span(value)));
      std::string_view key;
      std::string_view text;
      std::uint64_t inner_tag = 0;
      std::string_view inner_value;
      while (inner.next(inner_tag, inner_value)) {
        if (inner_tag == tag_key) key = inner_value;
        if (inner_tag == tag_value) text = inner_value;
      }
      if (inner.malformed() || fragment.args.size() == Args::items_max) return false;
      fragment.args.append(key, text);
    }
  }
  if (cancels) { // a word about a call has nothing else to say
    fragment.subject.clear();
    fragment.err.clear();
    fragment.args = {};
    fragment.set_deadline(std::chrono::steady_clock::time_point::min());
  }
  return !fields.malformed();
}

} // namespace trunkline::wire
