#include "services/quarkchain/chain/rlp.hpp"

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr unsigned short_bytes_max = 55; // longer ones say the length of their length
constexpr unsigned string_base = 0x80;
constexpr unsigned list_base = 0xc0;
constexpr std::size_t head_bytes_max = 9;
constexpr std::size_t items_usual = 17; // a branch of a trie; no list of a node or a transaction is longer

/// What stands before the content of an item: at most 9 bytes.
void add_head(std::string& to, std::size_t size, unsigned base) {
  if (size <= short_bytes_max) {
    to += static_cast<char>(base + size);
    return;
  }
  const BigUint length(size);
  to += static_cast<char>(base + short_bytes_max + length.bytes().size());
  to += length.bytes();
}

bool is_itself(std::string_view bytes) {
  return bytes.size() == 1 && static_cast<unsigned char>(bytes[0]) < string_base;
}

void add_bytes(std::string& to, std::string_view bytes) {
  if (!is_itself(bytes)) add_head(to, bytes.size(), string_base);
  to += bytes;
}

[[noreturn]] void fail(std::size_t offset, const std::string& reason) {
  throw RlpFailure("RLP at byte " + std::to_string(offset) + ": " + reason);
}

struct Item {
  bool list = false;
  std::size_t begin = 0; // of the content
  std::size_t size = 0;
};

/// The item at `offset`, whose content lies within `bytes`.
Item item_at(std::string_view bytes, std::size_t offset) {
  if (offset >= bytes.size()) fail(offset, "an item is missing");
  const unsigned first = static_cast<unsigned char>(bytes[offset]);
  if (first < string_base) return {false, offset, 1};
  const bool list = first >= list_base;
  const unsigned code = first - (list ? list_base : string_base);
  Item item{list, offset + 1, code};
  if (code > short_bytes_max) {
    const std::size_t length_bytes = code - short_bytes_max;
    if (length_bytes > bytes.size() - item.begin) fail(offset, "the length is cut off");
    if (bytes[item.begin] == 0) fail(offset, "a length with leading zeros");
    item.size = 0;
    for (std::size_t i = 0; i < length_bytes; ++i) {
      if (item.size >> 55 != 0) fail(offset, "a length beyond everything");
      item.size = item.size << 8 | static_cast<unsigned char>(bytes[item.begin + i]);
    }
    if (item.size <= short_bytes_max) fail(offset, "a long form for " + std::to_string(item.size) + " bytes");
    item.begin += length_bytes;
  }
  if (item.size > bytes.size() - item.begin)
    fail(offset,
         "needs " + std::to_string(item.size) + " bytes, " + std::to_string(bytes.size() - item.begin) + " are left");
  if (!list && item.size == 1 && static_cast<unsigned char>(bytes[item.begin]) < string_base)
    fail(offset, "a length before a byte that needs none");
  return item;
}

/// Of one list that fills `bytes` exactly.
template <class Take> void each_item(std::string_view bytes, std::size_t items_max, const Take& take) {
  const Item whole = item_at(bytes, 0);
  if (!whole.list) fail(0, "expected a list, seen a byte string");
  if (whole.begin + whole.size != bytes.size())
    fail(whole.begin + whole.size, std::to_string(bytes.size() - whole.begin - whole.size) + " bytes behind the list");
  std::size_t count = 0;
  for (std::size_t at = whole.begin; at < bytes.size(); ++count) {
    if (count == items_max) fail(at, "more than " + std::to_string(items_max) + " items");
    const Item item = item_at(bytes, at);
    const std::size_t end = item.begin + item.size;
    take(RlpItem{item.list, bytes.substr(item.begin, item.size), bytes.substr(at, end - at)});
    at = end;
  }
}

} // namespace

std::string rlp_bytes(std::string_view bytes) {
  std::string item;
  item.reserve(head_bytes_max + bytes.size());
  add_bytes(item, bytes);
  return item;
}

std::size_t rlp_bytes_size(std::string_view bytes) {
  if (is_itself(bytes)) return 1;
  std::size_t head = 1;
  if (bytes.size() > short_bytes_max)
    for (std::size_t left = bytes.size(); left > 0; left >>= 8) ++head;
  return head + bytes.size();
}

void rlp_append_bytes(std::string& to, std::string_view bytes) { add_bytes(to, bytes); }
void rlp_append_list_head(std::string& to, std::size_t size) { add_head(to, size, list_base); }

RlpList& RlpList::add(std::string_view bytes) {
  add_bytes(items_, bytes);
  return *this;
}

RlpList& RlpList::add_encoded(std::string_view item) {
  items_ += item;
  return *this;
}

std::string RlpList::encoded() const {
  std::string list;
  list.reserve(head_bytes_max + items_.size());
  add_head(list, items_.size(), list_base);
  return list += items_;
}

std::vector<RlpItem> rlp_list(std::string_view bytes, std::size_t items_max) {
  std::vector<RlpItem> items;
  items.reserve(std::min(items_max, items_usual));
  each_item(bytes, items_max, [&](const RlpItem& item) { items.push_back(item); });
  return items;
}

std::size_t rlp_list(std::string_view bytes, std::span<RlpItem> items) {
  std::size_t count = 0;
  each_item(bytes, items.size(), [&](const RlpItem& item) { items[count++] = item; });
  return count;
}

std::vector<std::string_view> rlp_items(std::string_view bytes, std::size_t items_max) {
  std::vector<std::string_view> contents;
  contents.reserve(std::min(items_max, items_usual));
  for (const RlpItem& item : rlp_list(bytes, items_max)) {
    if (item.list)
      fail(static_cast<std::size_t>(item.whole.data() - bytes.data()), "expected a byte string, seen a list");
    contents.push_back(item.content);
  }
  return contents;
}

} // namespace trunkline::quarkchain
