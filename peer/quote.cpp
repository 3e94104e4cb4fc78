#include "peer/quote.hpp"

namespace trunkline {

std::string escape(std::string_view text, std::size_t bytes_max) {
  constexpr char digits[] = "0123456789abcdef";
  std::string escaped;
  for (const char c : text.substr(0, bytes_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      escaped += c;
    } else {
      escaped += "\\x";
      escaped += digits[byte >> 4];
      escaped += digits[byte & 15];
    }
  }
  return escaped;
}

std::string quote(std::string_view text, std::size_t bytes_max) {
  std::string quoted = '"' + escape(text, bytes_max) + '"';
  if (text.size() > bytes_max) quoted += "... (" + std::to_string(text.size()) + " bytes)";
  return quoted;
}

} // namespace trunkline
