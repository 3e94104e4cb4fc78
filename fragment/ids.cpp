#include "fragment/ids.hpp"

#include <cstring>

namespace trunkline {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t text_size = 22;

} // namespace

RandomId RandomId::draw(const std::function<std::uint64_t()>& random) {
  RandomId id;
  const std::uint64_t words[2] = {random(), random()};
  std::memcpy(id.bytes_.data(), words, sizeof words);
  if (id.empty()) id.bytes_[0] = 1; // zero means "none"
  return id;
}

std::optional<RandomId> RandomId::from_bytes(std::string_view bytes) {
  if (bytes.size() != bytes_count) return std::nullopt;
  RandomId id;
  std::memcpy(id.bytes_.data(), bytes.data(), bytes_count);
  return id;
}

std::optional<RandomId> RandomId::parse(std::string_view text) {
  if (text.size() != text_size) return std::nullopt;
  RandomId id;
  std::uint32_t bits = 0;
  int bits_count = 0;
  std::size_t at = 0;
  for (const char c : text) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    bits_count += 6;
    if (bits_count >= 8) {
      bits_count -= 8;
      id.bytes_[at++] = static_cast<std::uint8_t>(bits >> bits_count);
      bits &= (1u << bits_count) - 1;
    }
  }
  if (bits != 0) return std::nullopt; // the four bits left over must be zero: one text per id
  return id;
}

std::string RandomId::to_string() const {
  std::string text;
  text.reserve(text_size);
  std::uint32_t bits = 0;
  int bits_count = 0;
  for (const std::uint8_t byte : bytes_) {
    bits = bits << 8 | byte;
    bits_count += 8;
    while (bits_count >= 6) {
      bits_count -= 6;
      text += alphabet[bits >> bits_count & 63];
    }
    bits &= (1u << bits_count) - 1;
  }
  text += alphabet[bits << (6 - bits_count) & 63];
  return text;
}

} // namespace trunkline
