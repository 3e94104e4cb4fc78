// Writes JSON string literals.
#pragma once

#include <string>
#include <string_view>

namespace trunkline {

/// Appends `text` as a JSON string literal, quotes included. A byte that is not part of valid UTF-8 becomes U+FFFD.
void append_json_text(std::string& out, std::string_view text);

} // namespace trunkline
