#include "fragment/json_text.hpp"

#include "fragment/hex.hpp"
#include "fragment/utf8.hpp"

namespace trunkline {

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t size = utf8_bytes(text);
    const char first = text.front();
    if (size == 0) {
      out += "\\ufffd";
    } else if (first == '"' || first == '\\') {
      out += '\\';
      out += first;
    } else if (static_cast<unsigned char>(first) < 0x20 || first == '\x7f') {
      out += "\\u00";
      append_hex(out, static_cast<unsigned char>(first));
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  out += '"';
}

} // namespace trunkline
