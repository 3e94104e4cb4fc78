#include "fragment/percent.hpp"

#include "fragment/hex.hpp"

namespace trunkline {

std::string percent_encode(std::string_view text, std::string_view special) {
  std::string encoded;
  for (const char c : text) {
    if (c > 0x20 && c < 0x7f && special.find(c) == std::string_view::npos) {
      encoded += c;
    } else {
      encoded += '%';
      append_hex(encoded, static_cast<unsigned char>(c), true);
    }
  }
  return encoded;
}

} // namespace trunkline
