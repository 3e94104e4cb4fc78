#include "services/gossip/word.hpp"

#include <cstring>

namespace trunkline::gossip {
namespace {

constexpr std::uint8_t format_version = 1;

void put(std::byte*& at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) *at++ = static_cast<std::byte>(value >> (8 * i));
}

void put(std::byte*& at, const RandomId& id) {
  std::memcpy(at, id.bytes().data(), RandomId::bytes_count);
  at += RandomId::bytes_count;
}

std::uint64_t get(const std::byte*& at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= static_cast<std::uint64_t>(*at++) << (8 * i);
  return value;
}

RandomId get_id(const std::byte*& at) {
  const std::string_view bytes(reinterpret_cast<const char*>(at), RandomId::bytes_count);
  at += RandomId::bytes_count;
  return *RandomId::from_bytes(bytes);
}

} // namespace

std::vector<std::byte> Word::encode() const {
  std::vector<std::byte> bytes(head_bytes + payload.size());
  std::byte* at = bytes.data();
  put(at, format_version, 1);
  put(at, static_cast<std::uint8_t>(kind), 1);
  put(at, yes ? 1 : 0, 1);
  put(at, level, 1);
  put(at, span, 4);
  put(at, book.number, 8);
  put(at, book.digest, 8);
  put(at, origin);
  put(at, id);
  if (!payload.empty()) std::memcpy(at, payload.data(), payload.size());
  return bytes;
}

std::optional<Word> Word::decode(std::span<const std::byte> bytes) {
  if (bytes.size() < head_bytes) return std::nullopt;
  const std::byte* at = bytes.data();
  const std::uint64_t version = get(at, 1);
  const std::uint64_t kind = get(at, 1);
  const std::uint64_t yes = get(at, 1);
  if (version != format_version || kind < 1 || kind > 5 || yes > 1) return std::nullopt;
  Word word;
  word.kind = static_cast<Kind>(kind);
  word.yes = yes == 1;
  word.level = static_cast<std::uint8_t>(get(at, 1));
  word.span = static_cast<std::uint32_t>(get(at, 4));
  word.book.number = get(at, 8);
  word.book.digest = get(at, 8);
  word.origin = get_id(at);
  word.id = get_id(at);
  word.payload = bytes.subspan(head_bytes);
  const bool alone = word.kind != Kind::rumor && (!word.payload.empty() || word.level != 0 || word.span != 0);
  if (alone || word.origin.empty() || word.id.empty()) return std::nullopt;
  return word;
}

} // namespace trunkline::gossip
